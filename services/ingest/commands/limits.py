"""Makes the limits of ingest from its settings, and deletes quarantined events that are too old."""

from __future__ import annotations

import asyncio

import structlog

from services.chassis.runtime.addresses import parse_networks
from services.chassis.runtime.http_limits import HttpLimits
from services.ingest.commands.intake import MAX_EVENTS
from services.ingest.domain.producer_limits import ProducerLimits, Rates
from services.ingest.domain.quarantine_quota import QuarantineQuota
from services.ingest.log import EventLog
from services.ingest.settings import IngestSettings
from services.ingest.store.quarantine import DELETE_BATCH, QuarantineStore
from services.kernel.rate_limit import RateLimit

log = structlog.get_logger(__name__)

#: What may be sent at once, in seconds of the rate.
_BURST_S = 10.0
_EXPIRE_EVERY_S = 60.0
#: The most batches that are deleted in one round, so that a backlog does not occupy PostgreSQL.
_MAX_BATCHES = 100
_DAY_US = 86_400_000_000


def http_limits(settings: IngestSettings) -> HttpLimits:
    """Return the limits of the HTTP server for events."""
    return HttpLimits(
        connections=settings.http_connections,
        connections_per_address=settings.http_connections_per_address,
        proxies=parse_networks(settings.trusted_proxies),
    )


def quarantine_quota(settings: IngestSettings) -> QuarantineQuota:
    """Return the quota of the quarantine of each source."""
    return QuarantineQuota(settings.quarantine_entries, settings.quarantine_bytes)


def producer_limits(settings: IngestSettings) -> ProducerLimits:
    """Return the limits of the rates of producers."""
    # The largest batch fits into every burst.
    largest = max(settings.max_body_bytes, settings.max_message_bytes)

    def rates(events_per_s: float, bytes_per_s: float) -> Rates:
        return Rates(
            RateLimit(events_per_s, max(events_per_s * _BURST_S, MAX_EVENTS)),
            RateLimit(bytes_per_s, max(bytes_per_s * _BURST_S, largest)),
        )

    share = settings.public_address_share
    public = (settings.public_events_per_s, settings.public_bytes_per_s)
    return ProducerLimits(
        public=rates(*public),
        public_address=rates(*(rate * share for rate in public)),
        server=rates(settings.server_events_per_s, settings.server_bytes_per_s),
    )


async def expire_quarantine(
    event_log: EventLog, quarantine: QuarantineStore, *, days: float
) -> None:
    """Delete events that have been in quarantine for too long, until cancelled."""
    while True:
        try:
            deleted = await delete_expired(event_log, quarantine, days=days)
        except Exception as error:
            log.warning("expiry_postponed", exc_info=error)
        else:
            if deleted:
                log.info("quarantine_expired", count=deleted)
        await asyncio.sleep(_EXPIRE_EVERY_S)


async def delete_expired(event_log: EventLog, quarantine: QuarantineStore, *, days: float) -> int:
    """Delete a bounded number of events that are too old; return how many.

    Raises StoreUnavailable.
    """
    before_us = event_log.clock.now_us() - int(days * _DAY_US)
    deleted = 0
    for _ in range(_MAX_BATCHES):
        count = await quarantine.delete_older(before_us)
        deleted += count
        if count < DELETE_BATCH:
            break
    event_log.metrics.quarantine_expired.inc(deleted)
    return deleted
