"""Finds the TCP connections of a port that this process serves, closes them, and bars addresses.

gRPC accepts its connections itself and shows none of them, so they are found among the open files
of the process.
"""

from __future__ import annotations

import os
import resource
import socket
import stat
import struct
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from services.chassis.runtime.syn_filter import attach

#: The open files of this process, by their numbers.
_OPEN_FILES = "/dev/fd"
#: The most files that a process opens; a table of more only costs memory.
_MOST_FILES = 65_536
#: A closed socket leaves nothing behind: what was not sent is dropped.
_NO_LINGER = struct.pack("ii", 1, 0)
#: Where `tcp_info` of Linux has the number of bytes that were received.
_BYTES_RECEIVED = slice(128, 136)


@dataclass(frozen=True, slots=True)
class OwnSocket:
    """One end of a TCP connection in this process."""

    #: The number of the file.
    file: int
    #: Tells this socket from later ones with the same number of the file.
    inode: int
    #: The address and the port of the other end.
    host: str
    port: int


def raise_file_limit() -> int:
    """Let the process open as many files as it may; return their number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return file_limit()


def file_limit() -> int:
    """Return how many files the process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if soft == resource.RLIM_INFINITY else min(soft, _MOST_FILES)


class OpenSockets:
    """The TCP sockets of this process by their ports; all served ports share what one has found."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._names: list[str] = []
        self._listed_at = self._found_at = float("-inf")
        #: By the numbers of files: their inode, and what stays true of the socket (None = nothing
        #: that counts here).
        self._seen: dict[int, tuple[int, _Place | None]] = {}
        self._by_port: dict[int, tuple[list[OwnSocket], list[OwnSocket]]] = {}

    def count_files(self, max_age_s: float) -> int:
        """Return the number of open files, as of at most `max_age_s` ago."""
        with self._lock:
            self._list(max_age_s)
            return len(self._names)

    def of_port(
        self, port: int, max_age_s: float
    ) -> tuple[Sequence[OwnSocket], Sequence[OwnSocket]]:
        """Return the connections of a port, and what listens on it, as of at most `max_age_s` ago.

        Costs 2 microseconds a file, and 5 more once for each new socket.
        """
        with self._lock:
            if monotonic() - self._found_at >= max_age_s:
                self._list(max_age_s)
                self._find()
            return self._by_port.get(port, ((), ()))

    def _list(self, max_age_s: float) -> None:
        now = monotonic()
        if now - self._listed_at >= max_age_s:
            self._names, self._listed_at = os.listdir(_OPEN_FILES), now

    def _find(self) -> None:
        before, self._seen, self._by_port = self._seen, {}, {}
        self._found_at = self._listed_at
        for file in map(int, self._names):
            place = self._place_of(file, before)
            if place is not None:
                connected, listening = self._by_port.setdefault(place.port, ([], []))
                (listening if place.listens else connected).append(place.socket)

    def _place_of(
        self, file: int, before: Mapping[int, tuple[int, _Place | None]]
    ) -> _Place | None:
        try:
            status = os.fstat(file)
        except OSError:
            return None
        if not stat.S_ISSOCK(status.st_mode):
            return None
        known = before.get(file)
        if known is None or known[0] != status.st_ino:
            try:
                known = status.st_ino, _look_at(file, status.st_ino)
            except OSError:  # it is not connected yet, or its other end is gone
                return None
        self._seen[file] = known
        return known[1]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a socket of this process is."""

    port: int
    listens: bool
    socket: OwnSocket


def _look_at(file: int, inode: int) -> _Place | None:
    """Return where a TCP socket is; None = it is another one. Raises OSError: it is nowhere yet."""
    for found in _duplicate(file, inode):
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        port = found.getsockname()[1]
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return _Place(port, True, OwnSocket(file, inode, "", 0))
        host, other_port = found.getpeername()[:2]
        socket_ = OwnSocket(file, inode, host.removeprefix("::ffff:"), other_port)
        return _Place(port, False, socket_)
    raise OSError


#: Those of this process.
_SOCKETS = OpenSockets()


class ServedPort:
    """The open connections of one port of this process."""

    def __init__(self, port: int, sockets: OpenSockets = _SOCKETS) -> None:
        self._port = port
        self._sockets = sockets
        self._listening: Sequence[OwnSocket] = ()

    def connections(
        self, *, unless_fewer_than: int = 0, max_age_s: float = 0.0
    ) -> Sequence[OwnSocket]:
        """Return the connections as of at most `max_age_s` ago.

        Empty where the process has fewer open files than `unless_fewer_than`.
        """
        if unless_fewer_than and self._sockets.count_files(max_age_s) < unless_fewer_than:
            return ()
        found, self._listening = self._sockets.of_port(self._port, max_age_s)
        return found

    def bar(self, addresses: Collection[str]) -> None:
        """Let the kernel ignore who wants to connect from some groups of addresses, and no others.

        Call `connections` first. Only Linux can do this; elsewhere nothing happens.
        """
        for each in self._listening:
            for found in _duplicate(each.file, each.inode):
                attach(found, addresses)


def bytes_received(connection: OwnSocket) -> int:
    """Return how many bytes have arrived; 0 where the system cannot say it, or it has ended."""
    if sys.platform == "linux":
        for found in _duplicate(connection.file, connection.inode):
            with suppress(OSError):
                info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.stop)
                return int.from_bytes(info[_BYTES_RECEIVED], sys.byteorder)
    return 0


def shut_down(connection: OwnSocket) -> bool:
    """End a connection at once; its owner in this process reads its end. False = it has ended."""
    for found in _duplicate(connection.file, connection.inode):
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            found.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
        return True
    return False


def _duplicate(file: int, inode: int) -> Iterator[socket.socket]:
    """Yield a second handle of a socket, unless the number stands for another file by now."""
    try:
        copy = os.dup(file)
    except OSError:
        return
    try:
        found = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return
    with found:
        if os.fstat(copy).st_ino == inode:
            yield found
