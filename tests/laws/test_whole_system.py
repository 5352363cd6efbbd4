"""Laws 1 to 6 for the whole system: real engines, real processes, one month told in many ways."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from faults.running_system import SETTINGS, RunningSystem, close_system, open_system, retry
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.projection.v1.projection_service_pb2 import RebuildRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import wait_until

from services.cli.commands.rebuild import REBUILT
from services.cli.demo.dataset import School, SchoolEvent
from services.cli.demo.expected import ExpectedResults
from services.cli.demo.receiver import WebhookReceiver
from services.devstack.stack import Stack
from services.kernel.time import DAY_US

VISITORS = 60
#: All systems of this module hear of the same month, which ended before they began.
END_US = (int(time.time()) - 3_600) * 1_000_000

Digests = dict[str, dict[str, str]]


@asynccontextmanager
async def running(
    folder: Path, *, shards: int = 4, replicas: int = 1
) -> AsyncIterator[RunningSystem]:
    settings = {**SETTINGS, "ONEFOLD_SHARDS": str(shards)}
    async with (
        WebhookReceiver() as receiver,
        Stack(folder, settings=settings, replicas=replicas) as stack,
    ):
        system = await open_system(stack, receiver)
        yield system
        await close_system(system)


def told_again(events: list[SchoolEvent], seed: int) -> list[SchoolEvent]:
    """The same events in another order, a third of them twice."""
    chance = Random(seed)
    again = [*events, *chance.sample(events, len(events) // 3)]
    chance.shuffle(again)
    return again


@pytest.fixture(scope="module")
def month() -> list[SchoolEvent]:
    return list(School(END_US, visitors=VISITORS).events)


@pytest.fixture(scope="module")
async def digests(month: list[SchoolEvent], tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """What the month ends in, told once and in order."""
    async with running(tmp_path_factory.mktemp("plain")) as system:
        await system.send(month, Random(0), 0.0)
        await system.drain()
        return await system.digests()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("shards", "replicas", "seed"), [(1, 1, 1), (4, 3, 2)])
async def test_any_order_any_repetition_any_number_of_shards_and_workers(
    month: list[SchoolEvent],
    digests: Digests,
    tmp_path: Path,
    shards: int,
    replicas: int,
    seed: int,
) -> None:
    async with running(tmp_path, shards=shards, replicas=replicas) as system:
        await system.send(told_again(month, seed), Random(seed), 0.0)
        await system.drain()
        assert await system.digests() == digests


@pytest.mark.timeout(300)
async def test_another_fact_gives_another_digest(
    month: list[SchoolEvent], digests: Digests, tmp_path: Path
) -> None:
    at = next(i for i, event in enumerate(month) if event.name == "purchased_course")
    changed = [*month]
    changed[at] = replace(month[at], occurred_at_us=month[at].occurred_at_us + 1_000)
    async with running(tmp_path) as system:
        await system.send(changed, Random(0), 0.0)
        await system.drain()
        found = await system.digests()
    assert found["profile"] != digests["profile"]


@pytest.mark.timeout(300)
async def test_the_exported_log_is_the_whole_system(
    month: list[SchoolEvent], digests: Digests, tmp_path: Path
) -> None:
    """Law 1: what one log holds, appended to another one with another cut, gives the digests."""
    async with running(tmp_path / "from") as system:
        await system.send(month, Random(0), 0.0)
        await system.drain()
        exported = await export(system)
    async with running(tmp_path / "to", shards=1) as system:
        for start in range(0, len(exported), 1_000):
            request = log_pb.AppendRequest(facts=exported[start : start + 1_000])
            await retry(system.internal.log.Append, request)
        await system.drain()
        assert await system.digests() == digests


async def export(system: RunningSystem) -> list[Fact]:
    """Every event of the log, shard by shard."""
    head = await retry(system.internal.log.GetHead, log_pb.GetHeadRequest())
    facts: list[Fact] = []
    for shard, until in enumerate(head.token.offsets):
        request = log_pb.ReadRequest(
            shard=shard, end_offset=until, kinds=[event_pb2.Event.DESCRIPTOR.full_name]
        )
        async for answer in system.internal.log.Read(request):
            facts += answer.batch.facts
    return facts


@pytest.mark.timeout(300)
async def test_time_and_rebuilds(month: list[SchoolEvent], tmp_path: Path) -> None:
    """Laws 3 to 5 on one system: time alone lets people go; a rebuild proves itself, takes the
    place of the live state, and sends nothing; what comes afterwards goes on as if nothing was."""
    async with running(tmp_path) as system:
        truth = ExpectedResults(School(END_US, visitors=VISITORS))
        await system.send(month, Random(0), 0.0)
        await system.advance_clock(0)
        members = await system.members("high-intent-trial")
        assert len(members) == len(truth.high_intent(END_US + 3_600_000_000))
        assert members, "nobody is there to leave"

        await system.advance_clock(8 * DAY_US)
        assert await system.members("high-intent-trial") == []

        await system.final_deliveries()
        received = Counter(system.receiver.received)
        before = await system.digests()
        for service in REBUILT:
            request = RebuildRequest(switch_over=True)
            last = None
            async for told in system.internal.projection(service).Rebuild(request):
                last = told
            assert last is not None
            assert last.equal, f"{service}: {list(last.differing_rows)}"
        assert await system.digests() == before
        await system.advance_clock(0)
        assert system.receiver.received == received, "a rebuild sent something"

        late = [
            replace(event, message_id=f"again-{event.message_id}", occurred_at_us=END_US)
            for event in month[:50]
        ]
        await system.send(late, Random(0), 0.0)
        await system.advance_clock(0)
        for service in REBUILT:
            async for told in system.internal.projection(service).Rebuild(RebuildRequest(shards=1)):
                last = told
            assert last.equal, f"{service}: {list(last.differing_rows)}"


@pytest.mark.timeout(180)
async def test_nothing_is_lost_in_silence(tmp_path: Path) -> None:
    """Law 6: what is refused is kept with its reason, and can be repaired and released."""
    async with running(tmp_path) as system:
        good = event_pb2.Event(
            type=event_pb2.EVENT_TYPE_TRACK,
            name="registered",
            message_id="good",
            identifiers=[Identifier(namespace="user_id", value="u-1")],
        )
        bad = event_pb2.Event(type=event_pb2.EVENT_TYPE_TRACK, name="registered", message_id="bad")
        source, client = system.source, system.client
        answer = await source.ingest.IngestEvents(ingest_pb.IngestEventsRequest(events=[good, bad]))
        assert answer.accepted == 1
        (refused,) = answer.rejections
        assert refused.index == 1
        listed = await client.ingest.ListQuarantined(ingest_pb.ListQuarantinedRequest())
        assert [q.quarantine_id for q in listed.entries] == [refused.quarantine_id]
        bad.identifiers.add(namespace="user_id", value="u-2")
        released = await client.ingest.ReleaseQuarantined(
            ingest_pb.ReleaseQuarantinedRequest(quarantine_id=refused.quarantine_id, event=bad)
        )
        assert released.result.accepted == 1
        assert Counter(await system.logged_message_ids()) == Counter(["good", "bad"])

        async def nothing_is_left() -> bool:
            left = await client.ingest.ListQuarantined(ingest_pb.ListQuarantinedRequest())
            return not left.entries

        await wait_until(nothing_is_left)
