"""Describes the failure of a call, as Connect and plain JSON write it.

The codes and the statuses of Connect are those of https://connectrpc.com/docs/protocol.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.chassis.rpc.errors import DETAILS_KEY, DOMAIN, STATUS_BY_REASON

#: The header values of a call, by lower-case name; one name may have several values.
Headers = Sequence[tuple[str, str | bytes]]

#: The HTTP status of each code of gRPC, where a response has one.
_STATUSES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
#: The details whose content is written in JSON as well.
_SHOWN = {message.DESCRIPTOR.full_name: message for message in (ErrorInfo, BadRequest, RetryInfo)}


@dataclass
class CallFailed(Exception):
    """A call that has no response, or no further one."""

    code: grpc.StatusCode
    message: str
    details: Sequence[AnyMessage] = ()
    headers: Headers = ()
    trailers: Headers = ()
    #: The HTTP status of a plain call where neither the code nor the reason decides it.
    http_status: int | None = None

    @classmethod
    def from_rpc(cls, error: grpc.aio.AioRpcError) -> CallFailed:
        """Return the failure that a call over gRPC raised."""
        trailers = tuple(error.trailing_metadata() or ())
        details: list[AnyMessage] = []
        for key, value in trailers:
            if key == DETAILS_KEY and isinstance(value, bytes):
                details.extend(Status.FromString(value).details)
        return cls(
            error.code(),
            error.details() or "",
            details,
            tuple(error.initial_metadata() or ()),
            trailers,
        )

    @property
    def connect_code(self) -> str:
        """The code in the words of Connect, such as `not_found`."""
        name = self.code.name.lower()
        return "canceled" if name == "cancelled" else name

    @property
    def connect_status(self) -> int:
        return _STATUSES[self.code]

    @property
    def reason(self) -> str:
        """The reason of the service, such as `KEY_MISSING`; empty where it gives none."""
        info = ErrorInfo()
        for detail in self.details:
            if detail.Unpack(info) and info.domain == DOMAIN:
                return info.reason
        return ""

    @property
    def plain_status(self) -> int:
        """The HTTP status of plain calls: that of the reason, where there is one."""
        known = STATUS_BY_REASON.get(self.reason)
        return self.http_status or (known.http if known else self.connect_status)

    def connect_error(self) -> dict[str, Any]:
        """Return the error as Connect writes it in JSON."""
        error: dict[str, Any] = {"code": self.connect_code}
        if self.message:
            error["message"] = self.message
        if self.details:
            error["details"] = [_connect_detail(detail) for detail in self.details]
        return error

    def plain_error(self) -> dict[str, Any]:
        """Return the error of a plain call: code, reason and message, and what they are about."""
        error: dict[str, Any] = {"code": self.connect_code, "message": self.message}
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        for detail in self.details:
            if detail.Unpack(info):
                error["reason"] = info.reason
                if info.metadata:
                    error["metadata"] = dict(info.metadata)
            elif detail.Unpack(bad):
                error["field"] = bad.field_violations[0].field if bad.field_violations else ""
            elif detail.Unpack(retry):
                error["retry_after_s"] = retry.retry_delay.ToNanoseconds() / 1e9
        return {"error": error}


def invalid(message: str) -> CallFailed:
    """Return the failure of a request that cannot be read."""
    return CallFailed(grpc.StatusCode.INVALID_ARGUMENT, message)


def too_large(limit: int) -> CallFailed:
    """Return the failure of a message above `limit` bytes."""
    message = f"the message has more than {limit} bytes: send less in one call"
    return CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def too_many(most: int) -> CallFailed:
    """Return the failure of a stream of more than `most` messages."""
    message = f"the stream has more than {most} messages: send fewer in one call"
    return CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def to_json(value: object) -> bytes:
    """Return compact JSON in UTF-8."""
    return msgspec.json.encode(value)


def _connect_detail(detail: AnyMessage) -> dict[str, Any]:
    name = detail.type_url.rpartition("/")[2]
    written: dict[str, Any] = {
        "type": name,
        "value": base64.b64encode(detail.value).decode().rstrip("="),
    }
    if name in _SHOWN:
        shown = _SHOWN[name]()
        if detail.Unpack(shown):
            written["debug"] = json_format.MessageToDict(shown)
    return written
