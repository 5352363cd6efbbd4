"""Runs the whole system on one machine: PostgreSQL, NATS and the services, each a process.

<data folder>/
    postgres/  nats/         the servers
    run/SERVICE.json         the ports a service listens on, written by the service
    logs/SERVICE.log         its output, and .log.1 the part before it
    secrets.json  ports.json  admin.key  out/
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import aiohttp
from onefold.log.v1.log_service_pb2 import GetHeadRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.projection.v1.projection_service_pb2 import AwaitTokenRequest
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceStub

from services import SERVICES
from services.chassis.rpc.channel import open_channel
from services.devstack.errors import ServerError
from services.devstack.external import check_nats, check_postgres
from services.devstack.folders import (
    ROOT,
    close_to_others,
    load_internal_key,
    load_secrets,
    make_folder,
)
from services.devstack.log_files import rotate_always
from services.devstack.nats import NatsServer
from services.devstack.nats_config import ClientId
from services.devstack.ports import LOOPBACK, PortChooser, port_variable
from services.devstack.postgres import PostgresServer
from services.devstack.service_process import READY_SECONDS, ServiceProcess
from services.kernel.errors import RetryableError

DSN, NATS_URL = "ONEFOLD_POSTGRES_DSN", "ONEFOLD_NATS_URL"
POSTGRES_ROLES = "ONEFOLD_POSTGRES_ROLES"
#: The number of processes of ingest; 1 where the settings do not name another one.
PROCESSES = "ONEFOLD_INGEST_PROCESSES"
#: The setting of activation with the subjects of destinations outside of `onefold.out.`, each as
#: `WORKSPACE=SUBJECT`; its user of NATS may publish there.
_SUBJECTS = "NATS_SUBJECTS"
#: What serves every call over HTTP, before the services.
_CONSOLE = "console"
#: Is called with the name of each part of a start, and whether it is done.
StartProgress = Callable[[str, bool], None]


class Stack:
    """PostgreSQL, NATS and the services over one data folder; `async with` starts and stops it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        default_ports: Mapping[str, int] | None = None,
        progress: StartProgress = lambda _name, _done: None,
        replicas: int = 1,
        only: Sequence[str] = SERVICES,
        console: bool = False,
    ) -> None:
        """`settings` are environment variables (`ONEFOLD_…`) that the services get; they may name a
        PostgreSQL and a NATS to use in the place of private ones, and ports.

        `default_ports`: by name of a server, as in `ports.SERVER_NAMES`; others get free ports.
        `replicas` processes of each service but ingest run; the first has the known address.
        `only` these services are started, the first one before the others, and with `console` the
        console behind them.
        """
        self.data_dir = data_dir.expanduser().resolve()
        self._logs = self.data_dir / "logs"
        self._settings = dict(settings or {})
        self._port_chooser = PortChooser(self._settings, default_ports or {})
        self.postgres = PostgresServer(self.data_dir, ports=self._port_chooser)
        subjects = (self._settings.get(f"ONEFOLD_ACTIVATION_{_SUBJECTS}") or "").split(",")
        self.nats = NatsServer(
            self.data_dir,
            ports=self._port_chooser,
            destination_subjects=[s.rpartition("=")[2].strip() for s in subjects if s.strip()],
        )
        self.services: dict[str, ServiceProcess] = {}
        self._progress = progress
        self._replicas = replicas
        self._only = tuple(only)
        self._has_console = console
        self._ports: dict[str, int] = {}
        self._watchers: list[asyncio.Task[None]] = []

    def address(self, service: str) -> str:
        """Return the internal gRPC endpoint of a service, `host:port`."""
        return f"{LOOPBACK}:{self._ports[f'{service}_internal_grpc']}"

    def public_address(self, service: str) -> str:
        """Return the gRPC endpoint of a service for clients of other systems, `host:port`."""
        return f"{LOOPBACK}:{self._ports[f'{service}_grpc']}"

    @property
    def events_url(self) -> str:
        """The HTTP endpoint of ingest for events, `http://host:port`."""
        return f"http://{LOOPBACK}:{self._ports['ingest_http']}"

    @property
    def console_url(self) -> str:
        """The HTTP endpoint of the console, which serves every call; `http://host:port`."""
        return f"http://{LOOPBACK}:{self._ports[f'{_CONSOLE}_http']}"

    def operations_url(self, service: str) -> str:
        """Return the internal HTTP endpoint of a service, for health and metrics."""
        return f"http://{LOOPBACK}:{self._ports[f'{service}_internal_http']}"

    def endpoints(self) -> dict[str, dict[str, str]]:
        """Return the endpoints by service: gRPC as `host:port`, HTTP as URLs.

        `grpc`, `internal_grpc`, `internal_http`, and `http` of ingest; of the console `http` and
        `internal_http`.
        """
        endpoints = {
            service: {
                "grpc": self.public_address(service),
                "internal_grpc": self.address(service),
                "internal_http": self.operations_url(service),
            }
            for service in SERVICES
        }
        endpoints["ingest"]["http"] = self.events_url
        if self._has_console:
            operations = self.operations_url(_CONSOLE)
            endpoints[_CONSOLE] = {"http": self.console_url, "internal_http": operations}
        return endpoints

    @property
    def notices(self) -> list[str]:
        """One line for each server that listens on another port than usual."""
        return self._port_chooser.notices

    def nats_url(self, service: str) -> str:
        """Return the URL of NATS for a service, with its credentials."""
        return self._external_nats(service) or self.nats.url_of(service)

    async def publisher_url(self, client: ClientId) -> str:
        """Return the URL of NATS for a source, with its credentials, which are made if needed.

        An external NATS has the credentials of its operator.
        """
        return self._settings.get(NATS_URL) or await self.nats.client_url(client)

    def _external_nats(self, service: str) -> str:
        own = f"ONEFOLD_{service.upper()}_NATS_URL"
        return self._settings.get(own) or self._settings.get(NATS_URL) or ""

    @property
    def internal_key(self) -> str:
        return load_internal_key(self.data_dir)

    @property
    def index_key(self) -> str:
        return f"1.{load_secrets(self.data_dir)['index']}"

    @property
    def secrets_key(self) -> str:
        return f"1.{load_secrets(self.data_dir)['seal']}"

    @property
    def admin_key(self) -> str:
        """The key of the workspace `default`, made on first start."""
        return (self.data_dir / "admin.key").read_text(encoding="utf-8").strip()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything; return when every service is ready. Raises ServerError."""
        make_folder(self.data_dir, passable=True)
        # The engines protect the folders of their own files.
        close_to_others(self.data_dir, skipped=("cluster", "store"))
        try:
            own_dsn = self._settings.get(f"ONEFOLD_{self._only[0].upper()}_POSTGRES_DSN")
            dsn, nats_url = own_dsn or self._settings.get(DSN), self._external_nats("ingest")
            is_single = self._settings.get(POSTGRES_ROLES) == "single"
            check = check_postgres(dsn, None if is_single else self._only[0]) if dsn else None
            await self._step("postgres", check or self.postgres.start())
            await self._step("nats", check_nats(nats_url) if nats_url else self.nats.start())
            keys = [key for _, key in self._replicas_of(*SERVICES)]
            keys += [_CONSOLE] if self._has_console else []
            names = [f"{key}_{endpoint}" for key in keys for endpoint in _endpoints_of(key)]
            self._ports = self._port_chooser.choose(self.data_dir / "ports.json", *names)
            await self._start_services()
        except BaseException:
            await self.stop()
            raise
        # A server that was not started here has nothing to watch or to stop.
        watching = [self.postgres.watch(), self.nats.watch()]
        watching += [service.watch() for service in self.services.values()]
        watching.append(rotate_always(self._log_files))
        self._watchers = [asyncio.create_task(watch) for watch in watching]

    def _log_files(self) -> list[Path]:
        files = [self.postgres.log_file, self.nats.log_file, self.data_dir / "supervisor.log"]
        return [*files, *self._logs.glob("*.log")]

    async def stop(self) -> None:
        """Stop the services side by side, then NATS, then PostgreSQL."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers = []
        await asyncio.gather(*(service.stop() for service in self.services.values()))
        self.services = {}
        await self.nats.stop()
        await self.postgres.stop()

    async def _start_services(self) -> None:
        make_folder(self._logs)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
            # Ingest first: it makes the log and the first keys, which the others need.
            for names in (self._only[:1], self._only[1:]):
                processes = [self._process(*replica) for replica in self._replicas_of(*names)]
                for process in processes:
                    process.start()
                await asyncio.gather(*(self._step(p.name, p.ready(http)) for p in processes))
            await self._wait_until_caught_up()
            if self._has_console:
                console = self._process(_CONSOLE, _CONSOLE)
                console.start()
                await self._step(_CONSOLE, console.ready(http))

    async def _wait_until_caught_up(self) -> None:
        """Wait until all services have folded the log's first facts, such as the first keys."""
        try:
            async with asyncio.timeout(READY_SECONDS), AsyncExitStack() as scope:
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
        except (TimeoutError, RetryableError) as error:
            raise ServerError(f"the services do not follow the log: see {self._logs}") from error

    def _replicas_of(self, *names: str) -> Iterator[tuple[str, str]]:
        """Yield service and key (`profile`, `profile-2`, …) of each process of these services."""
        for name in names:
            for number in range(1 if name == "ingest" else self._replicas):
                yield name, f"{name}-{number + 1}" if number else name

    def _process(self, name: str, key: str) -> ServiceProcess:
        log_file = self._logs / f"{key}.log"
        ready_url = f"http://{LOOPBACK}:{self._ports[f'{key}_internal_http']}/readyz"
        process = ServiceProcess(name, self._environment(name, key), log_file, ready_url)
        self.services[key] = process
        return process

    def _environment(self, name: str, key: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ONEFOLD_", "PG"))}
        addresses = {f"ONEFOLD_{s.upper()}_URL": self.address(s) for s in SERVICES}
        # The ports come last: a setting of a service's port is that of its first replica.
        ports = {
            port_variable(f"{name}_{endpoint}"): str(self._ports[f"{key}_{endpoint}"])
            for endpoint in _endpoints_of(name)
        }
        code = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "gen")])}
        data = {"ONEFOLD_DATA_DIR": str(self.data_dir)}
        if name == _CONSOLE:
            # It gets no secret, so an intruder in it holds none.
            return inherited | code | data | addresses | self._console_settings() | ports
        own = {
            DSN: self._settings.get(DSN) or self.postgres.dsn,
            NATS_URL: self.nats_url(name),
            "ONEFOLD_BUS_KEY": load_secrets(self.data_dir)["bus"],
            "ONEFOLD_INTERNAL_KEY": self.internal_key,
            "ONEFOLD_INDEX_KEY": self.index_key,
            "ONEFOLD_ACTIVATION_SECRETS_KEY": self.secrets_key,
            PROCESSES: "1",
        }
        return inherited | code | data | own | addresses | self._settings | ports

    def _console_settings(self) -> dict[str, str]:
        shared = ("ONEFOLD_LOG_LEVEL", "ONEFOLD_TRUSTED_PROXIES")
        return {
            name: value
            for name, value in self._settings.items()
            if name in shared or name.startswith(f"ONEFOLD_{_CONSOLE.upper()}_")
        }

    async def _step(self, name: str, work: Awaitable[None]) -> None:
        self._progress(name, False)
        await work
        self._progress(name, True)


def _endpoints_of(name: str) -> tuple[str, ...]:
    """Return the endpoints that each process of a service listens on."""
    if name == _CONSOLE:
        return ("http", "internal_http")
    endpoints = ("grpc", "internal_grpc", "internal_http")
    return ("http", *endpoints) if name == "ingest" else endpoints
