"""Reserves ports that the processes of one service share: the kernel spreads connections."""

from __future__ import annotations

import socket
import sys

#: Whether the kernel spreads the connections of a port over the processes that listen on it.
CAN_SPREAD = sys.platform == "linux"


class PortInUse(OSError):
    """A port that a service is to listen on belongs to another program."""


def reserve(host: str, port: int) -> socket.socket:
    """Return a socket that holds a port for processes that share it; 0 = any free port.

    It does not listen itself. Raises PortInUse where another program has the port: it would get a
    part of the connections, unnoticed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = probe.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        share(held)
        held.bind((host, port))
    except OSError as error:
        raise PortInUse(
            error.errno,
            f"cannot listen on {host}, port {port} ({error.strerror}): stop the program that has"
            " the port, or set another one",
        ) from error
    return held


def share(bound: socket.socket) -> None:
    """Let other processes of this user listen on the port that a socket will be bound to."""
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
