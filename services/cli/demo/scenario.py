"""The demo's scenario: a month of a school through four doors, then time, then the proof."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from onefold.activation.v1 import activation_facts_pb2 as activation_facts
from onefold.activation.v1 import activation_service_pb2 as activation_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier

from services.cli import output as show
from services.cli.apply import apply_pack
from services.cli.client import PROJECTIONS, Client
from services.cli.definitions import read_pack
from services.cli.demo import clients as senders
from services.cli.demo.dataset import Door, Happening, School
from services.cli.demo.expected import Truth
from services.cli.demo.pairwise_scores import Likeness, likeness
from services.cli.demo.receiver import Receiver
from services.cli.endpoints import Doors
from services.cli.verify import REBUILT, rebuild
from services.devstack.stack import ROOT, Stack
from services.kernel.time import DAY_US, SECOND_US, format_span

PACK = ROOT / "packs" / "education"
SEGMENT = "high-intent-trial"
SOURCES = {
    Door.SDK: "school-web",
    Door.GRPC: "school-app",
    Door.NATS: "school-mini",
    Door.FILE: "school-crm",
}
#: How far the clock stands ahead of the month's end at each look.
LOOKS_US = (0, 1 * DAY_US, 3 * DAY_US, 5 * DAY_US, 8 * DAY_US)
EVENT_KIND = event_pb2.Event.DESCRIPTOR.full_name
WAIT_SECONDS = 120.0
ASKED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class DoorCount:
    """What went through one door."""

    door: str
    sent: int
    in_log: int

    @property
    def duplicates(self) -> int:
        """Sent, but known already."""
        return self.sent - self.in_log


@dataclass(frozen=True, slots=True)
class Look:
    """The segment at one instant, against what was planted."""

    after: str
    members: int
    planted: int
    equal: bool


@dataclass(slots=True)
class Report:
    """What the demo found; `faults` is empty where all is as it must be."""

    doors: list[DoorCount] = field(default_factory=list)
    seconds: float = 0.0
    profiles: tuple[int, int] = (0, 0)
    identifiers: tuple[int, int] = (0, 0)
    likeness: Likeness | None = None
    looks: list[Look] = field(default_factory=list)
    deliveries: dict[str, int] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)
    forged: int = 0
    proofs: list[tuple[str, int, str, bool]] = field(default_factory=list)
    story: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def expect(self, holds: bool, fault: str) -> None:
        """Keep a fault where something does not hold."""
        if not holds:
            self.faults.append(fault)


class Demo:
    """One run of the scenario over a running stack."""

    def __init__(self, stack: Stack, receiver: Receiver, *, visitors: int) -> None:
        doors = Doors({s: a["grpc"] for s, a in stack.addresses().items()}, {}, stack.admin_key)
        self._stack = stack
        self._receiver = receiver
        self._client = Client(doors)
        self._internal = Client(doors, stack.internal_key)
        self._visitors = visitors
        self.report = Report()

    async def run(self) -> Report:
        """Everything, in order. Raises OnefoldError where a service refuses."""
        async with self._client, self._internal:
            keys = await self._define()
            head = await self._client.call(self._internal.log.GetHead, log_pb.GetHeadRequest())
            school = School(head.now_us - head.now_us % SECOND_US, visitors=self._visitors)
            truth = Truth(school)
            await self._send(school, keys)
            await self._count(school, truth)
            await self._look(school, truth)
            await self._check_deliveries()
        return self.report

    async def _define(self) -> dict[Door, str]:
        values = {"COUPON_URL": self._receiver.url, "COUPON_SECRET": self._receiver.secret}
        await apply_pack(self._client, read_pack(PACK, values))
        keys = {}
        for door, source in SOURCES.items():
            request = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id=source, title="demo")
            keys[door] = (await self._client.call(self._client.admin.IssueKey, request)).key
        return keys

    async def _send(self, school: School, keys: dict[Door, str]) -> None:
        by_door: dict[Door, list[Happening]] = {door: [] for door in Door}
        for event in school.deliveries():
            by_door[event.door].append(event)
        began = time.monotonic()
        with show.bars() as bars:
            tasks = {d: bars.add_task(f"{d.value:<25}", total=len(by_door[d])) for d in Door}
            await asyncio.gather(
                *(
                    self._through(d, events, keys[d], partial(bars.advance, tasks[d]))
                    for d, events in by_door.items()
                )
            )
            in_log = await self._arrived(by_door)
            await self._settle(await self._head())
        self.report.seconds = time.monotonic() - began
        for door, events in by_door.items():
            count = DoorCount(door.value, len(events), in_log[SOURCES[door]])
            distinct = len({e.message_id for e in events})
            self.report.doors.append(count)
            self.report.expect(
                count.in_log == distinct,
                f"{door.value}: {distinct} events were sent, {count.in_log} are in the log",
            )

    async def _through(
        self, door: Door, events: list[Happening], key: str, sent: senders.Sent
    ) -> None:
        if door is Door.SDK:
            await senders.through_sdk(events, self._stack.http("ingest"), key, sent)
        elif door is Door.GRPC:
            async with Client(self._client.doors, key) as client:
                await senders.through_grpc(events, client, sent)
        elif door is Door.NATS:
            subject = f"onefold.in.default.{SOURCES[door]}"
            await senders.through_nats(events, self._stack.nats_url, subject, key, sent)
        else:
            await senders.through_file(events, self._stack.data_dir, self._client, key, sent)

    async def _arrived(self, by_door: dict[Door, list[Happening]]) -> Counter[str]:
        """Events in the log by source, once what was published to NATS has been taken in."""
        published = len({e.message_id for e in by_door[Door.NATS]})
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            in_log = await self._events_by_source()
            if in_log[SOURCES[Door.NATS]] >= published or time.monotonic() > deadline:
                return in_log
            await asyncio.sleep(0.5)

    async def _head(self) -> Any:
        """The log's end, a tick of the clock included."""
        request = log_pb.TickClockRequest()
        return (await self._internal.call(self._internal.log.TickClock, request)).token

    async def _pass(self, span_us: int) -> Any:
        """Move the clock, and wait until every service has seen it."""
        request = log_pb.TickClockRequest(advance_us=span_us)
        tick = await self._client.call(self._client.log.TickClock, request)
        await self._settle(tick.token)
        return tick

    async def _settle(self, token: Any) -> None:
        """Wait until every service has taken in the log up to a token."""
        for service in PROJECTIONS:
            await self._internal.call(
                self._internal.projection(service).AwaitToken,
                projection_pb.AwaitTokenRequest(token=token),
                WAIT_SECONDS,
            )

    async def _events_by_source(self) -> Counter[str]:
        head = await self._internal.call(self._internal.log.GetHead, log_pb.GetHeadRequest())
        found: Counter[str] = Counter()
        for shard, until in enumerate(head.token.offsets):
            request = log_pb.ReadRequest(
                shard=shard, until_offset=until, kinds=[EVENT_KIND], page_size=5_000
            )
            if not until:
                continue
            async for answer in self._internal.stream(self._internal.log.Read, request):
                found.update(fact.source_id for fact in answer.batch.facts)
        return found

    async def _count(self, school: School, truth: Truth) -> None:
        request = projection_pb.GetStatusRequest()
        status = await self._internal.call(self._internal.projection("identity").GetStatus, request)
        self.report.profiles = (status.counts["profiles"], truth.profiles())
        self.report.identifiers = (status.counts["identifiers"], truth.identifiers())
        for what, (found, planted) in (
            ("profiles", self.report.profiles),
            ("identifiers", self.report.identifiers),
        ):
            self.report.expect(found == planted, f"{found} {what} were found, {planted} planted")
        planted_people = truth.people()
        alike = likeness(await self._people(list(planted_people)), planted_people)
        self.report.likeness = alike
        self.report.expect(
            alike[:2] == (1.0, 1.0), "the identifiers of some people are not those planted"
        )

    async def _people(self, names: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The profile that holds each identifier."""
        found: dict[tuple[str, str], str] = {}
        for start in range(0, len(names), ASKED_AT_ONCE):
            asked = names[start : start + ASKED_AT_ONCE]
            request = identity_pb.LookupProfilesRequest(
                identifiers=[Identifier(namespace=n, value=v) for n, v in asked]
            )
            answer = await self._client.call(self._client.identity.LookupProfiles, request)
            found |= {name: p for name, p in zip(asked, answer.profile_ids, strict=True) if p}
        return found

    async def _look(self, school: School, truth: Truth) -> None:
        """Let time pass, and hold the segment against the truth at each instant."""
        ahead = 0
        for after in LOOKS_US:
            await self._pass(after - ahead)
            ahead = after
            tick = await self._pass(0)
            members = await self._members(tick.at_us)
            found = {await self._visitor(member, truth) for member in members}
            planted = truth.high_intent(tick.at_us)
            look = Look(
                f"+{format_span(after)}" if after else "now",
                len(members),
                len(planted),
                found == planted and len(members) == len(found),
            )
            self.report.looks.append(look)
            self.report.expect(look.equal, f"the segment {look.after} is not what was planted")
            if not after:
                await self._tell_story(min(members, default=""))
                await self._prove()

    async def _members(self, as_of_us: int) -> list[str]:
        members: list[str] = []
        page = ""
        while True:
            request = segment_pb.ListMembersRequest(
                segment_id=SEGMENT, page_size=1_000, page_token=page, as_of_us=as_of_us
            )
            answer = await self._client.call(self._client.segment.ListMembers, request)
            members += [member.profile_id for member in answer.members]
            page = answer.next_page_token
            if not page:
                return members

    async def _visitor(self, profile_id: str, truth: Truth) -> int | None:
        """Whose profile it is; None where its identifiers are of several visitors or of none."""
        found = {
            truth.visitor_of(known.identifier.namespace, known.identifier.value)
            for known in await self._identifiers(profile_id)
        }
        return found.pop() if len(found) == 1 else None

    async def _identifiers(self, profile_id: str) -> list[Any]:
        request = identity_pb.ListIdentifiersRequest(profile_id=profile_id)
        answer = await self._client.call(self._client.identity.ListIdentifiers, request)
        return list(answer.identifiers)

    async def _tell_story(self, profile_id: str) -> None:
        if not profile_id:
            return
        client = self._client
        profile = await client.call(
            client.profile.GetProfile, profile_pb.GetProfileRequest(profile_id=profile_id)
        )
        timeline = await client.call(
            client.profile.ListTimeline,
            profile_pb.ListTimelineRequest(profile_id=profile_id, page_size=1_000),
        )
        memberships = await client.call(
            client.segment.ListMemberships,
            segment_pb.ListMembershipsRequest(profile_id=profile_id),
        )
        segments = await client.call(client.segment.ListSegments, segment_pb.ListSegmentsRequest())
        rule = next(s.segment.rule for s in segments.segments if s.segment.segment_id == SEGMENT)
        why = await client.call(
            client.profile.ExplainRule,
            profile_pb.ExplainRuleRequest(profile_id=profile_id, rule=rule),
        )
        self.report.story = {
            "profile": profile.profile,
            "identifiers": await self._identifiers(profile_id),
            "timeline": list(timeline.entries),
            "history": list(memberships.history),
            "why": why,
        }

    async def _check_deliveries(self) -> None:
        counts = await self._delivered()
        self.report.deliveries = counts
        self.report.received = self._receiver.received
        self.report.forged = self._receiver.forged
        delivered = counts.get("DELIVERED", 0)
        others = {
            state: n for state, n in counts.items() if state not in ("DELIVERED", "SUPPRESSED")
        }
        self.report.expect(not others, f"effects are left: {others}")
        self.report.expect(delivered > 0, "nothing was delivered")
        self.report.expect(
            delivered == len(self._receiver.received)
            and set(self._receiver.received.values()) <= {1},
            f"{delivered} deliveries, but {sum(self._receiver.received.values())} webhooks came",
        )
        self.report.expect(not self._receiver.forged, "a signature was wrong")

    async def _delivered(self) -> dict[str, int]:
        """Effects by state, once none waits any more."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            request = activation_pb.CountDeliveriesRequest()
            answer = await self._client.call(self._client.activation.CountDeliveries, request)
            counts: dict[str, int] = {}
            for each in answer.counts:
                name = activation_facts.DeliveryState.Name(each.state)
                short = name.removeprefix("DELIVERY_STATE_")
                counts[short] = counts.get(short, 0) + each.count
            waits = counts.get("PENDING", 0) + counts.get("UNKNOWN", 0)
            if not waits or time.monotonic() > deadline:
                return counts
            await asyncio.sleep(0.2)

    async def _prove(self) -> None:
        """Rebuild every projection beside the live one, as it is cut and as one shard."""
        for service in REBUILT:
            for shards in (0, 1):
                result = await rebuild(self._internal, service, shards=shards)
                digest = result.rebuilt_digests.get("default", "")
                self.report.proofs.append((service, shards, digest, result.equal))
                self.report.expect(result.equal, f"{service}: the rebuilt digest differs")
