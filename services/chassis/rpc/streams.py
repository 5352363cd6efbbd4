"""Ends calls that wait: streams whose key is no longer valid, and calls without a message.

A call is authenticated when it begins; a stream may last for days. So one task for all streams
authenticates the key of each of them again every few seconds, and at once after keys were folded.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NamedTuple, TypeVar, cast

import grpc
import structlog

from services.chassis.access.principal import Principal, Role, require_role
from services.kernel.errors import InvalidField, NotAllowed, OnefoldError, ServiceUnavailable
from services.kernel.restrictions import Peer

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: How often the keys of open streams are authenticated again, seconds.
RECHECK_S = 5.0
#: How long the one message of a call may take to arrive after the call was admitted, seconds.
MESSAGE_TIMEOUT_S = 10.0


class Credentials(NamedTuple):
    """What the metadata of a call say about its caller."""

    key: str | None
    #: The workspace that the call names; it counts for the internal key only.
    workspace_id: str
    #: Where the call comes from.
    peer: Peer
    #: Whether a proxy, such as the console, has passed the call on for a client.
    is_forwarded: bool = False
    #: Why the caller wants to see what is masked; empty = it does not.
    unmask_reason: str = ""


#: Returns the principal of credentials. Raises OnefoldError.
Authenticate = Callable[[Credentials], Awaitable[Principal]]


class Call:
    """An open call, whose wait for a message can be ended."""

    def __init__(self) -> None:
        #: Why the call must end; None = it may go on.
        self.ended_by: OnefoldError | None = None
        #: The task that waits for the next message.
        self._waiting: asyncio.Task[object] | None = None

    async def wait_for(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return the message that `read` waits for.

        Raises what it raises, and the reason if the call must end.
        """
        if self.ended_by is not None:
            raise self.ended_by
        self._waiting = task = asyncio.current_task()
        try:
            return await read()
        except asyncio.CancelledError:
            # Raised by `end`, or because the caller or the transport has ended the call.
            if self.ended_by is None or task is None:
                raise
            task.uncancel()
            raise self.ended_by from None
        finally:
            self._waiting = None

    def end(self, error: OnefoldError) -> None:
        """End the call with an error, at once if it waits for a message.

        A message that is being handled or written is finished: grpc.aio leaves a call open whose
        task was cancelled while it wrote.
        """
        if self.ended_by is None:
            self.ended_by = error
            if self._waiting is not None:
                self._waiting.cancel()


class OpenStream(Call):
    """An open call with a stream."""

    def __init__(self, credentials: Credentials, roles: frozenset[Role]) -> None:
        super().__init__()
        self.credentials = credentials
        self.roles = roles
        #: What its key is since it was authenticated again; None = it was not yet.
        self.caller: Principal | None = None


class OpenStreams:
    """The streams that are open at one endpoint, and the calls whose message has not arrived.

    One task for all of them looks after their keys, and one after their messages: a timer for each
    call would be a tenth of the cost of a small call.
    """

    def __init__(self, authenticate: Authenticate) -> None:
        self.draining = False
        self._authenticate = authenticate
        self._open: set[OpenStream] = set()
        #: When the wait for the message of a call began; the oldest first.
        self._since: dict[Call, float] = {}
        self._recheck_now = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def open(self, credentials: Credentials, roles: frozenset[Role]) -> Iterator[OpenStream]:
        """Provide a stream, which is open in the scope, for a caller that may call it."""
        stream = OpenStream(credentials, roles)
        if self.draining:
            stream.end(_stopping())
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    async def only_message(self, read: Callable[[], Awaitable[Any]]) -> bytes:
        """Return the message of a call that has one. `read` is that of the call's context: an
        iterator that is left before its end would cost a task.

        Raises InvalidField if the call ends without one, and ServiceUnavailable if it takes too
        long.
        """
        call = Call()
        self._since[call] = monotonic()
        try:
            message = await call.wait_for(read)
        finally:
            del self._since[call]
        if message is grpc.aio.EOF:
            raise InvalidField("the call has no message: send the request of this method")
        return cast(bytes, message)

    def drain(self) -> None:
        """End all streams, as the service stops."""
        self.draining = True
        for stream in self._open:
            stream.end(_stopping())

    def recheck(self) -> None:
        """Authenticate the keys of all streams again, soon."""
        self._recheck_now.set()

    async def watch_messages(self) -> None:
        """End the calls whose message does not arrive in time, until cancelled."""
        while True:
            await asyncio.sleep(MESSAGE_TIMEOUT_S / 10)
            began = monotonic() - MESSAGE_TIMEOUT_S
            for call, since in list(self._since.items()):
                if since > began:
                    break
                call.end(ServiceUnavailable("the message did not arrive in time: call again"))

    async def watch_keys(self) -> None:
        """Authenticate the keys of all streams again and again, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._recheck_now.wait(), RECHECK_S)
            self._recheck_now.clear()
            await self._recheck_all()

    async def _recheck_all(self) -> None:
        """Authenticate each key once, and end the streams of those that are refused."""
        by_credentials: dict[Credentials, list[OpenStream]] = defaultdict(list)
        for stream in self._open:
            by_credentials[stream.credentials].append(stream)
        for credentials, streams in by_credentials.items():
            try:
                caller = await self._authenticate(credentials)
            except NotAllowed as refused:
                for stream in streams:
                    stream.end(refused)
            except Exception as error:
                # The store is away: no call can read or write, and the next check comes soon.
                log.warning("stream_recheck_failed", exc_info=error)
            else:
                _end_without_role(caller, streams)


def _end_without_role(caller: Principal, streams: list[OpenStream]) -> None:
    for stream in streams:
        stream.caller = caller
        try:
            require_role(caller, stream.roles)
        except NotAllowed as refused:
            stream.end(refused)


def _stopping() -> ServiceUnavailable:
    return ServiceUnavailable("this replica stops; call again")
