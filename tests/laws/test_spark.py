"""Laws 1 and 2 on Spark: rows that Spark computes from an exported log make the live state."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
from faults.running_system import SETTINGS, close_system, open_system
from laws.mixed_facts import GRPC, WORKSPACES, make_events, open_doors, run_command
from laws.test_three_systems import Feed, define, pack_of, send, wait_for_facts, zone_at_noon

from services.cli.demo.receiver import WebhookReceiver
from services.devstack.stack import Stack
from services.kernel.time import DAY_US, HOUR_US

#: Two executors of one core, each a process of its own.
MASTER = "local-cluster[2,1,1024]"
FACTS = 300
needs_spark = [
    pytest.mark.skipif(not find_spec("pyspark"), reason="pyspark is not installed (extra `spark`)"),
    pytest.mark.skipif(not shutil.which("java"), reason="Java 17 or newer is not installed"),
]
pytestmark = needs_spark


@pytest.mark.timeout(900)
async def test_rows_of_spark_and_the_facts_after_them_end_in_the_live_state(tmp_path: Path) -> None:
    now_us = int(time.time()) * 1_000_000
    made, zone = make_events(FACTS, now_us - HOUR_US), zone_at_noon(now_us)
    events = [event for event in made if event.call["at"] > now_us - 29 * DAY_US]
    feed = Feed(3, 1, (GRPC,), 50, (0, 1, 2))
    settings = {**SETTINGS, "ONEFOLD_SHARDS": str(feed.shards)}
    log, data = tmp_path / "log", ("--data", str(tmp_path / "data"))
    async with (
        WebhookReceiver() as receiver,
        Stack(tmp_path / "data", settings=settings | receiver.settings) as stack,
    ):
        system = await open_system(stack, receiver)
        doors = await open_doors(stack, system.client, system.internal)
        for number in feed.packs[:2]:
            await define(doors, tmp_path, pack_of(number), zone)
        await send(doors, feed, events[: FACTS // 3], Random(1))
        await wait_for_facts(system, events[: FACTS // 3])
        await system.drain()
        assert "facts are exported" in run_command(stack, "export", "log", str(log), *data)
        await define(doors, tmp_path, pack_of(feed.packs[2]), zone)
        await send(doors, feed, events[FACTS // 3 :], Random(1))
        await wait_for_facts(system, events)
        await system.drain()
        for service in ("identity", "profile"):
            printed = run_command(
                *(stack, "rebuild", service, *data, "--engine", "spark"),
                *("--log", str(log), "--master", MASTER),
            )
            assert f"{service} is rebuilt" in printed
        await doors.admins[WORKSPACES[1]].close()
        await close_system(system)
