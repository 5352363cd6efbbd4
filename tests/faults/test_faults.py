"""Kills processes at random moments: no acknowledged event is lost, all services recover, and each
effect reaches its receiver under one id.

`./onefold test --faults N` runs N seeds; the whole suite runs one, in
which each process has a fault. A seed that fails is printed and
saved in `failed_seeds.txt`, and is run first from then on.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from faults.running_system import (
    SETTINGS,
    TARGETS,
    FaultInjector,
    close_system,
    open_system,
    save_failed_seed,
    seeds,
)
from onefold.activation.v1.activation_facts_pb2 import DELIVERY_STATE_DELIVERED

from services.cli.demo.dataset import School
from services.cli.demo.receiver import WebhookReceiver
from services.devstack.stack import Stack

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("forked_services")]

FOLDER = Path(__file__).parent
VISITORS = 250
#: Each target has a fault in each run.
SPREAD_S, FAULTS = 20.0, len(TARGETS)
#: All runs send the same month, which ended before the first one began.
END_US = (int(time.time()) - 3_600) * 1_000_000


class UndisturbedRun(NamedTuple):
    """The results of a run without faults."""

    digests: dict[str, dict[str, str]]
    events: int


@pytest.fixture(scope="module")
def school() -> School:
    return School(END_US, visitors=VISITORS)


@pytest.fixture(scope="module")
async def undisturbed(school: School, tmp_path_factory: pytest.TempPathFactory) -> UndisturbedRun:
    folder = tmp_path_factory.mktemp("undisturbed")
    async with (
        WebhookReceiver() as receiver,
        Stack(folder, settings=SETTINGS | receiver.settings) as stack,
    ):
        system = await open_system(stack, receiver)
        await system.send(list(school.in_sending_order()), Random(0), 0.0)
        await system.drain()
        digests = await system.digests()
        await close_system(system)
    return UndisturbedRun(digests, len(school.events))


@pytest.mark.parametrize("seed", seeds(FOLDER, 1))
async def test_killed_processes_lose_no_event_and_repeat_no_effect(
    seed: int, school: School, undisturbed: UndisturbedRun, tmp_path: Path
) -> None:
    async with (
        WebhookReceiver() as receiver,
        Stack(tmp_path, settings=SETTINGS | receiver.settings) as stack,
    ):
        system = await open_system(stack, receiver)
        injector = FaultInjector(stack, seed)
        events = list(school.in_sending_order())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(system.send(events, Random(seed), SPREAD_S))
                group.create_task(injector.run(FAULTS, SPREAD_S))
            await system.drain()
            found = Counter(await system.logged_message_ids())
            assert not system.acknowledged - found.keys(), "acknowledged, but not in the log"
            assert max(found.values()) == 1, "in the log twice"
            assert len(found) == undisturbed.events
            assert await system.digests() == undisturbed.digests
            effects = await system.final_deliveries()
            assert set(effects) == set(receiver.received), "effects and webhooks differ"
            assert set(effects.values()) <= {DELIVERY_STATE_DELIVERED}, "an effect failed"
            assert not receiver.forged
            assert not receiver.changed, "two messages have one id"
        except BaseException:
            save_failed_seed(FOLDER, seed, injector.injected)
            print(f"seed {seed} failed: {' '.join(injector.injected)}")
            raise
        finally:
            await close_system(system)
