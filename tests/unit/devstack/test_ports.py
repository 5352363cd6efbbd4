"""Tests the choice of ports: those that are set, those of the last start, defaults, free ones."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest

from services.devstack import ports
from services.devstack.errors import ServerError
from services.devstack.ports import (
    DEFAULT_PORTS,
    LOOPBACK,
    SERVER_NAMES,
    PortChooser,
    free_port,
    is_free,
    load_ports,
    resolve_ports,
)


@pytest.fixture
def used_port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ports.json"


def test_default_ports_are_consecutive_and_below_the_ephemeral_ports() -> None:
    ports = [DEFAULT_PORTS[name] for name in SERVER_NAMES]
    assert ports == list(range(7810, 7831))


def test_first_start_uses_the_default_port(file: Path) -> None:
    default = free_port()
    chooser = PortChooser({}, {"nats": default})
    assert chooser.choose(file, "nats") == {"nats": default}
    assert chooser.notices == []


def test_default_port_in_use_is_replaced_by_a_free_one_with_a_notice(
    file: Path, used_port: int
) -> None:
    chooser = PortChooser({}, {"nats": used_port})
    port = chooser.choose(file, "nats")["nats"]
    assert port != used_port
    assert is_free(port)
    (notice,) = chooser.notices
    assert f"port {used_port} is in use" in notice
    assert f"nats listens on {port}" in notice
    assert "ONEFOLD_NATS_PORT" in notice


def test_restart_uses_the_saved_port_rather_than_the_default(file: Path) -> None:
    saved = free_port()
    file.write_text(json.dumps({"nats": saved}))
    assert PortChooser({}, {"nats": free_port()}).choose(file, "nats") == {"nats": saved}


def test_saved_port_in_use_is_replaced_by_the_default(file: Path, used_port: int) -> None:
    file.write_text(json.dumps({"nats": used_port}))
    default = free_port()
    chooser = PortChooser({}, {"nats": default})
    assert chooser.choose(file, "nats") == {"nats": default}
    assert len(chooser.notices) == 1
    assert load_ports(file) == {"nats": default}


def test_port_that_is_set_wins_over_saved_and_default(file: Path) -> None:
    file.write_text(json.dumps({"nats": free_port()}))
    wanted = free_port()
    chooser = PortChooser({"ONEFOLD_NATS_PORT": str(wanted)}, {"nats": free_port()})
    assert chooser.choose(file, "nats") == {"nats": wanted}


def test_port_that_is_set_and_in_use_raises_an_error(file: Path, used_port: int) -> None:
    chooser = PortChooser({"ONEFOLD_NATS_PORT": str(used_port)}, {})
    with pytest.raises(ServerError, match=f"port {used_port} is in use: set ONEFOLD_NATS_PORT"):
        chooser.choose(file, "nats")


@pytest.mark.parametrize("text", ["x", "0", "70000"])
def test_setting_that_is_no_port_raises_an_error(file: Path, text: str) -> None:
    with pytest.raises(ServerError, match=f"ONEFOLD_NATS_PORT is {text}: write a port"):
        PortChooser({"ONEFOLD_NATS_PORT": text}, {}).choose(file, "nats")


def test_servers_without_defaults_get_distinct_free_ports(file: Path) -> None:
    ports = PortChooser({}, {}).choose(file, *SERVER_NAMES)
    assert len(set(ports.values())) == len(SERVER_NAMES)
    assert all(map(is_free, ports.values()))
    assert load_ports(file) == ports


def test_free_ports_of_a_process_follow_each_other() -> None:
    """Of two processes with random ports one would often take a port that the other has chosen."""
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)
    distances = [after - before for before, after in pairwise(ports)]
    # The range begins again at its end, and ports that others use are passed over.
    assert sum(0 < distance < 10 for distance in distances) >= len(distances) - 1


def test_free_port_has_no_connections_that_a_server_has_just_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    with (
        socket.create_server((LOOPBACK, port)) as listener,
        socket.create_connection((LOOPBACK, port)),
    ):
        listener.accept()[0].close()
    monkeypatch.setattr(ports, "_positions", lambda _: count(port - ports.LOWEST_FREE))
    assert is_free(port), "a server that was restarted may listen"
    assert free_port() > port


def test_processes_try_ports_in_an_order_of_their_own() -> None:
    """A fork has another id than its parent."""
    assert ports._positions(1) is ports._positions(1)
    assert ports._positions(1) is not ports._positions(2)


def test_system_of_a_user_has_the_default_ports() -> None:
    assert resolve_ports({}, None) == ({}, DEFAULT_PORTS)


def test_first_port_sets_all_ports_but_those_that_are_set() -> None:
    settings, defaults = resolve_ports({"ONEFOLD_NATS_PORT": "4222"}, "9000")
    assert settings["ONEFOLD_INGEST_HTTP_PORT"] == "9000"
    assert settings["ONEFOLD_NATS_MONITOR_PORT"] == "9018"
    assert settings["ONEFOLD_NATS_PORT"] == "4222"
    assert defaults == {}


def test_first_port_zero_has_no_defaults() -> None:
    assert resolve_ports({}, "0") == ({}, {})


def test_broken_file_has_no_saved_ports(file: Path) -> None:
    file.write_text("{")
    assert load_ports(file) == {}
