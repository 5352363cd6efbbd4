"""Starts processes for a benchmark, which take tasks and return results as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.devstack.folders import ROOT


class Worker:
    """A process that returns one line for each line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def run(self, **task: Any) -> Any:
        """Run a task, and return its result."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(task).encode() + b"\n")
        return json.loads(await self.line())

    async def line(self) -> bytes:
        """Return the next line of output. Raises RuntimeError where the process has ended."""
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark has ended")
        return line


@asynccontextmanager
async def worker(module: str) -> AsyncIterator[Worker]:
    """Run `python -m module`, and end it with the scope."""
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
