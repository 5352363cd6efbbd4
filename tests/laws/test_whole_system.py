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
from faults.world import SETTINGS, World, close_world, make_world
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.projection.v1.projection_service_pb2 import RebuildRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.chassis.testing import wait_until
from services.cli.demo.dataset import Happening, School
from services.cli.demo.expected import Truth
from services.cli.demo.receiver import Receiver
from services.cli.verify import REBUILT
from services.devstack.stack import Stack
from services.kernel.time import DAY_US

VISITORS = 60
#: All systems of this module hear of the same month, which ended before they began.
END_US = (int(time.time()) - 3_600) * 1_000_000

Digests = dict[str, dict[str, str]]


@asynccontextmanager
async def running(folder: Path, *, shards: int = 4, replicas: int = 1) -> AsyncIterator[World]:
    settings = {**SETTINGS, "ONEFOLD_SHARDS": str(shards)}
    async with Receiver() as receiver, Stack(folder, settings=settings, replicas=replicas) as stack:
        world = await make_world(stack, receiver)
        yield world
        await close_world(world)


def told_again(events: list[Happening], seed: int) -> list[Happening]:
    """The same events in another order, a third of them twice."""
    chance = Random(seed)
    again = [*events, *chance.sample(events, len(events) // 3)]
    chance.shuffle(again)
    return again


@pytest.fixture(scope="module")
def month() -> list[Happening]:
    return list(School(END_US, visitors=VISITORS).happenings)


@pytest.fixture(scope="module")
async def digests(month: list[Happening], tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """What the month ends in, told once and in order."""
    async with running(tmp_path_factory.mktemp("plain")) as world:
        await world.send(month, Random(0), 0.0)
        await world.rest()
        return await world.digests()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("shards", "replicas", "seed"), [(1, 1, 1), (4, 3, 2)])
async def test_any_order_any_repetition_any_number_of_shards_and_workers(
    month: list[Happening],
    digests: Digests,
    tmp_path: Path,
    shards: int,
    replicas: int,
    seed: int,
) -> None:
    async with running(tmp_path, shards=shards, replicas=replicas) as world:
        await world.send(told_again(month, seed), Random(seed), 0.0)
        await world.rest()
        assert await world.digests() == digests


@pytest.mark.timeout(300)
async def test_another_fact_gives_another_digest(
    month: list[Happening], digests: Digests, tmp_path: Path
) -> None:
    at = next(i for i, event in enumerate(month) if event.name == "purchased_course")
    changed = [*month]
    changed[at] = replace(month[at], occurred_at_us=month[at].occurred_at_us + 1_000)
    async with running(tmp_path) as world:
        await world.send(changed, Random(0), 0.0)
        await world.rest()
        found = await world.digests()
    assert found["profile"] != digests["profile"]


@pytest.mark.timeout(300)
async def test_the_exported_log_is_the_whole_system(
    month: list[Happening], digests: Digests, tmp_path: Path
) -> None:
    """Law 1: what one log holds, appended to another one with another cut, gives the digests."""
    async with running(tmp_path / "from") as world:
        await world.send(month, Random(0), 0.0)
        await world.rest()
        exported = await export(world)
    async with running(tmp_path / "to", shards=1) as world:
        for start in range(0, len(exported), 1_000):
            request = log_pb.AppendRequest(facts=exported[start : start + 1_000])
            await world.patiently(world.internal.log.Append, request)
        await world.rest()
        assert await world.digests() == digests


async def export(world: World) -> list[Fact]:
    """Every event of the log, shard by shard."""
    head = await world.patiently(world.internal.log.GetHead, log_pb.GetHeadRequest())
    facts: list[Fact] = []
    for shard, until in enumerate(head.token.offsets):
        request = log_pb.ReadRequest(
            shard=shard, until_offset=until, kinds=[event_pb2.Event.DESCRIPTOR.full_name]
        )
        async for answer in world.internal.stream(world.internal.log.Read, request):
            facts += answer.batch.facts
    return facts


@pytest.mark.timeout(300)
async def test_time_and_rebuilds(month: list[Happening], tmp_path: Path) -> None:
    """Laws 3 to 5 on one system: time alone lets people go; a rebuild proves itself, takes the
    place of the live state, and sends nothing; what comes afterwards goes on as if nothing was."""
    async with running(tmp_path) as world:
        truth = Truth(School(END_US, visitors=VISITORS))
        await world.send(month, Random(0), 0.0)
        await world.pass_time(0)
        members = await world.members("high-intent-trial")
        assert len(members) == len(truth.high_intent(END_US + 3_600_000_000))
        assert members, "nobody is there to leave"

        await world.pass_time(8 * DAY_US)
        assert await world.members("high-intent-trial") == []

        await world.delivered()
        received = Counter(world.receiver.received)
        before = await world.digests()
        for service in REBUILT:
            request = RebuildRequest(switch_over=True)
            last = None
            async for told in world.internal.stream(
                world.internal.projection(service).Rebuild, request
            ):
                last = told
            assert last is not None
            assert last.equal, f"{service}: {list(last.differing_rows)}"
        assert await world.digests() == before
        await world.pass_time(0)
        assert world.receiver.received == received, "a rebuild sent something"

        late = [
            replace(event, message_id=f"again-{event.message_id}", occurred_at_us=END_US)
            for event in month[:50]
        ]
        await world.send(late, Random(0), 0.0)
        await world.pass_time(0)
        for service in REBUILT:
            async for told in world.internal.stream(
                world.internal.projection(service).Rebuild, RebuildRequest(shards=1)
            ):
                last = told
            assert last.equal, f"{service}: {list(last.differing_rows)}"


@pytest.mark.timeout(180)
async def test_nothing_is_lost_in_silence(tmp_path: Path) -> None:
    """Law 6: what is refused is kept with its reason, and can be repaired and released."""
    async with running(tmp_path) as world:
        good = event_pb2.Event(
            type=event_pb2.EVENT_TYPE_TRACK,
            name="registered",
            message_id="good",
            identifiers=[Identifier(namespace="user_id", value="u-1")],
        )
        bad = event_pb2.Event(type=event_pb2.EVENT_TYPE_TRACK, name="registered", message_id="bad")
        source, client = world.source, world.client
        answer = await source.call(
            source.ingest.IngestEvents, ingest_pb.IngestEventsRequest(events=[good, bad])
        )
        assert answer.accepted == 1
        (refused,) = answer.rejections
        assert refused.index == 1
        listed = await client.call(
            client.ingest.ListQuarantined, ingest_pb.ListQuarantinedRequest()
        )
        assert [q.quarantine_id for q in listed.entries] == [refused.quarantine_id]
        bad.identifiers.add(namespace="user_id", value="u-2")
        released = await client.call(
            client.ingest.ReleaseQuarantined,
            ingest_pb.ReleaseQuarantinedRequest(quarantine_id=refused.quarantine_id, event=bad),
        )
        assert released.result.accepted == 1
        assert Counter(await world.log_ids()) == Counter(["good", "bad"])

        async def nothing_is_left() -> bool:
            left = await client.call(
                client.ingest.ListQuarantined, ingest_pb.ListQuarantinedRequest()
            )
            return not left.entries

        await wait_until(nothing_is_left)
