"""Publishes reports of providers as facts of the log, and pauses destinations that are unwanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import structlog

from services.activation.codec.bus import delivery_reported
from services.activation.delivery.outcomes import PAGE, publish_pages
from services.activation.store import reports as store
from services.activation.store.effects import DestinationKey
from services.activation.store.run_reads import load_known_us
from services.chassis.postgres.database import Database, acquire
from services.chassis.rpc.clients import LogClient
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.model import ReportKind

#: How many of the last messages of a destination are counted.
COUNTED: Final = 1_000
#: Fewer messages say nothing about a destination.
LEAST: Final = 200
#: A destination pauses itself where more people complain, or more addresses do not exist: mailbox
#: providers reject the mail of senders with more.
MAX_COMPLAINTS: Final = 0.003
MAX_BOUNCES: Final = 0.05
_UNWANTED: Final = (ReportKind.COMPLAINED.value, ReportKind.UNDELIVERED.value)

#: Pauses a destination, unless it is paused.
PauseDestination: TypeAlias = Callable[[DestinationKey], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReportPublisher:
    """Appends DeliveryReported facts; a repeat after a crash is the same fact."""

    database: Database
    log_client: LogClient
    actor: str
    pause: PauseDestination

    async def run(self) -> None:
        """Publish until cancelled. Errors are logged and retried."""
        await publish_pages(self.publish_once, "reports")

    async def publish_once(self) -> int:
        """Publish one page; return how many reports it had."""
        async with acquire(self.database.pool) as conn:
            known_us = await load_known_us(conn)
            rows = await conn.fetch(store.Q.load_unpublished, PAGE)
        if not rows:
            return 0
        await self._pause_unwanted(rows)
        facts = [delivery_reported(row, self.actor) for row in rows]
        await self.log_client.append(facts, known_us)
        async with acquire(self.database.pool) as conn:
            await conn.execute(store.Q.mark_published, [row["fact_id"] for row in rows])
        return len(rows)

    async def _pause_unwanted(self, rows: Iterable[Any]) -> None:
        """Pause the destinations of reports of which too many messages are unwanted."""
        keys = {
            DestinationKey(WorkspaceId(row["workspace_id"]), row["destination_id"])
            for row in rows
            if row["what"] in _UNWANTED
        }
        for key in sorted(keys):
            async with acquire(self.database.pool) as conn:
                counts = await conn.fetchrow(store.Q.count_unwanted, *key, COUNTED)
            if counts is not None and is_unwanted(*counts):
                log.warning("destination_unwanted", workspace=key[0], destination=key[1])
                await self.pause(key)


def is_unwanted(messages: int, complaints: int, bounces: int) -> bool:
    """Return whether so many of the last messages are unwanted that no more are to be sent."""
    if messages < LEAST:
        return False
    return complaints > messages * MAX_COMPLAINTS or bounces > messages * MAX_BOUNCES
