"""Maps kernel errors to gRPC statuses and back.

A status has exactly one `ErrorInfo{reason, "onefold.dev", metadata}`, a `BadRequest` if a field is
invalid, and a `RetryInfo` if the same call may succeed later. Failures of PostgreSQL or the network
become StoreUnavailable; an unexpected error becomes INTERNAL and reveals nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import AioRpcError

from services.chassis.postgres.errors import is_transient
from services.kernel import errors

DOMAIN = "onefold.dev"
DETAILS_KEY = "grpc-status-details-bin"
#: UTF-8 bytes of a message and of a field in a status. A status is sent in headers, which clients
#: refuse beyond 8 KiB, once in percent encoding and once in Base64. A mistake quotes what the
#: caller wrote, such as a name, so it may be as long as a request.
MAX_MESSAGE, MAX_FIELD = 1_000, 400
_GAP = " … "


class StatusMapping(NamedTuple):
    """The status and the error class of a reason."""

    code: StatusCode
    #: The status over HTTP.
    http: int
    #: The error class that carries the reason.
    kind: type[errors.OnefoldError]


_FIELD = StatusMapping(StatusCode.INVALID_ARGUMENT, 400, errors.InvalidField)
_KEY = StatusMapping(StatusCode.UNAUTHENTICATED, 401, errors.NotAllowed)
_FORBIDDEN = StatusMapping(StatusCode.PERMISSION_DENIED, 403, errors.NotAllowed)

#: Every name of onefold.type.v1.ErrorReason without its prefix, except UNSPECIFIED.
STATUS_BY_REASON: Mapping[str, StatusMapping] = {
    **dict.fromkeys(("KEY_MISSING", "KEY_UNKNOWN", "KEY_DISABLED", "KEY_EXPIRED"), _KEY),
    **dict.fromkeys(("NOT_ALLOWED", "ORIGIN_NOT_ALLOWED", "ADDRESS_NOT_ALLOWED"), _FORBIDDEN),
    "CLOCK_NOT_ADJUSTABLE": StatusMapping(StatusCode.FAILED_PRECONDITION, 409, errors.NotAllowed),
    "FIELD_INVALID": _FIELD,
    "NOT_FOUND": StatusMapping(StatusCode.NOT_FOUND, 404, errors.NotFound),
    "ETAG_MISMATCH": StatusMapping(StatusCode.ABORTED, 409, errors.Conflict),
    "TOO_LARGE": StatusMapping(StatusCode.RESOURCE_EXHAUSTED, 413, errors.TooLarge),
    "RANGE_EXPIRED": StatusMapping(StatusCode.OUT_OF_RANGE, 410, errors.RangeExpired),
    "UPSTREAM_WENT_BACK": StatusMapping(StatusCode.OUT_OF_RANGE, 410, errors.UpstreamWentBack),
    "STORE_UNAVAILABLE": StatusMapping(StatusCode.UNAVAILABLE, 503, errors.StoreUnavailable),
    "SERVICE_UNAVAILABLE": StatusMapping(StatusCode.UNAVAILABLE, 503, errors.ServiceUnavailable),
    "TOKEN_NOT_REACHED": StatusMapping(StatusCode.DEADLINE_EXCEEDED, 504, errors.TokenNotReached),
    "RATE_LIMITED": StatusMapping(StatusCode.RESOURCE_EXHAUSTED, 429, errors.RateLimited),
    "INTERNAL": StatusMapping(StatusCode.INTERNAL, 500, errors.OnefoldError),
    # Reasons of rejected events; they become the error of a call that holds just that event.
    **dict.fromkeys(
        ("NO_IDENTIFIER", "IDENTIFIER_INVALID", "JSON_INVALID", "NOT_AN_EVENT"), _FIELD
    ),
    **dict.fromkeys(("NAME_MISSING", "MESSAGE_ID_INVALID", "MESSAGE_ID_REUSED"), _FIELD),
    **dict.fromkeys(("TIME_INVALID", "TIME_OUT_OF_RANGE", "PROPERTIES_TOO_LARGE"), _FIELD),
    **dict.fromkeys(("VALUE_INVALID", "BATCH_EMPTY", "EVENT_TOO_OLD", "SUPPRESSED"), _FIELD),
    **dict.fromkeys(
        ("NAMESPACE_NOT_ALLOWED", "EVENT_NAME_NOT_ALLOWED", "TRAIT_NOT_ALLOWED"), _FIELD
    ),
}
#: Without our details these come from the transport; it also reports INTERNAL and UNKNOWN if a
#: connection breaks during a call.
_UNREACHABLE = frozenset(
    {
        *(StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED),
        *(StatusCode.RESOURCE_EXHAUSTED, StatusCode.INTERNAL, StatusCode.UNKNOWN),
    }
)


def to_onefold_error(error: BaseException) -> errors.OnefoldError:
    """Return the kernel error for any error; INTERNAL if it is unexpected."""
    if isinstance(error, errors.OnefoldError):
        return error
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return to_onefold_error(error.exceptions[0])
    if is_transient(error):
        return errors.StoreUnavailable("PostgreSQL cannot be reached; try again")
    if isinstance(error, AioRpcError):
        return from_rpc(error)
    if isinstance(error, DecodeError):
        return errors.InvalidField("the request is not a valid message of this method")
    return errors.OnefoldError("internal error; see the log of the service")


def to_status(error: errors.OnefoldError) -> Status:
    """Return the status of an error."""
    mapping = STATUS_BY_REASON[error.reason]
    message = _shortened(error.message, MAX_MESSAGE)
    status = Status(code=mapping.code.value[0], message=message)
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if mapping.kind is errors.InvalidField:
        violation = BadRequest.FieldViolation(
            field=_shortened(error.field, MAX_FIELD), description=message, reason=error.reason
        )
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    if isinstance(error, errors.RetryableError):
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        status.details.add().Pack(retry)
    return status


def _shortened(text: str, most: int) -> str:
    """Return a text of at most so many bytes: its begin and its end, which has the remedy."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return encoded.decode()
    half = (most - len(_GAP.encode())) // 2
    begin, end = encoded[:half], encoded[-half:]
    return begin.decode(errors="ignore") + _GAP + end.decode(errors="ignore")


def from_status(status: Status) -> errors.OnefoldError | None:
    """Return the kernel error in a status; None if it holds none."""
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad) or detail.Unpack(retry)
    if info.domain != DOMAIN or info.reason not in STATUS_BY_REASON:
        return None
    field = bad.field_violations[0].field if bad.field_violations else ""
    error = STATUS_BY_REASON[info.reason].kind(status.message, field=field)
    error.reason = info.reason
    error.metadata = dict(info.metadata)
    if isinstance(error, errors.RetryableError) and retry.HasField("retry_delay"):
        error.retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return error


def from_rpc(error: AioRpcError) -> errors.OnefoldError:
    """Return the kernel error of a failed call."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            known = from_status(Status.FromString(value))
            if known is not None:
                return known
    code, details = error.code(), error.details() or ""
    if code is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return errors.TooLarge("the message is larger than the limit; split it")
    if code in _UNREACHABLE:
        return errors.ServiceUnavailable(f"a service did not respond: {code.name}", code=code.name)
    return errors.OnefoldError(f"a call failed: {code.name}", code=code.name)
