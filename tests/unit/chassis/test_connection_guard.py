"""Tests how often a guard looks at the connections of its port."""

from __future__ import annotations

import asyncio
from itertools import count

import prometheus_client
import pytest
from service_fixtures import HANG_S

from services.chassis.rpc import connections
from services.chassis.rpc.connection_limits import ConnectionLimits
from services.chassis.rpc.connections import ConnectionGuard
from services.chassis.runtime.own_sockets import OwnSocket, ServedPort


class CountedPort(ServedPort):
    """A port without connections, which counts how often it is looked at."""

    swept = asyncio.Semaphore(0)

    def connections(self, **_: object) -> list[OwnSocket]:
        self.loop.call_soon_threadsafe(self.swept.release)
        return []

    loop: asyncio.AbstractEventLoop


async def test_guard_on_a_busy_machine_goes_on_looking_at_its_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sweep that waits for the processor takes long by the clock, and little of the processor."""
    monkeypatch.setattr(connections, "monotonic", count(step=1_000.0).__next__)
    monkeypatch.setattr(connections, "ServedPort", CountedPort)
    CountedPort.loop = asyncio.get_running_loop()
    cut_offs = prometheus_client.Counter("cut_offs", "d", ["reason"], registry=None)
    guard = ConnectionGuard(ConnectionLimits(connections=8, per_address=3), (), cut_offs)
    async with asyncio.timeout(HANG_S), guard.watching(1):
        for _ in range(3):
            await CountedPort.swept.acquire()
