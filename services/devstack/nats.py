"""Runs a private nats-server with JetStream in the data folder.

<data folder>/nats/
    lock  ports.json  passwords.json  server.log  nats.conf  nats.pid
    store/                                            JetStream's files
"""

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress

import aiohttp
import structlog

from services.devstack.binaries import find_nats
from services.devstack.managed_server import PORTS, ManagedServer, Recovering
from services.devstack.ports import LOOPBACK, load_ports
from services.devstack.process import spawn, works_in

USER = "onefold"
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
PROBE_SECONDS = 5.0
#: Names in its own folder, which is its working directory, by which it is found again.
STORE, CONFIG, PID_FILE = "store", "nats.conf", "nats.pid"

log = structlog.get_logger(__name__)


class NatsServer(ManagedServer):
    """nats-server on loopback ports: one for clients, one for monitoring."""

    name = "nats"
    stop_steps = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))
    port_names = ("nats", "nats_monitor")
    users = (USER,)

    @property
    def url(self) -> str:
        """Return the URL for clients, with user and password."""
        return f"nats://{USER}:{self._passwords[USER]}@{LOOPBACK}:{self._ports['nats']}"

    async def wipe(self) -> None:
        """Delete every stream, for tests: stop, delete the store, start on the same ports."""
        async with self._changing:
            await self._end()
            shutil.rmtree(self.home / STORE, ignore_errors=True)
            await self._launch()
        log.info("nats_wiped", pid=self.pid)

    def _find_running(self) -> int | None:
        self._ports = load_ports(self.home / PORTS)
        with suppress(OSError, ValueError):
            pid = int((self.home / PID_FILE).read_text(encoding="ascii"))
            if self._ports.keys() >= {*self.port_names} and works_in(pid, self.home):
                return pid
        return None

    async def _spawn(self) -> subprocess.Popen[bytes]:
        self._write_config()
        argv = [str(find_nats()), "-c", CONFIG]
        return spawn(argv, cwd=self.home, log=self.log_file, death_signal=self._death_signal)

    def _write_config(self) -> None:
        """Write the configuration as JSON, which NATS reads as its own format."""
        config = {
            "listen": f"{LOOPBACK}:{self._ports['nats']}",
            "http": f"{LOOPBACK}:{self._ports['nats_monitor']}",
            "server_name": "onefold",
            "pid_file": PID_FILE,
            "max_payload": MAX_PAYLOAD_BYTES,
            "authorization": {"user": USER, "password": self._passwords[USER]},
            # By default it flushes every two minutes: a crash would lose acknowledged messages.
            "jetstream": {"store_dir": STORE, "sync_interval": "always"},
        }
        with open(
            os.open(self.home / CONFIG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
        ) as output:
            json.dump(config, output, indent=1)

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
