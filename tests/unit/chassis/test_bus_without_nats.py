"""A bus where there is no NATS."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.messaging.jetstream import JetStreamBus

#: A port at which nobody listens.
NOWHERE = "nats://127.0.0.1:1"


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 50])
async def test_it_can_be_left_at_any_moment(turns: int) -> None:
    """Before connecting began, while it goes on, and while it waits for the next attempt."""
    async with JetStreamBus(NOWHERE, name="nobody") as bus:
        for _ in range(turns):
            await asyncio.sleep(0)
        assert not bus.connected
