"""What identity can be asked: why, what is held, what a policy would come to, who moved."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from integration.identity.identity_feed import Log, fact_of, policy_fact, random_events, tick
from laws.identity_model import WORKSPACE, ModelDecision, ModelEvent, expected_state
from laws.identity_story import edge_between
from services.identity.domain.linking import HeldReason

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.chassis.projection.checkpoint import Checkpoint, add_digest, save_checkpoint
from services.identity.domain.evidence import DecisionKind, EvidenceKind
from services.identity.domain.explain import Explanation
from services.identity.domain.policy import DEFAULT, NamespaceRule, Policy
from services.identity.domain.preview import PreviewTotals, Regrouping
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.queries.profiles import IdentityQueries
from services.kernel.errors import InvalidField
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId
from services.kernel.tokens import Token

LI, WANG = Identifier("user_id", "li"), Identifier("user_id", "wang")
PHONE, COOKIE = Identifier("phone", "+8613800000000"), Identifier("cookie", "c1")
OPEN = Policy(1, {"user_id": NamespaceRule(), "phone": NamespaceRule()})


class Runner:
    """As far as questions need one."""

    shards = 4

    def __init__(self, log: Log) -> None:
        self._log = log

    async def token(self) -> Token:
        return self._log.token


class Leaves:
    """LogService.ReadLeaves over a log in memory."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def read_leaves(
        self, workspace_id: str, leaf_ids: Sequence[bytes], *, before: Token | None = None
    ) -> list[Any]:
        assert before is not None
        return [
            fact
            for shard, facts in enumerate(self._log.shards)
            for fact in facts[: before.offset(shard)]
            if fact.leaf_id in leaf_ids
        ]


class Asked:
    """Identity that hears a log of 4 shards, and is asked."""

    def __init__(self, database: Database) -> None:
        self.log = Log(4)
        self.app = IdentityProjection(shards=4, memory=EvidenceCache(100))
        self.database = database
        self.queries = IdentityQueries(database, Runner(self.log), Leaves(self.log))  # type: ignore[arg-type]
        self._at = [0] * 4

    async def hear(self, *said: ModelEvent | ModelDecision | Policy) -> Token:
        """Say, and fold until nobody has to be looked at anew."""
        self.log.append(policy_fact(s) if isinstance(s, Policy) else fact_of(s) for s in said)
        await self.fold()
        return self.log.token

    async def fold(self) -> None:
        for shard, facts in enumerate(self.log.shards):
            if len(facts) > self._at[shard]:
                await self._fold(shard, len(facts) - self._at[shard])

    async def settle(self) -> None:
        """Let time pass until everybody was looked at by the policy."""
        while not (await self.queries.policy(WORKSPACE)).live:
            self.log.append([tick()])
            await self.fold()

    async def _fold(self, shard: int, size: int) -> None:
        batch = self.log.batch(shard, self._at[shard], size)
        async with self.database.pool.acquire() as conn, conn.transaction():
            folded = await self.app.fold(conn, batch)
            await add_digest(conn, shard, folded.deltas)
            to = Checkpoint(shard, batch.next, batch.next, folded.log_offset, folded.log_time_us)
            await save_checkpoint(conn, to, folded.outputs)
        self._at[shard] = batch.next

    async def explain(
        self, one: Identifier, other: Identifier, as_of: Token | None = None
    ) -> Explanation:
        ids = (one.id_in(WORKSPACE), other.id_in(WORKSPACE))
        return await self.queries.explain(WORKSPACE, *ids, as_of)

    async def profiles(self) -> dict[IdentifierId, bytes]:
        rows = await self.database.pool.fetch("SELECT identifier_id, profile_id FROM identifier")
        return dict(rows)


@pytest_asyncio.fixture(loop_scope="session")
async def asked(database: str) -> AsyncIterator[Asked]:
    await migrate(database, "identity", shards=4)
    async with Database(database, "identity") as opened:
        yield Asked(opened)


def seen(*identifiers: Identifier, at: int = 1, n: int = 1) -> ModelEvent:
    return ModelEvent(identifiers, at, n)


def ruled(one: Identifier, other: Identifier, verdict: DecisionKind, at: int = 50) -> ModelDecision:
    return ModelDecision(one, other, verdict, at, at)


