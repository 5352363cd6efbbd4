"""The whole system on one machine: both engines and the five services, each a process of its own.

<data folder>/
    postgres/  nats/         the engines
    run/SERVICE.json         the ports a service listens on, told by itself
    logs/SERVICE.log         what it says
    secrets.json  ports.json  admin.key  out/
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from onefold.log.v1.log_service_pb2 import GetHeadRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.projection.v1.projection_service_pb2 import AwaitTokenRequest
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub

from services.chassis.rpc.channel import open_channel
from services.devstack.external import ExternalNats, ExternalPostgres
from services.devstack.managed_server import ServerError, load_or_create_secrets, make_folder
from services.devstack.nats import NatsServer
from services.devstack.ports import LOOPBACK, load_ports
from services.devstack.postgres import PostgresServer
from services.devstack.process import LAUNCH, end, ended
from services.kernel.errors import RetryableError

ROOT = Path(__file__).resolve().parents[2]
#: In the order in which an event meets them.
SERVICES = ("ingest", "identity", "profile", "segment", "activation")
DSN, NATS_URL = "ONEFOLD_POSTGRES_DSN", "ONEFOLD_NATS_URL"
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
STOP_STEPS = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))
LONGEST_PAUSE = 5.0

#: Told about every step of a start: a name and whether it is done.
Progress = Callable[[str, bool], None]

log = structlog.get_logger(__name__)


class ServiceProcess:
    """One service as a process, brought back whenever it dies."""

    def __init__(self, name: str, env: Mapping[str, str], log_file: Path, http_port: int) -> None:
        self.name = name
        self.http_port = http_port
        self._env = env
        self._log_file = log_file
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = True

    @property
    def pid(self) -> int:
        """The process. Raises EngineError when it was not started."""
        if self._child is None:
            raise ServerError(f"{self.name} is not started")
        return self._child.pid

    def start(self) -> None:
        """Start it; `ready` tells when it serves."""
        self._closed = False
        with open(os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)) as said:
            # It ends with the thread that started it: nobody is left behind who holds shards.
            tie = ["-1", "-1", str(os.getpid()), str(int(signal.SIGTERM))]
            program = [sys.executable, "-m", f"services.{self.name}"]
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCH), *tie, *program],
                cwd=ROOT,
                env=dict(self._env),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Wait until it says so. Raises EngineError when it ends or takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while not await self._is_ready(http):  # noqa: ASYNC110 nobody tells us
                    await asyncio.sleep(POLL_SECONDS)
                return
        raise ServerError(f"{self.name} did not become ready: see {self._log_file}")

    async def watch(self) -> None:
        """Bring it back each time it dies, until `stop`."""
        pause = 0.1
        while not self._closed:
            began = asyncio.get_running_loop().time()
            await ended(self.pid)
            if self._closed:
                return
            code = self._child.wait() if self._child else None
            log.warning("service_died", service=self.name, code=code)
            lasted = asyncio.get_running_loop().time() - began
            pause = 0.1 if lasted > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)
            if not self._closed:
                self.start()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal, for those who break it on purpose."""
        os.kill(self.pid, number)

    async def stop(self) -> None:
        """Ask it to end; make it end."""
        self._closed = True
        if self._child is None:
            return
        if not await end(self._child.pid, *STOP_STEPS):
            raise ServerError(f"{self.name} (process {self._child.pid}) does not end")
        self._child.wait()
        self._child = None

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        if self._child is not None and self._child.poll() not in (None, *_BACK_SOON):
            raise ServerError(f"{self.name} did not start: see {self._log_file}")
        with suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(f"http://{LOOPBACK}:{self.http_port}/readyz") as answer:
                return answer.status == 200
        return False


def _port_name(key: str) -> str:
    """The setting that fixes a port: `ingest_http` is ONEFOLD_INGEST_HTTP_PORT."""
    return f"ONEFOLD_{key.upper()}_PORT"


#: A process that was killed while it started is brought back by its watcher.
_BACK_SOON = (-signal.SIGKILL, -signal.SIGTERM)


