"""Runs one service as a process, and restarts it whenever it dies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import structlog

from services.chassis.runtime.backoff import Backoff
from services.devstack.errors import ServerError
from services.devstack.folders import ROOT
from services.devstack.process import end, ended, spawn

READY_SECONDS = 60.0
POLL_SECONDS = 0.05
STOP_STEPS = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))
#: The longest pause before a restart, seconds.
MAX_PAUSE_S = 5.0
#: After a run of this many seconds the pause before a restart is short again.
LONG_RUN_S = 5.0
#: Exit codes of a process that was killed while it started: its watcher restarts it.
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)

log = structlog.get_logger(__name__)


class ServiceProcess:
    """One service as a separate process."""

    def __init__(self, name: str, env: Mapping[str, str], log_file: Path, ready_url: str) -> None:
        self.name = name
        self._ready_url = ready_url
        self._env = env
        self._log_file = log_file
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = True

    @property
    def pid(self) -> int:
        """Return the process id. Raises ServerError when it was not started."""
        if self._child is None:
            raise ServerError(f"{self.name} is not started")
        return self._child.pid

    def start(self) -> None:
        """Start the process; `ready` waits until it serves."""
        self._closed = False
        self._child = spawn(
            [sys.executable, "-m", f"services.{self.name}"],
            cwd=ROOT,
            log=self._log_file,
            env=self._env,
            # It ends with the thread that started it, so that no orphan holds leases of shards.
            death_signal=signal.SIGTERM,
        )

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Wait until the service is ready. Raises ServerError when it ends or takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while not await self._is_ready(http):  # noqa: ASYNC110 there is no event to wait for
                    await asyncio.sleep(POLL_SECONDS)
                return
        raise ServerError(f"{self.name} did not become ready: see {self._log_file}")

    async def watch(self) -> None:
        """Restart the process each time it dies, until `stop`."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(first_s=0.1, max_s=MAX_PAUSE_S)
        while not self._closed:
            began = loop.time()
            try:
                if not await self._wait_until_dead():
                    return
                if loop.time() - began > LONG_RUN_S:
                    backoff.reset()
                await asyncio.sleep(backoff.next_s())
                if not self._closed:
                    self.start()
            except Exception as error:
                # Such as a full disk; the dead process stays, so the next round starts it.
                log.error("service_restart_failed", service=self.name, exc_info=error)
                await asyncio.sleep(MAX_PAUSE_S)

    async def _wait_until_dead(self) -> bool:
        """Return whether the process died by itself, and was not stopped."""
        await ended(self.pid)
        if self._closed:
            return False
        code = self._child.wait() if self._child else None
        log.warning("service_died", service=self.name, code=code)
        return True

    async def stop(self) -> None:
        """Stop the process. Raises ServerError when it does not end."""
        self._closed = True
        if self._child is None:
            return
        if not await end(self._child.pid, *STOP_STEPS):
            raise ServerError(f"{self.name} (process {self._child.pid}) does not end")
        self._child.wait()
        self._child = None

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        if self._child is not None and self._child.poll() not in (None, *_KILLED):
            raise ServerError(f"{self.name} did not start: see {self._log_file}")
        with suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(self._ready_url) as response:
                return response.status == 200
        return False
