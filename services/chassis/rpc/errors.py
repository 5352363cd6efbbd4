"""Errors of the kernel as gRPC statuses, and back.

A status has exactly one `ErrorInfo{reason, "onefold.dev", metadata}`; a `BadRequest` where a field
is at fault; a `RetryInfo` where the same call may succeed later. What PostgreSQL or the network
did wrong becomes StoreUnavailable; what nobody foresaw becomes INTERNAL and tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from services.chassis.postgres.database import is_transient
from services.kernel.errors import (
    Conflict,
    InvalidField,
    NotAllowed,
    NotFound,
    OnefoldError,
    RangeExpired,
    RetryableError,
    ServiceUnavailable,
    StoreUnavailable,
    TokenNotReached,
    TooLarge,
)

DOMAIN = "onefold.dev"
DETAILS_KEY = "grpc-status-details-bin"


class StatusMapping(NamedTuple):
    """How a reason is answered."""

    code: grpc.StatusCode
    #: The status of the same answer over HTTP.
    http: int
    #: The error that carries it.
    kind: type[OnefoldError]


_FIELD = StatusMapping(grpc.StatusCode.INVALID_ARGUMENT, 400, InvalidField)
_KEY = StatusMapping(grpc.StatusCode.UNAUTHENTICATED, 401, NotAllowed)

#: Every name of onefold.type.v1.ErrorReason without its prefix, except UNSPECIFIED.
STATUS_BY_REASON: Mapping[str, StatusMapping] = {
    "KEY_MISSING": _KEY,
    "KEY_UNKNOWN": _KEY,
    "KEY_DISABLED": _KEY,
    "NOT_ALLOWED": StatusMapping(grpc.StatusCode.PERMISSION_DENIED, 403, NotAllowed),
    "CLOCK_NOT_ADJUSTABLE": StatusMapping(grpc.StatusCode.FAILED_PRECONDITION, 409, NotAllowed),
    "FIELD_INVALID": _FIELD,
    "NOT_FOUND": StatusMapping(grpc.StatusCode.NOT_FOUND, 404, NotFound),
    "ETAG_MISMATCH": StatusMapping(grpc.StatusCode.ABORTED, 409, Conflict),
    "TOO_LARGE": StatusMapping(grpc.StatusCode.RESOURCE_EXHAUSTED, 413, TooLarge),
    "RANGE_EXPIRED": StatusMapping(grpc.StatusCode.OUT_OF_RANGE, 410, RangeExpired),
    "STORE_UNAVAILABLE": StatusMapping(grpc.StatusCode.UNAVAILABLE, 503, StoreUnavailable),
    "SERVICE_UNAVAILABLE": StatusMapping(grpc.StatusCode.UNAVAILABLE, 503, ServiceUnavailable),
    "TOKEN_NOT_REACHED": StatusMapping(grpc.StatusCode.DEADLINE_EXCEEDED, 504, TokenNotReached),
    "INTERNAL": StatusMapping(grpc.StatusCode.INTERNAL, 500, OnefoldError),
    # What is wrong with an event; as the error of a whole call where the call is that one event.
    "NO_IDENTIFIER": _FIELD,
    "IDENTIFIER_INVALID": _FIELD,
    "JSON_INVALID": _FIELD,
    "NOT_AN_EVENT": _FIELD,
    "NAME_MISSING": _FIELD,
    "MESSAGE_ID_INVALID": _FIELD,
    "MESSAGE_ID_REUSED": _FIELD,
    "TIME_INVALID": _FIELD,
    "TIME_OUT_OF_RANGE": _FIELD,
    "PROPERTIES_TOO_LARGE": _FIELD,
    "VALUE_INVALID": _FIELD,
    "BATCH_EMPTY": _FIELD,
}


def to_onefold_error(error: BaseException) -> OnefoldError:
    """The error of ours that tells `error`; its reason is INTERNAL where nobody foresaw it."""
    if isinstance(error, OnefoldError):
        return error
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return to_onefold_error(error.exceptions[0])
    if is_transient(error):
        return StoreUnavailable("PostgreSQL cannot be reached; try again")
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error)
    if isinstance(error, DecodeError):
        return InvalidField("the request is no message of this call")
    return OnefoldError("a fault of the server; its log tells more")


def to_status(error: OnefoldError) -> status_pb2.Status:
    """The status that is sent for an error."""
    answer = STATUS_BY_REASON[error.reason]
    status = status_pb2.Status(code=answer.code.value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if answer.kind is InvalidField:
        status.details.add().Pack(_bad_request(error))
    if isinstance(error, RetryableError):
        status.details.add().Pack(_retry_info(error.retry_after))
    return status


def _bad_request(error: OnefoldError) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=error.field, description=error.message, reason=error.reason
    )
    return error_details_pb2.BadRequest(field_violations=[violation])


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(int(seconds * 1e9))
    return info


def from_status(status: status_pb2.Status) -> OnefoldError | None:
    """The error that a status carries; None where it carries none of ours."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad) or detail.Unpack(retry)
    if info.domain != DOMAIN or info.reason not in STATUS_BY_REASON:
        return None
    field = bad.field_violations[0].field if bad.field_violations else ""
    error = STATUS_BY_REASON[info.reason].kind(status.message, field=field)
    error.reason = info.reason
    error.metadata = dict(info.metadata)
    if isinstance(error, RetryableError) and retry.HasField("retry_delay"):
        error.retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return error


def from_rpc(error: grpc.aio.AioRpcError) -> OnefoldError:
    """The error that the called service meant."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            carried = from_status(status_pb2.Status.FromString(value))
            if carried is not None:
                return carried
    return _of_transport(error)


def _of_transport(error: grpc.aio.AioRpcError) -> OnefoldError:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return TooLarge("the message is larger than the limit; split it")
    if code in _TRANSPORT_AWAY:
        return ServiceUnavailable(f"a service did not answer: {code.name}", code=code.name)
    return OnefoldError(f"a call failed: {code.name}", code=code.name)


#: Without details of ours they come from the transport; INTERNAL and UNKNOWN also come where a
#: connection broke in the middle of a call.
_TRANSPORT_AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