class Stack:
    """PostgreSQL, NATS and the services over one data folder; `async with` starts and stops it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        progress: Progress = lambda _name, _done: None,
        replicas: int = 1,
        only: Sequence[str] = SERVICES,
    ) -> None:
        """`settings` are environment variables of the services (`ONEFOLD_…`), over the stack's.
        Where they name a PostgreSQL or a NATS, that is used in the place of our own.

        `replicas` processes of each service but ingest run; the first has the known address.
        `only` these services are started, the first one before the others.
        """
        self.data_dir = data_dir.expanduser().resolve()
        self.postgres = PostgresServer(self.data_dir)
        self.nats = NatsServer(self.data_dir)
        given = dict(settings or {})
        self._engines: tuple[ExternalPostgres | PostgresServer, ExternalNats | NatsServer] = (
            ExternalPostgres(given[DSN]) if given.get(DSN) else self.postgres,
            ExternalNats(given[NATS_URL]) if given.get(NATS_URL) else self.nats,
        )
        self.services: dict[str, ServiceProcess] = {}
        self._settings = dict(settings or {})
        self._progress = progress
        self._replicas = replicas
        self._only = tuple(only)
        self._ports: dict[str, int] = {}
        self._watchers: list[asyncio.Task[None]] = []

    def address(self, service: str) -> str:
        """The gRPC door of a service, `host:port`."""
        return f"{LOOPBACK}:{self._ports[f'{service}_grpc']}"

    def http(self, service: str) -> str:
        """The HTTP door of a service, `http://host:port`."""
        return f"http://{LOOPBACK}:{self._ports[f'{service}_http']}"

    def addresses(self) -> dict[str, dict[str, str]]:
        """By service: its `grpc` door (`host:port`) and its `http` door (a URL)."""
        return {s: {"grpc": self.address(s), "http": self.http(s)} for s in SERVICES}

    @property
    def nats_url(self) -> str:
        """NATS, with its credentials."""
        return self._engines[1].url

    @property
    def _logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def internal_key(self) -> str:
        """The key with which services call each other."""
        return load_or_create_secrets(self.data_dir / "secrets.json", "internal")["internal"]

    @property
    def admin_key(self) -> str:
        """The key of the workspace `default`, made on first start."""
        return (self.data_dir / "admin.key").read_text(encoding="utf-8").strip()

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
        """Start everything; return when every service is ready. Raises EngineError."""
        make_folder(self.data_dir)
        try:
            for engine in self._engines:
                await self._step(engine.name, engine.start())
            self._choose_ports()
            await self._start_services()
        except BaseException:
            await self.stop()
            raise
        watched = [*self._engines, *self.services.values()]
        self._watchers = [asyncio.create_task(each.watch()) for each in watched]

    async def stop(self) -> None:
        """Stop everything, services first, the last one in the chain first of all."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers = []
        await asyncio.gather(*(service.stop() for service in self.services.values()))
        self.services = {}
        for engine in reversed(self._engines):
            await engine.stop()

    async def _start_services(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
            # Ingest first: it makes the log and the first keys, on which the others stand.
            for names in (self._only[:1], self._only[1:]):
                processes = [self._process(name, n) for name in names for n in self._numbers(name)]
                for process in processes:
                    process.start()
                await asyncio.gather(*(self._step(p.name, p.ready(http)) for p in processes))
        await self._wait_for_caught_up()

    async def _wait_for_caught_up(self) -> None:
        """Wait until all services have heard of what the log begins with: the first keys."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._reach_head()
        except (TimeoutError, RetryableError) as error:
            raise ServerError(f"the services do not follow the log: see {self._logs}") from error

    async def _reach_head(self) -> None:
        async with AsyncExitStack() as scope:
            channels = {
                name: await scope.enter_async_context(
                    open_channel(self.address(name), self.internal_key, timeout_s=READY_SECONDS)
                )
                for name in self._only
            }
            head = await LogServiceStub(channels["ingest"]).GetHead(GetHeadRequest())
            for name in self._only[1:]:
                service = ProjectionServiceStub(channels[name])
                await service.AwaitToken(AwaitTokenRequest(token=head.token))

    def _numbers(self, name: str) -> range:
        return range(1 if name == "ingest" else self._replicas)

    def _process(self, name: str, number: int) -> ServiceProcess:
        suffix = f"-{number + 1}" if number else ""
        key = f"{name}{suffix}"
        folder = self._logs
        make_folder(folder)
        process = ServiceProcess(
            name,
            self._environment(name, key),
            folder / f"{key}.log",
            self._ports[f"{key}_http"],
        )
        self.services[key] = process
        return process

    def _environment(self, name: str, key: str) -> dict[str, str]:
        prefix = f"ONEFOLD_{name.upper()}_"
        passed = {k: v for k, v in os.environ.items() if not k.startswith(("ONEFOLD_", "PG"))}
        own = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "gen")]),
            DSN: self._engines[0].dsn,
            NATS_URL: self._engines[1].url,
            "ONEFOLD_INTERNAL_KEY": self.internal_key,
            "ONEFOLD_DATA_DIR": str(self.data_dir),
            # Whoever runs a system on one machine has receivers on it, too.
            "ONEFOLD_ACTIVATION_PRIVATE_TARGETS": "allowed",
            f"{prefix}GRPC_PORT": str(self._ports[f"{key}_grpc"]),
            f"{prefix}HTTP_PORT": str(self._ports[f"{key}_http"]),
        }
        addresses = {f"ONEFOLD_{s.upper()}_URL": self.address(s) for s in SERVICES}
        return passed | own | addresses | self._settings

    def _choose_ports(self) -> None:
        keys = [
            f"{name}{f'-{number + 1}' if number else ''}_{door}"
            for name in SERVICES
            for number in self._numbers(name)
            for door in ("grpc", "http")
        ]
        ports = load_ports(self.data_dir / "ports.json", *keys)
        self._ports = {key: int(self._settings.get(_port_name(key), ports[key])) for key in keys}

    async def _step(self, name: str, work: Awaitable[None]) -> None:
        self._progress(name, False)
        await work
        self._progress(name, True)
