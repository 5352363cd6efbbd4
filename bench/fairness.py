"""Measures what a small workspace notices of a definition that concerns everybody in a large one.

python -m bench.fairness

Workspace `large` has 600,000 events. It defines a segment that all are in, one with `not` alone,
and a tag. While each of them is back-filled, events of workspace `busy` enter a segment there, and
one empty workspace after another defines its first segment.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

import asyncpg
import uvloop
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1.log_service_pb2 import GetHeadRequest
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.profile.v1.profile_service_pb2 import DefineTagRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsRequest
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER

from bench.harness import Result, print_progress, print_results
from services import SERVICES
from services.chassis.codec.rules import rule_to_proto
from services.chassis.messaging.envelope import MessageAuthenticator
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.subscription import PullSubscription
from services.chassis.runtime import logs
from services.chassis.runtime.tasks import background
from services.client.client import ApiEndpoints, Client
from services.devstack.folders import load_secrets
from services.devstack.stack import Stack
from services.kernel.identifiers.model import Identifier
from services.kernel.rules.forms.json_dump import Form
from services.kernel.rules.forms.json_form import parse_rule
from tests.index_key import INDEX_KEY, INDEX_KEY_TEXT

EVENTS, EVENTS_A_PERSON = 600_000, 4
BATCH, CALLERS = 500, 8
#: Those of a system without settings.
SHARDS = 4
#: Seconds.
PROBE_INTERVAL_S, POLL_S, GIVE_UP_S = 0.2, 0.02, 600.0
GOAL_MEMBERSHIP_MS, GOAL_LIVE_S = 1_000.0, 2.0
BOUGHT: Form = {"count": {"event": "bought", "at_least": 1}}
_IS_BACKFILLING = """
SELECT EXISTS (SELECT FROM profile_g1.backfill WHERE workspace_id = 'large')
    OR EXISTS (SELECT FROM segment_g1.backfill WHERE workspace_id = 'large')
"""
#: What the large workspace defines, one after another: a kind, and a rule that all satisfy.
DEFINITIONS: dict[str, tuple[str, Form]] = {
    "everybody": ("segment", {"count": {"event": "seen", "at_least": 1}}),
    "not_only": ("segment", {"not": {"count": {"event": "left", "at_least": 1}}}),
    "tag": ("tag", {"distinct": {"event": "seen", "property": "page", "at_least": 1}}),
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace, and clients with its admin key and with the key of its source."""

    workspace_id: str
    admin: Client
    source: Client

    async def define(self, kind: str, id_: str, form: Form) -> None:
        rule = rule_to_proto(parse_rule(form))
        if kind == "tag":
            tag = TagDefined(tag_id=id_, title=id_, rule=rule)
            await self.admin.profile.DefineTag(DefineTagRequest(tag=tag))
        else:
            segment = SegmentDefined(segment_id=id_, title=id_, rule=rule)
            await self.admin.segment.DefineSegment(DefineSegmentRequest(segment=segment))

    async def is_live(self, segment_id: str) -> bool:
        response = await self.admin.segment.ListSegments(ListSegmentsRequest())
        return any(s.live for s in response.segments if s.segment.segment_id == segment_id)

    async def wait_until_live(self, segment_id: str) -> float:
        """Return the seconds until a segment is live."""
        began = time.monotonic()
        while not await self.is_live(segment_id):
            if time.monotonic() > began + GIVE_UP_S:
                raise RuntimeError(f"{segment_id} of {self.workspace_id} is not live")
            await asyncio.sleep(POLL_S)
        return time.monotonic() - began


@dataclass
class Waits:
    """What the other workspaces have waited for, in one phase."""

    #: Seconds from the acknowledgement of an event to the membership.
    memberships: list[float] = field(default_factory=list)
    #: Seconds from the definition of a first segment until it is live.
    first_segments: list[float] = field(default_factory=list)
    #: Seconds that the back-fill took.
    backfill_s: float = 0.0


