"""Each reason maps to one kernel error and one status, and back."""

from __future__ import annotations

import inspect
import socket
from base64 import b64encode
from urllib.parse import quote

import asyncpg
import grpc
import pytest
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st
from onefold.type.v1 import errors_pb2

from services.chassis.rpc import errors
from services.kernel import errors as kernel

REASONS = {
    name.removeprefix("ERROR_REASON_") for name, number in errors_pb2.ErrorReason.items() if number
}
FIRST_OF_EVENTS = 20
EVENT_REASONS = {
    name.removeprefix("ERROR_REASON_")
    for name, number in errors_pb2.ErrorReason.items()
    if number >= FIRST_OF_EVENTS
}


def _kinds() -> list[type[kernel.OnefoldError]]:
    classes = [c for _, c in inspect.getmembers(kernel, inspect.isclass)]
    # A RuleError crosses the border of a service as the InvalidField that it is.
    abstract = {kernel.ClientError, kernel.RetryableError}
    kinds = [c for c in classes if issubclass(c, kernel.OnefoldError) and c not in abstract]
    return [c for c in kinds if not issubclass(c, kernel.RuleError)]


def make(reason: str, **metadata: str) -> kernel.OnefoldError:
    kind = errors.STATUS_BY_REASON[reason].kind
    error = kind("do this next", field="events[3].name" if kind is kernel.InvalidField else "")
    error.reason = reason
    error.metadata = metadata
    return error


def test_every_reason_of_the_protos_has_a_status() -> None:
    assert errors.STATUS_BY_REASON.keys() == REASONS


def test_every_kernel_error_is_the_class_of_its_reasons() -> None:
    for kind in _kinds():
        reasons = kernel.NotAllowed.REASONS if kind is kernel.NotAllowed else {kind.reason}
        mapped = {r for r, m in errors.STATUS_BY_REASON.items() if m.kind is kind}
        assert mapped - EVENT_REASONS == reasons, kind


@pytest.mark.parametrize("reason", sorted(EVENT_REASONS))
def test_reason_of_a_rejected_event_is_an_invalid_field(reason: str) -> None:
    assert errors.STATUS_BY_REASON[reason].kind is kernel.InvalidField


