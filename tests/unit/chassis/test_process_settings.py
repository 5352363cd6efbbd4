"""The processes of a group share ports and connections; everything else is each one's own."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

import pytest

from services.chassis.runtime.process_group import ProcessGroup
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.shared_ports import CAN_SPREAD, PortInUse

pytestmark = pytest.mark.skipif(not CAN_SPREAD, reason="only Linux spreads connections")


class Settings(ServiceSettings):
    service: ClassVar[str] = "sample"
    http_port: int = 0


def settings(**fields: Any) -> Settings:
    needed = {
        "postgres_dsn": "postgresql://u:p@localhost/x",
        "nats_url": "nats://u:p@localhost",
        "internal_key": "internal-secret-of-32-characters",
        "bus_key": "bus-secret-of-more-than-32-characters",
    }
    return Settings(**{**needed, **fields})


@pytest.mark.parametrize(("connections", "count", "each"), [(40, 4, 10), (12, 2, 6), (12, 8, 6)])
async def test_connections_to_postgres_are_divided(connections: int, count: int, each: int) -> None:
    async with ProcessGroup(settings(postgres_connections=connections), count) as group:
        assert group._environment()["ONEFOLD_SAMPLE_POSTGRES_CONNECTIONS"] == str(each)


async def test_processes_get_the_ports_that_the_group_holds() -> None:
    async with ProcessGroup(settings(), 2) as group:
        assert set(group.ports) == {"http_port", "grpc_port", "internal_grpc_port"}
        assert len(set(group.ports.values())) == 3
        environment = group._environment()
        for name, port in group.ports.items():
            assert environment[f"ONEFOLD_SAMPLE_{name.upper()}"] == str(port)
        port = group.ports["http_port"]
    socket.create_server(("127.0.0.1", port)).close()


async def test_ports_are_given_back_where_one_of_them_is_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.chassis.runtime.process_group._PORTS_WAIT_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        taken = other.getsockname()[1]
        with pytest.raises(PortInUse, match=str(taken)):
            async with ProcessGroup(settings(http_port=free, grpc_port=taken), 2):
                pass
        socket.create_server(("127.0.0.1", free)).close()
