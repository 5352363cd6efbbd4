"""Runs a service as several processes that share its ports, and restarts those that die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Self

import structlog

from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.process_link import LINK, REPORT_BYTES
from services.chassis.runtime.settings import PREFIX, ProcessSettings
from services.chassis.runtime.shared_ports import PortInUse, reserve
from services.chassis.runtime.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

#: The ports that the processes share, by the setting with the host of each.
_SHARED_PORTS = {"http_port": "host", "grpc_port": "host", "internal_grpc_port": "internal_host"}
#: After a run of this many seconds the pause before a restart is short again.
_LONG_RUN_S = 5.0
_MAX_PAUSE_S = 5.0
#: How long a group waits for its ports: the processes of a parent that was killed still end.
_PORTS_WAIT_S = 3.0
#: The least connections to PostgreSQL of one process.
_LEAST_CONNECTIONS = 6
_REPORT_TIMEOUT_S = 5.0


class ProcessFailed(Exception):
    """A process has ended before the group has served."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a process of the service has ended with code {code} while it started")
        self.code = code


class Member:
    """One running process of a group."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._asking = asyncio.Lock()
        #: Whether the process has not answered the last question yet.
        self._has_open_question = False
        #: Whether it has served since its start.
        self.serves = False

    @classmethod
    async def start(cls, env: Mapping[str, str]) -> Self:
        """Start a process by the command that has started this one. Raises OSError."""
        ours, its = socket.socketpair()
        with its:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *sys.orig_argv[1:]),
                env={**os.environ, **env, LINK: str(its.fileno())},
                pass_fds=[its.fileno()],
                # A signal of the terminal reaches the parent alone, which passes it on.
                start_new_session=True,
            )
        return cls(process, *await asyncio.open_unix_connection(sock=ours, limit=REPORT_BYTES))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def served(self) -> bool:
        """Return whether the process serves now; False where it has ended before."""
        with suppress(ConnectionError):
            self.serves = bool(await self._reader.readline())
        return self.serves

    async def report(self) -> dict[str, Any] | None:
        """Return the report of the process; None where it does not answer in time or has ended."""
        with suppress(TimeoutError, ConnectionError):
            async with self._asking, asyncio.timeout(_REPORT_TIMEOUT_S):
                if not self._has_open_question:
                    self._writer.write(b"\n")
                    self._has_open_question = True
                line = await self._reader.readline()
                self._has_open_question = False
                return json.loads(line) if line else None
        return None

    async def ended(self) -> int:
        """Return the exit code of the process, after its end."""
        try:
            return await self._process.wait()
        finally:
            self._writer.close()

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it still runs."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


class ProcessGroup:
    """The processes of one service. `async with ProcessGroup(…) as group:` reserves their ports."""

    def __init__(self, settings: ProcessSettings, count: int) -> None:
        self._settings = settings
        self._count = count
        self._members: dict[int, Member] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._ports: dict[str, int] = {}
        self._held = ExitStack()
        self._is_stopping = False
        self._has_served = asyncio.Event()

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports that the processes share, by the names of their settings."""
        return self._ports

    def serving(self) -> dict[int, Member]:
        """Return the processes that serve now, by their numbers from 1."""
        return {number: member for number, member in self._members.items() if member.serves}

    async def start(self) -> None:
        """Start all processes; return when the first one serves.

        The first one prepares the database, so the others start after it. Raises ProcessFailed.
        """
        self._keep(1)
        serving = asyncio.ensure_future(self._has_served.wait())
        await asyncio.wait({serving, *self._keeping}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await cancel_and_wait(serving)
            await self._keeping[0]
        for number in range(2, self._count + 1):
            self._keep(number)

    async def stop(self) -> None:
        """Let all processes drain, and return when they have ended. Cancelled, it ends them."""
        self._is_stopping = True
        self._signal_all()
        try:
            await asyncio.gather(*self._keeping, return_exceptions=True)
        except asyncio.CancelledError:
            self._signal_all()  # a second signal ends the draining
            raise

    def _signal_all(self) -> None:
        for member in self._members.values():
            member.signal(signal.SIGTERM)

    def _keep(self, number: int) -> None:
        self._keeping.append(asyncio.create_task(self._keep_running(number)))

    async def _keep_running(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(first_s=0.1, max_s=_MAX_PAUSE_S)
        while not self._is_stopping:
            began = loop.time()
            try:
                code = await self._run_once(number)
            except OSError as error:  # such as no memory for one more process
                code = error.errno or 1
            if self._is_stopping:
                return
            if not self._has_served.is_set():
                raise ProcessFailed(code)
            log.warning("process_died", process=number, code=code)
            if loop.time() - began > _LONG_RUN_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _run_once(self, number: int) -> int:
        member = await Member.start(self._environment())
        self._members[number] = member
        try:
            if self._is_stopping:
                member.signal(signal.SIGTERM)
            if await member.served():
                log.info("process_serves", process=number, pid=member.pid)
                self._has_served.set()
            return await member.ended()
        finally:
            del self._members[number]

    def _environment(self) -> dict[str, str]:
        """Return the settings that a process of the group has in the place of the service's."""
        changes = {**self._ports, "processes": 1}
        connections: int | None = getattr(self._settings, "postgres_connections", None)
        if connections is not None:
            changes["postgres_connections"] = max(_LEAST_CONNECTIONS, connections // self._count)
        own = f"{PREFIX}{self._settings.service.upper()}_"
        return {f"{own}{name.upper()}": str(value) for name, value in changes.items()}

    def _reserve(self) -> None:
        for name, host in _SHARED_PORTS.items():
            port = getattr(self._settings, name, None)
            if port is not None:
                held = self._held.enter_context(reserve(getattr(self._settings, host), port))
                self._ports[name] = held.getsockname()[1]

    async def __aenter__(self) -> Self:
        """Reserve the ports. Raises PortInUse."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _PORTS_WAIT_S
        while True:
            try:
                self._reserve()
                return self
            except PortInUse:
                self._held.close()
                if loop.time() > give_up_at:
                    raise
            await asyncio.sleep(0.1)

    async def __aexit__(self, *_: object) -> None:
        # A process that still runs ends with its link.
        for task in self._keeping:
            await cancel_and_wait(task)
        self._held.close()