def ways(explained: Explanation) -> list[tuple[Identifier | None, Identifier | None, int]]:
    return [(tie.a, tie.b, tie.edge.kind) for tie in explained.path]


async def test_a_way_of_edges_tells_why(asked: Asked) -> None:
    await asked.hear(seen(LI, PHONE, at=3), seen(PHONE, COOKIE, at=5, n=2))
    explained = await asked.explain(COOKIE, LI)
    assert explained.same
    assert ways(explained) == [
        (COOKIE, PHONE, EvidenceKind.OBSERVED),
        (PHONE, LI, EvidenceKind.OBSERVED),
    ]
    assert [tie.span.first.occurred_at_us for tie in explained.path] == [5, 3]
    assert explained.policy_version == 0


async def test_a_held_edge_tells_why_not(asked: Asked) -> None:
    await asked.hear(seen(LI, PHONE, at=3), seen(WANG, PHONE, at=5, n=2))
    explained = await asked.explain(LI, WANG)
    assert not explained.same
    first, second = explained.path
    assert first.held is None
    assert (second.held and second.held.reason, second.held and second.held.namespace) == (
        HeldReason.LIMIT,
        "user_id",
    )


async def test_a_separation_is_told_with_who_and_why(asked: Asked) -> None:
    await asked.hear(seen(LI, PHONE, at=3), seen(PHONE, COOKIE, at=5, n=2))
    await asked.hear(ruled(LI, COOKIE, DecisionKind.SEPARATE))
    explained = await asked.explain(LI, COOKIE)
    assert not explained.same
    (held,) = [tie for tie in explained.path if tie.held]
    assert held.held
    assert held.held.reason == HeldReason.SEPARATED
    assert (held.actor, held.reason) == ("ann", "because 50")


async def test_a_link_is_told_with_who_and_why(asked: Asked) -> None:
    await asked.hear(seen(LI), seen(COOKIE, n=2), ruled(LI, COOKIE, DecisionKind.LINK))
    (tie,) = (await asked.explain(LI, COOKIE)).path
    assert (tie.edge.kind, tie.actor, tie.reason) == (EvidenceKind.DECIDED, "ann", "because 50")


async def test_strangers_have_no_way(asked: Asked) -> None:
    await asked.hear(seen(LI))
    explained = await asked.explain(LI, WANG)
    assert (explained.same, explained.profile_b, explained.path) == (False, None, ())


async def test_why_as_of_then(asked: Asked) -> None:
    alone = await asked.hear(seen(LI, PHONE, at=3))
    together = await asked.hear(seen(PHONE, COOKIE, at=5, n=2))
    await asked.hear(ruled(LI, COOKIE, DecisionKind.SEPARATE))
    assert not (await asked.explain(LI, COOKIE)).same
    then = await asked.explain(LI, COOKIE, together)
    assert then.same
    assert ways(then) == [
        (LI, PHONE, EvidenceKind.OBSERVED),
        (PHONE, COOKIE, EvidenceKind.OBSERVED),
    ]
    before = await asked.explain(LI, COOKIE, alone)
    assert (before.same, before.profile_b, before.path) == (False, None, ())


