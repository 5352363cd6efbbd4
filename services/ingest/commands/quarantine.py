"""Quarantines request bodies that hold no event, and releases quarantined events."""

from __future__ import annotations

from services.ingest.commands.intake import EventIntake, quarantined
from services.ingest.domain.events import (
    IncomingEvent,
    IngestResult,
    Producer,
    QuarantinedEvent,
    Refusal,
    Rejection,
)
from services.ingest.log.log_clock import LogClock
from services.ingest.store.quarantine import QuarantineStore
from services.kernel.errors import NotFound
from services.kernel.ids import to_hex
from services.kernel.tokens import Token


class Quarantine:
    """The commands on quarantined events. All methods raise StoreUnavailable."""

    def __init__(self, intake: EventIntake, store: QuarantineStore, clock: LogClock) -> None:
        self._intake = intake
        self._store = store
        self._clock = clock

    async def save_body(self, producer: Producer, raw: bytes, refusal: Refusal) -> bytes:
        """Quarantine a whole request body; return its quarantine id."""
        entry = quarantined(producer, "body", raw, refusal, self._clock.now_us())
        await self._store.save([entry])
        return entry.quarantine_id

    async def get(self, workspace_id: str, quarantine_id: bytes) -> QuarantinedEvent:
        """Return a quarantined event. Raises NotFound."""
        entry = await self._store.get(workspace_id, quarantine_id)
        if entry is None:
            raise NotFound("the workspace has no quarantined event with this id; list them")
        return entry

    async def release(
        self, entry: QuarantinedEvent, event: IncomingEvent, producer: Producer
    ) -> IngestResult:
        """Ingest a quarantined event, repaired or as it was sent; safe to repeat.

        An event that is refused again stays in quarantine as it is.
        """
        # A function of the entry: an event without a message id, released twice, is one event.
        message_id = f"released-{to_hex(entry.quarantine_id)}"
        batch = await self._intake.admit(producer, [event], lambda: message_id)
        result = await self._intake.append(batch)
        if batch.refusals:
            rejection = Rejection(0, batch.refusals[0], entry.quarantine_id)
            return IngestResult(0, 0, (rejection,), Token())
        await self._store.mark_released(entry.quarantine_id, batch.fact_id(0))
        return result
