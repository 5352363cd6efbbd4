"""Tests the fold and its backfill on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
import pytest
from laws.profile_harness import ProfileHarness
from laws.profile_model import (
    RULES,
    WORKSPACE,
    MemoryIdentity,
    MemoryLog,
    definition,
    definitions,
    expected_predicates,
    fill,
    publish,
    random_events,
)
from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact
from service_fixtures import wait_until

from services.chassis.codec.erasures import PERSON_ERASED
from services.chassis.codec.named_rules import SEGMENT_DEFINED
from services.chassis.postgres.database import lock_keys
from services.chassis.projection.backfill import BackfillJob
from services.kernel.fold.leaf import decode
from services.kernel.rules.ids import from_bigint, predicate_id, predicates
from services.profile.codec.definitions import rule_definition
from services.profile.domain.accounts import accumulators_of
from services.profile.projection.backfill import Backfiller
from services.profile.store.evaluations import lock_ids, try_lock_ids


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("concurrent", [False, True])
async def test_evaluations_after_a_random_log_equal_the_oracle(
    pool: asyncpg.Pool, seed: int, concurrent: bool
) -> None:
    rng = random.Random(seed)
    log, identity = MemoryLog(4), MemoryIdentity()
    events = random_events(rng, 250, 25)
    end_us = fill(log, events, rng, definitions())
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, rollback_rate=0.1, seed=seed)
    await harness.start()
    if concurrent:
        await harness.fold_concurrently(streams, 20)
    else:
        await harness.fold_all(streams, 20)
    await harness.finish(log, streams, end_us)

    evaluations = await harness.true_predicates()
    assert evaluations == expected_predicates(events, identity.profile_of, RULES, end_us)
    assert harness.published_predicates() == evaluations
    await harness.digest()


async def test_workspaces_with_the_same_rule_are_backfilled_separately(pool: asyncpg.Pool) -> None:
    log, identity, rng = MemoryLog(2), MemoryIdentity(), random.Random(3)
    fill(log, random_events(rng, 60, 20), rng, [definition("s", RULES[1])], "first")
    end_us = log.shards[0][-1].recorded_at_us
    log.append(definition("s", RULES[1], workspace="college"), end_us)
    log.tick(end_us)
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=3)
    await harness.start()
    await harness.fold_all(streams, 50)
    await harness.finish(log, streams, end_us)
    expected = {predicate_id(p) for p in predicates(RULES[1])}
    for shard in range(2):
        messages = [m for m in harness.outputs[shard] if m.backfilled_predicates]
        assert [m.backfilled_workspace_id for m in messages] == ["school", "college"]
        assert all(set(m.backfilled_predicates) == expected for m in messages)


async def test_backfill_reads_the_events_of_its_own_workspace_only(pool: asyncpg.Pool) -> None:
    log, identity, rng = MemoryLog(2), MemoryIdentity(), random.Random(3)
    end_us = fill(log, random_events(rng, 60, 20), rng, [definition("s", RULES[2])], "first")
    log.append(definition("s", RULES[1], workspace="college"), end_us)
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=3)
    await harness.start()
    await harness.fold_all(streams, 50)
    await harness.finish(log, streams, end_us)
    assert harness.reader.events_read == {}
    assert all(len(harness.backfilled(shard)) == 2 for shard in range(2))


async def test_definition_of_a_workspace_without_leaves_waits_for_no_backfill(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, identity, rng = MemoryLog(2), MemoryIdentity(), random.Random(5)
    end_us = fill(log, random_events(rng, 60, 20), rng, [definition("s", RULES[2])], "first")
    log.append(definition("s", RULES[1], workspace="college"), end_us)
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=5)
    swept: set[str] = set()
    step = Backfiller.step

    async def noted(self: Backfiller, conn: Any, job: BackfillJob, at: Any) -> Any:
        swept.add(job.workspace_id)
        return await step(self, conn, job, at)

    monkeypatch.setattr(Backfiller, "step", noted)
    await harness.start()
    await harness.fold_all(streams, 50)
    await harness.finish(log, streams, end_us)
    assert "college" not in swept
    expected = {predicate_id(p) for p in predicates(RULES[1])}
    for shard in range(2):
        [message] = [m for m in harness.outputs[shard] if m.backfilled_workspace_id == "college"]
        assert set(message.backfilled_predicates) == expected


async def test_retired_definition_leaves_no_predicate_and_no_accumulator(
    pool: asyncpg.Pool,
) -> None:
    log, identity, rng = MemoryLog(2), MemoryIdentity(), random.Random(7)
    counted, lasting = RULES[1], RULES[3]
    end_us = fill(log, random_events(rng, 80, 10), rng, [definition("lasting", lasting)], "first")
    log.append(definition("draft", counted), end_us)
    log.append(definition("draft", counted, version=2, retired=True), end_us)
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=7)
    await harness.start()
    await harness.fold_all(streams, 1)
    await harness.finish(log, streams, end_us)
    lasting_ids = frozenset(map(predicate_id, predicates(lasting)))
    for shard in range(2):
        gone = {p for m in harness.outputs[shard] for p in m.dropped_predicates}
        assert gone == set(map(predicate_id, predicates(counted)))
    stored = await pool.fetch("SELECT predicate_id FROM predicate")
    assert {from_bigint(row[0]) for row in stored} == lasting_ids
    states = [decode(row[0]) for row in await pool.fetch("SELECT state FROM leaf")]
    assert {id_ for state in states for id_ in state.accumulators} == accumulators_of(lasting)
    assert frozenset().union(*(await harness.true_predicates()).values()) <= lasting_ids
    await harness.digest()


async def test_outputs_of_a_log_pass_on_every_broadcast_fact_once_in_order(
    pool: asyncpg.Pool,
) -> None:
    log, identity, rng = MemoryLog(2), MemoryIdentity(), random.Random(4)
    end_us = fill(log, random_events(rng, 40, 10), rng, definitions())
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=4)
    await harness.start()
    await harness.fold_all(streams, 9)
    await harness.finish(log, streams, end_us)
    for shard, facts in enumerate(log.shards):
        passed_on = [f.offset for m in harness.outputs[shard] for f in m.broadcast_facts]
        assert passed_on == [f.offset for f in facts if not f.leaf_id]
        offsets = [m.log_offset for m in harness.outputs[shard]]
        assert offsets == sorted(offsets)
        assert offsets[-1] == len(facts)
        assert harness.checkpoints[shard].log_time_us == facts[-1].recorded_at_us


async def test_blocking_definition_withholds_its_offset_until_it_is_backfilled(
    pool: asyncpg.Pool,
) -> None:
    log, identity, rng = MemoryLog(1), MemoryIdentity(), random.Random(5)
    end_us = fill(log, random_events(rng, 60, 10), rng, definitions())
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, blocking_leaves=1_000, seed=5)
    await harness.start()
    await harness.fold_all(streams, 100)
    await harness.finish(log, streams, end_us)
    offsets = [f.offset for f in log.shards[0] if f.kind == SEGMENT_DEFINED]
    assert len(offsets) == len(RULES)
    for offset in offsets:
        fact = log.shards[0][offset]
        reached = next(m.sequence for m in harness.outputs[0] if m.log_offset > offset)
        messages = harness.outputs[0][: reached + 1]
        backfilled = {p for m in messages for p in m.backfilled_predicates}
        defined = rule_definition(fact)
        assert defined is not None
        assert {predicate_id(p) for p in defined.predicates} <= backfilled


async def test_late_definition_is_backfilled_beside_the_folding(pool: asyncpg.Pool) -> None:
    log, identity, rng = MemoryLog(1), MemoryIdentity(), random.Random(6)
    events = random_events(rng, 120, 30)
    end_us = fill(log, events[:40], rng, [definition("s", RULES[1])], "last")
    for event in events[40:]:
        for fact in event.facts():
            log.append(fact, end_us)
    streams = publish(log, identity, rng)
    harness = ProfileHarness(
        pool, log, blocking_leaves=0, events_per_step=3, rows_per_step=2, seed=6
    )
    await harness.start()
    await harness.fold_all(streams, 2)
    defined_at = next(f.offset for f in log.shards[0] if f.kind == SEGMENT_DEFINED)
    [backfilled_at] = [m.log_offset for m in harness.outputs[0] if m.backfilled_predicates]
    assert backfilled_at > defined_at + 1
    await harness.finish(log, streams, end_us)
    expected = expected_predicates(events, identity.profile_of, [RULES[1]], end_us)
    assert await harness.true_predicates() == expected


async def test_persons_who_are_erased_in_one_transaction_are_locked_in_one_order(
    pool: asyncpg.Pool,
) -> None:
    """Else two workers could wait for each other."""
    second, first = sorted((b"a" * 16, b"b" * 16), key=lambda id_: lock_keys("profile", [id_]))
    log = MemoryLog(1)
    for number, id_ in enumerate((first, second)):
        erased = PersonErased(request_id=id_, identifier_ids=[id_])
        payload = erased.SerializeToString()
        fact = Fact(workspace_id=WORKSPACE, fact_id=id_, kind=PERSON_ERASED, payload=payload)
        log.append(fact, number + 1)
    streams = publish(log, MemoryIdentity(), random.Random(0))
    harness = ProfileHarness(pool, log)
    await harness.start()
    async with pool.acquire() as other, other.transaction():
        await lock_ids(other, "profile", [second])
        task = asyncio.create_task(harness.fold(0, streams[0], 2))

        async def waits() -> bool:
            query = (
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
            )
            return bool(await other.fetchval(query))

        await wait_until(waits)
        assert await try_lock_ids(other, "profile", [first])
    await task
    assert harness.checkpoints[0].next == 2
    assert await pool.fetchval("SELECT count(*) FROM erasing") == 0
