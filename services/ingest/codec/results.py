"""Encodes the outcome of a batch as protobuf and as the JSON of the Segment specification."""

from __future__ import annotations

from typing import Any

from onefold.ingest.v1.ingest_service_pb2 import IngestEventsResponse
from onefold.ingest.v1.ingest_service_pb2 import Rejection as RejectionMessage
from onefold.type.v1.errors_pb2 import ErrorReason

from services.chassis.codec.tokens import token_to_proto
from services.ingest.domain.events import IngestResult, Refusal, Rejection
from services.ingest.domain.segment_spec import FIELD_NAMES
from services.kernel.errors import OnefoldError
from services.kernel.ids import to_hex


def result_to_proto(result: IngestResult) -> IngestEventsResponse:
    """Return the response over gRPC."""
    return IngestEventsResponse(
        accepted=result.accepted,
        duplicates=result.duplicates,
        rejections=[_rejection_to_proto(rejection) for rejection in result.rejections],
        token=token_to_proto(result.token),
    )


def _rejection_to_proto(rejection: Rejection) -> RejectionMessage:
    refusal = rejection.refusal
    return RejectionMessage(
        index=rejection.index,
        reason=reason_to_proto(refusal.reason),
        field=".".join(filter(None, (f"events[{rejection.index}]", refusal.field))),
        message=refusal.message,
        quarantine_id=to_hex(rejection.quarantine_id),
    )


def result_to_json(result: IngestResult) -> dict[str, object]:
    """Return the response over HTTP and NATS."""
    return {
        "success": bool(result.accepted or result.duplicates),
        "accepted": result.accepted,
        "duplicates": result.duplicates,
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
        "token": str(result.token),
    }


def refusal_to_json(refusal: Refusal) -> dict[str, object]:
    """Return the response over HTTP and NATS where nothing was accepted, without its results."""
    return {
        "success": False,
        "code": refusal.reason,
        "message": refusal.message,
        "field": segment_field_name(refusal.field),
    }


def segment_field_name(field: str) -> str:
    """Return the Segment specification's name of a field of the API contract."""
    name, bracket, rest = field.partition("[")
    return FIELD_NAMES.get(name, name) + ("" if name == "identifiers" else bracket + rest)


def reason_to_proto(reason: str) -> Any:
    """Return the number of a reason in the API contract."""
    return ErrorReason.Value(f"ERROR_REASON_{reason}")


def error_to_json(error: OnefoldError) -> dict[str, object]:
    """Return the response over HTTP and NATS where a call failed."""
    return {"success": False, "code": error.reason, "message": error.message}
