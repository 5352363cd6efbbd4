"""Guards every gRPC method: authenticates, checks the role, starts the deadline, maps errors.

The server gets the handler of each call from the guard. The guard wraps each method once and keeps
the wrapped handler, which decodes the request only after the caller is known.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from time import perf_counter
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
import structlog

from services.chassis.access.keys import key_from_authorization
from services.chassis.access.principal import (
    WORKSPACE_KEY,
    Principal,
    Role,
    require_role,
    set_principal,
)
from services.chassis.rpc.errors import DETAILS_KEY, to_onefold_error, to_status
from services.chassis.runtime.tasks import start_deadline
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import OnefoldError, ServiceUnavailable
from services.kernel.restrictions import Peer

log = structlog.get_logger(__name__)

#: The service that anyone may call, where it is served.
_OPEN_PREFIX = "/grpc.health."
_CODES = {code.value[0]: code for code in grpc.StatusCode}
#: Returns the principal that holds a key. The second argument is the workspace that the metadata
#: name, which counts for the key of the other services only; the third is the caller's address.
Authenticate = Callable[[str | None, str, Peer], Awaitable[Principal]]
_Context = Any  # grpc.aio.ServicerContext
_Handler = Any  # grpc.RpcMethodHandler; its fields have no types


class OpenStreams:
    """The open streams, so that a service that stops need not wait for endless ones."""

    def __init__(self) -> None:
        self.draining = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """Let `end` cancel the body."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - grpc.aio runs every call in a task
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    def was_drained(self) -> bool:
        """Return whether `end` caused the cancellation that was just caught, and take it back."""
        if self.draining and (task := asyncio.current_task()):
            task.uncancel()
        return self.draining

    def end(self) -> None:
        """Cancel all of them."""
        self.draining = True
        for task in self._tasks:
            task.cancel()


def address_of(peer: str) -> str:
    """Return the address in the peer of a call, such as `ipv6:%5B::1%5D:50051`; else empty."""
    family, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0]
    return unquote(host).strip("[]") if family in ("ipv4", "ipv6") else ""


class Guard(grpc.aio.ServerInterceptor):
    """Wraps the methods of a server; a method that `allowed` does not list is not served."""

    def __init__(
        self, authenticate: Authenticate, allowed: Mapping[str, frozenset[Role]], metrics: Metrics
    ) -> None:
        self.streams = OpenStreams()
        self.authenticate = authenticate
        self.allowed = allowed
        self.metrics = metrics
        self._handlers: dict[str, _Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Return the guarded handler of a method; None = UNIMPLEMENTED."""
        method = handler_call_details.method
        guarded = self._handlers.get(method)
        if guarded is not None:
            return guarded
        handler = await continuation(handler_call_details)
        # An unknown name is not stored, or callers could fill the memory with names.
        if handler is None or method.startswith(_OPEN_PREFIX):
            return handler
        if method not in self.allowed or not is_served(behaviour_of(handler)):
            return None
        self._handlers[method] = guarded = _GuardedMethod(self, method, handler).handler()
        return guarded


def is_served(behaviour: object) -> bool:
    """Return whether a method is written, and not the placeholder of generated code."""
    return inspect.isasyncgenfunction(behaviour) or inspect.iscoroutinefunction(behaviour)


def behaviour_of(handler: _Handler) -> Callable[..., Any]:
    """Return the method behind a handler."""
    shapes = (handler.unary_unary, handler.unary_stream, handler.stream_unary)
    return next((shape for shape in shapes if shape), handler.stream_stream)


class _GuardedMethod:
    """One guarded method. It runs for every call, so `__init__` does all lookups that it can."""

    def __init__(self, guard: Guard, name: str, handler: _Handler) -> None:
        self._name = name
        self._shape = (handler.request_streaming, handler.response_streaming)
        self._behaviour = behaviour_of(handler)
        self._parse = handler.request_deserializer
        self._serialize = handler.response_serializer
        self._read = self._read_each if handler.request_streaming else self._parse
        self._roles = guard.allowed[name]
        self._authenticate = guard.authenticate
        self._metrics = metrics = guard.metrics
        self._streams = streams = guard.streams
        # In a stream of requests, `end` cancels only the wait for the next one.
        self._is_cancellable = handler.response_streaming and not handler.request_streaming
        self._cancellable = streams.cancellable if self._is_cancellable else nullcontext
        self._succeeded = metrics.rpcs.labels(name, grpc.StatusCode.OK.name)
        self._duration_s = metrics.rpc_duration_seconds.labels(name)

    def handler(self) -> _Handler:
        """Return the handler, which takes and returns serialised messages."""
        match self._shape:
            case (False, False):
                return grpc.unary_unary_rpc_method_handler(self._respond)
            case (True, False):
                return grpc.stream_unary_rpc_method_handler(self._respond)
            case (False, True):
                return grpc.unary_stream_rpc_method_handler(self._respond_with_stream)
            case _:
                return grpc.stream_stream_rpc_method_handler(self._respond_with_stream)

    async def _respond(self, request: Any, context: _Context) -> bytes:
        began = perf_counter()
        try:
            await self._enter(context)
            response: bytes = self._serialize(await self._behaviour(self._read(request), context))
        except (Exception, asyncio.CancelledError) as error:
            await self._fail(context, error)
        self._succeeded.inc()
        self._duration_s.observe(perf_counter() - began)
        return response

    async def _respond_with_stream(self, request: Any, context: _Context) -> AsyncIterator[bytes]:
        began = perf_counter()
        try:
            await self._enter(context)
            behaviour = self._behaviour(self._read(request), context)
            async with aclosing(behaviour) as responses:
                with self._cancellable():
                    async for response in responses:
                        yield self._serialize(response)
        except (Exception, asyncio.CancelledError) as error:
            await self._fail(context, error)
        self._succeeded.inc()
        self._duration_s.observe(perf_counter() - began)

    async def _read_each(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the requests of a stream, until it ends or the service stops."""
        parse, streams = self._parse, self._streams
        while not streams.draining:
            try:
                with streams.cancellable():
                    request = await anext(requests)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if not streams.was_drained():
                    raise
                return
            yield parse(request)

    async def _enter(self, context: _Context) -> None:
        # Each call has its own task, so these context variables are set for this call alone.
        start_deadline(context.time_remaining())
        metadata = dict(context.invocation_metadata())
        key = key_from_authorization(metadata.get("authorization"))
        peer = Peer(address_of(context.peer()))
        caller = await self._authenticate(key, metadata.get(WORKSPACE_KEY, ""), peer)
        require_role(caller, self._roles)
        set_principal(caller)

    async def _fail(self, context: _Context, error: BaseException) -> NoReturn:
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled and self._is_cancellable and self._streams.was_drained():
            error = ServiceUnavailable("this replica stops; call again")
        elif cancelled or isinstance(error, grpc.aio.AbortError):
            self._metrics.rpcs.labels(self._name, grpc.StatusCode.CANCELLED.name).inc()
            raise error
        known = to_onefold_error(error)
        status = to_status(known)
        code = _CODES[status.code]
        self._metrics.rpcs.labels(self._name, code.name).inc()
        self._metrics.rejections.labels(known.reason).inc()
        if known.reason == OnefoldError.reason:
            log.error("call_failed", method=self._name, exc_info=error)
        else:
            log.debug("call_rejected", method=self._name, reason=known.reason)
        await context.abort(code, known.message, ((DETAILS_KEY, status.SerializeToString()),))
        raise AssertionError("an aborted call goes on")
