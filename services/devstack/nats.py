"""Runs a private nats-server with JetStream in the data folder.

<data folder>/nats/
    lock  ports.json  passwords.json  server.log  nats.conf  clients.conf  nats.pid
    store/                                            JetStream's files
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import structlog

from services import SERVICES
from services.devstack.binaries import find_nats
from services.devstack.errors import ServerError
from services.devstack.managed_server import PORTS, ManagedServer, Recovering
from services.devstack.nats_clients import ClientsFile
from services.devstack.nats_config import (
    CLIENTS_FILE,
    MAX_PAYLOAD_BYTES,
    ClientId,
    NatsUser,
    render,
    service_user,
)
from services.devstack.ports import LOOPBACK, PortChooser, load_ports
from services.devstack.process import spawn, works_in

PROBE_SECONDS = 5.0
#: Seconds within which a running server accepts new credentials.
RELOAD_SECONDS = 10.0
RETRY_SECONDS = 0.05
#: Names in its own folder, which is its working directory, by which it is found again.
STORE, CONFIG, PID_FILE = "store", "nats.conf", "nats.pid"

log = structlog.get_logger(__name__)


class NatsServer(ManagedServer):
    """nats-server on loopback ports: one for clients, one for monitoring."""

    name = "nats"
    stop_steps = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))
    port_names = ("nats", "nats_monitor")
    users = SERVICES

    def __init__(
        self,
        data_dir: Path,
        *,
        die_with_parent: bool = True,
        ports: PortChooser | None = None,
        destination_subjects: Sequence[str] = (),
    ) -> None:
        """See ManagedServer.

        `destination_subjects`: those outside of `onefold.out.` that destinations may publish on.
        """
        super().__init__(data_dir, die_with_parent=die_with_parent, ports=ports)
        self._destination_subjects = tuple(destination_subjects)

    def url_of(self, user: str) -> str:
        """Return the URL for a service, with its name and password."""
        return f"nats://{user}:{self._passwords[user]}@{LOOPBACK}:{self._ports['nats']}"

    async def client_url(self, client: ClientId) -> str:
        """Return the URL for a publisher, with its credentials; make them where it has none."""
        file = ClientsFile(self.home / CLIENTS_FILE)
        if file.password_of(client) is None:
            file.create(client)
        return await apply_credentials(self.home, client)

    async def wipe(self) -> None:
        """Delete every stream, for tests: stop, delete the store, start on the same ports."""
        async with self._changing:
            await self._end()
            shutil.rmtree(self.home / STORE, ignore_errors=True)
            await self._launch()
        log.info("nats_wiped", pid=self.pid)

    def _find_running(self) -> int | None:
        self._ports = load_ports(self.home / PORTS)
        pid = running_pid(self.home)
        return pid if self._ports.keys() >= {*self.port_names} else None

    async def _spawn(self) -> subprocess.Popen[bytes]:
        self._write_config()
        argv = [str(find_nats()), "-c", CONFIG]
        return spawn(argv, cwd=self.home, log=self.log_file, death_signal=self._death_signal)

    def _write_config(self) -> None:
        ClientsFile(self.home / CLIENTS_FILE).ensure()
        options = {
            "listen": f"{LOOPBACK}:{self._ports['nats']}",
            "http": f"{LOOPBACK}:{self._ports['nats_monitor']}",
            "server_name": "onefold",
            "pid_file": f'"{PID_FILE}"',
            "max_payload": str(MAX_PAYLOAD_BYTES),
            # By default it flushes every two minutes: a crash would lose acknowledged messages.
            "jetstream": f'{{store_dir: "{STORE}", sync_interval: always}}',
        }
        text = render("Written at every start.", options, self._config_users())
        with open(
            os.open(self.home / CONFIG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
        ) as output:
            output.write(text)

    def _config_users(self) -> list[NatsUser]:
        """Return the users of the services."""
        subjects = self._destination_subjects
        return [service_user(name, self._passwords[name], subjects) for name in SERVICES]

    async def _responds(self) -> bool:
        """Query `/healthz`, which fails until JetStream has read its store."""
        url = f"http://{LOOPBACK}:{self._ports['nats_monitor']}/healthz"
        timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as response:
                if response.status == 200:
                    return True
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        raise Recovering


def running_pid(home: Path) -> int | None:
    """Return the process of the server that runs in a folder; None where none does."""
    with suppress(OSError, ValueError):
        pid = int((home / PID_FILE).read_text(encoding="ascii"))
        if works_in(pid, home):
            return pid
    return None


def reload_clients(home: Path) -> bool:
    """Make the server of a folder read its users again; False where none runs there."""
    pid = running_pid(home)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGHUP)
    except PermissionError as error:
        raise ServerError(f"NATS in {home} belongs to another account: run this as it") from error
    return True


async def apply_credentials(home: Path, client: ClientId) -> str:
    """Return the URL of a publisher once the server of a folder accepts it, if one runs there.

    Raises ServerError.
    """
    password = ClientsFile(home / CLIENTS_FILE).password_of(client) or ""
    port = load_ports(home / PORTS).get("nats", 0)
    if reload_clients(home):
        try:
            async with asyncio.timeout(RELOAD_SECONDS):
                while not await accepts(port, client.name, password):  # noqa: ASYNC110 there is no event
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            raise ServerError(
                f"NATS does not accept the credentials: see {home / 'server.log'}"
            ) from None
    return f"nats://{client.name}:{password}@{LOOPBACK}:{port}"


async def accepts(port: int, user: str, password: str) -> bool:
    """Return whether the server on a loopback port accepts a user."""
    login = json.dumps({"user": user, "pass": password, "verbose": False})
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
            await reader.readline()  # what the server says of itself
            return await reader.readline() == b"PONG\r\n"
        finally:
            writer.close()
    except OSError:
        return False
