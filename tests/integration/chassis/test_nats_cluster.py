"""A service connects to a cluster of NATS: several addresses, streams with replicas."""

from __future__ import annotations

import asyncio

import pytest
from service_fixtures import open_bus
from structlog.testing import capture_logs

from services.chassis.messaging.envelope import MessageAuthenticator
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.runtime.nats_servers import NatsServers
from tests.service_fixtures import BUS_KEY


@pytest.mark.parametrize("dead_first", [True, False])
async def test_bus_connects_while_one_of_its_servers_is_down(
    nats_url: str, dead_first: bool
) -> None:
    [url], user, password = NatsServers.parse(nats_url)
    alive, dead = url.removeprefix("nats://"), "127.0.0.1:1"
    first, second = (dead, alive) if dead_first else (alive, dead)
    async with open_bus(f"nats://{user}:{password}@{first},{second}", "test") as bus:
        async with asyncio.timeout(60):
            await bus.ready()
        assert await bus.ensure_stream("onefold.log") == "ONEFOLD_LOG"


async def test_stream_that_has_other_replicas_than_demanded_is_logged_with_a_remedy(
    nats_url: str,
) -> None:
    async with open_bus(nats_url, "test") as bus:
        await bus.ready()
        with capture_logs() as before:
            await bus.ensure_stream("onefold.log")
            await bus.ensure_stream("onefold.log")
    authenticator = MessageAuthenticator(BUS_KEY)
    async with JetStreamBus(nats_url, name="test", authenticator=authenticator, replicas=3) as bus:
        await bus.ready()
        with capture_logs() as after:
            await bus.ensure_stream("onefold.log")
    assert [line["event"] for line in before] == ["stream_created"]
    [line] = after
    assert (line["event"], line["found"], line["expected"]) == ("stream_replicas_differ", 1, 3)
    assert "nats stream edit ONEFOLD_LOG --replicas 3" in line["remedy"]
