"""Calls to other services: with the internal key, within a deadline, with our errors.

`open_channel` gives what generated stubs take::

    async with channel(settings.ingest_url, key) as ingest:
        answer = await LogServiceStub(ingest).GetHead(GetHeadRequest())

A call has the deadline of the call that is being answered, or that of the channel. Calls that
only read are tried again where the other service could not be reached.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Self

import grpc

from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.rpc.errors import from_rpc
from services.chassis.runtime.deadlines import clip_to_deadline, deadline
from services.kernel.errors import ServiceUnavailable

Metadata = Sequence[tuple[str, str]]

#: Methods whose names begin so change nothing, and may be called twice.
READ_PREFIXES = ("Get", "List", "BatchGet", "Resolve", "Explain", "Count", "Read", "Await")
_PAUSES_S = (0.1, 0.4)
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
)


def open_channel(
    url: str, key: str, *, workspace_id: str = "", timeout_s: float = 10.0
) -> ServiceChannel:
    """A channel to the service at `url` (`host:port`); it connects when it is first used.

    Raises ValueError where `url` is empty, which is a setting that was not given.
    """
    if not url:
        raise ValueError("the address of a service that is needed is not set")
    metadata = [("authorization", f"Bearer {key}")]
    if workspace_id:
        metadata.append((WORKSPACE_KEY, workspace_id))
    return ServiceChannel(grpc.aio.insecure_channel(url, options=_OPTIONS), metadata, timeout_s)


class ServiceChannel(grpc.aio.Channel):
    """A channel whose calls raise OnefoldError and carry a key.

    A call with one answer is a coroutine; a call with a stream of answers is an async generator.
    Both take `timeout` (seconds) and `metadata`.
    """

    def __init__(self, inner: grpc.aio.Channel, metadata: Metadata, timeout_s: float) -> None:
        self._inner = inner
        self._metadata = tuple(metadata)
        self._timeout_s = timeout_s

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A call with one request and one answer."""
        call = self._inner.unary_unary(method, *arguments, **options)
        if method.rpartition("/")[2].startswith(READ_PREFIXES):
            return self._with_retries(call)
        return self._single(call)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A call with a stream of requests and one answer."""
        return self._single(self._inner.stream_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A call with one request and a stream of answers."""
        return self._many(self._inner.unary_stream(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A call with a stream of requests and a stream of answers."""
        return self._many(self._inner.stream_stream(method, *arguments, **options))

    def _single(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def invoke(
            request: Any, *, timeout: float | None = None, metadata: Metadata = ()
        ) -> Any:
            seconds = clip_to_deadline(self._timeout_s if timeout is None else timeout)
            sent = (*self._metadata, *metadata)
            try:
                return await call(request, timeout=seconds, metadata=sent)
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                raise _translate(error) from None

        return invoke

    def _with_retries(self, call: Callable[..., Any]) -> Callable[..., Any]:
        once = self._single(call)

        async def invoke(
            request: Any, *, timeout: float | None = None, metadata: Metadata = ()
        ) -> Any:
            ends_at = monotonic() + clip_to_deadline(
                self._timeout_s if timeout is None else timeout
            )
            for pause in _PAUSES_S:
                with suppress(ServiceUnavailable):
                    return await once(request, timeout=ends_at - monotonic(), metadata=metadata)
                pause *= random.uniform(0.5, 1.5)  # noqa: S311 - spreads callers, hides nothing
                if monotonic() + pause > ends_at:
                    break
                await asyncio.sleep(pause)
            return await once(request, timeout=max(0.0, ends_at - monotonic()), metadata=metadata)

        return invoke

    def _many(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def invoke(
            request: Any, *, timeout: float | None = None, metadata: Metadata = ()
        ) -> AsyncIterator[Any]:
            answers = call(
                request,
                timeout=deadline() if timeout is None else clip_to_deadline(timeout),
                metadata=(*self._metadata, *metadata),
            )
            try:
                async for answer in answers:
                    yield answer
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                raise _translate(error) from None
            finally:
                answers.cancel()

        return invoke

    async def close(self, grace: float | None = None) -> None:
        """Let the calls end within `grace` seconds, then cancel them."""
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection."""
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the state is another one."""
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when there is a connection."""
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _translate(error: grpc.aio.AioRpcError | asyncio.CancelledError) -> BaseException:
    """The error of a call; a cancellation stays one only if somebody asked our task for it.

    grpc.aio raises CancelledError also where writing a request failed as the server went away.
    """
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error)
    task = asyncio.current_task()
    if task is None or task.cancelling():
        return error
    return ServiceUnavailable("a service went away during a call")