@pytest.mark.parametrize(
    ("reason", "code", "http"),
    [
        ("KEY_MISSING", grpc.StatusCode.UNAUTHENTICATED, 401),
        ("KEY_UNKNOWN", grpc.StatusCode.UNAUTHENTICATED, 401),
        ("KEY_DISABLED", grpc.StatusCode.UNAUTHENTICATED, 401),
        ("KEY_EXPIRED", grpc.StatusCode.UNAUTHENTICATED, 401),
        ("ORIGIN_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED, 403),
        ("ADDRESS_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED, 403),
        ("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED, 403),
        ("FIELD_INVALID", grpc.StatusCode.INVALID_ARGUMENT, 400),
        ("NOT_FOUND", grpc.StatusCode.NOT_FOUND, 404),
        ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, 409),
        ("TOO_LARGE", grpc.StatusCode.RESOURCE_EXHAUSTED, 413),
        ("RANGE_EXPIRED", grpc.StatusCode.OUT_OF_RANGE, 410),
        ("CLOCK_NOT_ADJUSTABLE", grpc.StatusCode.FAILED_PRECONDITION, 409),
        ("STORE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, 503),
        ("SERVICE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, 503),
        ("TOKEN_NOT_REACHED", grpc.StatusCode.DEADLINE_EXCEEDED, 504),
        ("INTERNAL", grpc.StatusCode.INTERNAL, 500),
        ("BATCH_EMPTY", grpc.StatusCode.INVALID_ARGUMENT, 400),
    ],
)
def test_reason_has_its_grpc_and_http_codes(reason: str, code: grpc.StatusCode, http: int) -> None:
    assert errors.STATUS_BY_REASON[reason][:2] == (code, http)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_status_has_exactly_one_error_info(reason: str) -> None:
    error = make(reason, limit="4194304")
    status = errors.to_status(error)
    infos = [d for d in status.details if d.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1
    info = error_details_pb2.ErrorInfo()
    infos[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        reason,
        "onefold.dev",
        {"limit": "4194304"},
    )
    retries = [d for d in status.details if d.Is(error_details_pb2.RetryInfo.DESCRIPTOR)]
    assert bool(retries) == isinstance(error, kernel.RetryableError)
    fields = [d for d in status.details if d.Is(error_details_pb2.BadRequest.DESCRIPTOR)]
    assert bool(fields) == isinstance(error, kernel.InvalidField)


@pytest.mark.parametrize("letter", ["k", "京", "%", "\ud800"])
def test_status_of_a_mistake_that_quotes_a_long_name_fits_into_headers(letter: str) -> None:
    mistake = kernel.RuleError("null cannot be compared with", "write it", field=letter * 2_000_000)
    status = errors.to_status(mistake)
    in_headers = len(quote(status.message)) + len(b64encode(status.SerializeToString()))
    assert in_headers < 8_000
    again = errors.from_status(status)
    assert again is not None
    assert again.message.endswith("null cannot be compared with; write it")
    assert again.field.startswith(letter.encode(errors="replace").decode() * 50)


def test_status_of_a_mistake_of_ordinary_length_is_whole() -> None:
    mistake = kernel.RuleError("this key is not known", "write one of " + "word, " * 100, field="a")
    assert errors.to_status(mistake).message == mistake.message


@given(
    st.sampled_from(sorted(REASONS)),
    st.dictionaries(st.text(min_size=1), st.text()),
    st.floats(0, 3600),
)
def test_error_through_a_status_returns_equal(
    reason: str, metadata: dict[str, str], retry_after: float
) -> None:
    error = make(reason)
    error.metadata = metadata
    if isinstance(error, kernel.RetryableError):
        error.retry_after = retry_after
    back = errors.from_status(errors.to_status(error))
    assert type(back) is type(error)
    assert (back.reason, back.message, back.field) == (reason, error.message, error.field)
    assert back.metadata == metadata
    if isinstance(back, kernel.RetryableError):
        assert back.retry_after == pytest.approx(retry_after, abs=1e-6)


def test_status_without_error_info_holds_no_kernel_error() -> None:
    status = errors.to_status(make("NOT_FOUND"))
    status.details.clear()
    assert errors.from_status(status) is None


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("terminating"),
        asyncpg.TooManyConnectionsError("too many"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.QueryCanceledError("statement timeout"),
        asyncpg.ReadOnlySQLTransactionError("standby"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InterfaceError("another operation is in progress"),
        ConnectionRefusedError("refused"),
        ConnectionResetError("reset"),
        OSError("Multiple exceptions: [Errno 111], [Errno 111]"),
        socket.gaierror("no such host"),
        TimeoutError(),
        ConnectionAbortedError("aborted"),
        ExceptionGroup("one", [ConnectionRefusedError("refused")]),
    ],
    ids=repr,
)
def test_error_of_an_unreachable_postgresql_is_store_unavailable(error: BaseException) -> None:
    assert isinstance(errors.to_onefold_error(error), kernel.StoreUnavailable)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("Key (email)=(a@b.cn)"),
        asyncpg.UndefinedTableError("no table"),
        FileNotFoundError("gone"),
        ValueError("a@b.cn"),
        KeyError("a@b.cn"),
        ExceptionGroup("two", [ValueError("a"), ConnectionRefusedError("b")]),
    ],
    ids=repr,
)
def test_unexpected_error_is_internal_and_reveals_nothing(error: BaseException) -> None:
    known = errors.to_onefold_error(error)
    assert known.reason == "INTERNAL"
    assert "a@b.cn" not in str(errors.to_status(known))


def test_malformed_message_is_an_invalid_field() -> None:
    assert isinstance(errors.to_onefold_error(DecodeError("broken")), kernel.InvalidField)


def _aio_error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, empty, empty, details)


def test_unreachable_service_is_service_unavailable() -> None:
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        error = errors.from_rpc(_aio_error(code, "connect failed"))
        assert isinstance(error, kernel.ServiceUnavailable)
        assert error.metadata == {"code": code.name}


def test_message_over_the_limit_is_too_large() -> None:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    error = errors.from_rpc(_aio_error(code, "SERVER: Received message larger than max (9 vs. 5)"))
    assert isinstance(error, kernel.TooLarge)
