"""Replicas share the shards, take over from one another, and never overwrite each other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from service_fixtures import wait_until
from toy.running import DEADLINE, Replica, append, relaying, replica
from toy.words import LogUpstream, WordLog, Words, sample_facts

from services.chassis.messaging.stream import OutboxMessage, StreamMessage
from services.chassis.messaging.subscription import PullSubscription
from services.chassis.postgres.database import connect, lock_class
from services.chassis.projection.backfill_share import StepTurns
from services.chassis.projection.callbacks import WorkerCallbacks
from services.chassis.projection.checkpoint import (
    Checkpoint,
    FenceLost,
    acquire_fence,
    save_checkpoint,
)
from services.chassis.projection.consumer import Limits, ShardConsumer
from services.chassis.projection.worker import ShardWorker
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import StoreUnavailable
from services.kernel.tokens import Token

SHARDS = 4
SCHEMA = "toy_g1,toy"


async def sessions(dsn: str, shard: int) -> list[int]:
    """Return the server processes that hold the lock of a shard."""
    conn = await asyncpg.connect(dsn)
    try:
        return [
            row["pid"]
            for row in await conn.fetch(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND classid = $1 AND objid = $2 AND objsubid = 2"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                *(lock_class("lease toy") % 2**32, shard),
            )
        ]
    finally:
        await conn.close()


async def end_sessions(dsn: str, *pids: int) -> None:
    """End sessions, as when their process dies."""
    conn = await asyncpg.connect(dsn)
    try:
        for pid in pids:
            await conn.execute("SELECT pg_terminate_backend($1)", pid)
    finally:
        await conn.close()


def leased(*replicas: Replica) -> list[int]:
    return [len(toy.runner.leased) for toy in replicas]


async def test_three_replicas_that_share_shards_reach_the_state_of_one(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        toys = [
            await stack.enter_async_context(
                replica(database, nats_url, word_log, tmp_path, shards=SHARDS)
            )
            for _ in range(3)
        ]
        relay = await stack.enter_async_context(relaying(toys[0].bus, word_log, SHARDS))
        await wait_until(lambda: sorted(leased(*toys)) == [1, 1, 2])
        token = Token()
        for i in range(40):
            appended = await append(word_log, relay, sample_facts(10, i), shard=i % SHARDS)
            token = token.union(appended)
        # Every replica can wait for the progress of all.
        for toy in toys:
            assert await toy.runner.wait_for(token, DEADLINE) == token
        shared = await toys[0].digests()
        assert await toys[0].word_total() == 400
        assert all(toy.words.folds for toy in toys)
    await drop_toy(database)
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as alone:
        await alone.runner.wait_for(token, DEADLINE)
        assert await alone.digests() == shared


async def test_shards_are_assigned_again_when_a_replica_joins_or_leaves(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    def one() -> object:
        return replica(database, nats_url, word_log, tmp_path, shards=SHARDS)

    async with one() as first:
        await wait_until(lambda: leased(first) == [SHARDS])
        async with one() as second:
            await wait_until(lambda: leased(first, second) == [2, 2])
        await wait_until(lambda: leased(first) == [SHARDS])


async def test_lost_connection_is_replaced_and_nothing_is_lost(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        for i in range(4):
            await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, i)), DEADLINE)
            await end_sessions(database, *await sessions(database, 0))
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, 9)), DEADLINE)
        assert await toy.word_total() == 50
        assert await toy.next() == 50


async def test_other_replica_takes_over_when_the_sessions_of_one_end(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as first,
        relaying(first.bus, word_log) as relay,
    ):
        await wait_until(lambda: leased(first) == [1])
        async with replica(database, nats_url, word_log, tmp_path) as second:
            working, waiting = first, second
            for i in range(3):
                token = await append(word_log, relay, sample_facts(10, i))
                await waiting.runner.wait_for(token, DEADLINE)
                member = await sessions(database, 2**31 - 1)
                await end_sessions(database, *await sessions(database, 0), *member)
            await working.runner.wait_for(
                await append(word_log, relay, sample_facts(10, 5)), DEADLINE
            )
            assert await working.word_total() == 40


async def test_worker_without_its_lock_cannot_write_past_the_fence(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    """The row of the checkpoint stops a worker that lost its lock without noticing."""
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(10)), DEADLINE)
        zombie = await connect(database, schema=SCHEMA)
        before = Checkpoint(0, 5, 5, 5, 5)
        try:
            async with zombie.transaction():
                assert not await acquire_fence(zombie, before)
            worker = worker_of(zombie, LateConsumer(word_log, toy))
            with pytest.raises(FenceLost):
                await worker.run()
        finally:
            await zombie.close()
        assert await toy.word_total() == 20


class LateConsumer(ShardConsumer):
    """A consumer that lets the other worker go on first."""

    def __init__(self, log: WordLog, toy: Replica) -> None:
        super().__init__(
            0, PullSubscription(toy.bus, "onefold.log.0", "x"), LogUpstream(log), Limits()
        )
        self._log, self._toy = log, toy

    async def next(
        self, at: int, patience_s: float = 0.0, *, life: int = 0
    ) -> tuple[StreamMessage, ...]:
        token = await append(self._log, None, sample_facts(10, 1))
        await self._toy.runner.wait_for(token, DEADLINE)
        return tuple([m async for m in self._upstream.read(0, at, 0)])


async def ignore(checkpoint: Checkpoint, outputs: object) -> None: ...


IGNORED = WorkerCallbacks(ignore, stalled=lambda *_: None, scheduled=lambda: None)


def worker_of(conn: asyncpg.Connection, consumer: ShardConsumer) -> ShardWorker:
    metrics = Metrics("toy")
    return ShardWorker(
        0, conn, Words(), consumer, IGNORED, asyncio.Semaphore(), StepTurns(), metrics
    )


async def test_workers_without_locks_count_everything_once(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    """The fence alone keeps the state correct, whatever the locks do."""
    await word_log.append(0, sample_facts(300))
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(Token((300,)), DEADLINE)
        expected = await toy.digests()
    await drop_toy(database)
    async with replica(database, nats_url, word_log, tmp_path) as toy:

        async def unlocked() -> None:
            conn = await connect(database, schema=SCHEMA)
            try:
                consumer = ShardConsumer(
                    0,
                    PullSubscription(toy.bus, "x", "x"),
                    LogUpstream(word_log),
                    Limits(messages=1),
                    gap_check_s=0.0,
                )
                await worker_of(conn, consumer).run()
            except FenceLost:
                pass
            finally:
                await conn.close()

        tasks = [asyncio.create_task(unlocked()) for _ in range(3)]
        await toy.runner.wait_for(Token((300,)), DEADLINE)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends)
        assert await toy.digests() == expected


async def test_fence_is_held_until_the_transaction_of_the_checkpoint_ends(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await wait_until(lambda: leased(toy) == [1])
    conn, other = [await connect(database, schema=SCHEMA) for _ in range(2)]
    try:
        start = Checkpoint(0)
        async with conn.transaction():
            assert await acquire_fence(conn, start)
            waiting = asyncio.create_task(in_transaction(other, start))
            await save_checkpoint(conn, Checkpoint(0, 3, 2, 3, 9), [OutboxMessage(0, 2, b"x")])
        assert not await waiting
    finally:
        await conn.close()
        await other.close()


async def in_transaction(conn: asyncpg.Connection, at: Checkpoint) -> bool:
    async with conn.transaction():
        return await acquire_fence(conn, at)


async def test_status_without_postgres_is_store_unavailable(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(3)), DEADLINE)
        await toy.database.pool.expire_connections()
        toy.database.pool.set_connect_args("postgresql://none@127.0.0.1:1/none")
        with pytest.raises(StoreUnavailable):
            await toy.runner.status()
        toy.database.pool.set_connect_args(database)


async def drop_toy(dsn: str) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute("DROP SCHEMA toy CASCADE; DROP SCHEMA toy_g1 CASCADE")
    await conn.close()
