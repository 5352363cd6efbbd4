"""Chooses the loopback ports of a system, and saves them for the next start.

A port is the one that is set (`ONEFOLD_NATS_PORT`, …), else the one of the last start, else the
default one, else a free one. Ports that are set must be free; others are passed over when they are
in use, with a notice.
"""

import json
import os
import random
import socket
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain, count
from pathlib import Path

from services import SERVICES
from services.devstack.errors import ServerError
from services.devstack.folders import open_private

LOOPBACK = "127.0.0.1"
#: The servers of a system, in the order of their default ports.
SERVER_NAMES = (
    *("ingest_http", *(f"{service}_grpc" for service in SERVICES)),
    *(f"{service}_internal_grpc" for service in SERVICES),
    *(f"{service}_internal_http" for service in SERVICES),
    *("postgres", "nats", "nats_monitor"),
    *("console_http", "console_internal_http"),
)
#: Below the range of outgoing connections, and used by no well-known program.
FIRST_PORT = 7810
DEFAULT_PORTS = dict(zip(SERVER_NAMES, count(FIRST_PORT), strict=False))
#: Sets all ports at once: the first one; 0 = free ones.
FIRST_PORT_VARIABLE = "ONEFOLD_FIRST_PORT"
#: The first port of outgoing connections: Linux's default, where the setting cannot be read.
EPHEMERAL_FROM = 32_768
#: The search for a free port begins here, and tries this many ports.
LOWEST_FREE, TRIES = 15_000, 100


class PortChooser:
    """Chooses the ports of one system."""

    def __init__(self, settings: Mapping[str, str], defaults: Mapping[str, int]) -> None:
        """`settings`: ports by variable. `defaults`: ports by name; without one, any free port."""
        self._settings = settings
        self._defaults = defaults
        self._notices: dict[str, str] = {}

    @property
    def notices(self) -> list[str]:
        """One line for each server that did not get its usual port, as it is in use."""
        return list(self._notices.values())

    def choose(self, file: Path, *names: str) -> dict[str, int]:
        """Return a port for each name, and save them in `file`.

        Raises ServerError where a port that is set is in use.
        """
        saved = load_ports(file)
        ports: dict[str, int] = {}
        for name in names:
            ports[name] = self._choose(name, saved.get(name, 0), set(ports.values()))
        with open(file, "w", encoding="utf-8", opener=open_private) as output:
            json.dump(ports, output)
        return ports

    def _choose(self, name: str, saved: int, taken: set[int]) -> int:
        variable = port_variable(name)
        if text := self._settings.get(variable):
            port = _port_number(variable, text)
            if not is_free(port):
                raise ServerError(f"port {port} is in use: set {variable} to another port")
            return port
        usual = [port for port in (saved, self._defaults.get(name, 0)) if port]
        candidates = chain(usual, (free_port() for _ in range(TRIES)))
        port = next(port for port in candidates if port not in taken and is_free(port))
        if usual and port != usual[0]:
            self._notices[name] = (
                f"port {usual[0]} is in use: {name} listens on {port}; "
                f"set {variable} to choose another"
            )
        return port


def port_variable(name: str) -> str:
    """Return the variable that sets the port of a server, such as ONEFOLD_INGEST_HTTP_PORT."""
    return f"ONEFOLD_{name.upper()}_PORT"


def resolve_ports(
    settings: Mapping[str, str], first_port: str | None
) -> tuple[Mapping[str, str], Mapping[str, int]]:
    """Return the settings and the default ports of a system that a user starts.

    `first_port` adds settings of consecutive ports, which those of single ports override; `0` = no
    defaults, None = DEFAULT_PORTS. Raises ServerError.
    """
    if not first_port:
        return settings, DEFAULT_PORTS
    if first_port == "0":
        return settings, {}
    ports = count(_port_number(FIRST_PORT_VARIABLE, first_port))
    consecutive = {port_variable(name): str(next(ports)) for name in SERVER_NAMES}
    return {**consecutive, **settings}, {}


def is_free(port: int, *, reuses: bool = True) -> bool:
    """Return whether a server could listen on this loopback port now.

    `reuses`: although connections of the port were closed a moment ago.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuses)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free port below the range that the kernel gives to outgoing connections.

    Inside that range a client that reconnects while the server restarts can be given the server's
    own port (and even connect to itself), and the server cannot listen on it again.

    The ports of one process follow each other from a random one on: a server listens some time
    after its port is chosen, and other processes that choose ports meanwhile hardly ever meet it.
    Ports with connections that a server has just closed are passed over: not every server may
    listen on them for the next minute.
    """
    positions = _positions(os.getpid())
    for _ in range(TRIES):
        port = LOWEST_FREE + next(positions) % (_ephemeral_from() - LOWEST_FREE)
        if is_free(port, reuses=False):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def load_ports(file: Path) -> dict[str, int]:
    """Return the ports saved in a file; none where the file is missing or broken."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): int(port) for name, port in saved.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _port_number(variable: str, text: str) -> int:
    port = int(text) if text.isdecimal() else 0
    if not 0 < port < 65_536:
        raise ServerError(f"{variable} is {text}: write a port from 1 to 65535")
    return port


@cache
def _positions(process_id: int) -> Iterator[int]:
    """Return the places in the range of the ports that a process tries; a fork has its own."""
    return count(random.randrange(EPHEMERAL_FROM))  # noqa: S311 no secret


def _ephemeral_from() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        low = int(text.split()[0])
    except (OSError, ValueError, IndexError):
        low = EPHEMERAL_FROM
    return low if low > LOWEST_FREE + TRIES else EPHEMERAL_FROM
