"""Loopback ports that are free now and stay ours over a restart."""

import json
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
#: Linux's default; read from the kernel where it tells.
EPHEMERAL_FROM = 32_768
FIRST, TRIES = 15_000, 100


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Find a free port below the range that the kernel gives to outgoing connections.

    Inside that range a client that reconnects while the server restarts can be given the server's
    own port (and even connect to itself), and the server does not come back on it.
    """
    for _ in range(TRIES):
        port = random.randrange(FIRST, _ephemeral_from())  # noqa: S311 no secret
        if is_free(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def load_ports(file: Path, *names: str) -> dict[str, int]:
    """Give a port to each name and keep them in the file.

    The port of the last time is given again if it is still free.
    """
    kept = saved_ports(file)
    ports = {name: port for name in names if (port := kept.get(name)) and is_free(port)}
    for name in names:
        while name not in ports:
            if (port := free_port()) not in ports.values():
                ports[name] = port
    file.write_text(json.dumps(ports), encoding="utf-8")
    return ports


def saved_ports(file: Path) -> dict[str, int]:
    """Read the ports kept in the file; none when there is no such file or it is broken."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): int(port) for name, port in kept.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _ephemeral_from() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        low = int(text.split()[0])
    except (OSError, ValueError, IndexError):
        low = EPHEMERAL_FROM
    return low if low > FIRST + TRIES else EPHEMERAL_FROM
