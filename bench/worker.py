"""Processes that work for a benchmark: told what to do, line by line, in JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.devstack.stack import ROOT


class Worker:
    """A process that answers a line with a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def ask(self, **told: Any) -> Any:
        """What came of a task."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        return json.loads(await self.line())

    async def line(self) -> bytes:
        """The next line that it says. Raises RuntimeError where it has ended."""
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark has ended")
        return line


@asynccontextmanager
async def worker(module: str) -> AsyncIterator[Worker]:
    """`python -m module`, ended with the scope."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Worker(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
