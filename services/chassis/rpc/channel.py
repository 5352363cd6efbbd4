"""Opens channels to other services: calls carry a key and a deadline and raise kernel errors.

`open_channel` returns what generated stubs take::

    async with open_channel(settings.ingest_url, key) as ingest:
        response = await LogServiceStub(ingest).GetHead(GetHeadRequest())

A call has the deadline of the call that is being answered, or that of the channel. gRPC itself
retries a method that the protos mark NO_SIDE_EFFECTS while the other service is UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from typing import Any, Self
from urllib.parse import quote

import grpc
from google.protobuf.descriptor_pb2 import MethodOptions
from onefold.activation.v1 import (
    activation_service_pb2,
    dashboard_service_pb2,
    decision_service_pb2,
    desk_service_pb2,
    journey_service_pb2,
)
from onefold.audit.v1 import audit_service_pb2
from onefold.identity.v1 import identity_service_pb2
from onefold.ingest.v1 import admin_service_pb2, ingest_service_pb2
from onefold.log.v1 import log_service_pb2
from onefold.profile.v1 import profile_service_pb2
from onefold.projection.v1 import projection_service_pb2
from onefold.segment.v1 import segment_service_pb2

from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.access.rights import UNMASK_KEY
from services.chassis.rpc.errors import from_rpc
from services.chassis.runtime.tasks import clip_to_deadline, deadline
from services.kernel.errors import ServiceUnavailable

Metadata = Sequence[tuple[str, str]]

#: The modules that describe the services.
SERVICE_MODULES: Sequence[Any] = (
    *(activation_service_pb2, decision_service_pb2, desk_service_pb2, journey_service_pb2),
    *(dashboard_service_pb2, admin_service_pb2, audit_service_pb2),
    *(identity_service_pb2, ingest_service_pb2),
    *(log_service_pb2, profile_service_pb2, projection_service_pb2, segment_service_pb2),
)
_RETRY_POLICY = {
    "maxAttempts": 3,
    "initialBackoff": "0.1s",
    "maxBackoff": "0.4s",
    "backoffMultiplier": 4,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # C-core gives a connection this time to be made, with the settings of a server that is busy;
    # where it is not made in time, the call fails.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def read_methods() -> list[tuple[str, str]]:
    """Return the read-only methods, as (full name of the service, method)."""
    return [
        (service.full_name, method.name)
        for module in SERVICE_MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    ]


@cache
def service_config() -> str:
    """Return gRPC's service config: which server gets a call, and which calls are retried."""
    names = [{"service": service, "method": method} for service, method in read_methods()]
    methods = [{"name": names, "retryPolicy": _RETRY_POLICY}]
    return json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": methods})


def open_channel(
    url: str,
    key: str,
    *,
    workspace_id: str = "",
    unmask_reason: str = "",
    timeout_s: float = 10.0,
    credentials: grpc.ChannelCredentials | None = None,
) -> ServiceChannel:
    """Return a channel to the service at `url` (`host:port`); it connects with its first call.

    `unmask_reason`: why sensitive values are shown; empty = they are masked.
    `credentials`: those of TLS; None = the service is called without TLS.
    Raises ValueError if `url` is empty, as a setting is missing then.
    """
    if not url:
        raise ValueError("the address of a service that is needed is not set")
    metadata = [("authorization", f"Bearer {key}")]
    if workspace_id:
        metadata.append((WORKSPACE_KEY, workspace_id))
    if unmask_reason:
        metadata.append((UNMASK_KEY, quote(unmask_reason)))
    return ServiceChannel(open_bytes_channel(url, credentials), metadata, timeout_s)


def open_bytes_channel(
    url: str, credentials: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """Return a bare channel, whose calls carry no key; the rest is as in `open_channel`."""
    options = (*_OPTIONS, ("grpc.service_config", service_config()))
    if credentials is None:
        return grpc.aio.insecure_channel(url, options=options)
    return grpc.aio.secure_channel(url, credentials, options=options)


class ServiceChannel:
    """A channel for generated stubs, whose calls raise OnefoldError and carry a key.

    A call with one response is a coroutine; a call with a stream of responses is an async
    generator. Both take `timeout` (seconds) and `metadata`. These are wrappers, not interceptors:
    grpc.aio wants one interceptor class for each shape of call and runs it in a separate task,
    where `_translate` could not see whether the caller's task was cancelled.
    """

    def __init__(self, inner: grpc.aio.Channel, metadata: Metadata, timeout_s: float) -> None:
        self._inner = inner
        self._metadata = tuple(metadata)
        self._timeout_s = timeout_s

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        call = self._inner.unary_unary(method, *arguments, **options)

        async def invoke(
            request: Any, *, timeout: float | None = None, metadata: Metadata = ()
        ) -> Any:
            seconds = clip_to_deadline(self._timeout_s if timeout is None else timeout)
            try:
                return await call(request, timeout=seconds, metadata=(*self._metadata, *metadata))
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                raise _translate(error) from None

        return invoke

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._many(self._inner.unary_stream(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._many(self._inner.stream_stream(method, *arguments, **options))

    def _many(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def invoke(
            request: Any, *, timeout: float | None = None, metadata: Metadata = ()
        ) -> AsyncIterator[Any]:
            seconds = deadline() if timeout is None else clip_to_deadline(timeout)
            responses = call(request, timeout=seconds, metadata=(*self._metadata, *metadata))
            try:
                async for response in responses:
                    yield response
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                raise _translate(error) from None
            finally:
                responses.cancel()

        return invoke

    async def close(self, grace: float | None = None) -> None:
        """Let the calls end within `grace` seconds, then cancel them."""
        await self._inner.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _translate(error: grpc.aio.AioRpcError | asyncio.CancelledError) -> BaseException:
    """Return the kernel error of a failed call, or the cancellation of the caller's task.

    grpc.aio also raises CancelledError if the server goes away while a request is written. That
    must not end the caller's task, so it is a cancellation only if the task was cancelled.
    """
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error)
    task = asyncio.current_task()
    if task is None or task.cancelling():
        return error
    return ServiceUnavailable("a service went away during a call")
