"""A bus without NATS."""

from __future__ import annotations

import asyncio

import pytest
from service_fixtures import open_bus

#: A port on which no server listens.
UNREACHABLE = "nats://127.0.0.1:1"


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 50])
async def test_bus_that_is_not_connected_can_be_closed_at_any_moment(turns: int) -> None:
    """Before it connects, while it connects, and while it waits for the next attempt."""
    async with open_bus(UNREACHABLE, "test") as bus:
        for _ in range(turns):
            await asyncio.sleep(0)
        assert not bus.connected
