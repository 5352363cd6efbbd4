"""Whatever dies at whatever moment: what was acknowledged is in the log, everything catches up,
and each effect reaches its receiver under one key.

`./onefold test --faults N` runs N seeds; the suite runs a few. A seed that fails is printed and
kept in `failed_seeds.txt`, and is run first from then on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from faults.world import SETTINGS, Nemesis, close_world, keep_seed, make_world

from services.cli.demo.dataset import School
from services.cli.demo.receiver import Receiver
from services.devstack.stack import Stack

FOLDER = Path(__file__).parent
VISITORS = 250
SPREAD_S, BLOWS = 15.0, 6
#: Both runs are of the same month, which ended before either began.
END_US = (int(time.time()) - 3_600) * 1_000_000

Digests = dict[str, dict[str, str]]


def seeds() -> list[int]:
    """Seeds that failed before, then as many as are asked for."""
    kept = FOLDER / "failed_seeds.txt"
    failed = (
        [int(line.split()[0]) for line in kept.read_text().splitlines()] if kept.exists() else []
    )
    count = int(os.environ.get("ONEFOLD_FAULT_SEEDS", "2"))
    return [*dict.fromkeys(failed), *range(1, count + 1)]


@pytest.fixture(scope="module")
def school() -> School:
    return School(END_US, visitors=VISITORS)


@pytest.fixture(scope="module")
async def undisturbed(
    school: School, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Digests, int]:
    """The digests of a run without faults, and how many events it has."""
    folder = tmp_path_factory.mktemp("undisturbed")
    async with Receiver() as receiver, Stack(folder, settings=SETTINGS) as stack:
        world = await make_world(stack, receiver)
        await world.send(list(school.deliveries()), Random(0), 0.0)
        await world.rest()
        digests = await world.digests()
        await close_world(world)
    return digests, len(school.happenings)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", seeds())
async def test_nothing_is_lost_and_nothing_comes_twice(
    seed: int, school: School, undisturbed: tuple[Digests, int], tmp_path: Path
) -> None:
    async with Receiver() as receiver, Stack(tmp_path, settings=SETTINGS) as stack:
        world = await make_world(stack, receiver)
        nemesis = Nemesis(world, seed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(world.send(list(school.deliveries()), Random(seed), SPREAD_S))
                group.create_task(nemesis.strike(BLOWS, SPREAD_S))
            await world.rest()
            found = Counter(await world.log_ids())
            assert not world.acknowledged - found.keys(), "acknowledged, but not in the log"
            assert max(found.values()) == 1, "in the log twice"
            assert len(found) == undisturbed[1]
            assert await world.digests() == undisturbed[0]
            effects = await world.delivered()
            assert set(effects) == set(receiver.received), "effects and webhooks are not the same"
            assert set(effects.values()) <= {3}, "an effect was not delivered"
            assert not receiver.forged
            assert not receiver.changed, "one key came with two messages"
        except BaseException:
            keep_seed(FOLDER, seed, nemesis.done)
            print(f"seed {seed} failed: {' '.join(nemesis.done)}")
            raise
        finally:
            await close_world(world)
