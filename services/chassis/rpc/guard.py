"""Guards every gRPC method: authenticates, checks the role, starts the deadline, maps errors.

The server gets the handler of each call from the guard. The guard wraps each method once and keeps
the wrapped handler, which waits for the request only after the caller is known and admitted.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote

import grpc
import structlog

from services.chassis.access.hidden_identifiers import NamedPersons
from services.chassis.access.keys import key_from_authorization
from services.chassis.access.personal_data import PersonalFields
from services.chassis.access.principal import WORKSPACE_KEY, Principal, Role, set_principal
from services.chassis.access.rights import UNMASK_KEY, lens_of
from services.chassis.audit.log import AuditLog
from services.chassis.audit.recorder import AuditedCall, MethodAudit
from services.chassis.rpc.admission import Admission, AdmittedCall
from services.chassis.rpc.connections import ConnectionGuard
from services.chassis.rpc.errors import DETAILS_KEY, to_onefold_error, to_status
from services.chassis.rpc.sealing import TokenSealer, method_paths
from services.chassis.rpc.streams import Authenticate, Credentials, OpenStream, OpenStreams
from services.chassis.runtime.addresses import Network, client_address
from services.chassis.runtime.tasks import start_deadline
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import InvalidField, OnefoldError, RateLimited, ServiceUnavailable
from services.kernel.masking import CLEAR, Lens
from services.kernel.restrictions import Peer

log = structlog.get_logger(__name__)

#: The service that anyone may call, where it is served.
_OPEN_PREFIX = "/grpc.health."
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_AUTHORIZATION = "authorization"
#: The metadata in which a proxy names the address of its client.
FORWARDED_KEY = "x-forwarded-for"
_CREDENTIALS = frozenset({_AUTHORIZATION, WORKSPACE_KEY, FORWARDED_KEY, UNMASK_KEY})
_Messages = AsyncIterator[bytes]
_Context = Any  # grpc.aio.ServicerContext
_Handler = Any  # grpc.RpcMethodHandler; its fields have no types


@lru_cache(maxsize=4_096)
def address_of(peer: str) -> str:
    """Return the address in the peer of a call, such as `ipv6:%5B::1%5D:50051`; else empty."""
    family, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0]
    return unquote(host).strip("[]") if family in ("ipv4", "ipv6") else ""


class Sealing(NamedTuple):
    """How an endpoint hands out tokens. For clients they are sealed, and so are theirs."""

    sealer: TokenSealer
    #: Whether all callers are clients; else only those whose call a proxy has passed on.
    for_clients: bool


class Guard(grpc.aio.ServerInterceptor):
    """Wraps the methods of a server; a method that `allowed` does not list is not served."""

    def __init__(
        self,
        authenticate: Authenticate,
        check_role: Callable[[Principal, Container[Role], str], None],
        allowed: Mapping[str, frozenset[Role]],
        admission: Admission,
        sealing: Sealing,
        metrics: Metrics,
        connections: ConnectionGuard | None = None,
        proxies: Sequence[Network] = (),
        audit: AuditLog | None = None,
    ) -> None:
        """`connections`: those of the endpoint; None = they have no limits.

        `proxies`: what they say about the addresses of their clients is believed. `audit`: where
        calls are recorded; None = nowhere.
        """
        self.audit = audit
        self.streams = OpenStreams(authenticate)
        self.authenticate = authenticate
        self.check_role = check_role
        self.allowed = allowed
        self.admission = admission
        self.sealing = sealing
        self.metrics = metrics
        self.connections = connections
        self.proxies = proxies
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
    """One guarded method. It runs for every call, so `__init__` does all lookups that it can.

    The transport treats every method as one with a stream of requests: else it would wait for the
    whole message of a call, for ever, before the guard could refuse the caller.
    """

    def __init__(self, guard: Guard, name: str, handler: _Handler) -> None:
        self._name = name
        self._takes_stream = handler.request_streaming
        self._gives_stream = handler.response_streaming
        if self._takes_stream and not self._gives_stream:
            raise NotImplementedError(f"{name}: a stream of requests needs a stream of responses")
        self._behaviour = behaviour_of(handler)
        self._deserializer = handler.request_deserializer
        self._serializer = handler.response_serializer
        self._sealing = guard.sealing
        self._tokens_in, self._tokens_out = method_paths(name)
        self._personal = PersonalFields.of(name)
        self._persons = NamedPersons.of(name)
        self._audit = MethodAudit(name, guard.audit)
        #: Whether its calls have nothing to mask, name no persons, and are no entries of the audit.
        self._is_plain = (
            self._personal.is_empty and self._persons.is_empty and not self._audit.is_act
        )
        self._roles = guard.allowed[name]
        self._authenticate = guard.authenticate
        self._check_role = guard.check_role
        self._admission = guard.admission
        self._connections = guard.connections
        self._proxies = guard.proxies
        self._metrics = metrics = guard.metrics
        self._streams = guard.streams
        self._succeeded = metrics.rpcs.labels(name, grpc.StatusCode.OK.name)
        self._duration_s = metrics.rpc_duration_seconds.labels(name)

    def handler(self) -> _Handler:
        """Return the handler, which takes and returns serialised messages."""
        if self._gives_stream:
            return grpc.stream_stream_rpc_method_handler(self._respond_with_stream)
        return grpc.stream_unary_rpc_method_handler(self._respond)

    async def _respond(self, _: _Messages, context: _Context) -> bytes:
        began = perf_counter()
        admitted: AdmittedCall = ()
        try:
            credentials = credentials_of(context, self._proxies)
            caller, admitted = await self._enter(credentials, context)
            sealed = self._sealing.for_clients or credentials.is_forwarded
            reason = credentials.unmask_reason
            # A reason is checked in any case.
            lens = CLEAR if self._is_plain and not reason else lens_of(caller, reason)
            request = self._parse(await self._streams.only_message(context.read), caller, sealed)
            if lens is CLEAR:  # also for the other services, whose calls are no entries
                response = await self._behaviour(request, context)
            else:
                call = AuditedCall(caller, request, lens, reason)
                response = await self._respond_masked(call, context)
            serialised = self._serialize(response, caller, sealed)
        except (Exception, asyncio.CancelledError) as error:
            await self._fail(context, error)
        finally:
            self._admission.leave(admitted)
        self._count(began)
        return serialised

    async def _respond_masked(self, call: AuditedCall, context: _Context) -> Any:
        """Return the masked response to a call, which is recorded before if it is an entry."""
        self._check_read(call.request, call.lens)
        response = await self._audit.watch(call, self._checked(call, context))
        await self._audit.record(call, self._personal.mask(response, call.lens))
        return response

    def _check_read(self, request: Any, lens: Lens) -> None:
        """Raise NotAllowed where a request would tell its caller what it sees masked."""
        self._personal.check_rules(request, lens)
        self._persons.check(request, lens)

    async def _checked(self, call: AuditedCall, context: _Context) -> Any:
        if self._audit.is_act:
            self._personal.check_masks(call.request, call.lens)
        return await self._behaviour(call.request, context)

    async def _respond_with_stream(
        self, requests: _Messages, context: _Context
    ) -> AsyncIterator[bytes]:
        began = perf_counter()
        admitted: AdmittedCall = ()
        try:
            credentials = credentials_of(context, self._proxies)
            caller, admitted = await self._enter(credentials, context)
            sealed = self._sealing.for_clients or credentials.is_forwarded
            lens = lens_of(caller, credentials.unmask_reason)
            with self._streams.open(credentials, self._roles) as stream:
                if self._takes_stream:
                    request = self._read_each(stream, requests, caller, sealed)
                else:
                    message = await self._streams.only_message(context.read)
                    request = self._parse(message, caller, sealed)
                    self._check_read(request, lens)
                call = AuditedCall(caller, request, lens, credentials.unmask_reason)
                async with aclosing(self._behaviour(request, context)) as responses:
                    async for response in self._send_each(stream, responses):
                        call = _as_of_now(call, stream)
                        await self._audit.record(call, self._personal.mask(response, call.lens))
                        yield self._serialize(response, caller, sealed)
        except (Exception, asyncio.CancelledError) as error:
            await self._fail(context, error)
        finally:
            self._admission.leave(admitted)
        self._count(began)

    async def _read_each(
        self, stream: OpenStream, requests: _Messages, caller: Principal, sealed: bool
    ) -> AsyncIterator[Any]:
        """Yield the requests of a stream until it ends, its key is refused or the service stops.

        Every request is authenticated, so that none is accepted from a key that a single call
        could not use any more.
        """
        while True:
            try:
                request = await stream.wait_for(requests.__anext__)
            except StopAsyncIteration:
                return
            except ServiceUnavailable:
                if self._streams.draining:
                    return
                raise
            await self._authenticate(stream.credentials)
            yield self._parse(request, caller, sealed)

    def _send_each(self, stream: OpenStream, responses: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Return the responses; those to a stream of requests end when the requests end."""
        return responses if self._takes_stream else _each(stream, responses)

    def _counted_address(self, credentials: Credentials) -> str:
        """Return the group of the caller's address; empty = it is not counted by address."""
        if self._connections is None:
            return ""
        return self._connections.counted_address(credentials.peer.address)

    async def _enter(
        self, credentials: Credentials, context: _Context
    ) -> tuple[Principal, AdmittedCall]:
        address = self._counted_address(credentials)
        # Each call has its own task, so these context variables are set for this call alone.
        start_deadline(context.time_remaining())
        try:
            caller = await self._authenticate(credentials)
        except RateLimited:
            self._refuse(address, context, has_key=False)
            raise
        self._check_role(caller, self._roles, self._name)
        if self._connections is not None:
            self._connections.admit(context.peer())
        try:
            admitted = self._admission.enter(caller, address, is_stream=self._gives_stream)
        except RateLimited:
            self._refuse(address, context, has_key=True)
            raise
        set_principal(caller)
        return caller, admitted

    def _refuse(self, address: str, context: _Context, *, has_key: bool) -> None:
        if self._connections is not None:
            self._connections.refuse(context.peer(), address, has_key=has_key)

    def _parse(self, serialised: bytes, caller: Principal, sealed: bool) -> Any:
        request = self._deserializer(serialised)
        if self._tokens_in:
            workspace_id = caller.workspace_id
            self._sealing.sealer.open(request, self._tokens_in, workspace_id, plain_too=not sealed)
        return request

    def _serialize(self, response: Any, caller: Principal, sealed: bool) -> bytes:
        if self._tokens_out and sealed:
            self._sealing.sealer.seal(response, self._tokens_out, caller.workspace_id)
        serialised: bytes = self._serializer(response)
        return serialised

    def _count(self, began: float) -> None:
        self._succeeded.inc()
        self._duration_s.observe(perf_counter() - began)

    async def _fail(self, context: _Context, error: BaseException) -> NoReturn:
        if isinstance(error, asyncio.CancelledError | grpc.aio.AbortError):
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
        await context.abort(code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
        raise AssertionError("an aborted call goes on")


def _as_of_now(call: AuditedCall, stream: OpenStream) -> AuditedCall:
    """Return the call of a stream, with the lens by the classes that its workspace has now."""
    caller = stream.caller
    if caller is None or caller.field_classes == call.caller.field_classes:
        return call
    return call._replace(caller=caller, lens=lens_of(caller, call.reason))


async def _each(stream: OpenStream, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield the messages until they end. Raises the reason if the stream must end."""
    with suppress(StopAsyncIteration):
        while True:
            yield await stream.wait_for(messages.__anext__)


def credentials_of(context: _Context, proxies: Sequence[Network]) -> Credentials:
    """Return what the metadata of a call say about its caller.

    Its address is that of the connection, or what a proxy says about its client.

    Raises InvalidField where they say it twice: another program on the way may have read the other
    value.
    """
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata():
        if name in _CREDENTIALS:
            if name in found:
                raise InvalidField(f"the metadata have `{name}` twice: send it once", field=name)
            found[name] = value
    key = key_from_authorization(found.get(_AUTHORIZATION))
    address = client_address(address_of(context.peer()), found.get(FORWARDED_KEY, ""), proxies)
    is_forwarded = FORWARDED_KEY in found
    reason = unquote(found.get(UNMASK_KEY, ""))
    return Credentials(key, found.get(WORKSPACE_KEY, ""), Peer(address), is_forwarded, reason)
