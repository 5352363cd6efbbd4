"""Encodes the outcomes of batches as protobuf and as JSON, and translates quarantined events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from onefold.ingest.v1 import ingest_service_pb2 as pb
from onefold.type.v1.errors_pb2 import ErrorReason

from services.chassis.codec.fields import PageToken, token_to_proto
from services.ingest.codec.repairs import event_to_repair
from services.ingest.domain.duplicates import DuplicateMessage, Repeats
from services.ingest.domain.events import IngestResult, QuarantinedEvent, Refusal, Rejection
from services.ingest.domain.segment_spec import FIELD_NAMES
from services.kernel.errors import OnefoldError
from services.kernel.ids import to_hex

#: The page token of the quarantine: (received_at_us, quarantine_id) of the last entry.
QUARANTINE_PAGE = PageToken("q16s")
#: The page token of duplicates: (last_at_us, fact_id) of the last message.
DUPLICATES_PAGE = PageToken("q16s")


def result_to_proto(result: IngestResult) -> pb.IngestEventsResponse:
    """Return the response over gRPC."""
    return pb.IngestEventsResponse(
        accepted=result.accepted,
        duplicates=result.duplicates,
        unusable_identifiers=result.unusable_identifiers,
        rejections=[_rejection_to_proto(rejection) for rejection in result.rejections],
        token=token_to_proto(result.token),
    )


def _rejection_to_proto(rejection: Rejection) -> pb.Rejection:
    refusal = rejection.refusal
    return pb.Rejection(
        index=rejection.index,
        reason=_reason_to_proto(refusal.reason),
        field=".".join(filter(None, (f"events[{rejection.index}]", refusal.field))),
        message=refusal.message,
        quarantine_id=to_hex(rejection.quarantine_id),
    )


def result_to_json(result: IngestResult, seal: Callable[[Sequence[int]], str]) -> dict[str, object]:
    """Return the response over HTTP and NATS; `seal` returns offsets as a sealed token."""
    return {
        "success": bool(result.accepted or result.duplicates),
        "accepted": result.accepted,
        "duplicates": result.duplicates,
        "rejected": result.rejected,
        "unusableIdentifiers": result.unusable_identifiers,
        "rejections": [
            {
                "index": rejection.index,
                "code": rejection.refusal.reason,
                "field": segment_field_name(rejection.refusal.field),
                "message": rejection.refusal.message,
                "quarantineId": to_hex(rejection.quarantine_id),
            }
            for rejection in result.rejections
        ],
        "token": seal(result.token.offsets),
    }


def refusal_to_json(refusal: Refusal) -> dict[str, object]:
    """Return the response over HTTP and NATS where nothing was accepted, without its results."""
    return {
        "success": False,
        "code": refusal.reason,
        "message": refusal.message,
        "field": segment_field_name(refusal.field),
    }


def rejection_to_json(rejection: Rejection) -> dict[str, object]:
    """Return the response over HTTP and NATS where the body as a whole was rejected."""
    quarantine_id = to_hex(rejection.quarantine_id)
    return {**refusal_to_json(rejection.refusal), "quarantineId": quarantine_id}


def segment_field_name(field: str) -> str:
    """Return the Segment specification's name of a field of the API contract."""
    name, bracket, rest = field.partition("[")
    return FIELD_NAMES.get(name, name) + ("" if name == "identifiers" else bracket + rest)


def _reason_to_proto(reason: str) -> Any:
    return ErrorReason.Value(f"ERROR_REASON_{reason}")


def error_to_json(error: OnefoldError) -> dict[str, object]:
    """Return the response over HTTP and NATS where a call failed."""
    return {"success": False, "code": error.reason, "message": error.message}


def page_to_proto(entries: list[QuarantinedEvent], page_size: int) -> pb.ListQuarantinedResponse:
    """Return a page; `entries` has one more than the page where another page follows."""
    page = entries[:page_size]
    last = page[-1] if len(entries) > page_size else None
    return pb.ListQuarantinedResponse(
        entries=[_entry_to_proto(entry) for entry in page],
        next_page_token=(
            QUARANTINE_PAGE.encode(last.received_at_us, last.quarantine_id) if last else ""
        ),
    )


def duplicates_to_proto(
    messages: Sequence[DuplicateMessage], page_size: int, totals: Iterable[tuple[str, Repeats]]
) -> pb.ListDuplicatesResponse:
    """Return a page; `messages` has one more than the page where another page follows."""
    page = messages[:page_size]
    response = pb.ListDuplicatesResponse()
    for message in page:
        one = _repeats_to_proto(message.source_id, message.repeats)
        response.messages.add(fact_id=to_hex(message.fact_id), repeats=one)
    response.totals.extend(_repeats_to_proto(*total) for total in totals)
    if len(messages) > page_size:
        last = page[-1]
        token = DUPLICATES_PAGE.encode(last.repeats.last_at_us, last.fact_id)
        response.next_page_token = token
    return response


def _repeats_to_proto(source_id: str, repeats: Repeats) -> pb.Repeats:
    return pb.Repeats(
        source_id=source_id,
        count=repeats.times,
        first_at_us=repeats.first_at_us,
        last_at_us=repeats.last_at_us,
    )


def _entry_to_proto(entry: QuarantinedEvent) -> pb.Quarantined:
    return pb.Quarantined(
        quarantine_id=to_hex(entry.quarantine_id),
        source_id=entry.source_id,
        endpoint=entry.endpoint,
        reason=_reason_to_proto(entry.refusal.reason),
        field=entry.refusal.field,
        message=entry.refusal.message,
        raw=entry.raw,
        received_at_us=entry.received_at_us,
        released_fact_id=to_hex(entry.released_fact_id) if entry.released_fact_id else "",
        event=event_to_repair(entry),
    )
