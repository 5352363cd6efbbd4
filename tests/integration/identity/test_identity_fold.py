"""Tests the fold with PostgreSQL: alone, with concurrent workers, with crashes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from integration.identity.identity_harness import (
    computed_digest,
    fold,
    fold_shard_with_crashes,
    make_projection,
    merge_assigned,
    profiles_of,
    published,
)
from integration.identity.identity_log import MemoryEventLog, event_fact, random_events
from laws.identity_histories import expected_digest
from laws.identity_model import WORKSPACE, ModelEvent, expected_state
from onefold.log.v1.log_pb2 import ClockTicked, Fact, FactBatch
from service_fixtures import HANG_S

from services.chassis.messaging.stream import Batch
from services.chassis.postgres.database import _POINT_LOOKUPS as POINT_LOOKUPS
from services.chassis.projection.checkpoint import digests
from services.identity.domain.candidates import JointPair
from services.identity.domain.evidence import Evidence, EvidenceKind
from services.identity.domain.rows import StoredEvidence
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.identity.store import evidence as store
from services.kernel.digest import to_hex
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import NO_ID, IdentifierId, LeafId, ProfileId
from tests.index_key import INDEX_KEY

ANN = Identifier("anonymous_id", "a")
USER = Identifier("user_id", "u")


@pytest.mark.parametrize("max_locks", [256, 3], ids=["single_locks", "one_lock_for_all"])
@pytest.mark.parametrize("seed", range(6))
async def test_fold_concurrent_workers_with_crashes_equals_the_model(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, seed: int, max_locks: int
) -> None:
    monkeypatch.setattr(store, "_MAX_LOCKS", max_locks)
    chance = random.Random(seed)
    events = random_events(chance, events=240, names=chance.choice([8, 40, 120]))
    log = MemoryEventLog(4)
    log.append(event_fact(e) for e in events)
    cache = EvidenceCache(50, INDEX_KEY)

    async def work(shard: int) -> dict[bytes, tuple[int, bytes]]:
        projection = IdentityProjection(shards=4, cache=cache)
        batches = log.batches(shard, random.Random(seed + shard), largest=12)
        return await fold_shard_with_crashes(pool, projection, batches, seed + shard)

    async with asyncio.timeout(HANG_S):
        assigned = await asyncio.gather(*(work(shard) for shard in range(4)))

    expected = expected_state(events)
    assert await profiles_of(pool) == expected.profiles
    async with pool.acquire() as conn:
        assert await digests(conn) == {WORKSPACE: to_hex(expected_digest(events))}
    assert await computed_digest(pool) == to_hex(expected_digest(events))
    assert merge_assigned(assigned) == expected.profiles


async def test_fold_publishes_the_batch_with_the_profile_of_each_fact(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(1)
    log.append([event_fact(ModelEvent((ANN, USER), 5, 1)), event_fact(ModelEvent((ANN,), 3, 2))])
    result = await fold(pool, make_projection(), log.batch(0, 0, 2))

    (message,) = published(result)
    assert (message.first_offset, message.next_offset) == (0, 2)
    assert message.fact_batch == log.message(0, 0, 2).payload
    ann = ANN.id_in(WORKSPACE, INDEX_KEY)
    assert message.profile_ids == ann * 2
    assert {a.identifier.value: a.profile_id for a in message.assignments} == {"a": ann, "u": ann}
    assert (result.consumed_to, result.log_offset, result.log_time_us) == (2, 2, 1_001)


async def test_fold_small_messages_are_published_together(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(1)
    log.append(event_fact(ModelEvent((ANN,), n, n)) for n in range(1, 8))
    result = await fold(pool, make_projection(), log.batch(0, 2, 3, 1, 2, overlap=1))

    (message,) = published(result)
    batch = FactBatch.FromString(message.fact_batch)
    assert [f.offset for f in batch.facts] == [2, 3, 4, 5, 6]
    assert batch.first_offset == message.first_offset == result.outputs[0].first == 2
    assert message.next_offset == result.outputs[0].next == 7
    assert len(message.profile_ids) == 5 * 16


async def test_fold_reads_no_evidence_that_the_batch_before_has_written(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, load = 0, store.PostgresEvidence.load

    async def counted(self: store.PostgresEvidence, evidence: Evidence) -> StoredEvidence:
        nonlocal loads
        loads += 1
        return await load(self, evidence)

    monkeypatch.setattr(store.PostgresEvidence, "load", counted)
    log, projection = MemoryEventLog(1), make_projection()
    log.append(event_fact(ModelEvent((ANN, USER), 5 + n, 1 + n)) for n in range(4))
    await fold(pool, projection, log.batch(0, 0, 1))
    before = loads
    await fold(pool, projection, log.batch(0, 1, 1))
    assert loads == before > 0
    # Another replica may have worked the shard meanwhile, on an earlier state of the database.
    await fold(pool, projection, log.batch(0, 2, 1))
    projection.forget(0)
    await fold(pool, projection, log.batch(0, 3, 1))
    assert loads == before + 1


async def test_fold_remembers_nothing_of_a_transaction_that_was_rolled_back(
    pool: asyncpg.Pool,
) -> None:
    log, projection = MemoryEventLog(1), make_projection()
    log.append(event_fact(ModelEvent((ANN, USER), 5 + n, 1 + n)) for n in range(2))
    async with pool.acquire() as conn:
        undone = conn.transaction()
        await undone.start()
        await projection.fold(conn, log.batch(0, 0, 1))
        await undone.rollback()
    await fold(pool, projection, log.batch(0, 0, 1))
    await fold(pool, projection, log.batch(0, 1, 1))
    both = {one.id_in(WORKSPACE, INDEX_KEY) for one in (ANN, USER)}
    assert (await profiles_of(pool)).keys() == both


async def test_fold_facts_without_a_leaf_have_no_profile(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(4)
    tick = ClockTicked(now_us=9)
    log.append([Fact(kind=tick.DESCRIPTOR.full_name, payload=tick.SerializeToString())])
    for shard in range(4):
        (message,) = published(await fold(pool, make_projection(), log.batch(shard, 0, 1)))
        assert message.profile_ids == NO_ID
        assert not message.assignments


async def test_fold_fact_of_an_unknown_leaf_has_the_leaf_as_profile(pool: asyncpg.Pool) -> None:
    log, leaf = MemoryEventLog(1), LeafId(bytes(range(16)))
    log.append([Fact(kind="onefold.activation.v1.DeliveryEnded", leaf_id=leaf, fact_id=leaf)])
    (message,) = published(await fold(pool, make_projection(), log.batch(0, 0, 1)))
    assert message.profile_ids == leaf
    assert await profiles_of(pool) == {}


async def test_fold_leaf_of_an_older_normalisation_stays_in_the_profile(pool: asyncpg.Pool) -> None:
    log, old = MemoryEventLog(1), LeafId(bytes(range(16)))
    fact = event_fact(ModelEvent((USER,), 5, 1))
    fact.leaf_id = old
    log.append([fact])
    (message,) = published(await fold(pool, make_projection(), log.batch(0, 0, 1)))
    assert set((await profiles_of(pool)).values()) == {min(old, USER.id_in(WORKSPACE, INDEX_KEY))}
    assert {a.HasField("identifier") for a in message.assignments} == {True, False}


async def test_fold_placeholder_links_no_profiles(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(1)
    placeholder = Identifier("phone", "00000000")
    for n, user in enumerate("xy"):
        fact = event_fact(ModelEvent((Identifier("user_id", user), placeholder), 5, n))
        log.append([fact])
    await fold(pool, make_projection(), log.batch(0, 0, 2))
    assert len(set((await profiles_of(pool)).values())) == 2


async def test_fold_known_evidence_writes_nothing(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(1)
    log.append(event_fact(ModelEvent((ANN, USER), n, n)) for n in (1, 2, 3))
    projection = make_projection()
    await fold(pool, projection, log.batch(0, 0, 1))
    for first in (1, 2):  # first with a query, then from the cache
        async with pool.acquire() as conn, conn.transaction(readonly=True):
            (message,) = published(await projection.fold(conn, log.batch(0, first, 1)))
        assert not message.assignments
        assert message.profile_ids == min(
            ANN.id_in(WORKSPACE, INDEX_KEY), USER.id_in(WORKSPACE, INDEX_KEY)
        )


async def test_fold_earlier_event_of_cached_identifiers_is_stored(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(1)
    log.append(event_fact(ModelEvent((ANN, USER), at, at)) for at in (5, 6, 7, 2))
    projection = make_projection()
    for first in range(4):
        await fold(pool, projection, log.batch(0, first, 1))
    firsts = await pool.fetch("SELECT first_seen_us FROM identifier")
    assert {at for (at,) in firsts} == {2}
    expected = to_hex(expected_digest([ModelEvent((ANN, USER), 2, 2)]))
    assert await computed_digest(pool) == expected


async def test_fold_same_identifier_in_two_workspaces_is_two_profiles(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(1)
    one, other = event_fact(ModelEvent((USER,), 1, 1)), event_fact(ModelEvent((USER,), 1, 1))
    other.workspace_id = "other"
    other.leaf_id = USER.id_in("other", INDEX_KEY)  # type: ignore[arg-type]
    log.append([one, other])
    await fold(pool, make_projection(), log.batch(0, 0, 2))
    assert len(set((await profiles_of(pool)).values())) == 2
    async with pool.acquire() as conn:
        assert set(await digests(conn)) == {WORKSPACE, "other"}


async def test_fold_message_with_missing_facts_is_rejected(pool: asyncpg.Pool) -> None:
    log = MemoryEventLog(1)
    log.append(event_fact(ModelEvent((USER,), n, n)) for n in (1, 2))
    message = log.message(0, 0, 2)
    short = Batch(0, 0, 3, (type(message)(0, 3, message.payload),), 0, 0, 0)
    with pytest.raises(ValueError, match="offsets 0 to 3"):
        await fold(pool, make_projection(), short)


async def test_fold_learns_again_what_a_database_that_went_back_has_lost(
    pool: asyncpg.Pool,
) -> None:
    log, projection = MemoryEventLog(1), make_projection()
    events = [ModelEvent((ANN, USER), at, at) for at in (5, 6, 7)]
    log.append(event_fact(event) for event in events)
    projection.forget(0)
    for offset in range(3):
        await fold(pool, projection, log.batch(0, offset, offset + 1))
    tables = await pool.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        " AND tablename NOT IN ('migration', 'checkpoint')"
    )
    await pool.execute(f"TRUNCATE {', '.join(row['tablename'] for row in tables)}")
    projection.forget(0)
    late = MemoryEventLog(1)
    late.append([event_fact(ModelEvent((ANN, USER), 8, 8))])
    await fold(pool, projection, late.batch(0, 0, 1))
    profiles = await profiles_of(pool)
    assert len(profiles) == 2
    assert len(set(profiles.values())) == 1


Read = Callable[[store.PostgresEvidence], Awaitable[object]]


async def _load_between(evidence: store.PostgresEvidence) -> object:
    pair = JointPair(IdentifierId(bytes(16)), IdentifierId(bytes([9] * 16)), is_decided=True)
    return await evidence.load_between([pair])


async def _load_contents(evidence: store.PostgresEvidence) -> object:
    return await evidence.load_contents([ProfileId(bytes(16))], (), 10)


async def _load_neighbours(evidence: store.PostgresEvidence) -> object:
    return await evidence.load_neighbours(
        [IdentifierId(bytes(16))], (), [EvidenceKind.VERIFIED, EvidenceKind.CLAIMED], 10
    )


@pytest.mark.parametrize("load", [_load_between, _load_contents, _load_neighbours])
async def test_load_with_a_plan_for_few_edges_does_not_read_all_rows(
    pool: asyncpg.Pool, load: Read
) -> None:
    """A connection keeps the plan that it made when the tables were small."""
    read = """
        SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))
        FROM pg_stat_xact_user_tables WHERE relid IN ('edge'::regclass, 'identifier'::regclass)
    """
    fill_edges = """
        INSERT INTO edge SELECT 0, uuid_send(gen_random_uuid()), uuid_send(gen_random_uuid()),
            $1, 'w', 0, '', 0, 0, '' FROM generate_series(1, $2)
    """
    fill_identifiers = """
        INSERT INTO identifier SELECT 0, uuid_send(gen_random_uuid()), 'w', 'user_id', 'u',
            uuid_send(gen_random_uuid()), 1, 0, '', 0 FROM generate_series(1, $1)
    """

    async def fill(conn: asyncpg.Connection, rows: int) -> None:
        for kind in (EvidenceKind.VERIFIED, EvidenceKind.CLAIMED):
            await conn.execute(fill_edges, kind, rows)
        await conn.execute(fill_identifiers, rows)

    async with pool.acquire() as conn:
        for name, value in POINT_LOOKUPS.items():
            await conn.execute(f"SET {name} = {value}")
        evidence = store.PostgresEvidence(conn, shards=1)
        await fill(conn, 50)
        await conn.execute("ANALYZE edge, identifier")
        empty = await load(evidence)
        await fill(conn, 3_000)
        async with conn.transaction():
            before = await conn.fetchval(read)
            assert await load(evidence) == empty
            assert await conn.fetchval(read) - before < 100
