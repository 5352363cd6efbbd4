"""Tests how many messages are sent a second time after the process that sends them was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter

from aiohttp import web
from integration.activation.ledger_fixture import MAX_IN_FLIGHT, Ledger, change, hook, open_ledger
from integration.activation.receiver import Receiver
from service_fixtures import wait_until

from services.activation.domain.model import DeliveryState
from services.kernel.ids import to_hex

EFFECTS, ANSWERED = 400, 200
#: Long, as a process that has little of the processor must renew it in time.
LEASE_S = 4.0
SENDER = (
    "import sys; from integration.activation.test_killed_process import send; send(*sys.argv[1:])"
)


def send(dsn: str) -> None:
    """Send the effects of a ledger until the process is killed."""

    async def run() -> None:
        async with open_ledger(dsn) as ledger, ledger.dispatching(lease_s=LEASE_S):
            await asyncio.Event().wait()

    asyncio.run(run())


async def test_killed_process_repeats_at_most_what_was_in_flight(
    ledger: Ledger, receiver: Receiver
) -> None:
    """The receiver gets the messages in flight, and the process is killed before any response."""
    to = hook(receiver.url())
    await ledger.define(to)
    effects = await ledger.add([change(n) for n in range(EFFECTS)], to)

    async def respond(_: web.Request) -> web.StreamResponse:
        if len(receiver.received) > ANSWERED:
            await receiver.released.wait()
        return web.Response()

    receiver.script = [respond]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SENDER, ledger.dsn),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        await wait_until(lambda: len(receiver.received) >= ANSWERED + MAX_IN_FLIGHT // 2)

        async def all_in_flight_have_arrived() -> bool:
            states = await ledger.states()
            started = states.get("UNKNOWN", 0) + states.get("DELIVERED", 0)
            is_recorded = states.get("DELIVERED", 0) >= ANSWERED
            return is_recorded and started == len(receiver.received)

        await wait_until(all_in_flight_have_arrived)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    receiver.released.set()
    async with ledger.dispatching(lease_s=LEASE_S):
        await ledger.all_are(DeliveryState.DELIVERED)
    received = Counter(receiver.keys())
    assert set(received) == {to_hex(effect.effect_id) for effect in effects}
    assert max(received.values()) == 2
    repeats = sum(received.values()) - EFFECTS
    assert 0 < repeats <= MAX_IN_FLIGHT
    bodies = {(each.key, each.body) for each in receiver.received}
    assert len(bodies) == EFFECTS, "a repeat has the same key and the same body"
