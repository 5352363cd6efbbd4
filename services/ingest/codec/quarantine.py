"""Decodes quarantined events for their release, and encodes the pages of the quarantine."""

from __future__ import annotations

from onefold.ingest.v1.ingest_service_pb2 import ListQuarantinedResponse, Quarantined
from onefold.type.v1.event_pb2 import Event

from services.chassis.rpc.paging import PageToken
from services.ingest.codec.events import ProtoEvent, SegmentCall, UnreadableBody
from services.ingest.codec.results import reason_to_proto
from services.ingest.domain.events import PageCursor, QuarantinedEvent
from services.ingest.domain.segment_spec import TYPES
from services.kernel.ids import to_hex

#: The key of a page token is a PageCursor.
_PAGE_TOKEN = PageToken("q16s")


def from_quarantine(entry: QuarantinedEvent) -> ProtoEvent | SegmentCall | UnreadableBody:
    """Decode a quarantined event as it was sent."""
    format_, _, call = entry.format.partition(":")
    if format_ == "event":
        return ProtoEvent(Event.FromString(entry.raw))
    if format_ == "call":
        return SegmentCall(entry.raw, TYPES.get(call))
    return UnreadableBody(entry.raw, entry.refusal)


def decode_cursor(page_token: str) -> PageCursor | None:
    """Return the cursor of a page token; None for the first page. Raises InvalidField."""
    key = _PAGE_TOKEN.decode(page_token)
    return PageCursor(*key) if key else None


def page_to_proto(entries: list[QuarantinedEvent], page_size: int) -> ListQuarantinedResponse:
    """Return a page; `entries` has one more than the page where another page follows."""
    page = entries[:page_size]
    last = page[-1] if len(entries) > page_size else None
    return ListQuarantinedResponse(
        entries=[_entry_to_proto(entry) for entry in page],
        next_page_token=_PAGE_TOKEN.encode(last.received_at_us, last.quarantine_id) if last else "",
    )


def _entry_to_proto(entry: QuarantinedEvent) -> Quarantined:
    return Quarantined(
        quarantine_id=to_hex(entry.quarantine_id),
        source_id=entry.source_id,
        endpoint=entry.endpoint,
        reason=reason_to_proto(entry.refusal.reason),
        field=entry.refusal.field,
        message=entry.refusal.message,
        raw=entry.raw,
        received_at_us=entry.received_at_us,
        released_fact_id=to_hex(entry.released_fact_id) if entry.released_fact_id else "",
    )
