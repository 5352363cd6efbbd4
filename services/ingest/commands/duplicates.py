"""Records which messages sources send again, and forgets them after some time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat
from services.chassis.runtime.tasks import background
from services.ingest.domain.duplicates import DuplicateCounts
from services.ingest.log import EventLog
from services.ingest.store.duplicates import DELETE_BATCH, DuplicateStore
from services.kernel.errors import OnefoldError
from services.kernel.time import DAY_US

#: Counts are stored this often, seconds: a process that is killed loses those since.
STORE_INTERVAL_S = 1.0
_EXPIRE_EVERY_S = 60.0


async def store_counts(counts: DuplicateCounts, store: DuplicateStore) -> None:
    """Store what was counted; it stays counted where that fails. Raises StoreUnavailable."""
    if not counts:
        return
    taken = counts.take()
    try:
        await store.add(taken)
    except BaseException:
        counts.put_back(taken)
        raise


async def delete_expired(event_log: EventLog, store: DuplicateStore, *, days: float) -> None:
    """Delete the messages that were not sent again for so many days. Raises StoreUnavailable."""
    before_us = event_log.clock.now_us() - int(days * DAY_US)
    while await store.delete_older(before_us) == DELETE_BATCH:
        pass


@asynccontextmanager
async def recording(
    counts: DuplicateCounts, store: DuplicateStore, event_log: EventLog, *, days: float
) -> AsyncIterator[None]:
    """Store counts, and delete old messages, until the scope ends; then store the last counts."""

    async def record() -> None:
        await asyncio.sleep(STORE_INTERVAL_S)
        await store_counts(counts, store)

    async def expire() -> None:
        await delete_expired(event_log, store, days=days)
        await asyncio.sleep(_EXPIRE_EVERY_S)

    async with background(
        repeat("storing duplicates", record, Backoff()),
        repeat("deleting duplicates", expire, Backoff(max_s=_EXPIRE_EVERY_S)),
    ):
        yield
    with suppress(OnefoldError):
        await store_counts(counts, store)
