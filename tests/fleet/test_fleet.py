"""A fleet keeps everything that it has acknowledged while parts of it fail under load: one
PostgreSQL a service, two replicas of each worker, streams with three replicas.

`./onefold test --faults N` runs N seeds with more events and more faults than the suite does.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from faults.outages import heal, verify
from faults.running_system import (
    SETTINGS,
    RunningSystem,
    close_system,
    kill_all,
    open_system,
    save_failed_seed,
    seeds,
)
from fleet.servers import REPLICAS, Fleet
from onefold.activation.v1.activation_facts_pb2 import (
    DELIVERY_STATE_DELIVERED,
    DELIVERY_STATE_SUPPRESSED,
)

from services import SERVICES
from services.cli.commands.development import FAULT_SEEDS
from services.cli.demo.dataset import School
from services.cli.demo.receiver import WebhookReceiver
from services.devstack.stack import Stack

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("forked_services")]

FOLDER = Path(__file__).parent
END_US = (int(time.time()) - 3_600) * 1_000_000
WORKERS = SERVICES[1:]
STREAMS = ("ONEFOLD_IN", "ONEFOLD_LOG", "ONEFOLD_IDENTITY", "ONEFOLD_PROFILE", "ONEFOLD_SEGMENT")
#: Those whose PostgreSQL stops; that of ingest is a case of the fault tests.
STOPPED = ("identity", "profile", "segment")
IS_LONG = FAULT_SEEDS in os.environ
VISITORS, FAULTS, SPREAD_S = (3_000, 12, 90.0) if IS_LONG else (100, 4, 8.0)


class FleetFaults:
    """Injects faults at random moments; the same seed injects the same faults."""

    def __init__(self, fleet: Fleet, stack: Stack, seed: int) -> None:
        self._fleet = fleet
        self._stack = stack
        self._random = Random(seed)
        #: The faults injected so far, to be reported with a failing seed.
        self.injected: list[str] = []

    async def run(self, faults: int, spread_s: float) -> None:
        """Inject faults within about `spread_s`, of each kind as many as of the others."""
        kinds = [self._kill_leader, self._stop_postgres, self._kill_worker, self._kill_worker]
        for number in range(faults):
            if number % len(kinds) == 0:
                self._random.shuffle(kinds)
            await asyncio.sleep(self._random.uniform(0.3, 1.0) * spread_s / faults)
            await kinds[number % len(kinds)]()

    async def _kill_leader(self) -> None:
        """Kill the node that takes the messages of a stream, and start it again after a while."""
        stream = self._random.choice(["ONEFOLD_LOG", "ONEFOLD_IDENTITY", "ONEFOLD_PROFILE"])
        self.injected.append(f"leader of {stream}")
        node = await self._fleet.leader_of(stream)
        kill_all([node.pid])
        await asyncio.sleep(self._random.uniform(0.5, 2.0))
        await node.stop()
        await node.start()

    async def _stop_postgres(self) -> None:
        service = self._random.choice(STOPPED)
        self.injected.append(f"postgres of {service}")
        await self._fleet.postgres[service].stop()
        await asyncio.sleep(self._random.uniform(0.5, 2.0))
        await self._fleet.postgres[service].start()

    async def _kill_worker(self) -> None:
        name = self._random.choice(WORKERS) + self._random.choice(["", "-2"])
        self.injected.append(name)
        kill_all([self._stack.services[name].pid])


@pytest.mark.parametrize("seed", seeds(FOLDER, 1))
async def test_fleet_that_loses_servers_keeps_what_it_acknowledged(
    seed: int, tmp_path: Path
) -> None:
    events = list(School(END_US, visitors=VISITORS).in_sending_order())
    async with WebhookReceiver() as receiver, Fleet(tmp_path / "servers") as fleet:
        settings = SETTINGS | receiver.settings | fleet.settings
        async with Stack(tmp_path / "stack", settings=settings, replicas=2) as stack:
            system = await open_system(stack, receiver)
            faults = FleetFaults(fleet, stack, seed)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(system.send(events, Random(seed), SPREAD_S))
                    group.create_task(faults.run(FAULTS, SPREAD_S))
                await heal(system)
                await check(system, len({event.message_id for event in events}))
                await check_streams(fleet)
            except BaseException:
                save_failed_seed(FOLDER, seed, faults.injected)
                print(f"seed {seed} failed: {', '.join(faults.injected)}")
                raise
            finally:
                await close_system(system)


async def check(system: RunningSystem, sent: int) -> None:
    """Fail where an acknowledged event is not in the log once, or a state differs from the log."""
    found = Counter(await system.logged_message_ids())
    assert not system.acknowledged - found.keys(), "acknowledged, but not in the log"
    assert max(found.values()) == 1, "in the log twice"
    assert len(found) == sent
    effects = await system.final_deliveries()
    sent_once = {effect for effect, state in effects.items() if state == DELIVERY_STATE_DELIVERED}
    assert sent_once == set(system.receiver.received), "effects and webhooks differ"
    # The message of a person whose other part has received it is not sent.
    final = {DELIVERY_STATE_DELIVERED, DELIVERY_STATE_SUPPRESSED}
    assert set(effects.values()) <= final, "an effect failed"
    assert not system.receiver.changed, "two messages have one id"
    assert await verify(system) == {}


async def check_streams(fleet: Fleet) -> None:
    """Fail where a stream has not as many replicas as the setting demands."""
    streams = await fleet.streams()
    replicas = {name: stream["config"]["num_replicas"] for name, stream in streams.items()}
    assert replicas == dict.fromkeys(STREAMS, REPLICAS)
