"""Counts looks that are overdue, and deletes facts that no run needs any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from services.activation.store import runs as store
from services.activation.store.journeys import load_longest_delay
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat
from services.chassis.runtime.telemetry import Metrics
from services.kernel.time import DAY_US, MINUTE_US

log = structlog.get_logger(__name__)

#: Seconds between two rounds, and between two pages of deletions.
INTERVAL_S: Final = 15.0
PAUSE_S: Final = 0.1
#: Facts in one deletion.
PAGE: Final = 1_000
#: How long facts are stored, beside the longest `not_after` of a journey, and after the last run of
#: their person has ended: longer than a run can still be changed by what is learnt late.
RETENTION_US: Final = 60 * DAY_US
#: How long a look may be due before it counts as overdue.
OVERDUE_US: Final = MINUTE_US


class JourneyMetrics:
    """What is measured of journeys."""

    def __init__(self, metrics: Metrics) -> None:
        self.overdue = metrics.gauge(
            "journey_looks_overdue",
            "Looks at persons in journeys that every shard has passed for more than a minute.",
        )


@dataclass
class JourneyUpkeep:
    """Measures the runs, and deletes old facts."""

    database: Database
    metrics: JourneyMetrics

    async def run(self) -> None:
        """Measure and delete until cancelled. Errors are logged and retried."""
        await repeat("journey_upkeep", self._step, Backoff(1.0, INTERVAL_S))

    async def _step(self) -> None:
        await self.measure()
        deleted = await self.delete_facts()
        await asyncio.sleep(PAUSE_S if deleted == PAGE else INTERVAL_S)

    async def measure(self) -> None:
        """Measure how many looks are overdue."""
        self.metrics.overdue.set(await self.count_overdue())

    async def count_overdue(self) -> int:
        """Return how many looks are overdue."""
        async with acquire(self.database.pool) as conn:
            known_us = await conn.fetchval(store.Q.known_us)
            count: int = await conn.fetchval(store.Q.count_overdue, known_us - OVERDUE_US)
        return count

    async def delete_facts(self) -> int:
        """Delete one page of facts that no run needs; return how many there were."""
        async with transaction(self.database.pool) as conn:
            known_us = await conn.fetchval(store.Q.known_us)
            before_us = known_us - RETENTION_US - await load_longest_delay(conn)
            rows = await conn.fetch(store.Q.delete_facts, before_us, known_us - RETENTION_US, PAGE)
        return len(rows)
