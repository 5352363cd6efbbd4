"""Lines of JSON in a file below the service's out folder."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from services.activation.channels import Message
from services.activation.domain.model import Destination, NdjsonFile
from services.activation.domain.transitions import Outcome, Verdict

#: How much of a file's end is searched for a line whose attempt ended unknown, bytes.
SEARCHED = 16 * 1024 * 1024
#: Files that are written at once.
WRITERS = 4


@dataclass(slots=True)
class _Line:
    """What waits to be written to one file; whoever holds the turn writes for all."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[tuple[Message, asyncio.Future[None]]] = field(default_factory=list)
    users: int = 0


class FileSender:
    """Appends one line a message: on disk before it counts as delivered, once for every key."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self._lines: dict[Path, _Line] = {}
        self._threads = ThreadPoolExecutor(WRITERS, thread_name_prefix="file")

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Make one attempt."""
        channel = destination.channel
        if not isinstance(channel, NdjsonFile):
            raise TypeError("a file sender writes files")
        if self._out is None:
            return Outcome(Verdict.FAILED, "the service has no data folder")
        path = self._out / destination.workspace_id / channel.name
        try:
            await self._append(path, message)
        except OSError as error:
            return Outcome(Verdict.FAILED, os.strerror(error.errno or 0))
        return Outcome(Verdict.DELIVERED)

    async def _append(self, path: Path, message: Message) -> None:
        """Append together with those who wait for the same file: one fsync for all of them."""
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(path, _Line())
        written: asyncio.Future[None] = loop.create_future()
        line.waiting.append((message, written))
        line.users += 1
        try:
            async with line.turn:
                if not written.done():
                    await self._write(path, line)
            await written
        finally:
            line.users -= 1
            if not line.users:
                self._lines.pop(path, None)

    async def _write(self, path: Path, line: _Line) -> None:
        batch, line.waiting = line.waiting, []
        messages = [message for message, _ in batch]
        loop = asyncio.get_running_loop()
        failure: OSError | None = OSError(errno.ECANCELED, "")
        try:
            await loop.run_in_executor(self._threads, append_once, path, messages)
            failure = None
        except OSError as error:
            failure = error
        finally:
            # Also where this task is cancelled: the others must not wait for it.
            _settle([written for _, written in batch], failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What is being written is written to its end.
        self._threads.shutdown()


def _settle(futures: Sequence[asyncio.Future[None]], failure: OSError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)


def append_once(path: Path, messages: Sequence[Message]) -> None:
    """Append the lines that no earlier attempt did, and bring all to disk. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        again = any(message.attempt > 1 for message in messages)
        there = _last_lines(file.fileno(), end) if again else frozenset()
        fresh = [m.body for m in messages if m.attempt == 1 or m.body not in there]
        # A line that a crash cut short is ended first, so that it does not swallow the next one.
        if end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n":
            file.write(b"\n")
        file.writelines(body + b"\n" for body in fresh)
        file.flush()
        # Also where nothing was written: the attempt before may have died ahead of this.
        os.fsync(file.fileno())
    if end == 0:
        _sync_folder(path.parent)


def _last_lines(descriptor: int, end: int) -> frozenset[bytes]:
    """The lines at the end of a file; every attempt at an effect has the same line."""
    start = max(0, end - SEARCHED)
    return frozenset(os.pread(descriptor, end - start, start).split(b"\n"))


def _sync_folder(folder: Path) -> None:
    """Bring the name of a new file to disk, and those of the folders it stands in."""
    for place in (folder, folder.parent, folder.parent.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