async def test_the_policy_of_then_is_asked(asked: Asked) -> None:
    then = await asked.hear(seen(LI, PHONE), seen(WANG, PHONE, n=2))
    await asked.hear(OPEN)
    await asked.settle()
    assert (await asked.explain(LI, WANG)).same
    explained = await asked.explain(LI, WANG, then)
    assert (explained.same, explained.policy_version) == (False, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_then_and_now_agree_about_everybody(asked: Asked, seed: int) -> None:
    chance = random.Random(seed)
    told = random_events(chance, events=60, names=16)
    token = await asked.hear(*told[:40])
    expected = expected_state(told[:40])
    await asked.hear(*told[40:])
    known = sorted(expected.first_seen)
    for _ in range(8):
        one, other = chance.sample(known, 2)
        then = await asked.explain(one, other, token)
        assert then.profile_a == expected.profiles[one.id_in(WORKSPACE)]
        assert then.profile_b == expected.profiles[other.id_in(WORKSPACE)]
        assert_way(then, one, other, expected.held)
    expected = expected_state(told)
    for _ in range(8):
        one, other = chance.sample(known, 2)
        assert_way(await asked.explain(one, other), one, other, expected.held)


def assert_way(
    explained: Explanation, one: Identifier, other: Identifier, held: Collection[Any]
) -> None:
    """Each tie begins where the one before it ended, and is held where the model holds it."""
    at = one
    for tie in explained.path:
        assert tie.a == at
        assert tie.b is not None
        assert tie.edge == edge_between(tie.a, tie.b, tie.edge.kind)
        key = (frozenset({tie.a, tie.b}), EvidenceKind(tie.edge.kind))
        assert (tie.held is not None) == (key in held)
        at = tie.b
    if explained.path or explained.same:
        assert at == other
    if explained.same:
        assert not any(tie.held for tie in explained.path)
    elif explained.path:
        assert any(tie.held for tie in explained.path)


async def test_what_is_held_is_listed_in_pages(asked: Asked) -> None:
    users = [Identifier("user_id", f"u{n}") for n in range(5)]
    await asked.hear(*(seen(user, PHONE, at=n, n=n) for n, user in enumerate(users)))
    everything = await asked.queries.held(WORKSPACE)
    assert len(everything) == 4
    assert all(h.profile_a != h.profile_b for h in everything)
    paged = []
    after = None
    while page := await asked.queries.held(WORKSPACE, after=after, limit=3):
        paged += page
        after = page[-1].edge.edge
    assert paged == everything
    assert await asked.queries.held(WORKSPACE, [HeldReason.SHARED]) == []


async def test_a_preview_is_what_comes_of_the_policy(asked: Asked) -> None:
    told = random_events(random.Random(5), events=80, names=30)
    await asked.hear(*told)
    before = await asked.profiles()
    parts = [part async for _, part in asked.queries.preview(WORKSPACE, OPEN)]
    regrouped = [part for part in parts if isinstance(part, Regrouping)]
    (total,) = [part for part in parts if isinstance(part, PreviewTotals)]
    assert await asked.profiles() == before

    await asked.hear(OPEN)
    await asked.settle()
    after = await asked.profiles()
    foreseen = dict(before)
    for part in regrouped:
        for grouping in part.after:
            foreseen |= dict.fromkeys(grouping.identifier_ids, grouping.profile_id)
    assert foreseen == after
    changed = {i for i in before if before[i] != after[i]}
    assert changed <= {i for part in regrouped for g in part.before for i in g.identifier_ids}
    assert (total.profiles_before, total.profiles_after) == (
        len(set(before.values())),
        len(set(after.values())),
    )
    held = await asked.database.pool.fetchval("SELECT count(*) FROM edge WHERE held > 0")
    assert total.held_after == held


async def test_going_back_restores_the_old_digest(asked: Asked) -> None:
    told = random_events(random.Random(6), events=80, names=30)
    await asked.hear(*told)
    partition = await asked.queries.partition_digest(WORKSPACE)
    digest = await asked.database.pool.fetchval("SELECT sum(value) % 2::numeric^128 FROM digest")
    await asked.hear(OPEN)
    await asked.settle()
    assert await asked.queries.partition_digest(WORKSPACE) != partition
    await asked.hear(Policy(2, DEFAULT.rules))
    await asked.settle()
    assert await asked.queries.partition_digest(WORKSPACE) == partition
    again = await asked.database.pool.fetchval("SELECT sum(value) % 2::numeric^128 FROM digest")
    assert again == digest


async def test_merges_and_splits_are_watched(asked: Asked) -> None:
    since = await asked.hear(seen(LI, at=3), seen(COOKIE, at=5, n=2))
    await asked.hear(seen(LI, COOKIE, at=7, n=3))
    await asked.hear(ruled(LI, COOKIE, DecisionKind.SEPARATE))
    li, cookie = LI.id_in(WORKSPACE), COOKIE.id_in(WORKSPACE)
    found: list[tuple[bytes, bytes, Any]] = []
    async with asyncio.timeout(20), aclosing(asked.queries.watch(WORKSPACE, since)) as parts:
        async for part in parts:
            found += [(m.before, m.after, list(m.identifiers)) for m in part.moves]
            if len(found) == 2:
                break
    assert sorted(found) == sorted([(cookie, li, [COOKIE]), (li, cookie, [COOKIE])])
    with pytest.raises(InvalidField):
        async for _ in asked.queries.watch(WORKSPACE, Token((0,) * 9)):
            pass
