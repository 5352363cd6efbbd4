"""Watches all shards of a service, also those that other replicas work, or none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.runtime.telemetry import Metrics

log = structlog.get_logger(__name__)

#: Seconds between two looks at the checkpoints.
INTERVAL_S = 2.0
#: Seconds after which a shard that no replica works is stalled: a lease changes hands sooner.
UNLEASED_S = 30.0

#: Loads the checkpoint of each shard, and whether any replica works it.
LoadStatus = Callable[[], Awaitable[Sequence[tuple[Checkpoint, bool]]]]


class ShardWatch:
    """Sets the lag of the shards that are not worked here, and finds those that no one works."""

    def __init__(
        self, load: LoadStatus, leased: Callable[[], Collection[int]], metrics: Metrics
    ) -> None:
        """`leased` returns the shards that are worked here; their workers set their lag."""
        self._load = load
        self._leased = leased
        self._metrics = metrics
        #: Since when no replica works a shard (monotonic clock).
        self._unleased_since: dict[int, float] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:
                log.debug("shards_not_watched", error=type(error).__name__)
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Look at all shards once. Raises StoreUnavailable."""
        status = await self._load()
        here, now = set(self._leased()), time.monotonic()
        unleased = {at.shard for at, is_leased in status if not is_leased}
        self._unleased_since = {shard: self._unleased_since.get(shard, now) for shard in unleased}
        for at, _ in status:
            if at.shard not in here and at.log_time_us:
                lag_s = max(0.0, time.time() - at.log_time_us / 1e6)
                self._metrics.lag_seconds.labels(at.shard).set(lag_s)

    def stalled(self) -> dict[int, str]:
        """Return the shards that no replica has worked for long, with that as the reason."""
        now = time.monotonic()
        return {
            shard: "no replica works it"
            for shard, since in self._unleased_since.items()
            if now - since >= UNLEASED_S
        }
