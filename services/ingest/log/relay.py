"""Relays the log to NATS, subject `onefold.log.<shard>`; one process relays each shard."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from functools import partial

import asyncpg
import structlog

from services.chassis.messaging.jetstream import BUS_ERRORS, JetStreamBus
from services.chassis.messaging.relay import OutboxRelay
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import Database
from services.chassis.postgres.leases import Leases
from services.ingest.log.codec import BATCH_FACTS, encode_outputs
from services.ingest.log.event_log import EventLog
from services.ingest.log.store import PAGE_ROWS

log = structlog.get_logger(__name__)

SUBJECT = "onefold.log"
#: Commits within this time share a message, seconds: the cost of NATS is a message's, not a fact's.
LINGER_S = 0.004


class LogOutboxReader:
    """Reads the log as the messages that a relay publishes, cut at each call from its `first`."""

    def __init__(self, event_log: EventLog) -> None:
        self._log = event_log

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        """Return at most `limit` messages from an offset on; [] at the end."""
        end = first + (PAGE_ROWS if limit > 1 else 1)
        rows = await self._log.reader.page(shard, first, end)
        # After the rows, so that it contains them.
        life = await self._log.reader.load_life(shard)
        return list(encode_outputs(rows, self._log.kinds.names, life))[:limit]

    async def tail(self, shard: int) -> int:
        """Return the offset after the newest fact."""
        return (await self._log.heads()).token.offset(shard)

    async def has_life(self, shard: int, end: int, life: int) -> bool:
        """Return whether the log has everything before `end` as it was in a life of it."""
        return await self._log.reader.has_life(shard, end, life)

    async def prune(self, shard: int, published: int) -> None:
        """Delete nothing: the log is never pruned."""


class LogRelay:
    """Relays the shards that this process has leased.

    What this process appends is forwarded from memory, also to the process that relays its shard.
    """

    def __init__(self, event_log: EventLog, database: Database, bus: JetStreamBus) -> None:
        self._log = event_log
        self._bus = bus
        self._relay = OutboxRelay(bus, SUBJECT, LogOutboxReader(event_log))
        self._leases = Leases(database, "log", event_log.shards, self._work)

    @property
    def leased(self) -> Container[int]:
        """The shards that this replica relays."""
        return self._leases.leased

    def published(self, shard: int) -> int:
        """Return the offset up to which NATS has all facts, as far as this replica has seen."""
        return self._relay.published(shard)

    async def run(self) -> None:
        """Relay until cancelled, also while NATS is down."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leases.run())
            for shard in range(self._log.shards):
                gauge = self._log.metrics.relay_offset.labels(shard)
                gauge.set_function(partial(self.published, shard))
                group.create_task(self._forward(shard))

    async def _work(self, shard: int, _: asyncpg.Connection) -> None:
        await self._relay.run_shard(shard)

    async def _forward(self, shard: int) -> None:
        """Forward commits of this process to the replica or process that relays the shard."""
        recent = self._log.recent.shards[shard]
        offset = recent.appended
        while True:
            while recent.appended == offset:
                await recent.wait()
            await asyncio.sleep(LINGER_S)
            offset = await self._forward_from(shard, offset)

    async def _forward_from(self, shard: int, offset: int) -> int:
        """Forward the facts from an offset on; return the offset after the last one."""
        recent = self._log.recent.shards[shard]
        is_complete = False
        while rows := recent.read(offset, BATCH_FACTS):
            outputs = list(encode_outputs(rows, self._log.kinds.names, self._log.life))
            await self._relay.enqueue(shard, outputs)
            offset = rows[-1].offset + 1
            is_complete = True
        if not is_complete:  # the rows have left memory
            await self._notify(shard, recent.appended)
        return recent.appended

    async def _notify(self, shard: int, end: int) -> None:
        try:
            await self._bus.notify(f"{SUBJECT}.{shard}", end)
        except BUS_ERRORS as error:
            log.debug("notification_lost", shard=shard, error=type(error).__name__)
