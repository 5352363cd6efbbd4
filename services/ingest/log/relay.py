"""The log on the bus: `onefold.log.<shard>`, relayed by one replica a shard."""

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
from services.ingest.log import metrics as meters
from services.ingest.log.codec import BATCH_FACTS, to_outputs
from services.ingest.log.event_log import EventLog
from services.ingest.log.reader import PAGE_ROWS

log = structlog.get_logger(__name__)

SUBJECT = "onefold.log"
#: Commits that follow each other so closely share a message: a bus counts messages, not facts.
LINGER_S = 0.004


class LogOutputs:
    """The table of the log as what a relay sends; cut anew at each reading."""

    def __init__(self, event_log: EventLog) -> None:
        self._log = event_log

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        """At most `limit` messages from an offset on; [] at the end."""
        until = first + (PAGE_ROWS if limit > 1 else 1)
        rows = await self._log.reader.page(shard, first, until)
        return list(to_outputs(rows, self._log.kinds.names))[:limit]

    async def tail(self, shard: int) -> int:
        """The offset after the newest fact."""
        return (await self._log.heads()).token.offset(shard)

    async def prune(self, shard: int, published: int) -> None:
        """The log is never pruned."""


class LogRelay:
    """Relays the shards that fall to this replica, from memory what this process committed."""

    def __init__(self, event_log: EventLog, database: Database, bus: JetStreamBus) -> None:
        self._log = event_log
        self._bus = bus
        self._relay = OutboxRelay(bus, SUBJECT, LogOutputs(event_log))
        self._leases = Leases(database, "log", event_log.shards, self._work)

    @property
    def held(self) -> Container[int]:
        """The shards that this replica relays."""
        return self._leases.leased

    def published(self, shard: int) -> int:
        """The offset up to which this replica knows the bus to have everything; for metrics."""
        return self._relay.published(shard)

    async def run(self) -> None:
        """Relays until cancelled, whether NATS is there or not."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leases.run())
            for shard in range(self._log.shards):
                meters.RELAYED.labels(shard).set_function(partial(self.published, shard))
                group.create_task(self._hand_over(shard))

    async def _work(self, shard: int, _: asyncpg.Connection) -> None:
        await self._relay.run_shard(shard)

    async def _hand_over(self, shard: int) -> None:
        """Hands what is committed to the relay, here or in another replica."""
        tail = self._log.tail.shards[shard]
        at = tail.end
        while True:
            while tail.end <= at:
                await tail.ring_heard()
            await asyncio.sleep(LINGER_S)
            at = await self._hand_over_from(shard, at)

    async def _hand_over_from(self, shard: int, at: int) -> int:
        tail = self._log.tail.shards[shard]
        if shard in self._leases.leased:
            while rows := tail.take(at, BATCH_FACTS):
                await self._relay.enqueue(shard, list(to_outputs(rows, self._log.kinds.names)))
                at = rows[-1].offset + 1
        if at < tail.end:  # not ours to send, or not in memory any more
            await self._nudge(shard)
        return tail.end

    async def _nudge(self, shard: int) -> None:
        try:
            await self._bus.notify(f"{SUBJECT}.{shard}")
        except BUS_ERRORS as error:
            log.debug("nudge_lost", shard=shard, error=type(error).__name__)
