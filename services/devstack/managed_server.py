"""What PostgreSQL and NATS have in common: a folder with a lock, secrets, a life that is watched.

EngineError            cannot be started, or does not end; one line that says what to do
  FolderInUse          another onefold supervises this data folder
"""

import asyncio
import fcntl
import json
import os
import secrets
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import structlog

from services.devstack.process import end, ended, is_alive

READY_SECONDS = 60.0
#: An engine that says it is recovering is given this long: many gigabytes of write-ahead log.
RECOVERY_SECONDS = 3600.0
PROGRESS_SECONDS = 2.0
FIRST_POLL, LONGEST_POLL = 0.02, 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
PORT_TRIES = ADOPTION_TRIES = 3
LOG_BYTES = 10_000_000
#: PostgreSQL's answer to us while we wait for it.
NOT_YET = "FATAL:  the database system is"
TELLING_WORDS = ("FATAL", "PANIC", "[FTL]", "error:", "nats-server:")

log = structlog.get_logger(__name__)


class ServerError(Exception):
    """An engine cannot be started, or does not end. The text is one line for the user."""


class FolderInUse(ServerError):
    """Another onefold supervises this data folder."""


class Recovering(Exception):
    """The engine lives and says that it needs more time."""


class ManagedServer(ABC):
    """A server in a folder of its own below the data folder; one supervisor at a time."""

    name: ClassVar[str]
    #: What is sent to stop it, in turn, each with the seconds it is given.
    stop_steps: ClassVar[tuple[tuple[signal.Signals, float], ...]]

    def __init__(self, data_dir: Path, *, die_with_parent: bool = True) -> None:
        """Touch nothing yet.

        `die_with_parent`: the server is told to stop when the thread that called `start` ends
        (Linux only).
        """
        self.data_dir = data_dir.expanduser().resolve()
        self.home = self.data_dir / self.name
        self._death_signal = int(self.stop_steps[0][0]) if die_with_parent else 0
        self._turn = asyncio.Lock()
        self._lock_descriptor: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._log_start = 0
        self._stopping = True

    @property
    def pid(self) -> int:
        """The server's process. Raises EngineError when it was not started."""
        if self._pid is None:
            raise ServerError(f"{self.name} is not started")
        return self._pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server, or adopt the one that runs on this folder; return when it answers.

        Raises EngineError.
        """
        async with self._turn:
            self._stopping = False
            try:
                self._lock_folder()
                adopted = await self._adopt()
                if not adopted:
                    await self._relaunch()
                    await self._prepare()
            except FolderInUse:
                raise
            except BaseException as error:
                await self._kill()
                self._unlock_folder()
                if isinstance(error, OSError):
                    raise ServerError(f"{self.name} cannot use {self.home}: {error}") from error
                raise
        log.info("engine_started", engine=self.name, pid=self.pid, adopted=adopted)

    async def stop(self) -> None:
        """Stop the server cleanly, whoever started it; a start that goes on is given up.

        Raises EngineError when it does not end.
        """
        self._stopping = True
        async with self._turn:
            if self._lock_descriptor is None:
                return
            try:
                await self._end()
            finally:
                self._unlock_folder()
        log.info("engine_stopped", engine=self.name)

    async def watch(self) -> None:
        """Bring the server back, on the same port, each time it dies, until `stop`."""
        while not self._stopping:
            pid = self.pid
            await ended(pid)
            async with self._turn:
                if not self._stopping and self._pid == pid:
                    log.warning("engine_died", engine=self.name, pid=pid)
                    await self._restart()

    async def _restart(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            self._reap()
            try:
                await self._launch()
            except (ServerError, OSError) as error:
                log.error("engine_restart_failed", engine=self.name, reason=str(error))
                await self._kill()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                log.info("engine_restarted", engine=self.name, pid=self.pid)
                return

    async def _adopt(self) -> bool:
        """Take over the server that runs on this folder, if one does and stays.

        A server whose supervisor has just died may answer us first and then obey its last order.
        """
        self._pid = self._find_running()
        for attempt in range(ADOPTION_TRIES):
            if self._pid is None or not await self._wait_until_ready():
                return False
            try:
                await self._prepare()
            except ServerError:
                if attempt == ADOPTION_TRIES - 1:
                    raise
            else:
                break
        return True

    async def _relaunch(self) -> None:
        """Launch on a port of our choice, which another program may take before the server does."""
        for attempt in range(PORT_TRIES):
            self._choose_ports()
            try:
                await self._launch()
            except ServerError:
                await self._kill()
                if attempt == PORT_TRIES - 1 or self._ports_are_free():
                    raise
            else:
                return

    async def _launch(self) -> None:
        self._rotate_log()
        self._child = await self._spawn()
        self._pid = self._child.pid
        if not await self._wait_until_ready():
            raise ServerError(
                f"{self.name} did not start: {self._log_tail()} (more in {self.log_file})"
            )

    async def _wait_until_ready(self) -> bool:
        """Wait until the server answers; False: it ended. Raises EngineError after too long."""
        began = time.monotonic()
        deadline, tell_at = began + READY_SECONDS, began + PROGRESS_SECONDS
        pause = FIRST_POLL
        while self._is_running():
            try:
                if await self._responds():
                    return True
            except Recovering:
                deadline = began + RECOVERY_SECONDS
            if self._stopping:
                raise ServerError(f"{self.name} was stopped before it answered")
            now = time.monotonic()
            if now > deadline:
                raise ServerError(
                    f"{self.name} gave no answer in {deadline - began:.0f} s: see {self.log_file}"
                )
            if now > tell_at:
                tell_at = now + PROGRESS_SECONDS
                log.info("engine_awaited", engine=self.name, seconds=round(now - began))
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, LONGEST_POLL)  # each try is a line in PostgreSQL's log
        return False

    def _is_running(self) -> bool:
        self._reap()
        return self._pid is not None and is_alive(self._pid)

    def _reap(self) -> None:
        if self._child is not None:
            self._child.poll()

    async def _end(self) -> None:
        if self._pid is not None and not await end(self._pid, *self.stop_steps):
            raise ServerError(f"{self.name} (process {self._pid}) does not end")
        self._clear_process()

    async def _kill(self) -> None:
        """After a failed start nothing of ours stays; a server that we found running does."""
        if self._child is not None and self._child.poll() is None:
            await end(self._child.pid, *self.stop_steps)
        self._clear_process()

    def _clear_process(self) -> None:
        self._reap()
        self._child = self._pid = None

    def _lock_folder(self) -> None:
        """Hold the folder's lock until we stop or die."""
        if self._lock_descriptor is not None:
            raise FolderInUse(f"{self.name} in {self.data_dir} is started already")
        make_folder(self.home)
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

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.home / "server.log"

    def _rotate_log(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0

    def _log_tail(self) -> str:
        """The line of this start's log that tells best why it ended."""
        with suppress(OSError), self.log_file.open("rb") as said:
            said.seek(self._log_start)
            lines = said.read(LOG_BYTES).decode("utf-8", "replace").splitlines()
            telling = [
                line
                for line in lines
                if any(word in line for word in TELLING_WORDS) and NOT_YET not in line
            ]
            return (telling[:1] or lines[-1:] or ["it said nothing"])[0].strip()
        return "it said nothing"

    @abstractmethod
    def _find_running(self) -> int | None:
        """Find the server that runs on this folder, with its ports, and give its process."""

    @abstractmethod
    def _choose_ports(self) -> None:
        """Choose free ports, those of the last time if possible."""

    @abstractmethod
    def _ports_are_free(self) -> bool:
        """Say whether the chosen ports are free now."""

    @abstractmethod
    async def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process on the chosen ports. Raises EngineError."""

    @abstractmethod
    async def _responds(self) -> bool:
        """Say whether the server serves. Raises Recovering when it lives but needs more time."""

    @abstractmethod
    async def _prepare(self) -> None:
        """Make what must be there in a server that answers. Raises EngineError."""


def make_folder(folder: Path) -> None:
    """Make a folder of ours: others may pass through it when root owns it, and read nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


def load_or_create_secrets(file: Path, *names: str) -> dict[str, str]:
    """Read the passwords of these names; random ones go to a new file (mode 600) first.

    Raises EngineError.
    """
    if not file.exists():
        half = file.with_suffix(".new")
        half.unlink(missing_ok=True)
        with open(
            os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
        ) as output:
            json.dump({name: secrets.token_hex(16) for name in names}, output)
            output.flush()
            os.fsync(output.fileno())
        half.rename(file)
    try:
        kept = json.loads(file.read_text(encoding="ascii"))
        return {name: str(kept[name]) for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"{file} cannot be read as passwords: restore it, or choose another data folder"
        ) from error
