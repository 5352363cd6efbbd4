"""Lines of JSON in a file below the service's out folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from services.activation.channels import Message
from services.activation.domain.decide import Outcome, Verdict
from services.activation.domain.model import Destination, NdjsonFile

#: How much of a file's end is searched for a line whose attempt ended unknown, bytes.
SEARCHED = 16 * 1024 * 1024


class FileSender:
    """Appends one line a message: on disk before it counts as delivered, once for every key."""

    def __init__(self, out: Path | None) -> None:
        self._out = out

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Make one attempt."""
        channel = destination.channel
        if not isinstance(channel, NdjsonFile):
            raise TypeError("a file sender writes files")
        if self._out is None:
            return Outcome(Verdict.FAILED, "the service has no data folder")
        path = self._out / destination.workspace_id / channel.name
        try:
            await asyncio.to_thread(append_once, path, message)
        except OSError as error:
            return Outcome(Verdict.FAILED, os.strerror(error.errno or 0))
        return Outcome(Verdict.DELIVERED)


def append_once(path: Path, message: Message) -> None:
    """Append the line unless an earlier attempt did. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if message.attempt > 1 and _has(file.fileno(), end, message.key):
            return
        # A line that a crash cut short is ended first, so that it does not swallow this one.
        torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
        file.write((b"\n" if torn else b"") + message.body + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _has(descriptor: int, end: int, key: str) -> bool:
    start = max(0, end - SEARCHED)
    tail = os.pread(descriptor, end - start, start)
    return any(key.encode() in line and line.endswith(b"}") for line in tail.split(b"\n"))
