"""Runs a server in a folder: one supervisor, restarts, a log, saved ports and passwords."""

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

import structlog

from services.devstack.errors import FolderInUse, ServerError
from services.devstack.folders import load_or_create_secrets, make_folder
from services.devstack.log_files import MAX_BYTES, rotate
from services.devstack.ports import PortChooser, is_free
from services.devstack.process import end, ended, is_alive

READY_SECONDS = 60.0
#: How long a recovering server may take: it may have gigabytes of write-ahead log to replay.
RECOVERY_SECONDS = 3600.0
PROGRESS_SECONDS = 2.0
FIRST_POLL, LONGEST_POLL = 0.02, 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
PORT_TRIES = 3
PORTS = "ports.json"
#: In a line that explains why a server ended. PostgreSQL also logs our own attempts to connect
#: while it starts.
ERROR = re.compile(r"FATAL(?!:  the database system is)|PANIC|\[FTL\]|error:|nats-server:")

log = structlog.get_logger(__name__)


class Recovering(Exception):
    """The server runs, and reports that it needs more time."""


class ManagedServer(ABC):
    """A server in its own folder below the data folder; one supervisor at a time."""

    name: ClassVar[str]
    #: The signals that stop it, in turn, each with the seconds it is given.
    stop_steps: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    port_names: ClassVar[tuple[str, ...]]
    #: The users that have a password.
    users: ClassVar[tuple[str, ...]]

    def __init__(
        self, data_dir: Path, *, die_with_parent: bool = True, ports: PortChooser | None = None
    ) -> None:
        """Choose the folder; the disk stays unchanged until `start`.

        `die_with_parent`: the server is stopped when the thread that called `start` ends (Linux
        only). `ports`: chooses the ports; None = the saved ones, else free ones.
        """
        self.data_dir = data_dir.expanduser().resolve()
        self.home = self.data_dir / self.name
        #: The output of the server.
        self.log_file = self.home / "server.log"
        self._death_signal = int(self.stop_steps[0][0]) if die_with_parent else 0
        self._port_chooser = ports or PortChooser({}, {})
        self._ports: dict[str, int] = {}
        self._passwords: dict[str, str] = {}
        self._changing = asyncio.Lock()
        self._lock_descriptor: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._log_start = 0
        self._stopping = True

    @property
    def pid(self) -> int:
        """Return the server's process id. Raises ServerError when it was not started."""
        if self._pid is None:
            raise ServerError(f"{self.name} is not started")
        return self._pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server, or adopt the one that runs on this folder; return when it responds.

        Raises ServerError.
        """
        async with self._changing:
            self._stopping = False
            try:
                self._lock_folder()
                self._passwords = load_or_create_secrets(self.home / "passwords.json", *self.users)
                self._pid = self._find_running()
                # A server whose supervisor has just died may be about to stop.
                adopted = self._pid is not None and await self._wait_until_ready()
                if not adopted:
                    await self._launch_on_free_ports()
            except FolderInUse:
                raise
            except BaseException as error:
                await self._kill()
                self._unlock_folder()
                if isinstance(error, OSError):
                    raise ServerError(f"{self.name} cannot use {self.home}: {error}") from error
                raise
        log.info("server_started", server=self.name, pid=self.pid, adopted=adopted)

    async def stop(self) -> None:
        """Stop the server cleanly, also an adopted one; a start under way is given up.

        Raises ServerError when it does not end.
        """
        self._stopping = True
        async with self._changing:
            if self._lock_descriptor is None:
                return
            try:
                await self._end()
            finally:
                self._unlock_folder()
        log.info("server_stopped", server=self.name)

    async def watch(self) -> None:
        """Restart the server on the same ports each time it dies, until `stop`."""
        while not self._stopping:
            try:
                await self._restart_once_dead()
            except Exception as error:
                log.error("server_watch_failed", server=self.name, exc_info=error)
                await asyncio.sleep(LONGEST_PAUSE)

    async def _restart_once_dead(self) -> None:
        pid = self._pid
        if pid is not None:
            await ended(pid)
        async with self._changing:
            if not self._stopping and self._pid == pid:
                log.warning("server_died", server=self.name, pid=pid)
                await self._restart()

    async def _restart(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            self._reap()
            try:
                await self._launch()
            except Exception as error:
                reason = str(error) if isinstance(error, ServerError) else type(error).__name__
                log.error("server_restart_failed", server=self.name, reason=reason)
                await self._kill()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                log.info("server_restarted", server=self.name, pid=self.pid)
                return

    async def _launch_on_free_ports(self) -> None:
        """Choose ports and launch; repeat where another program takes a port in between."""
        for attempt in range(PORT_TRIES):
            self._ports = self._port_chooser.choose(self.home / PORTS, *self.port_names)
            try:
                await self._launch()
            except ServerError:
                await self._kill()
                if attempt == PORT_TRIES - 1 or all(map(is_free, self._ports.values())):
                    raise
            else:
                return

    async def _launch(self) -> None:
        self._rotate_log()
        self._child = await self._spawn()
        self._pid = self._child.pid
        if not await self._wait_until_ready():
            raise ServerError(
                f"{self.name} did not start: {self._last_error()} (more in {self.log_file})"
            )

    async def _wait_until_ready(self) -> bool:
        """Wait until the server responds; False: it ended. Raises ServerError after too long."""
        began = time.monotonic()
        deadline, report_at = began + READY_SECONDS, began + PROGRESS_SECONDS
        pause = FIRST_POLL
        while self._pid is not None and is_alive(self._pid):
            try:
                if await self._responds():
                    return True
            except Recovering:
                deadline = began + RECOVERY_SECONDS
            if self._stopping:
                raise ServerError(f"{self.name} was stopped before it responded")
            now = time.monotonic()
            if now > deadline:
                raise ServerError(
                    f"{self.name} did not respond in {deadline - began:.0f} s: see {self.log_file}"
                )
            if now > report_at:
                report_at = now + PROGRESS_SECONDS
                log.info("server_awaited", server=self.name, seconds=round(now - began))
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, LONGEST_POLL)  # each try is a line in PostgreSQL's log
            self._reap()
        return False

    def _reap(self) -> None:
        if self._child is not None:
            self._child.poll()

    async def _end(self) -> None:
        if self._pid is not None and not await end(self._pid, *self.stop_steps):
            raise ServerError(f"{self.name} (process {self._pid}) does not end")
        self._clear_process()

    async def _kill(self) -> None:
        """End a process that a failed start launched; an adopted one goes on running."""
        if self._child is not None and self._child.poll() is None:
            await end(self._child.pid, *self.stop_steps)
        self._clear_process()

    def _clear_process(self) -> None:
        self._reap()
        self._child = self._pid = None

    def _lock_folder(self) -> None:
        """Lock the folder until `_unlock_folder`; the system unlocks it when this process dies."""
        if self._lock_descriptor is not None:
            raise FolderInUse(f"{self.name} in {self.data_dir} is already started")
        make_folder(self.home, passable=True)
        descriptor = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "?"
            os.close(descriptor)
            raise FolderInUse(
                f"{self.data_dir} is in use by another onefold (process {holder}): "
                "stop that one, or choose another folder with --data"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode("ascii"))
        self._lock_descriptor = descriptor

    def _unlock_folder(self) -> None:
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def _rotate_log(self) -> None:
        rotate(self.log_file)
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0

    def _last_error(self) -> str:
        """Return the line of this start's log that best explains why the server ended."""
        with suppress(OSError), self.log_file.open("rb") as file:
            # The file is emptied when it has grown too large.
            file.seek(min(self._log_start, self.log_file.stat().st_size))
            lines = file.read(MAX_BYTES).decode("utf-8", "replace").splitlines()
            errors = [line for line in lines if ERROR.search(line)]
            return (errors[:1] or lines[-1:] or ["it logged nothing"])[0].strip()
        return "it logged nothing"

    @abstractmethod
    def _find_running(self) -> int | None:
        """Return the process of the server that runs on this folder, and load its ports."""

    @abstractmethod
    async def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process on the chosen ports. Raises ServerError."""

    @abstractmethod
    async def _responds(self) -> bool:
        """Return whether the server serves, and has what clients need.

        Raises Recovering when it runs but needs more time, ServerError when it never will.
        """
