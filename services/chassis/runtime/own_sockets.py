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
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

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


class ServedPort:
    """The open connections of one port of this process."""

    def __init__(self, port: int) -> None:
        self._port = port
        #: By the numbers of files: their inode, and the connection, or None for another socket.
        self._seen: dict[int, tuple[int, OwnSocket | None]] = {}
        #: The sockets that listen, as numbers of files and inodes.
        self._listening: set[tuple[int, int]] = set()

    def connections(self, *, unless_fewer_than: int = 0) -> list[OwnSocket]:
        """Return the open connections; empty where the process has few open files.

        Costs 2 microseconds a file, and 5 more once for each new socket.
        """
        names = os.listdir(_OPEN_FILES)
        if len(names) < unless_fewer_than:
            self._seen.clear()
            return []
        before, self._seen = self._seen, {}
        return [each for name in names if (each := self._find(int(name), before))]

    def _find(self, file: int, before: dict[int, tuple[int, OwnSocket | None]]) -> OwnSocket | None:
        try:
            status = os.fstat(file)
        except OSError:
            return None
        if not stat.S_ISSOCK(status.st_mode):
            return None
        known = before.get(file)
        if known is None or known[0] != status.st_ino:
            known = status.st_ino, self._look_at(file, status.st_ino)
        self._seen[file] = known
        return known[1]

    def _look_at(self, file: int, inode: int) -> OwnSocket | None:
        for found in _duplicate(file, inode):
            if found.family in (socket.AF_INET, socket.AF_INET6):
                try:
                    if found.getsockname()[1] == self._port:
                        host, port = found.getpeername()[:2]
                        return OwnSocket(file, inode, host.removeprefix("::ffff:"), port)
                except OSError:  # it listens, or its other end is gone
                    if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        self._listening.add((file, inode))
        return None

    def bar(self, addresses: Collection[str]) -> None:
        """Let the kernel ignore who wants to connect from some groups of addresses, and no others.

        Call `connections` first. Only Linux can do this; elsewhere nothing happens.
        """
        for file, inode in self._listening:
            for found in _duplicate(file, inode):
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
