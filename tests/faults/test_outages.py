"""Outages end, and the system heals by itself: nothing acknowledged is lost or there twice, and a
rebuild finds the same state."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import asyncpg
import pytest
from faults import outages
from faults.running_system import SETTINGS, RunningSystem, close_system, open_system, retry
from onefold.log.v1 import log_service_pb2 as log_pb

from services import SERVICES
from services.cli.demo.dataset import School, VisitorEvent
from services.cli.demo.receiver import WebhookReceiver
from services.cli.health import load_problems
from services.devstack.stack import Stack
from tests.service_fixtures import wait_until

END_US = (int(time.time()) - 3_600) * 1_000_000
VISITORS = 120
#: The part of the events that is sent during the outage.
SPREAD_S = 6.0

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("forked_services")]


@pytest.fixture(scope="module")
def school() -> School:
    return School(END_US, visitors=VISITORS)


@asynccontextmanager
async def running(
    folder: Path, settings: dict[str, str] | None = None, replicas: int = 1
) -> AsyncIterator[RunningSystem]:
    """Run a system with the education pack and one source."""
    async with (
        WebhookReceiver() as receiver,
        Stack(
            folder, settings=SETTINGS | receiver.settings | (settings or {}), replicas=replicas
        ) as stack,
    ):
        system = await open_system(stack, receiver)
        try:
            yield system
        finally:
            await close_system(system)


async def outlive(
    system: RunningSystem,
    events: list[VisitorEvent],
    outage: AbstractAsyncContextManager[None],
    *,
    seed: int,
    lasts_s: float,
) -> None:
    """Send events, with an outage in the midst, and check what the log has afterwards."""
    half = len(events) // 2
    await system.send(events[:half], Random(seed), 0.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(system.send(events[half:], Random(seed), SPREAD_S))
        await asyncio.sleep(outages.pick(seed, 0.2, 1.5))
        async with outage:
            await asyncio.sleep(lasts_s)
    await outages.heal(system)
    await check_log(system)


async def check(system: RunningSystem) -> None:
    """Fail where the log has not each acknowledged event once, or a state differs from the log."""
    await check_log(system)
    assert await outages.verify(system) == {}


async def check_log(system: RunningSystem) -> None:
    """Fail where the log has not each acknowledged event once."""
    found = Counter(await system.logged_message_ids())
    assert found.keys() == system.acknowledged
    assert max(found.values()) == 1, "in the log twice"


@pytest.fixture(scope="class")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    async with running(tmp_path_factory.mktemp("one")) as system:
        yield system
        # A rebuild after all of them finds what any outage has changed.
        assert await outages.verify(system) == {}


@pytest.fixture
def events(school: School, request: pytest.FixtureRequest) -> list[VisitorEvent]:
    """The events of the school with message ids of this test, in their order of sending."""
    name = request.node.name
    return [
        replace(event, message_id=f"{name} {event.message_id}")
        for event in school.in_sending_order()
    ]


class TestOneSystem:
    """Outages of one running system, one after another; it gets other events in each."""

    async def test_read_only_postgres_ends_no_service(
        self, system: RunningSystem, events: list[VisitorEvent]
    ) -> None:
        before = {name: service.pid for name, service in system.stack.services.items()}
        await outlive(system, events, outages.read_only(system.stack), seed=1, lasts_s=10.0)
        assert {name: s.pid for name, s in system.stack.services.items()} == before

    @pytest.mark.parametrize("name", [*SERVICES, "postgres", "nats"])
    async def test_frozen_process_delays_and_loses_nothing(
        self, system: RunningSystem, events: list[VisitorEvent], name: str
    ) -> None:
        await outlive(system, events, outages.frozen(system.stack, name), seed=2, lasts_s=15.0)

    async def test_clock_that_jumps_ahead_leaves_no_trace_in_the_log(
        self, system: RunningSystem, events: list[VisitorEvent]
    ) -> None:
        await outlive(system, events, outages.clock_ahead(system.stack), seed=5, lasts_s=8.0)
        head = await retry(system.internal.log.GetHead, log_pb.GetHeadRequest())
        assert head.now_us < (time.time() + 3_600) * 1e6


async def test_shards_of_a_frozen_replica_are_worked_by_the_other_one(
    school: School, tmp_path: Path
) -> None:
    async with running(tmp_path, replicas=2) as system:
        events = list(school.in_sending_order())
        half = len(events) // 2
        await system.send(events[:half], Random(3), 0.0)
        await outages.heal(system)
        # Each second replica holds half of the shards. They stay frozen until all is folded.
        async with AsyncExitStack() as freezing:
            for name in ("identity", "profile", "segment", "activation"):
                await freezing.enter_async_context(outages.frozen(system.stack, f"{name}-2"))
            await system.send(events[half:], Random(3), 0.0)
            await outages.heal(system)
        await outages.heal(system)
        await check(system)


async def test_full_disk_is_not_for_ever(school: School, servers_dir: Path) -> None:
    async with AsyncExitStack() as scope:
        # A run that is killed leaves it mounted: in a folder of pytest, later runs would fail to
        # remove it.
        small = outages.small_file_system(servers_dir / "small", 1_200)
        try:
            folder = await scope.enter_async_context(small)
        except PermissionError as error:
            pytest.skip(str(error))
        system = await scope.enter_async_context(running(folder))
        events = list(school.in_sending_order())
        await outlive(system, events, outages.full_disk(folder), seed=4, lasts_s=20.0)
        await check(system)


async def test_failover_to_a_lagging_standby_loses_nothing_that_is_sent_again(
    school: School, tmp_path: Path
) -> None:
    async with outages.Pair(tmp_path / "pair") as pair:
        settings = {"ONEFOLD_POSTGRES_DSN": pair.dsn}
        async with running(tmp_path / "data", settings) as system:
            events = list(school.in_sending_order())
            third = len(events) // 3
            await system.send(events[:third], Random(6), 0.0)
            await outages.heal(system)
            await pair.lag()
            await system.send(events[third : 2 * third], Random(6), 0.0)
            await outages.heal(system)
            lost = await _logged(pair.standby.superuser_dsn)
            assert lost < await _logged(pair.primary.superuser_dsn), "the standby lags"
            await pair.fail_over()
            # A sender whose events may be lost sends them again.
            await system.send(events, Random(6), 0.0)
            await outages.heal(system)
            await check(system)


async def _logged(dsn: str) -> int:
    conn = await asyncpg.connect(dsn)
    try:
        return int(await conn.fetchval("SELECT sum(next) FROM ingest.head"))
    finally:
        await conn.close()


async def test_log_that_is_restored_alone_is_named_until_a_resync_follows_it(
    school: School, tmp_path: Path
) -> None:
    async with running(tmp_path) as system:
        events = list(school.in_sending_order())
        half = len(events) // 2
        await system.send(events[:half], Random(7), 0.0)
        await outages.heal(system)
        await outages.restore_log_alone(system.stack, 25)
        urls = {name: system.stack.operations_url(name) for name in SERVICES}

        async def is_stated() -> bool:
            return "UPSTREAM_WENT_BACK" in (await load_problems(urls)).get("identity", "")

        await wait_until(is_stated, outages.HEAL_S)
        # The log grows past the lost facts, and the fault stays stated.
        await system.send(events, Random(7), 0.0)
        assert await is_stated()
        await outages.resync(system)
        await outages.heal(system)
        await check(system)


async def test_log_that_was_restored_and_grew_before_the_others_start_is_named(
    school: School, tmp_path: Path
) -> None:
    async with running(tmp_path) as system:
        events = list(school.in_sending_order())
        half = len(events) // 2
        await system.send(events[:half], Random(8), 0.0)
        await outages.heal(system)
        await outages.restore_log_alone(system.stack, 5, start=False)
        # The log is longer than it was before the services after it see it.
        system.stack.services["ingest"].start()
        await system.send(events, Random(8), 0.0)
        for name, service in system.stack.services.items():
            if name != "ingest":
                service.start()
        urls = {name: system.stack.operations_url(name) for name in SERVICES}

        async def is_stated() -> bool:
            return "UPSTREAM_WENT_BACK" in (await load_problems(urls)).get("identity", "")

        await wait_until(is_stated, outages.HEAL_S)
        await outages.resync(system)
        await outages.heal(system)
        await check(system)
