"""Laws 1 to 6 for the whole system: real processes, and one month of events sent in many ways."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest
from event_logs import append_facts
from faults.running_system import SETTINGS, RunningSystem, close_system, open_system, retry
from onefold.activation.v1.desk_pb2 import SlaBreached, TicketOpened
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest, IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_facts_pb2 import TraitCorrected
from onefold.profile.v1.profile_service_pb2 import CorrectTraitRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from rebuilds import rebuild
from service_fixtures import wait_until

from services.chassis.postgres.database import connect_pool
from services.chassis.postgres.roles import ServiceRoles
from services.cli.commands.rebuild import REBUILT
from services.cli.demo.dataset import School, VisitorEvent
from services.cli.demo.expected import ExpectedResults
from services.cli.demo.receiver import WebhookReceiver
from services.client.client import Client
from services.devstack.stack import Stack
from services.ingest.log import EventLog
from services.kernel.time import DAY_US
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY, INDEX_KEY_TEXT

VISITORS = 60
#: All systems of this module get the same month, which ended before they were started.
END_US = (int(time.time()) - 3_600) * 1_000_000

pytestmark = pytest.mark.usefixtures("forked_services")

Digests = dict[str, dict[str, str]]


@asynccontextmanager
async def running(
    folder: Path, *, shards: int = 4, replicas: int = 1, with_tasks: bool = False
) -> AsyncIterator[RunningSystem]:
    # Digests are functions of ids, which are derived with the index key.
    settings = {**SETTINGS, "ONEFOLD_SHARDS": str(shards), "ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT}
    async with (
        WebhookReceiver() as receiver,
        Stack(folder, settings=settings | receiver.settings, replicas=replicas) as stack,
    ):
        system = await open_system(stack, receiver, with_tasks=with_tasks)
        yield system
        await close_system(system)


async def send(system: RunningSystem, events: list[VisitorEvent], chance: Random) -> None:
    """Send each event from the source of one trust class, always the same one."""
    parts: dict[int, list[VisitorEvent]] = {}
    for event in events:
        trust = list(SourceTrust)[crc32(event.message_id.encode()) % len(SourceTrust)]
        parts.setdefault(trust, []).append(event)
    admin, endpoints = system.client.admin, system.source.endpoints
    for trust, part in parts.items():
        # The month is older than a public source may send without more ado.
        source = SourceDefined(source_id=f"source-{trust:d}", max_age_days=90)
        source.trust = trust  # type: ignore[assignment]  # the numbers are the enum's
        await admin.DefineSource(DefineSourceRequest(source=source))
        request = IssueKeyRequest(role=ROLE_SOURCE, source_id=source.source_id)
        key = (await admin.IssueKey(request)).key
        async with Client(replace(endpoints, key=key)) as client:
            one = replace(system, source=client)
            await one.send(part, chance, 0.0)


def shuffled_with_repeats(events: list[VisitorEvent], seed: int) -> list[VisitorEvent]:
    """Return the same events in another order, a third of them twice."""
    chance = Random(seed)
    repeated = [*events, *chance.sample(events, len(events) // 3)]
    chance.shuffle(repeated)
    return repeated


@pytest.fixture(scope="module")
def month() -> list[VisitorEvent]:
    return list(School(END_US, visitors=VISITORS).events)


@pytest.fixture(scope="module")
async def digests(month: list[VisitorEvent], tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """The digests after the month, sent once and in order."""
    async with running(tmp_path_factory.mktemp("plain")) as system:
        await send(system, month, Random(0))
        await system.drain()
        return await system.digests()


@pytest.mark.parametrize(("shards", "replicas", "seed"), [(1, 1, 1), (4, 3, 2)])
async def test_digests_are_equal_for_any_order_repetition_shards_and_replicas(
    month: list[VisitorEvent],
    digests: Digests,
    tmp_path: Path,
    shards: int,
    replicas: int,
    seed: int,
) -> None:
    async with running(tmp_path, shards=shards, replicas=replicas) as system:
        await send(system, shuffled_with_repeats(month, seed), Random(seed))
        await system.drain()
        assert await system.digests() == digests


async def test_exported_log_appended_elsewhere_gives_the_digests(
    month: list[VisitorEvent], digests: Digests, tmp_path: Path
) -> None:
    """Law 1: the facts of one log, appended to one with other shards, give the same state."""
    async with running(tmp_path / "from") as system:
        await send(system, month, Random(0))
        # Before the clock is moved: a correction occurs when it is recorded, and no fact later.
        await system.advance_clock(0)
        await correct(system, month)
        await system.drain()
        corrected = await system.digests()
        assert corrected["profile"] != digests["profile"]
        exported = await export(system)
    async with running(tmp_path / "to", shards=1) as system:
        await append_to(system.stack, exported, shards=1)
        await system.drain()
        assert await system.digests() == corrected


async def correct(system: RunningSystem, events: list[VisitorEvent]) -> None:
    """Correct a trait of three visitors, of one only until it is withdrawn."""
    users = sorted({event.user_id for event in events if event.user_id})[:3]
    for user, value in [*((user, b'"Paris"') for user in users), (users[0], b"")]:
        await retry(
            system.client.profile.CorrectTrait,
            CorrectTraitRequest(
                identifier=Identifier(namespace="user_id", value=user),
                correction=TraitCorrected(
                    trait="city", value=value, withdrawn=not value, reason="she called"
                ),
            ),
        )


async def append_to(stack: Stack, facts: list[Fact], *, shards: int) -> None:
    """Append facts as a replica of ingest does."""
    role = ServiceRoles.from_dsn(stack.postgres.dsn, "ingest").fold
    pool = await connect_pool(stack.postgres.dsn, schema="ingest", role=role)
    async with pool, EventLog(pool, shards=shards, index_key=INDEX_KEY) as event_log:
        await append_facts(event_log, facts)


async def export(system: RunningSystem) -> list[Fact]:
    """Return every event and correction of the log, shard by shard."""
    kinds = [event_pb2.Event.DESCRIPTOR.full_name, TraitCorrected.DESCRIPTOR.full_name]
    return await read_facts(system, kinds)


async def read_facts(system: RunningSystem, kinds: list[str]) -> list[Fact]:
    """Return the facts of some kinds, shard by shard."""
    head = await retry(system.internal.log.GetHead, log_pb.GetHeadRequest())
    facts: list[Fact] = []
    for shard, until in enumerate(head.token.offsets):
        request = log_pb.ReadRequest(shard=shard, end_offset=until, kinds=kinds)
        async for answer in system.internal.log.Read(request):
            facts += answer.batch.facts
    return facts


async def test_time_empties_the_segment_and_rebuilds_change_and_send_nothing(
    month: list[VisitorEvent], tmp_path: Path
) -> None:
    """Laws 3 to 6 on one system: time alone empties the segment; a rebuilt state is equal, becomes
    live and sends nothing; later events are folded as before; a rejected event can be released."""
    async with running(tmp_path, with_tasks=True) as system:
        expected = ExpectedResults(School(END_US, visitors=VISITORS))
        await system.send(month, Random(0), 0.0)
        await system.advance_clock(0)
        members = await system.members("high-intent-trial")
        assert len(members) == len(expected.high_intent(END_US + 3_600_000_000))
        assert members, "no member can leave"

        await system.advance_clock(8 * DAY_US)
        assert await system.members("high-intent-trial") == []

        # Those who become members by events of now get tasks. What happens to these is folded: the
        # state rests after the last of it.
        head = await system.internal.log.GetHead(log_pb.GetHeadRequest())
        live = [
            replace(event, message_id=f"live-{event.message_id}", occurred_at_us=head.now_us)
            for event in month
            if event.occurred_at_us > END_US - 7 * DAY_US
        ]
        await system.send(live, Random(0), 0.0)
        await system.advance_clock(0)
        members = await system.members("high-intent-trial")
        assert members, "no member gets a task"
        await system.advance_clock(DAY_US)  # the quiet hours pass
        await wait_until(partial(has_facts, system, TicketOpened, len(members)))
        await system.advance_clock(2 * DAY_US)
        await wait_until(partial(has_facts, system, SlaBreached, len(members)))
        await system.advance_clock(0)
        await system.final_deliveries()
        received = Counter(system.receiver.received)
        before = await system.digests()
        await assert_rebuilds_are_equal(system, switch_over=True)
        assert await system.digests() == before
        await system.advance_clock(0)
        assert system.receiver.received == received, "a rebuild sent something"

        late = [
            replace(event, message_id=f"late-{event.message_id}", occurred_at_us=END_US)
            for event in month[:50]
        ]
        await system.send(late, Random(0), 0.0)
        await system.advance_clock(0)
        await assert_rejected_event_can_be_released(system)
        await system.advance_clock(0)
        await assert_rebuilds_are_equal(system, shards=1)


async def has_facts(system: RunningSystem, message: Any, number: int) -> bool:
    """Return whether the log has so many facts of a kind."""
    return len(await read_facts(system, [message.DESCRIPTOR.full_name])) == number


async def assert_rebuilds_are_equal(system: RunningSystem, **fields: Any) -> None:
    for service in REBUILT:
        last = await rebuild(system.internal.projection(service), **fields)
        assert last.equal, f"{service}: {list(last.differing_rows)}"


async def assert_rejected_event_can_be_released(system: RunningSystem) -> None:
    """Check law 6: a rejected event is stored with its reason, and is in the log once released."""
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
    found = Counter(await system.logged_message_ids())
    assert (found["good"], found["bad"]) == (1, 1)

    async def nothing_is_left() -> bool:
        left = await client.ingest.ListQuarantined(ingest_pb.ListQuarantinedRequest())
        return not left.entries

    await wait_until(nothing_is_left)
