"""Runs the toy service as a process does: log, relay of the log, projection runner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service_fixtures import HANG_S, open_bus
from toy.words import (
    LOG_SUBJECT,
    SERVICE,
    TOY_SUBJECT,
    LogUpstream,
    WordFact,
    WordLog,
    Words,
    toy_root,
)

from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.relay import OutboxRelay
from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.chassis.projection.checkpoint import digests, load_checkpoints
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.runtime.tasks import task_scope
from services.kernel.tokens import Token

#: Seconds after which a test gives up.
DEADLINE = HANG_S


@dataclass
class Replica:
    """One process of the toy service."""

    database: Database
    bus: JetStreamBus
    runner: ProjectionRunner
    words: Words
    upstream: LogUpstream

    async def digests(self) -> dict[str, str]:
        async with self.database.pool.acquire() as conn:
            return await digests(conn)

    async def word_total(self) -> int:
        counted = "SELECT coalesce(sum(n), 0)::bigint FROM word_count"
        return await self.database.pool.fetchval(counted)

    async def next(self, shard: int = 0) -> int:
        async with self.database.pool.acquire() as conn:
            return (await load_checkpoints(conn))[shard].next

    def has_folded(self, shard: int) -> bool:
        return any(fold[0] == shard for fold in self.words.folds)


@asynccontextmanager
async def replica(
    dsn: str,
    nats_url: str,
    log: WordLog,
    root: Path,
    *,
    shards: int = 1,
    words: Words | None = None,
    **options: Any,
) -> AsyncIterator[Replica]:
    """Run a replica of the toy service."""
    words = words or Words()
    upstream = LogUpstream(log)
    await migrate(dsn, SERVICE, shards=shards, root=toy_root(root))
    async with Database(dsn, SERVICE) as database, open_bus(nats_url, SERVICE) as bus:
        runner = ProjectionRunner(
            SERVICE,
            words,
            database=database,
            bus=bus,
            upstream=upstream,
            upstream_subject=LOG_SUBJECT,
            subject=TOY_SUBJECT,
            shards=shards,
            **{"gap_check_s": 0.3, **options},
        )
        async with task_scope(runner.run()) as running:
            yield Replica(database, bus, runner, words, upstream)
            running.cancel()


@asynccontextmanager
async def relaying(bus: JetStreamBus, log: WordLog, shards: int = 1) -> AsyncIterator[OutboxRelay]:
    """Relay the log, all shards, without leases."""
    relay = OutboxRelay(bus, LOG_SUBJECT, log)
    async with AsyncExitStack() as stack:
        for shard in range(shards):
            running = await stack.enter_async_context(task_scope(relay.run_shard(shard)))
            stack.callback(running.cancel)
        yield relay


async def append(
    log: WordLog, relay: OutboxRelay | None, facts: Sequence[WordFact], shard: int = 0
) -> Token:
    """Append and relay facts, as ingest does; return the token of the state that includes them."""
    outputs = await log.append(shard, facts)
    if relay is not None:
        await relay.enqueue(shard, outputs)
    return Token.from_offsets({shard: await log.tail(shard)})
