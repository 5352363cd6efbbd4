"""Finds the lines that earlier attempts have written to a file, also after it was rotated."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Self

#: Bytes before a position by which it is recognised in a file that may have been replaced.
ANCHOR_BYTES = 4_096
#: Bytes that are read at a time.
CHUNK_BYTES = 1024 * 1024
#: A file system's clock may lag behind that of the process, seconds.
_CLOCK_SLACK_S = 2.0
_FORMAT = struct.Struct(">Qd16s")


@dataclass(frozen=True, slots=True)
class FilePosition:
    """The end of a file at an instant. A line that is appended later lies behind it."""

    size: int
    #: Unix seconds.
    taken_at: float
    #: A digest of the bytes before the position: another file does not have them there.
    anchor: bytes

    @classmethod
    def of_end(cls, path: Path) -> Self:
        """Return the present end of a file that may not exist yet. Raises OSError."""
        taken_at = time.time()
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return cls(0, taken_at, _digest(b""))
        try:
            size = os.fstat(descriptor).st_size
            return cls(size, taken_at, _anchor(descriptor, size))
        finally:
            os.close(descriptor)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the position that `to_bytes` has encoded; empty = the start of every file."""
        return cls(*_FORMAT.unpack(data)) if data else cls(0, 0.0, _digest(b""))

    def to_bytes(self) -> bytes:
        return _FORMAT.pack(self.size, self.taken_at, self.anchor)

    def lies_in(self, descriptor: int) -> bool:
        """Return whether this is a position of an open file, and not of one that it replaced."""
        return _anchor(descriptor, self.size) == self.anchor


class WrittenLines:
    """Those of some lines that a file, or the files that it was rotated to, already has."""

    def __init__(self, path: Path, lines: Collection[bytes], positions: Collection[bytes]) -> None:
        """`positions`: encoded ends of the file, each from before a line could be written."""
        self.found: set[bytes] = set()
        self._path = path
        self._lines = frozenset(lines)
        self._longest = max(map(len, self._lines), default=0)
        self._positions = [FilePosition.from_bytes(each) for each in set(positions)]
        #: Where the search of the file goes on.
        self._next: int | None = None

    def search(self, descriptor: int) -> None:
        """Search the open file up to its end; a second call searches what came since then."""
        end = os.fstat(descriptor).st_size
        if self._next is None:
            start = self._start(descriptor)
            self._search_rotated(descriptor)
        else:
            # It was truncated since then, or a line may reach over the end of that search.
            start = 0 if end < self._next else max(0, self._next - self._longest - 1)
        self._search(descriptor, start, end)
        self._next = end

    def _start(self, descriptor: int) -> int:
        """Return where the search of a file begins: its start, if it replaced the one before."""
        if all(position.lies_in(descriptor) for position in self._positions):
            return min((position.size for position in self._positions), default=0)
        return 0

    def _search_rotated(self, descriptor: int) -> None:
        """Search the files that this one was renamed or copied to since the oldest position."""
        replaced = [p for p in self._positions if not p.size or not p.lies_in(descriptor)]
        since = min((p.taken_at for p in replaced if p.taken_at), default=None)
        if since is None:
            return
        with os.scandir(self._path.parent) as entries:
            candidates = list(entries)
        for entry in candidates:
            if entry.name == self._path.name or not entry.name.startswith(self._path.stem):
                continue
            if not entry.is_file(follow_symlinks=False):
                continue
            if entry.stat(follow_symlinks=False).st_mtime < since - _CLOCK_SLACK_S:
                continue
            with open(entry.path, "rb") as file:
                rotated = file.fileno()
                self._search(rotated, self._start(rotated), os.fstat(rotated).st_size)

    def _search(self, descriptor: int, start: int, end: int) -> None:
        for lines in _read_lines(descriptor, start, end, self._longest):
            if len(self.found) == len(self._lines):
                return
            self.found |= self._lines.intersection(lines)


def _read_lines(descriptor: int, start: int, end: int, longest: int) -> Iterator[list[bytes]]:
    """Yield the lines of a range, chunk by chunk; a line above `longest` bytes comes cut."""
    # A line that begins before the range is none of those that are searched for.
    is_inside_line = start > 0 and os.pread(descriptor, 1, start - 1) != b"\n"
    rest = b"\0" * (longest + 1) if is_inside_line else b""
    while start < end:
        chunk = os.pread(descriptor, min(CHUNK_BYTES, end - start), start)
        if not chunk:
            break
        start += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[: longest + 1]
        yield lines
    yield [rest]


def _anchor(descriptor: int, size: int) -> bytes:
    length = min(ANCHOR_BYTES, size)
    return _digest(os.pread(descriptor, length, size - length))


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
