"""Publishes final states of effects as facts of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from services.activation.codec.bus import delivery_ended
from services.activation.store import effects as store
from services.activation.store.run_reads import load_known_us
from services.chassis.postgres.database import Database, acquire
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat

#: Outcomes in one call.
PAGE = 1_000
#: Seconds between two polls of the ledger.
POLL_INTERVAL_S = 0.5
MAX_BACKOFF_S = 10.0

log = structlog.get_logger(__name__)


async def publish_pages(publish_once: Callable[[], Awaitable[int]], name: str) -> None:
    """Publish page after page until cancelled. Errors are logged with a name, and retried.

    `publish_once` returns how many entries a page had, of PAGE at most.
    """

    async def step() -> None:
        if await publish_once() < PAGE:
            await asyncio.sleep(POLL_INTERVAL_S)

    await repeat(name, step, Backoff(2 * POLL_INTERVAL_S, MAX_BACKOFF_S))


@dataclass(frozen=True)
class OutcomePublisher:
    """Appends DeliveryEnded facts; a repeat after a crash is the same fact."""

    database: Database
    log_client: LogClient
    actor: str

    async def run(self) -> None:
        """Publish until cancelled. Errors are logged and retried."""
        await publish_pages(self.publish_once, "outcomes")

    async def publish_once(self) -> int:
        """Publish one page; return how many outcomes it had."""
        async with acquire(self.database.pool) as conn:
            known_us = await load_known_us(conn)
            rows = await conn.fetch(store.Q.load_unpublished_outcomes, PAGE)
        if not rows:
            return 0
        await self.log_client.append([delivery_ended(row, self.actor) for row in rows], known_us)
        async with acquire(self.database.pool) as conn:
            await conn.execute(
                store.Q.mark_outcomes_published,
                [row["effect_id"] for row in rows],
                [row["shard"] for row in rows],
                [row["attempts"] for row in rows],
            )
        return len(rows)
