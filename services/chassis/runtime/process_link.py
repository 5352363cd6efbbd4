"""Connects a process of a group with the parent that started it, through a pair of sockets.

The process sends a line when it serves. Then it answers each line of the parent with a report. The
end of the connection means that the other side has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

#: The environment variable with the number of the file that is the process's end.
LINK = "ONEFOLD_PROCESS_LINK"
#: The most bytes of a report.
REPORT_BYTES = 16 << 20

#: Makes a report, as JSON has it.
MakeReport = Callable[[], Awaitable[dict[str, Any]]]


class ProcessLink:
    """The end of a process."""

    def __init__(self, file: int) -> None:
        self._socket = socket.socket(fileno=file)
        self._make_report: MakeReport = _nothing

    @classmethod
    def of_environment(cls) -> ProcessLink | None:
        """Return the link to the parent; None for a process that was started by itself."""
        text = os.environ.pop(LINK, "")
        return cls(int(text)) if text else None

    def report_with(self, make_report: MakeReport) -> None:
        """Let `make_report` make the reports from now on."""
        self._make_report = make_report

    async def serve(self, serves: asyncio.Event) -> None:
        """Announce the process as soon as it serves, then report; return when the parent ends."""
        reader, writer = await asyncio.open_unix_connection(sock=self._socket)
        announcing = asyncio.create_task(_announce(serves, writer))
        try:
            while await reader.readline():
                report = await self._make_report()
                writer.write(json.dumps(report).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            announcing.cancel()
            writer.close()


async def _announce(serves: asyncio.Event, writer: asyncio.StreamWriter) -> None:
    await serves.wait()
    writer.write(b"{}\n")


async def _nothing() -> dict[str, Any]:
    return {}


#: The link of this process; None where it has no parent.
LINK_TO_PARENT = ProcessLink.of_environment()
