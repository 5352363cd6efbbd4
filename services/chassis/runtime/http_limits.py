"""Bounds what strangers can hold of an HTTP server: bytes of heads, time, connections, memory."""

from __future__ import annotations

import math
import resource
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Generic, TypeVar

from services.chassis.runtime.addresses import Network

C = TypeVar("C")

#: Of the files that a process may open, connections of one HTTP server use at most this part.
_PART_OF_FILES = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The limits of one HTTP server."""

    #: The most bytes of a request line and its headers.
    head_bytes: int = 32 * 1024
    #: The most headers of a request.
    headers: int = 100
    #: How long a connection may wait for a whole head, and then for a known key, seconds.
    head_s: float = 10.0
    #: The most open connections.
    connections: int = 2_000
    #: The most open connections of one address; 0 = as many as there are at all.
    connections_per_address: int = 500
    #: Proxies that forward for many clients: their connections are not counted by address.
    proxies: tuple[Network, ...] = ()
    #: The most requests that a client may send ahead of their responses.
    pipelined: int = 16
    #: The most bytes of a body that are not content, beyond a quarter of the content: the sizes of
    #: chunks, their extensions, and headers after the body.
    framing_bytes: int = 64 * 1024
    #: The most bytes of all bodies that were received and not yet read by an endpoint.
    buffered_bytes: int = 64 * 1024 * 1024
    #: How long a client may leave a response unread, seconds.
    unread_s: float = 30.0

    def within_files(self) -> HttpLimits:
        """Return these limits, with no more connections than the process can open.

        Where they have to be lowered, that of one address is lowered in proportion.
        """
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(1, int(files * _PART_OF_FILES))
        if files == resource.RLIM_INFINITY or self.connections <= most:
            return self
        share = math.ceil(self.connections_per_address * most / self.connections)
        return replace(self, connections=most, connections_per_address=share)


@dataclass(slots=True)
class ConnectionTable(Generic[C]):
    """The open connections of one server, by what they wait for.

    A connection waits until its request has a known key, and again after the response. Where there
    are too many, the one that waits for longest is dropped: half-sent heads and idle connections
    give way to a client that sends a request. Of connections with a known key, those whose body
    is still on its way are dropped last, oldest first; one whose request is being handled never is.
    """

    limits: HttpLimits
    #: By connection, since when it waits; the oldest first.
    _waiting: dict[C, float] = field(default_factory=dict)
    #: By connection with a known key, since when its body arrives; the oldest first.
    _receiving: dict[C, float] = field(default_factory=dict)
    #: The address of each open connection.
    _addresses: dict[C, str] = field(default_factory=dict)
    _by_address: Counter[str] = field(default_factory=Counter)
    #: Bytes of bodies that no endpoint has read yet.
    buffered: int = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def open(self, connection: C, address: str, now: float) -> bool:
        """Add a connection, which waits.

        Return False, and add nothing, if its address has its share. `address`: empty = it is not
        counted by address. `now`: any clock that never goes back, seconds, the same for all
        methods.
        """
        share = self.limits.connections_per_address
        if address:
            if share and self._by_address[address] >= share:
                return False
            self._by_address[address] += 1
        self._addresses[connection] = address
        self._waiting[connection] = now
        return True

    def wait(self, connection: C, now: float) -> None:
        """Let a connection wait from now on."""
        if connection in self._addresses:
            self._receiving.pop(connection, None)
            self._waiting.pop(connection, None)
            self._waiting[connection] = now

    def trust(self, connection: C, now: float, *, body_is_complete: bool) -> None:
        """Note that the request of a connection has a known key."""
        if self._waiting.pop(connection, None) is not None and not body_is_complete:
            self._receiving[connection] = now

    def complete(self, connection: C) -> None:
        """Note that the body of a request with a known key has arrived."""
        self._receiving.pop(connection, None)

    def close(self, connection: C) -> None:
        """Remove a connection; one that is not in the table is ignored."""
        self._waiting.pop(connection, None)
        self._receiving.pop(connection, None)
        address = self._addresses.pop(connection, None)
        if address:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def surplus(self) -> C | None:
        """Return the connection to drop, where there are more than the limit.

        It may be the one that was opened last. None = none, or all are being handled.
        """
        if len(self._addresses) <= self.limits.connections:
            return None
        return next(chain(self._waiting, self._receiving), None)

    def expired(self, now: float) -> Iterator[C]:
        """Yield the connections that have waited for too long; the caller closes each."""
        oldest = now - self.limits.head_s
        for connection, since in list(self._waiting.items()):
            if since > oldest:
                return
            yield connection
