"""Appends messages as lines of JSON to a file below the service's `out` folder."""

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

from services.activation.channels import Message, Sender
from services.activation.channels.written_lines import FilePosition, WrittenLines
from services.activation.domain.model import Destination
from services.activation.domain.system_channels import NdjsonFile
from services.activation.domain.transitions import AttemptResult, AttemptStatus

#: Files that are written at the same time.
WRITER_THREADS = 4


@dataclass(slots=True)
class _WriteQueue:
    """The messages that wait for one file; the task with the lock writes all of them."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pending: list[tuple[Message, asyncio.Future[None]]] = field(default_factory=list)
    #: Tasks inside `FileSender._append` for this file.
    tasks: int = 0


class FileSender(Sender):
    """Appends one line a message, once for each key; it counts as delivered once it is on disk."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self._queues: dict[Path, _WriteQueue] = {}
        self._threads = ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="file")

    async def position(self, destination: Destination) -> bytes:
        """Return the present end of the file; the lines of attempts that follow lie behind it."""
        path = self._path(destination)
        if path is None:
            return b""
        loop = asyncio.get_running_loop()
        try:
            end = await loop.run_in_executor(self._threads, FilePosition.of_end, path)
        except OSError:
            return b""
        return end.to_bytes()

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        path = self._path(destination)
        if path is None:
            return AttemptResult(AttemptStatus.FAILED, "the service has no data folder")
        try:
            await self._append(path, message)
        except OSError as error:
            return AttemptResult(AttemptStatus.FAILED, os.strerror(error.errno or 0))
        return AttemptResult(AttemptStatus.DELIVERED)

    def _path(self, destination: Destination) -> Path | None:
        channel = destination.channel
        if not isinstance(channel, NdjsonFile):
            raise TypeError("a file sender writes files")
        return self._out and self._out / destination.workspace_id / channel.name

    async def _append(self, path: Path, message: Message) -> None:
        """Append together with the other messages that wait for the file: one fsync for all."""
        loop = asyncio.get_running_loop()
        queue = self._queues.setdefault(path, _WriteQueue())
        written: asyncio.Future[None] = loop.create_future()
        queue.pending.append((message, written))
        queue.tasks += 1
        try:
            async with queue.lock:
                if not written.done():
                    await self._write(path, queue)
            await written
        finally:
            queue.tasks -= 1
            if not queue.tasks:
                self._queues.pop(path, None)

    async def _write(self, path: Path, queue: _WriteQueue) -> None:
        batch, queue.pending = queue.pending, []
        messages = [message for message, _ in batch]
        loop = asyncio.get_running_loop()
        result: OSError | None = OSError(errno.ECANCELED, "")
        try:
            await loop.run_in_executor(self._threads, append_once, path, messages)
            result = None
        except OSError as error:
            result = error
        finally:
            # Also where this task is cancelled: the other tasks must not wait for it.
            _resolve([written for _, written in batch], result)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Waits until running writes have ended.
        self._threads.shutdown()


def _resolve(futures: Sequence[asyncio.Future[None]], error: OSError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def append_once(path: Path, messages: Sequence[Message]) -> None:
    """Append the lines that no earlier attempt has appended, and fsync. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        retried = [message for message in messages if message.attempt > 1]
        written = WrittenLines(path, [m.payload for m in retried], [m.position for m in retried])
        if retried:
            # Before the lock: others may have written much since the earlier attempt.
            written.search(file.fileno())
        fcntl.flock(file, fcntl.LOCK_EX)
        if retried:
            written.search(file.fileno())
        end = file.seek(0, os.SEEK_END)
        fresh = [m.payload for m in messages if m.attempt == 1 or m.payload not in written.found]
        # Ends a line that a crash has cut short, so that the next line stays whole.
        if end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n":
            file.write(b"\n")
        file.writelines(payload + b"\n" for payload in fresh)
        file.flush()
        # Also if no line is new: the earlier attempt may have crashed before its fsync.
        os.fsync(file.fileno())
    if end == 0:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Fsync the folders of a new file, so that its name is on disk."""
    for path in (folder, folder.parent, folder.parent.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
