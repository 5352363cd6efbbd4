"""Tests identity's queries: explanations, held edges, policy previews, the merge feed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from integration.identity.identity_harness import backfill, make_projection
from integration.identity.identity_log import MemoryEventLog, fact_of, random_events, tick
from laws.identity_histories import edge_between
from laws.identity_model import WORKSPACE, ModelDecision, ModelEvent, expected_state
from service_fixtures import HANG_S

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.chassis.projection.checkpoint import Checkpoint, add_digest, save_checkpoint
from services.identity.domain.evidence import DecisionKind, EvidenceKind
from services.identity.domain.explain import Explanation
from services.identity.domain.held import HeldReason
from services.identity.domain.policy import DEFAULT, NamespaceRule, Policy
from services.identity.domain.preview import PreviewTotals, Regrouping
from services.identity.projection.reader import StateReader
from services.identity.queries.explain import ExplanationQueries
from services.identity.queries.held import HeldEdgeQueries
from services.identity.queries.merge_feed import MergeFeed
from services.identity.queries.past import PastProfiles
from services.identity.queries.policy_preview import PolicyQueries
from services.identity.queries.profiles import IdentityQueries
from services.kernel.as_of import AsOf
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId
from services.kernel.tokens import Token
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY

LI, WANG = Identifier("user_id", "li"), Identifier("user_id", "wang")
PHONE, COOKIE = Identifier("phone", "+8613800000000"), Identifier("cookie", "c1")
OPEN = Policy(1, {"user_id": NamespaceRule(), "phone": NamespaceRule()})


class LogRunner:
    """Has the token of the log, as far as queries use a ProjectionRunner."""

    shards = 4

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log

    async def token(self) -> Token:
        return self._log.token


class LeafLog:
    """Implements LogService.ReadLeaves over a log in memory."""

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log

    async def read_leaves(
        self,
        workspace_id: str,
        leaf_ids: Sequence[bytes],
        *,
        before: Token | None = None,
        before_us: int = 0,
    ) -> list[Any]:
        return [
            fact
            for shard, facts in enumerate(self._log.shards)
            for fact in facts[: len(facts) if before is None else before.offset(shard)]
            if fact.leaf_id in leaf_ids and (not before_us or fact.occurred_at_us < before_us)
        ]


class FoldedLog:
    """Folds a log of 4 shards, and has the queries over its state."""

    def __init__(self, database: Database) -> None:
        self.log = MemoryEventLog(4)
        self.database = database
        reader = StateReader(database, LogRunner(self.log), INDEX_KEY)  # type: ignore[arg-type]
        self.explanations = ExplanationQueries(reader, LeafLog(self.log))
        self.past = PastProfiles(reader, LeafLog(self.log))
        self.held = HeldEdgeQueries(reader)
        self.policy = PolicyQueries(reader)
        self.profile_queries = IdentityQueries(reader)
        self.merges = MergeFeed(reader)
        self._projection = make_projection()
        self._folded = [0] * 4

    async def append(self, *facts: ModelEvent | ModelDecision | Policy) -> Token:
        """Append and fold facts."""
        self.log.append(map(fact_of, facts))
        await self._fold_all()
        return self.log.token

    async def roll_out(self) -> None:
        """Finish the rollout of the policy, and publish its changes."""
        for shard in range(4):
            while await backfill(self.database.pool, self._projection, shard):
                pass
        self.log.append([tick()])
        await self._fold_all()
        assert (await self.policy.policy(WORKSPACE)).is_live

    async def _fold_all(self) -> None:
        for shard, facts in enumerate(self.log.shards):
            size = len(facts) - self._folded[shard]
            if size:
                await self._fold(shard, size)

    async def _fold(self, shard: int, size: int) -> None:
        batch = self.log.batch(shard, self._folded[shard], size)
        async with self.database.pool.acquire() as conn, conn.transaction():
            result = await self._projection.fold(conn, batch)
            await add_digest(conn, shard, result.deltas)
            to = Checkpoint(shard, batch.next, batch.next, result.log_offset, result.log_time_us)
            await save_checkpoint(conn, to, result.outputs)
        self._folded[shard] = batch.next

    async def explain(
        self, one: Identifier, other: Identifier, as_of: Token | None = None
    ) -> Explanation:
        ids = (one.id_in(WORKSPACE, INDEX_KEY), other.id_in(WORKSPACE, INDEX_KEY))
        return await self.explanations.explain(WORKSPACE, *ids, as_of)

    async def profiles(self) -> dict[IdentifierId, bytes]:
        rows = await self.database.pool.fetch("SELECT identifier_id, profile_id FROM identifier")
        return dict(rows)

    async def digest(self) -> int:
        total = "SELECT sum(value) % 2::numeric^128 FROM digest"
        return int(await self.database.pool.fetchval(total))


@pytest_asyncio.fixture(loop_scope="session")
async def folded(database: str) -> AsyncIterator[FoldedLog]:
    await migrate(database, "identity", shards=4)
    async with Database(database, "identity") as opened:
        yield FoldedLog(opened)


def event(*identifiers: Identifier, at: int = 1, n: int = 1) -> ModelEvent:
    return ModelEvent(identifiers, at, n)


def decision(one: Identifier, other: Identifier, kind: DecisionKind, at: int = 50) -> ModelDecision:
    return ModelDecision(one, other, kind, at, at)


def steps(explanation: Explanation) -> list[tuple[Identifier | None, Identifier | None, int]]:
    return [(one.a, one.b, one.edge.kind) for one in explanation.path]


async def test_explain_one_profile_returns_the_path_of_active_edges(folded: FoldedLog) -> None:
    await folded.append(event(LI, PHONE, at=3), event(PHONE, COOKIE, at=5, n=2))
    explanation = await folded.explain(COOKIE, LI)
    assert explanation.same
    assert steps(explanation) == [
        (COOKIE, PHONE, EvidenceKind.OBSERVED),
        (PHONE, LI, EvidenceKind.OBSERVED),
    ]
    assert [one.span.first.occurred_at_us for one in explanation.path] == [5, 3]
    assert explanation.policy_version == 0


async def test_explain_two_profiles_returns_the_path_with_the_held_edge(folded: FoldedLog) -> None:
    await folded.append(event(LI, PHONE, at=3), event(WANG, PHONE, at=5, n=2))
    explanation = await folded.explain(LI, WANG)
    assert not explanation.same
    assert [one.held for one in explanation.path] == [(HeldReason.SHARED, "phone")] * 2


async def test_explain_separation_returns_its_author_and_reason(folded: FoldedLog) -> None:
    await folded.append(event(LI, PHONE, at=3), event(PHONE, COOKIE, at=5, n=2))
    await folded.append(decision(LI, COOKIE, DecisionKind.SEPARATE))
    explanation = await folded.explain(LI, COOKIE)
    assert not explanation.same
    (held,) = [one for one in explanation.path if one.held]
    assert held.held
    assert held.held.reason == HeldReason.SEPARATED
    assert (held.actor, held.reason) == ("ann", "because 50")


async def test_explain_link_returns_its_author_and_reason(folded: FoldedLog) -> None:
    await folded.append(event(LI), event(COOKIE, n=2), decision(LI, COOKIE, DecisionKind.LINK))
    (edge,) = (await folded.explain(LI, COOKIE)).path
    assert (edge.edge.kind, edge.actor, edge.reason) == (EvidenceKind.DECIDED, "ann", "because 50")


async def test_explain_unknown_identifier_has_no_path(folded: FoldedLog) -> None:
    await folded.append(event(LI))
    explanation = await folded.explain(LI, WANG)
    assert (explanation.same, explanation.profile_b, explanation.path) == (False, None, ())


async def test_explain_as_of_a_token_uses_the_facts_before_it(folded: FoldedLog) -> None:
    alone = await folded.append(event(LI, PHONE, at=3))
    together = await folded.append(event(PHONE, COOKIE, at=5, n=2))
    await folded.append(decision(LI, COOKIE, DecisionKind.SEPARATE))
    assert not (await folded.explain(LI, COOKIE)).same
    past = await folded.explain(LI, COOKIE, together)
    assert past.same
    assert steps(past) == [
        (LI, PHONE, EvidenceKind.OBSERVED),
        (PHONE, COOKIE, EvidenceKind.OBSERVED),
    ]
    before = await folded.explain(LI, COOKIE, alone)
    assert (before.same, before.profile_b, before.path) == (False, None, ())


async def test_explain_as_of_a_token_returns_the_author_of_a_separation(folded: FoldedLog) -> None:
    await folded.append(event(LI, PHONE, at=3), event(PHONE, COOKIE, at=5, n=2))
    separated = await folded.append(decision(LI, COOKIE, DecisionKind.SEPARATE))
    await folded.append(decision(LI, COOKIE, DecisionKind.WITHDRAW, at=60))
    assert (await folded.explain(LI, COOKIE)).same
    past = await folded.explain(LI, COOKIE, separated)
    assert not past.same
    (held,) = [one for one in past.path if one.held]
    assert (held.actor, held.reason) == ("ann", "because 50")


async def test_explain_as_of_a_token_uses_the_policy_of_then(folded: FoldedLog) -> None:
    past = await folded.append(event(LI, PHONE), event(WANG, PHONE, n=2))
    await folded.append(OPEN)
    await folded.roll_out()
    assert (await folded.explain(LI, WANG)).same
    explanation = await folded.explain(LI, WANG, past)
    assert (explanation.same, explanation.policy_version) == (False, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_explain_random_history_now_and_past_equals_the_model(
    folded: FoldedLog, seed: int
) -> None:
    chance = random.Random(seed)
    events = random_events(chance, events=60, names=16)
    token = await folded.append(*events[:40])
    expected = expected_state(events[:40])
    await folded.append(*events[40:])
    identifiers = sorted(expected.first_seen)
    for _ in range(8):
        one, other = chance.sample(identifiers, 2)
        past = await folded.explain(one, other, token)
        assert past.profile_a == expected.profiles[one.id_in(WORKSPACE, INDEX_KEY)]
        assert past.profile_b == expected.profiles[other.id_in(WORKSPACE, INDEX_KEY)]
        assert_path(past, one, other, expected.held)
    expected = expected_state(events)
    for _ in range(8):
        one, other = chance.sample(identifiers, 2)
        assert_path(await folded.explain(one, other), one, other, expected.held)


@pytest.mark.parametrize("seed", range(4))
async def test_past_profile_at_a_token_and_by_an_instant_is_that_of_a_fresh_system(
    folded: FoldedLog, seed: int
) -> None:
    chance = random.Random(f"past {seed}")
    events: list[Any] = list(random_events(chance, events=54, names=16))
    known = sorted({one for event in events for one in event.identifiers})
    for n in range(6):
        one, other = chance.sample(known, 2)
        kind, at_us = chance.choice(list(DecisionKind)), chance.randint(1, 1_000)
        events.append(ModelDecision(one, other, kind, at_us, 100 + n))
    chance.shuffle(events)
    pasts: list[tuple[AsOf, list[Any]]] = []
    for start in range(0, 60, 15):
        token = await folded.append(*events[start : start + 15])
        pasts.append((AsOf(token), events[: start + 15]))
    for at_us in chance.sample([occurred(one) for one in events], 4):
        happened = [one for one in events if occurred(one) <= at_us]
        pasts.append((AsOf(occurred_until_us=at_us), happened))
    for as_of, known in pasts:
        await assert_profiles(folded, as_of, known)


async def assert_profiles(folded: FoldedLog, as_of: AsOf, known: Sequence[Any]) -> None:
    """Check the past profile of each identifier against a model that was fed some facts."""
    expected = expected_state(known)
    members: dict[bytes, set[Identifier]] = {}
    for identifier in expected.first_seen:
        profile_id = expected.profiles[identifier.id_in(WORKSPACE, INDEX_KEY)]
        members.setdefault(profile_id, set()).add(identifier)
    for profile_id, identifiers in members.items():
        for identifier in identifiers:
            id_ = identifier.id_in(WORKSPACE, INDEX_KEY)
            found = await folded.past.profile(WORKSPACE, id_, as_of)
            assert found is not None
            assert found.profile_id == profile_id
            assert {one.identifier for one in found.identifiers} == identifiers
        by_profile = await folded.past.profile(WORKSPACE, IdentifierId(profile_id), as_of)
        assert by_profile is not None
        assert by_profile.profile_id == profile_id


def occurred(one: Any) -> int:
    return int(fact_of(one).occurred_at_us)


async def test_past_profile_of_an_identifier_that_was_not_seen_is_none(folded: FoldedLog) -> None:
    early = await folded.append(event(LI, at=3))
    await folded.append(event(LI, WANG, at=5, n=2))
    wang = WANG.id_in(WORKSPACE, INDEX_KEY)
    assert await folded.past.profile(WORKSPACE, wang, AsOf(early)) is None
    assert await folded.past.profile(WORKSPACE, wang, AsOf(occurred_until_us=4)) is None


def assert_path(
    explanation: Explanation, one: Identifier, other: Identifier, held: Collection[Any]
) -> None:
    """Check that each edge begins where the one before it ended, and is held as in the model."""
    at = one
    for edge in explanation.path:
        assert edge.a == at
        assert edge.b is not None
        assert edge.edge == edge_between(edge.a, edge.b, edge.edge.kind)
        key = (frozenset({edge.a, edge.b}), EvidenceKind(edge.edge.kind))
        assert (edge.held is not None) == (key in held)
        at = edge.b
    if explanation.path or explanation.same:
        assert at == other
    if explanation.same:
        assert not any(edge.held for edge in explanation.path)
    elif explanation.path:
        assert any(edge.held for edge in explanation.path)


async def test_list_held_in_pages_returns_every_edge_once(folded: FoldedLog) -> None:
    users = [Identifier("user_id", f"u{n}") for n in range(5)]
    await folded.append(*(event(user, PHONE, at=n, n=n) for n, user in enumerate(users)))
    every = await folded.held.list_held(WORKSPACE)
    assert len(every) == 5
    assert all(one.profile_a != one.profile_b for one in every)
    paged = []
    after = None
    while page := await folded.held.list_held(WORKSPACE, after=after, limit=3):
        paged += page
        after = page[-1].edge.edge
    assert paged == every
    assert await folded.held.list_held(WORKSPACE, [HeldReason.LIMIT]) == []


async def test_list_held_has_trusted_evidence_before_a_flood_of_claims_and_counts_both(
    folded: FoldedLog,
) -> None:
    flood = [
        ModelEvent((Identifier("user_id", f"m{n}"), LI), n, n, trust=SourceTrust.PUBLIC)
        for n in range(30)
    ]
    await folded.append(*flood, event(LI, PHONE, n=40), event(WANG, PHONE, n=41))
    every = await folded.held.list_held(WORKSPACE, limit=100)
    kinds = [one.edge.edge.kind for one in every]
    assert kinds == [EvidenceKind.OBSERVED] * 2 + [EvidenceKind.CLAIMED] * 30
    trusted = await folded.held.list_held(WORKSPACE, weakest=EvidenceKind.CO_OBSERVED)
    assert trusted == every[:2]
    after = every[9].edge.edge
    assert await folded.held.list_held(WORKSPACE, after=after, limit=7) == every[10:17]
    counts = await folded.held.counts(WORKSPACE)
    assert counts == [
        (HeldReason.SHARED, EvidenceKind.OBSERVED, 2),
        (HeldReason.UNTRUSTED, EvidenceKind.CLAIMED, 30),
    ]


async def test_list_held_has_the_claims_beyond_those_that_may_link(folded: FoldedLog) -> None:
    few = Policy(1, DEFAULT.rules, claimed_devices=2)
    await folded.append(few)
    await folded.roll_out()
    browsers = [Identifier("anonymous_id", f"b{n}") for n in range(20)]
    for n, browser in enumerate(browsers):
        await folded.append(ModelEvent((LI, browser), 9 + n, n, trust=SourceTrust.PUBLIC))
    held = await folded.held.list_held(WORKSPACE, [HeldReason.TOO_MANY_CLAIMS])
    assert {one.edge.edge for one in held} == {
        edge_between(LI, browser, EvidenceKind.CLAIMED) for browser in browsers[2:]
    }
    # Both devices that link are confirmed by a trusted source: the next two link.
    await folded.append(*(event(LI, browser, n=50 + n) for n, browser in enumerate(browsers[:2])))
    held = await folded.held.list_held(WORKSPACE, [HeldReason.TOO_MANY_CLAIMS])
    assert len(held) == 16
    assert (await folded.explain(LI, browsers[3])).same


async def test_list_held_has_claims_of_two_persons_until_trusted_evidence_links_them(
    folded: FoldedLog,
) -> None:
    claim = ModelEvent((LI, PHONE), 3, 3, trust=SourceTrust.PUBLIC)
    await folded.append(event(LI, n=1), event(PHONE, n=2), claim)
    (held,) = await folded.held.list_held(WORKSPACE)
    assert (held.edge.held, held.edge.edge.kind) == (
        (HeldReason.UNTRUSTED, ""),
        EvidenceKind.CLAIMED,
    )
    await folded.append(event(LI, PHONE, at=9, n=4))
    assert (await folded.explain(LI, PHONE)).same
    assert await folded.held.list_held(WORKSPACE) == []


async def test_preview_equals_the_rollout(folded: FoldedLog) -> None:
    await folded.append(*random_events(random.Random(5), events=80, names=30))
    before = await folded.profiles()
    parts = [part async for _, part in folded.policy.preview(WORKSPACE, OPEN)]
    regroupings = [part for part in parts if isinstance(part, Regrouping)]
    (totals,) = [part for part in parts if isinstance(part, PreviewTotals)]
    assert await folded.profiles() == before

    await folded.append(OPEN)
    await folded.roll_out()
    after = await folded.profiles()
    previewed = dict(before)
    for part in regroupings:
        for group in part.after:
            previewed |= dict.fromkeys(group.identifier_ids, group.profile_id)
    assert previewed == after
    changed = {i for i in before if before[i] != after[i]}
    assert changed <= {i for part in regroupings for g in part.before for i in g.identifier_ids}
    assert (totals.profiles_before, totals.profiles_after) == (
        len(set(before.values())),
        len(set(after.values())),
    )
    count = "SELECT count(*) FROM edge WHERE held_reason > 0"
    assert totals.held_after == await folded.database.pool.fetchval(count)


async def test_policy_rolled_back_restores_the_digest(folded: FoldedLog) -> None:
    await folded.append(*random_events(random.Random(6), events=80, names=30))
    partition = await folded.profile_queries.partition_digest(WORKSPACE)
    digest = await folded.digest()
    await folded.append(OPEN)
    await folded.roll_out()
    assert await folded.profile_queries.partition_digest(WORKSPACE) != partition
    await folded.append(Policy(2, DEFAULT.rules))
    await folded.roll_out()
    assert await folded.profile_queries.partition_digest(WORKSPACE) == partition
    assert await folded.digest() == digest


async def test_watch_merges_yields_merges_and_splits(folded: FoldedLog) -> None:
    since = await folded.append(event(LI, at=3), event(COOKIE, at=5, n=2))
    await folded.append(event(LI, COOKIE, at=7, n=3))
    await folded.append(decision(LI, COOKIE, DecisionKind.SEPARATE))
    li, cookie = LI.id_in(WORKSPACE, INDEX_KEY), COOKIE.id_in(WORKSPACE, INDEX_KEY)
    found: list[tuple[bytes, bytes, Any]] = []
    async with asyncio.timeout(HANG_S), aclosing(folded.merges.watch(WORKSPACE, since)) as feed:
        async for merges in feed:
            found += [(m.before, m.after, list(m.identifiers)) for m in merges.moves]
            if len(found) == 2:
                break
    assert sorted(found) == sorted([(cookie, li, [COOKIE]), (li, cookie, [COOKIE])])
    with pytest.raises(InvalidField):
        async for _ in folded.merges.watch(WORKSPACE, Token((0,) * 9)):
            pass


async def test_list_held_of_a_family_phone_names_the_two_that_clash(folded: FoldedLog) -> None:
    """A decision about these two decides the line."""
    card = Identifier("member_id", "card")
    await folded.append(event(LI, PHONE, n=1), event(card, PHONE, at=2, n=2))
    held = await folded.held.list_held(WORKSPACE)
    assert {one.edge.held for one in held} == {(HeldReason.SHARED, "phone")}
    assert [set(one.clash) for one in held] == [{LI, card}, {LI, card}]
    await folded.append(event(LI, card, at=9, n=3))
    assert await folded.held.list_held(WORKSPACE) == []
    assert (await folded.explain(LI, PHONE)).same


async def test_list_held_of_a_device_of_two_persons_names_an_id_of_each(folded: FoldedLog) -> None:
    card, browser, app = (
        Identifier(namespace, "x") for namespace in ("member_id", "anonymous_id", "cookie")
    )
    events = (event(LI, browser, n=1), event(card, app, at=2, n=2), event(browser, app, at=3, n=3))
    await folded.append(*events)
    (held,) = await folded.held.list_held(WORKSPACE)
    assert held.edge.held == (HeldReason.OTHER_PERSON, "")
    assert set(held.clash) == {LI, card}
