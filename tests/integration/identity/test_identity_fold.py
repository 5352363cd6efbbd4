"""The fold against real PostgreSQL: alone, side by side, torn off and begun again."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest
from integration.identity.identity_feed import Log, event_fact, random_events
from laws.identity_model import WORKSPACE, ModelEvent, expected_state
from laws.identity_story import expected_digest
from onefold.identity.v1.identity_stream_pb2 import FactsAttributed
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from services.identity.domain.linking import HeldEdge

from services.chassis.messaging.stream import Batch, FoldResult
from services.chassis.projection.checkpoint import add_digest, digests
from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import Decision, Edge, FirstSeen, Pair, SeenSpan
from services.identity.domain.rows import EdgeRow
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.store import postgres as store
from services.kernel.digest import digest_of, to_hex
from services.kernel.identifiers import Identifier
from services.kernel.ids import NO_ID, LeafId

ANN = Identifier("anonymous_id", "a")
USER = Identifier("user_id", "u")


def identity(size: int = 1_000) -> IdentityProjection:
    return IdentityProjection(shards=4, memory=EvidenceCache(size))


async def fold(pool: asyncpg.Pool, app: IdentityProjection, batch: Batch) -> FoldResult:
    async with pool.acquire() as conn, conn.transaction():
        folded = await app.fold(conn, batch)
        await add_digest(conn, batch.shard, folded.deltas)
        return folded


async def profiles(pool: asyncpg.Pool) -> dict[bytes, bytes]:
    return dict(await pool.fetch("SELECT identifier_id, profile_id FROM identifier"))


async def recounted(pool: asyncpg.Pool) -> str:
    """The digest of the rows as they are."""
    ids = await pool.fetch(
        "SELECT identifier_id, profile_id, first_seen_us, first_fact FROM identifier"
    )
    edges = await pool.fetch(
        "SELECT a, b, strength, first_seen_us, first_fact, last_day, held, held_namespace FROM edge"
    )
    rows = [identifier_share(i, p, FirstSeen(at, fact)) for i, p, at, fact in ids]
    for a, b, strength, at, fact, day, held, namespace in edges:
        why = HeldEdge(held, namespace) if held else None
        rows.append(
            edge_share(Edge(a, b, strength), EdgeRow(SeenSpan(FirstSeen(at, fact), day), why))
        )
    decisions = await pool.fetch("SELECT a, b, occurred_at_us, fact_id, verdict FROM decision")
    for a, b, at, fact, verdict in decisions:
        decision = Decision(FirstSeen(at, fact), verdict, "", "")
        rows.append(decision_share(Pair(a, b), decision))
    return to_hex(digest_of(rows))


def said(folded: FoldResult) -> list[FactsAttributed]:
    return [FactsAttributed.FromString(output.payload) for output in folded.outputs]


class Torn(Exception):
    """A crash before the commit."""


async def work(
    pool: asyncpg.Pool, app: IdentityProjection, log: Log, shard: int, chance: random.Random
) -> dict[bytes, tuple[int, bytes]]:
    """A worker that is torn off now and then; answers the newest assignments it said."""
    newest: dict[bytes, tuple[int, bytes]] = {}
    for batch in log.batches(shard, chance, largest=12):
        while True:
            try:
                async with pool.acquire() as conn, conn.transaction():
                    folded = await app.fold(conn, batch)
                    await add_digest(conn, shard, folded.deltas)
                    if chance.random() < 0.2:
                        raise Torn
                break
            except Torn:
                continue
        for a in [a for message in said(folded) for a in message.assignments]:
            told = (a.version, a.profile_id)
            newest[a.identifier_id] = max(newest.get(a.identifier_id, told), told)
    return newest


@pytest.mark.parametrize("many", [256, 3], ids=["one_by_one", "all_at_once"])
@pytest.mark.parametrize("seed", range(6))
async def test_workers_side_by_side_find_what_one_finds(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, seed: int, many: int
) -> None:
    monkeypatch.setattr(store, "_MANY", many)
    chance = random.Random(seed)
    events = random_events(chance, events=240, names=chance.choice([8, 40, 120]))
    log = Log(4)
    log.append(event_fact(e) for e in events)
    memory = EvidenceCache(50)
    workers = [
        work(pool, IdentityProjection(shards=4, memory=memory), log, s, random.Random(seed + s))
        for s in range(4)
    ]
    async with asyncio.timeout(60):
        told = await asyncio.gather(*workers)

    expected = expected_state(events)
    assert await profiles(pool) == expected.profiles
    async with pool.acquire() as conn:
        assert await digests(conn) == {WORKSPACE: to_hex(expected_digest(events))}
    assert await recounted(pool) == to_hex(expected_digest(events))
    # Those downstream, who only hear assignments in any order, come to know the same.
    heard: dict[bytes, tuple[int, bytes]] = {}
    for newest in told:
        for id_, assigned in newest.items():
            heard[id_] = max(heard.get(id_, assigned), assigned)
    assert {id_: profile for id_, (_, profile) in heard.items()} == expected.profiles


async def test_a_batch_is_passed_on_with_its_profiles(pool: asyncpg.Pool) -> None:
    log = Log(1)
    log.append([event_fact(ModelEvent((ANN, USER), 5, 1)), event_fact(ModelEvent((ANN,), 3, 2))])
    folded = await fold(pool, identity(), log.batch(0, 0, 2))

    (message,) = said(folded)
    assert (message.first_offset, message.next_offset) == (0, 2)
    assert message.fact_batch == log.message(0, 0, 2).payload
    ann = ANN.id_in(WORKSPACE)
    assert message.profile_ids == ann * 2
    assert {a.identifier.value: a.profile_id for a in message.assignments} == {"a": ann, "u": ann}
    assert (folded.consumed_to, folded.log_offset, folded.log_time_us) == (2, 2, 1_001)


async def test_small_messages_are_passed_on_together(pool: asyncpg.Pool) -> None:
    log = Log(1)
    log.append(event_fact(ModelEvent((ANN,), n, n)) for n in range(1, 8))
    folded = await fold(pool, identity(), log.batch(0, 2, 3, 1, 2, overlap=1))

    (message,) = said(folded)
    batch = FactBatch.FromString(message.fact_batch)
    assert [f.offset for f in batch.facts] == [2, 3, 4, 5, 6]
    assert batch.first_offset == message.first_offset == folded.outputs[0].first == 2
    assert message.next_offset == folded.outputs[0].next == 7
    assert len(message.profile_ids) == 5 * 16


async def test_facts_without_a_leaf_pass_through(pool: asyncpg.Pool) -> None:
    log = Log(4)
    tick = ClockTicked(now_us=9)
    log.append([Fact(kind=tick.DESCRIPTOR.full_name, payload=tick.SerializeToString())])
    for shard in range(4):
        (message,) = said(await fold(pool, identity(), log.batch(shard, 0, 1)))
        assert message.profile_ids == NO_ID
        assert not message.assignments


async def test_a_fact_about_a_leaf_nobody_told_about_stands_for_itself(pool: asyncpg.Pool) -> None:
    log, leaf = Log(1), LeafId(bytes(range(16)))
    log.append([Fact(kind="onefold.activation.v1.DeliveryEnded", leaf_id=leaf, fact_id=leaf)])
    (message,) = said(await fold(pool, identity(), log.batch(0, 0, 1)))
    assert message.profile_ids == leaf
    assert await profiles(pool) == {}


async def test_a_leaf_of_an_older_standard_form_stays_with_its_person(pool: asyncpg.Pool) -> None:
    log, old = Log(1), LeafId(bytes(range(16)))
    fact = event_fact(ModelEvent((USER,), 5, 1))
    fact.leaf_id = old
    log.append([fact])
    (message,) = said(await fold(pool, identity(), log.batch(0, 0, 1)))
    assert set((await profiles(pool)).values()) == {min(old, USER.id_in(WORKSPACE))}
    assert {a.HasField("identifier") for a in message.assignments} == {True, False}


async def test_junk_links_nobody(pool: asyncpg.Pool) -> None:
    log = Log(1)
    junk = Identifier("phone", "00000000")
    for n, user in enumerate("xy"):
        fact = event_fact(ModelEvent((Identifier("user_id", user), junk), 5, n))
        log.append([fact])
    await fold(pool, identity(), log.batch(0, 0, 2))
    assert len(set((await profiles(pool)).values())) == 2


async def test_what_is_known_writes_nothing(pool: asyncpg.Pool) -> None:
    log = Log(1)
    log.append(event_fact(ModelEvent((ANN, USER), n, n)) for n in (1, 2, 3))
    app = identity()
    await fold(pool, app, log.batch(0, 0, 1))
    for first in (1, 2):  # once with a look at the edges, once from memory
        async with pool.acquire() as conn, conn.transaction(readonly=True):
            (message,) = said(await app.fold(conn, log.batch(0, first, 1)))
        assert not message.assignments
        assert message.profile_ids == min(ANN.id_in(WORKSPACE), USER.id_in(WORKSPACE))


async def test_an_earlier_event_is_noticed_although_its_people_are_remembered(
    pool: asyncpg.Pool,
) -> None:
    log = Log(1)
    log.append(event_fact(ModelEvent((ANN, USER), at, at)) for at in (5, 6, 7, 2))
    app = identity()
    for first in range(4):
        await fold(pool, app, log.batch(0, first, 1))
    firsts = await pool.fetch("SELECT first_seen_us FROM identifier")
    assert {at for (at,) in firsts} == {2}
    assert await recounted(pool) == to_hex(expected_digest([ModelEvent((ANN, USER), 2, 2)]))


async def test_the_same_name_in_two_workspaces_is_two_people(pool: asyncpg.Pool) -> None:
    log = Log(1)
    mine, theirs = event_fact(ModelEvent((USER,), 1, 1)), event_fact(ModelEvent((USER,), 1, 1))
    theirs.workspace_id = "other"
    theirs.leaf_id = USER.id_in("other")  # type: ignore[arg-type]
    log.append([mine, theirs])
    await fold(pool, identity(), log.batch(0, 0, 2))
    assert len(set((await profiles(pool)).values())) == 2
    async with pool.acquire() as conn:
        assert set(await digests(conn)) == {WORKSPACE, "other"}


async def test_a_message_that_lies_about_its_facts_is_refused(pool: asyncpg.Pool) -> None:
    log = Log(1)
    log.append(event_fact(ModelEvent((USER,), n, n)) for n in (1, 2))
    message = log.message(0, 0, 2)
    short = Batch(0, 0, 3, (type(message)(0, 3, message.payload),), 0, 0, 0)
    with pytest.raises(ValueError, match="facts 0 to 3"):
        await fold(pool, identity(), short)
