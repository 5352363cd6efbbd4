"""The guard before every gRPC method.

It finds out who calls, refuses what the table of allowed roles does not list, starts the deadline,
reads the message only then, and tells errors as statuses. It stands where the methods are
registered and not in an interceptor: that costs nothing a call, and lets it read the bytes itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from time import perf_counter
from typing import Any, NoReturn

import grpc
import structlog

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import key_from_authorization
from services.chassis.access.principal import WORKSPACE_KEY, Role, require_role, set_principal
from services.chassis.rpc.errors import DETAILS_KEY, to_onefold_error, to_status
from services.chassis.runtime.deadlines import start_deadline
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import OnefoldError, ServiceUnavailable

log = structlog.get_logger(__name__)

_NO_ROLES: frozenset[Role] = frozenset()
_Context = Any  # grpc.aio.ServicerContext


class OpenStreams:
    """The streams that are open, so that a service that stops need not wait for endless ones."""

    def __init__(self) -> None:
        self.ending = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """What runs inside is cancelled when the streams are to end."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - grpc.aio runs every call in a task
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    def was_drained(self) -> bool:
        """Whether the cancellation that was just caught came from `end`; if so it is over."""
        if self.ending and (task := asyncio.current_task()):
            task.uncancel()
        return self.ending

    def end(self) -> None:
        """Ask all of them to end."""
        self.ending = True
        for task in self._tasks:
            task.cancel()


class Guard:
    """Makes guarded methods."""

    def __init__(
        self,
        authenticator: Authenticator,
        allowed: Mapping[str, frozenset[Role]],
        metrics: Metrics,
    ) -> None:
        self._authenticator = authenticator
        self._allowed = allowed
        self._metrics = metrics
        self.streams = OpenStreams()

    def wrap(self, method: str, handler: Any) -> Any:
        """A handler that does what `handler` does, for those who may."""
        roles = self._allowed.get(method, _NO_ROLES)
        guarded = _GuardedMethod(
            method, handler, roles, self._authenticator, self._metrics, self.streams
        )
        return guarded.handler()


def is_served(handler: Any) -> bool:
    """Whether there is a method behind a handler, and not the placeholder of generated code."""
    behaviour = _behaviour(handler)
    if handler.response_streaming:
        return inspect.isasyncgenfunction(behaviour)
    return inspect.iscoroutinefunction(behaviour)


def _behaviour(handler: Any) -> Any:
    shapes = (handler.unary_unary, handler.unary_stream, handler.stream_unary)
    return next((shape for shape in shapes if shape), handler.stream_stream)


class _GuardedMethod:
    """One guarded method. It runs once a call, so what can be looked up before is."""

    def __init__(
        self,
        name: str,
        handler: Any,
        roles: frozenset[Role],
        authenticator: Authenticator,
        metrics: Metrics,
        streams: OpenStreams,
    ) -> None:
        self._name = name
        self._shape = (handler.request_streaming, handler.response_streaming)
        self._behaviour = _behaviour(handler)
        self._parse = handler.request_deserializer
        self._serialize = handler.response_serializer
        self._read = self._read_each if handler.request_streaming else self._parse
        self._roles = roles
        self._authenticate = authenticator.authenticate
        self._metrics = metrics
        self._streams = streams
        # Of a stream of requests, only the waiting for the next one is cut off.
        self._is_watched = handler.response_streaming and not handler.request_streaming
        self._cancellable = streams.cancellable if self._is_watched else nullcontext
        self._succeeded = metrics.rpcs.labels(name, grpc.StatusCode.OK.name)
        self._seconds = metrics.rpc_duration_seconds.labels(name)

    def handler(self) -> Any:
        """A handler of bytes."""
        match self._shape:
            case (False, False):
                return grpc.unary_unary_rpc_method_handler(self._answer_one)
            case (True, False):
                return grpc.stream_unary_rpc_method_handler(self._answer_one)
            case (False, True):
                return grpc.unary_stream_rpc_method_handler(self._answer_many)
            case _:
                return grpc.stream_stream_rpc_method_handler(self._answer_many)

    async def _answer_one(self, request: Any, context: _Context) -> bytes:
        began = perf_counter()
        try:
            await self._enter(context)
            answer: bytes = self._serialize(await self._behaviour(self._read(request), context))
        except (Exception, asyncio.CancelledError) as error:
            await self._fail(context, error)
        self._succeeded.inc()
        self._seconds.observe(perf_counter() - began)
        return answer

    async def _answer_many(self, request: Any, context: _Context) -> AsyncIterator[bytes]:
        began = perf_counter()
        try:
            await self._enter(context)
            behaviour = self._behaviour(self._read(request), context)
            async with aclosing(behaviour) as answers:
                with self._cancellable():
                    async for answer in answers:
                        yield self._serialize(answer)
        except (Exception, asyncio.CancelledError) as error:
            await self._fail(context, self._cut_off_or(error))
        self._succeeded.inc()
        self._seconds.observe(perf_counter() - began)

    async def _read_each(self, requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """The requests of a stream, until it ends or the service stops."""
        parse, streams = self._parse, self._streams
        while not streams.ending:
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

    def _cut_off_or(self, error: BaseException) -> BaseException:
        is_cut_off = isinstance(error, asyncio.CancelledError) and self._is_watched
        if is_cut_off and self._streams.was_drained():
            return ServiceUnavailable("this replica stops; call again")
        return error

    async def _enter(self, context: _Context) -> None:
        # The task of a call is its own: what is set here is set for this call alone.
        start_deadline(context.time_remaining())
        metadata = dict(context.invocation_metadata())
        key = key_from_authorization(metadata.get("authorization"))
        caller = await self._authenticate(key, metadata.get(WORKSPACE_KEY, ""))
        require_role(caller, self._roles)
        set_principal(caller)

    async def _fail(self, context: _Context, error: BaseException) -> NoReturn:
        if (
            isinstance(error, asyncio.CancelledError)
            and self._is_watched
            and self._streams.was_drained()
        ):
            error = ServiceUnavailable("this replica stops; call again")
        if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
            self._metrics.rpcs.labels(self._name, grpc.StatusCode.CANCELLED.name).inc()
            raise error
        told = to_onefold_error(error)
        status = to_status(told)
        code = _CODES[status.code]
        self._metrics.rpcs.labels(self._name, code.name).inc()
        self._metrics.rejections.labels(told.reason).inc()
        self._log(told, error)
        details = ((DETAILS_KEY, status.SerializeToString()),)
        await context.abort(code, told.message, details)
        raise AssertionError("an aborted call goes on")

    def _log(self, told: OnefoldError, error: BaseException) -> None:
        if told.reason == OnefoldError.reason:
            log.error("call_failed", method=self._name, exc_info=error)
        else:
            log.debug("call_refused", method=self._name, reason=told.reason)


_CODES = {code.value[0]: code for code in grpc.StatusCode}
