"""Makes the calls of the gateway over gRPC, with messages as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc

from services.chassis.runtime.tasks import cancel_and_wait
from services.console.gateway.errors import CallFailed, Headers
from services.console.gateway.methods import Method


class Responses:
    """The responses to one call."""

    def __init__(self, call: grpc.aio.Call, gives_stream: bool) -> None:
        self._call = call
        self._gives_stream = gives_stream
        #: Set when all messages were read.
        self.trailers: Headers = ()

    async def headers(self, wait_s: float | None = None) -> Headers:
        """Return what the service sends before its first response.

        After `wait_s` seconds without a response nothing is returned. Raises CallFailed.
        """
        arriving = asyncio.ensure_future(self._call.initial_metadata())
        try:
            done, _ = await asyncio.wait({arriving}, timeout=wait_s)
            return tuple(arriving.result() or ()) if done else ()
        except grpc.aio.AioRpcError as error:
            raise CallFailed.from_rpc(error) from None
        finally:
            await cancel_and_wait(arriving)

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield each response. Raises CallFailed."""
        call: Any = self._call
        try:
            if self._gives_stream:
                async for message in call:
                    yield message
            else:
                yield await call
            self.trailers = tuple(await call.trailing_metadata() or ())
        except grpc.aio.AioRpcError as error:
            raise CallFailed.from_rpc(error) from None


class Response(NamedTuple):
    """The response to a call that has one."""

    message: bytes
    headers: Headers
    trailers: Headers


class ServiceCalls:
    """The channels to the services."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """`channels` by the name of the service."""
        self._channels = channels
        #: What makes the calls of a method, by (service, path).
        self._made: dict[tuple[str, str], Any] = {}

    @asynccontextmanager
    async def call(
        self, method: Method, requests: Sequence[bytes], metadata: Headers, timeout_s: float | None
    ) -> AsyncIterator[Responses]:
        """Make a call, and cancel it at the end of the scope where it goes on.

        `requests`: one, unless the method takes a stream.
        """
        call = self._start(method, requests, tuple(metadata), timeout_s)
        try:
            yield Responses(call, method.gives_stream)
        finally:
            call.cancel()

    async def unary(
        self, method: Method, request: bytes, metadata: Headers, timeout_s: float | None
    ) -> Response:
        """Make a call that has one request and one response. Raises CallFailed."""
        call = self._start(method, [request], tuple(metadata), timeout_s)
        try:
            message = await call
        except grpc.aio.AioRpcError as error:
            raise CallFailed.from_rpc(error) from None
        headers, trailers = await call.initial_metadata(), await call.trailing_metadata()
        return Response(message, tuple(headers or ()), tuple(trailers or ()))

    def _start(
        self, method: Method, requests: Sequence[bytes], metadata: Headers, timeout_s: float | None
    ) -> Any:
        # The stubs know no calls whose messages are bytes.
        make_call: Any = self._made.get((method.service, method.path))
        if make_call is None:
            shape = "_".join(
                "stream" if is_stream else "unary"
                for is_stream in (method.takes_stream, method.gives_stream)
            )
            make_call = getattr(self._channels[method.service], shape)(method.path)
            self._made[method.service, method.path] = make_call
        request = _each(requests) if method.takes_stream else requests[0]
        return make_call(request, metadata=metadata, timeout=timeout_s)


async def _each(requests: Iterable[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        yield request
