"""Tests that the connections of a port of this process are found, closed and barred."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from service_fixtures import HANG_S

from services.chassis.runtime.own_sockets import OpenSockets, ServedPort, bytes_received, shut_down

RAISE = """
import resource
from services.chassis.runtime.own_sockets import file_limit, raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(file_limit(), raise_file_limit())
"""


@pytest.fixture(params=["127.0.0.1", "::"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A socket that listens, on IPv4 or on both."""
    is_v6 = request.param == "::"
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET) as found:
        if is_v6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found.bind((request.param, 0))
        found.listen()
        yield found


def connect(listening: socket.socket, address: str) -> socket.socket:
    """Connect from an address. Raises TimeoutError where the other end does not respond."""
    client = socket.socket()
    client.settimeout(0.3)
    client.bind((address, 0))
    try:
        client.connect(("127.0.0.1", listening.getsockname()[1]))
    except BaseException:
        client.close()
        raise
    return client


def test_connection_is_found_with_its_other_end_and_closed(listening: socket.socket) -> None:
    port = ServedPort(listening.getsockname()[1])
    with connect(listening, "127.0.0.2") as client, listening.accept()[0] as served:
        client.sendall(b"hello")
        assert served.recv(5) == b"hello"
        [found] = port.connections()
        assert (found.host, found.port) == client.getsockname()
        assert bytes_received(found) == 5
        assert shut_down(found)
        assert served.recv(1) == b""
    assert not port.connections()
    assert not shut_down(found)


def test_ports_of_a_process_share_what_one_of_them_has_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed: list[str] = []
    list_folder = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or list_folder(folder))
    sockets = OpenSockets()
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
    ):
        ports = [ServedPort(each.getsockname()[1], sockets) for each in (one, other)]
        with socket.create_connection(one.getsockname()), one.accept()[0]:
            assert [len(port.connections(max_age_s=HANG_S)) for port in ports] == [1, 0]
            assert [len(port.connections(max_age_s=HANG_S)) for port in ports] == [1, 0]
            assert ports[0].connections(max_age_s=HANG_S, unless_fewer_than=1 << 20) == ()
            assert len(listed) == 1
        # Without an age it is what is open now.
        assert [len(port.connections()) for port in ports] == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters packets of a socket")
def test_socket_that_is_seen_before_it_listens_or_is_connected_is_found_afterwards() -> None:
    with socket.socket() as listening, socket.socket() as client:
        listening.bind(("127.0.0.1", 0))
        port = ServedPort(listening.getsockname()[1])
        assert not port.connections()
        listening.listen()
        client.connect(listening.getsockname())
        with listening.accept()[0] as served:
            assert [each.file for each in port.connections()] == [served.fileno()]
            port.bar(["127.0.0.2"])
            with pytest.raises(TimeoutError):
                connect(listening, "127.0.0.2")


def test_number_of_a_file_that_another_socket_has_by_now_is_left_alone(
    listening: socket.socket,
) -> None:
    port = ServedPort(listening.getsockname()[1])
    with connect(listening, "127.0.0.1"), listening.accept()[0]:
        [found] = port.connections()
    left, right = socket.socketpair()
    with left, right, socket.socket(fileno=left.detach()) as taken:
        assert not shut_down(type(found)(taken.fileno(), found.inode, found.host, found.port))
        assert right.send(b"x") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters packets of a socket")
def test_barred_address_cannot_connect_until_it_is_no_longer_barred(
    listening: socket.socket,
) -> None:
    port = ServedPort(listening.getsockname()[1])
    with connect(listening, "127.0.0.2") as before, listening.accept()[0] as served:
        port.connections()
        port.bar(["127.0.0.2", "2001:db8::", "192.0.2.1"])
        with pytest.raises(TimeoutError):
            connect(listening, "127.0.0.2")
        connect(listening, "127.0.0.3").close()
        before.sendall(b"open")
        assert served.recv(4) == b"open"
        port.bar([])
        connect(listening, "127.0.0.2").close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters packets of a socket")
def test_more_addresses_than_a_program_holds_are_barred_in_part(listening: socket.socket) -> None:
    port = ServedPort(listening.getsockname()[1])
    with connect(listening, "127.0.0.2"), listening.accept()[0]:
        port.connections()
        port.bar(["127.0.0.2", *(f"10.0.{n >> 8}.{n & 255}" for n in range(5_000))])
        with pytest.raises(TimeoutError):
            connect(listening, "127.0.0.2")
        port.bar(["127.0.0.2", *(f"2001:db8:{n:x}::" for n in range(5_000))])
        with pytest.raises(TimeoutError):
            connect(listening, "127.0.0.2")


def test_process_raises_its_limit_of_files_to_what_it_may_open() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    result = subprocess.run([sys.executable, "-c", RAISE], capture_output=True, check=True)
    assert result.stdout.split() == [b"64", str(most).encode()]
