"""Maps kernel errors to gRPC statuses and back.

A status has exactly one `ErrorInfo{reason, "onefold.dev", metadata}`, a `BadRequest` if a field is
invalid, and a `RetryInfo` if the same call may succeed later. Failures of PostgreSQL or the network
become StoreUnavailable; an unexpected error becomes INTERNAL and reveals nothing.
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
    """The status and the error class of a reason."""

    code: grpc.StatusCode
    #: The status over HTTP.
    http: int
    #: The error class that carries the reason.
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
    # Reasons of rejected events; they become the error of a call that holds just that event.
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
    """Return the kernel error for any error; INTERNAL if it is unexpected."""
    if isinstance(error, OnefoldError):
        return error
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return to_onefold_error(error.exceptions[0])
    if is_transient(error):
        return StoreUnavailable("PostgreSQL cannot be reached; try again")
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error)
    if isinstance(error, DecodeError):
        return InvalidField("the request is not a valid message of this method")
    return OnefoldError("internal error; see the log of the service")


def to_status(error: OnefoldError) -> status_pb2.Status:
    """Return the status of an error."""
    mapping = STATUS_BY_REASON[error.reason]
    status = status_pb2.Status(code=mapping.code.value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if mapping.kind is InvalidField:
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
    """Return the kernel error in a status; None if it holds none."""
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
    """Return the kernel error of a failed call."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            known = from_status(status_pb2.Status.FromString(value))
            if known is not None:
                return known
    return _transport_error(error)


def _transport_error(error: grpc.aio.AioRpcError) -> OnefoldError:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return TooLarge("the message is larger than the limit; split it")
    if code in _UNREACHABLE:
        return ServiceUnavailable(f"a service did not respond: {code.name}", code=code.name)
    return OnefoldError(f"a call failed: {code.name}", code=code.name)


#: Without our details these come from the transport; it also reports INTERNAL and UNKNOWN if a
#: connection breaks during a call.
_UNREACHABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