class Bench:
    """A running system with its workspaces."""

    def __init__(self, stack: Stack, scope: AsyncExitStack, conn: asyncpg.Connection) -> None:
        self._stack = stack
        self._conn = conn
        self._scope = scope
        self._one_at_a_time = asyncio.Lock()
        self._numbers = count()
        #: By profile, when it entered a segment.
        self._entered: dict[bytes, float] = {}

    async def client(self, key: str) -> Client:
        addresses = {service: self._stack.address(service) for service in SERVICES}
        return await self._scope.enter_async_context(Client(ApiEndpoints(grpc=addresses, key=key)))

    async def workspace(self, workspace_id: str) -> Workspace:
        """Create a workspace with one source."""
        internal = await self.client(self._stack.internal_key)
        request = admin_pb.CreateWorkspaceRequest(workspace_id=workspace_id, title=workspace_id)
        created = await internal.admin.CreateWorkspace(request)
        admin = await self.client(created.admin_key)
        await internal.await_token(created.token)
        source = SourceDefined(source_id="site", title="site", trust=SOURCE_TRUST_SERVER)
        await admin.admin.DefineSource(admin_pb.DefineSourceRequest(source=source))
        issue = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="site", title="bench")
        issued = await admin.admin.IssueKey(issue)
        await admin.await_token(issued.token)
        return Workspace(workspace_id, admin, await self.client(issued.key))

    async def load(self, large: Workspace, events: int) -> None:
        """Send the events of the large workspace, and wait until they are folded."""
        requests = _requests(events)
        began = time.monotonic()

        async def send() -> None:
            for request in requests:
                response = await large.source.ingest.IngestEvents(request)
                if response.rejections:
                    raise RuntimeError(response.rejections[0].message)

        await asyncio.gather(*(send() for _ in range(CALLERS)))
        await self.drain()
        rate = events / (time.monotonic() - began)
        print_progress(f"{events:,} events are folded, {rate:,.0f}/s")

    async def drain(self) -> None:
        """Wait until every service has folded the log."""
        internal = await self.client(self._stack.internal_key)
        head = await internal.log.GetHead(GetHeadRequest())
        await internal.await_token(head.token, timeout=GIVE_UP_S)

    async def is_backfilling(self) -> bool:
        """Return whether the large workspace has a back-fill."""
        async with self._one_at_a_time:
            return bool(await self._conn.fetchval(_IS_BACKFILLING))

    async def probe(self, busy: Workspace, waits: Waits) -> None:
        """Send an event of a new person, and wait for the membership."""
        user_id = f"buyer-{next(self._numbers)}"
        event = _event(user_id, "bought", 0)
        response = await busy.source.ingest.IngestEvents(IngestEventsRequest(events=[event]))
        if response.rejections:
            raise RuntimeError(response.rejections[0].message)
        acknowledged = time.monotonic()
        profile = Identifier("user_id", user_id).id_in(busy.workspace_id, INDEX_KEY)
        while profile not in self._entered:
            if time.monotonic() > acknowledged + GIVE_UP_S:
                raise RuntimeError("a membership is missing")
            await asyncio.sleep(POLL_S / 4)
        waits.memberships.append(max(0.0, self._entered[profile] - acknowledged))

    async def wait_for_receiver(self, busy: Workspace) -> None:
        """Wait until the receiver has read the changes of the load: until it sees new ones.

        So many new people are certain to lie in all shards.
        """
        await asyncio.gather(*(self.probe(busy, Waits()) for _ in range(16 * SHARDS)))

    async def first_segment(self, waits: Waits, name: str) -> None:
        """Define the first segment of an empty workspace, and wait until it is live."""
        empty = await self.workspace(name)
        began = time.monotonic()
        await empty.define("segment", "buyers", BOUGHT)
        await empty.wait_until_live("buyers")
        waits.first_segments.append(time.monotonic() - began)

    async def phase(self, name: str, large: Workspace, busy: Workspace) -> Waits:
        """Define what concerns everybody, and measure the others until it is back-filled."""
        kind, form = DEFINITIONS[name]
        waits = Waits()
        await self.first_segment(Waits(), f"before-{name.replace('_', '-')}")
        began = time.monotonic()
        await large.define(kind, name, form)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._define_first_segments(name, waits, began))
            while time.monotonic() < began + 5 or await self.is_backfilling():
                group.create_task(self.probe(busy, waits))
                await asyncio.sleep(PROBE_INTERVAL_S)
            waits.backfill_s = time.monotonic() - began
        await self.drain()
        if kind == "segment":
            # Segment may have begun after profile had ended.
            await large.wait_until_live(name)
        return waits

    async def _define_first_segments(self, name: str, waits: Waits, began: float) -> None:
        for number in count():
            if number and time.monotonic() > began + 5 and not await self.is_backfilling():
                return
            await self.first_segment(waits, f"empty-{name.replace('_', '-')}-{number}")

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Note when each profile enters a segment, as the last service receives it."""

        async def receive(subscription: PullSubscription) -> None:
            while True:
                received = await subscription.wait(1.0)
                if received is None:
                    continue
                now = time.monotonic()
                for change in MembershipsChanged.FromString(received.message.payload).changes:
                    if change.entered and change.workspace_id == "busy":
                        self._entered.setdefault(change.profile_id, now)
                subscription.pop()
                await subscription.ack(received)

        authenticator = MessageAuthenticator(load_secrets(self._stack.data_dir)["bus"])
        url, name = self._stack.nats_url(SERVICES[-1]), SERVICES[-1]
        async with (
            AsyncExitStack() as scope,
            JetStreamBus(url, name=name, authenticator=authenticator) as bus,
        ):
            for shard in range(SHARDS):
                subscription = PullSubscription(bus, f"onefold.segment.{shard}", f"bench-{shard}")
                await scope.enter_async_context(subscription)
                await scope.enter_async_context(background(receive(subscription)))
            yield


def _requests(events: int) -> Iterator[IngestEventsRequest]:
    """Yield the events of the large workspace, EVENTS_A_PERSON of each person."""
    for first in range(0, events, BATCH):
        numbers = range(first, min(first + BATCH, events))
        yield IngestEventsRequest(
            events=[_event(f"person-{n // EVENTS_A_PERSON}", "seen", n) for n in numbers]
        )


def _event(user_id: str, name: str, number: int) -> Event:
    return Event(
        type=EVENT_TYPE_TRACK,
        name=name,
        message_id=f"{user_id}-{name}-{number}",
        identifiers=[IdentifierMessage(namespace="user_id", value=user_id)],
        properties=b'{"page":"page-%d"}' % (number % 100),
    )


def _results(name: str, waits: Waits) -> list[Result]:
    """Return the lines of one phase."""
    probes, firsts = sorted(waits.memberships), sorted(waits.first_segments)
    p99 = probes[min(len(probes) - 1, int(0.99 * len(probes)))]
    note = f"{len(probes)} people; median {median(probes) * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms"
    return [
        _result(f"{name}_membership_max", "ms", probes[-1] * 1e3, GOAL_MEMBERSHIP_MS, note),
        _result(
            f"{name}_first_segment_max",
            "s",
            firsts[-1],
            GOAL_LIVE_S,
            f"{len(firsts)} workspaces; median {median(firsts):.2f} s; the back-fill took"
            f" {waits.backfill_s:.0f} s",
        ),
    ]


def _result(name: str, unit: str, figure: float, goal: float, note: str) -> Result:
    print_progress(f"{name}: {figure:,.2f} {unit}; {note}")
    return Result(name, unit, round(figure, 2), 0.0, 0.0, 0.0, 1, goal, figure < goal, note)


async def run(folder: Path, events: int) -> list[Result]:
    """Measure all phases on one system."""
    settings = {"ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT}
    async with Stack(folder, settings=settings) as stack, AsyncExitStack() as scope:
        conn = await asyncpg.connect(stack.postgres.superuser_dsn)
        scope.push_async_callback(conn.close)
        bench = Bench(stack, scope, conn)
        large, busy = await bench.workspace("large"), await bench.workspace("busy")
        await busy.define("segment", "buyers", BOUGHT)
        await busy.wait_until_live("buyers")
        results: list[Result] = []
        # Begins before the load: a receiver that still reads the changes of the load would add its
        # own delay to the first memberships.
        async with bench.receiving():
            await bench.load(large, events)
            await bench.wait_for_receiver(busy)
            for name in DEFINITIONS:
                results += _results(name, await bench.phase(name, large, busy))
        return results


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    events = parser.parse_args().events
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder), events)))


if __name__ == "__main__":
    main()
