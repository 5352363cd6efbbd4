"""Ports that processes share are reserved, and a port of another program is refused."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from services.chassis.runtime.cpu import usable_processors
from services.chassis.runtime.shared_ports import CAN_SPREAD, PortInUse, reserve, share

needs_spreading = pytest.mark.skipif(not CAN_SPREAD, reason="only Linux spreads connections")


def test_port_of_another_program_is_refused_with_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} .* set another one"):
            reserve("127.0.0.1", port)


@needs_spreading
def test_port_that_another_group_holds_is_refused() -> None:
    with reserve("127.0.0.1", 0) as held, pytest.raises(PortInUse):
        reserve("127.0.0.1", held.getsockname()[1])


@needs_spreading
def test_processes_of_a_group_listen_on_its_port_and_connections_reach_both() -> None:
    with reserve("127.0.0.1", 0) as held:
        address = held.getsockname()
        listening = [socket.socket(), socket.socket()]
        for each in listening:
            share(each)
            each.bind(address)
            each.listen(64)
            each.setblocking(False)
        clients = [socket.create_connection(address) for _ in range(40)]
        accepted = []
        for each in listening:
            accepted.append(0)
            try:
                while True:
                    each.accept()[0].close()
                    accepted[-1] += 1
            except BlockingIOError:
                each.close()
        for client in clients:
            client.close()
        assert sum(accepted) == 40
        assert min(accepted) > 0


@pytest.mark.parametrize(
    ("text", "count"),
    [("100000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", None), ("", None)],
)
def test_usable_processors_are_those_of_the_container(
    tmp_path: Path, text: str, count: int | None
) -> None:
    file = tmp_path / "cpu.max"
    everything = usable_processors(file)
    assert everything >= 1
    file.write_text(text)
    assert usable_processors(file) == (count or everything)
