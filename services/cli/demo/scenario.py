"""Runs the demo: sends a month of events, lets time pass, and compares every figure."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

from onefold.activation.v1.activation_facts_pb2 import DeliveryState
from onefold.activation.v1.activation_service_pb2 import CountDeliveriesRequest
from onefold.identity.v1.identity_service_pb2 import ListIdentifiersRequest
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.projection.v1.projection_service_pb2 import GetStatusRequest
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.type.v1 import event_pb2

from services.cli import output
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.cli.demo import clients
from services.cli.demo.dataset import Endpoint, School, VisitorEvent
from services.cli.demo.expected import ExpectedResults, score_pairs
from services.cli.demo.journey import JourneyDemo
from services.cli.demo.mailbox import Mailbox
from services.cli.demo.receiver import WebhookReceiver
from services.cli.demo.report import SEGMENT, DemoReport, ExpectedFigure, example_tree
from services.cli.demo.system import WAIT_S, DemoSystem
from services.client.client import ApiEndpoints, Client
from services.devstack.folders import ROOT
from services.devstack.nats_config import ClientId
from services.devstack.stack import Stack
from services.kernel.errors import ServiceUnavailable
from services.kernel.time import DAY_US, SECOND_US, format_span

PACK = ROOT / "packs" / "education"
#: The destination of the webhooks.
COUPONS = "coupon"
SOURCES = {
    Endpoint.SDK: "school-web",
    Endpoint.GRPC: "school-app",
    Endpoint.NATS: "school-mini",
    Endpoint.FILE: "school-crm",
}
#: How far the clock is ahead of the month's end at each check of the segment.
CHECKS_US = (0, 1 * DAY_US, 3 * DAY_US, 5 * DAY_US, 8 * DAY_US)
EVENT_KIND = event_pb2.Event.DESCRIPTOR.full_name
#: Seconds that a step of the demo may take.
STEP_S = 900.0


@asynccontextmanager
async def bounded(step: str, limit_s: float = STEP_S) -> AsyncIterator[None]:
    """Run the body as a step of the demo. Raises ServiceUnavailable where it takes too long."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise ServiceUnavailable(
            f"{step} took longer than {limit_s:.0f} s: see the logs in the folder of the demo, and"
            " run it again where less else runs"
        ) from error


async def run_together(*works: Coroutine[Any, Any, object]) -> None:
    """Run works until all have ended; where one fails, cancel the others and raise its error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Demo:
    """One run of the demo over a running stack."""

    def __init__(
        self,
        stack: Stack,
        receiver: WebhookReceiver,
        mailbox: Mailbox,
        *,
        visitors: int,
        checks_us: Sequence[int] = CHECKS_US,
    ) -> None:
        """`checks_us`: how far the clock is ahead at each check of the segment, from 0 on.

        With one check the journey only begins, so that there are people in it and in the segment.
        """
        self._stack = stack
        self._receiver = receiver
        self._mailbox = mailbox
        self._system = DemoSystem(stack)
        self._visitors = visitors
        self._checks_us = checks_us
        self.report = DemoReport()

    async def run(self) -> DemoReport:
        """Run all parts in order. Raises OnefoldError where a service refuses a call."""
        async with self._system:
            keys = await self._define()
            head = await self._system.internal.log.GetHead(log_pb.GetHeadRequest())
            school = School(head.now_us - head.now_us % SECOND_US, visitors=self._visitors)
            expected = ExpectedResults(school)
            async with bounded("sending the events"):
                await self._send(school, keys)
            async with bounded("checking profiles and segments"):
                await self._check_identity(expected)
                await self._check_segment(expected)
            async with bounded("checking the deliveries"):
                await self._check_deliveries()
            async with bounded("running the journey"):
                await self._run_journey(keys[Endpoint.GRPC])
        return self.report

    async def _define(self) -> dict[Endpoint, str]:
        """Apply the pack, and return a write key for each endpoint's source."""
        variables = {"COUPON_URL": self._receiver.url, "COUPON_SECRET": self._receiver.secret}
        await apply_pack(self._system.client, read_pack(PACK, variables))
        return {endpoint: await self._system.issue_key(own) for endpoint, own in SOURCES.items()}

    async def _send(self, school: School, keys: dict[Endpoint, str]) -> None:
        by_endpoint: dict[Endpoint, list[VisitorEvent]] = {endpoint: [] for endpoint in Endpoint}
        for event in school.in_sending_order():
            by_endpoint[event.endpoint].append(event)
        began = time.monotonic()
        with output.ProgressBars() as bars:
            sending = []
            for endpoint, events in by_endpoint.items():
                task = bars.add_task(f"{endpoint.value:<25}", total=len(events))
                sent = partial(bars.advance, task)
                sending.append(self._send_to(endpoint, events, keys[endpoint], sent))
            await run_together(*sending)
            in_log = await self._wait_for_events(by_endpoint)
            await self._system.advance_clock(0)
        self.report.seconds = time.monotonic() - began
        for endpoint, events in by_endpoint.items():
            appended = in_log[SOURCES[endpoint]]
            distinct = len({event.message_id for event in events})
            self.report.endpoints.append((endpoint.value, len(events), appended))
            self.report.expect(
                appended == distinct,
                f"{endpoint.value}: {distinct} events were sent, {appended} are in the log",
            )

    async def _send_to(
        self, endpoint: Endpoint, events: list[VisitorEvent], key: str, sent: clients.OnSent
    ) -> None:
        match endpoint:
            case Endpoint.SDK:
                url, ended = self._stack.events_url, threading.Event()
                try:
                    await asyncio.to_thread(clients.send_by_sdk, events, url, key, sent, ended)
                finally:
                    ended.set()
            case Endpoint.GRPC:
                address = self._stack.public_address("ingest")
                async with Client(ApiEndpoints(grpc={"ingest": address}, key=key)) as client:
                    await clients.send_by_grpc(events, client, sent)
            case Endpoint.NATS:
                publisher = ClientId("default", SOURCES[endpoint])
                url = await self._stack.publisher_url(publisher)
                await clients.send_by_nats(events, url, publisher, key, sent)
            case Endpoint.FILE:
                address = self._stack.public_address("ingest")
                await clients.send_by_file(events, self._stack.data_dir, address, key, sent)

    async def _wait_for_events(self, sent: dict[Endpoint, list[VisitorEvent]]) -> Counter[str]:
        """Return the events in the log by source, once ingest has received those of NATS."""
        published = len({event.message_id for event in sent[Endpoint.NATS]})
        deadline = time.monotonic() + WAIT_S
        while True:
            in_log = await self._events_by_source()
            if in_log[SOURCES[Endpoint.NATS]] >= published or time.monotonic() > deadline:
                return in_log
            await asyncio.sleep(0.5)

    async def _events_by_source(self) -> Counter[str]:
        head = await self._system.internal.log.GetHead(log_pb.GetHeadRequest())
        found: Counter[str] = Counter()
        for shard, end in enumerate(head.token.offsets):
            if not end:
                continue
            request = log_pb.ReadRequest(
                shard=shard, end_offset=end, kinds=[EVENT_KIND], page_size=5_000
            )
            async for response in self._system.internal.log.Read(request):
                found.update(fact.source_id for fact in response.batch.facts)
        return found

    async def _check_identity(self, expected: ExpectedResults) -> None:
        report = self.report
        request = GetStatusRequest(counts=True)
        status = await self._system.internal.projection("identity").GetStatus(request)
        report.profiles = self._compare("profiles", status.counts, expected.profiles())
        report.identifiers = self._compare("identifiers", status.counts, expected.identifiers())
        persons = expected.persons()
        report.scores = score_pairs(await self._system.profiles_of(list(persons)), persons)
        correct = report.scores.precision == report.scores.recall == 1.0
        report.expect(correct, "the identifiers of some persons are grouped wrongly")

    def _compare(self, name: str, counts: Mapping[str, int], expected: int) -> ExpectedFigure:
        found = counts[name]
        self.report.expect(found == expected, f"{found} {name} were found, {expected} expected")
        return ExpectedFigure(found, expected)

    async def _check_segment(self, expected: ExpectedResults) -> None:
        """Let time pass without events, and compare the segment at each instant."""
        for before_us, ahead_us in pairwise((0, *self._checks_us)):
            await self._system.advance_clock(ahead_us - before_us)
            now_us = await self._system.advance_clock(0)
            members = await self._system.members(SEGMENT, now_us)
            visitors = {await self._visitor(member, expected) for member in members}
            correct = expected.high_intent(now_us)
            equal = visitors == correct and len(members) == len(visitors)
            clock = f"+{format_span(ahead_us)}" if ahead_us else "now"
            self.report.checks.append((clock, len(members), len(correct), equal))
            self.report.expect(equal, f"the segment {clock} has the wrong members")
            if ahead_us == 0:
                if members:
                    self.report.example = await self._example(min(members))
                await self._system.check_rebuilds(self.report)

    async def _visitor(self, profile_id: str, expected: ExpectedResults) -> int | None:
        """Return the visitor of a profile; None where it mixes visitors or has none."""
        request = ListIdentifiersRequest(profile_id=profile_id)
        response = await self._system.client.identity.ListIdentifiers(request)
        identifiers = (each.identifier for each in response.identifiers)
        found = {expected.visitors.get((i.namespace, i.value)) for i in identifiers}
        return found.pop() if len(found) == 1 else None

    async def _example(self, profile_id: str) -> output.Tree:
        """Return a member of the segment as a tree, with the reason of its membership."""
        profile, segment = self._system.client.profile, self._system.client.segment
        segments = (await segment.ListSegments(segment_pb.ListSegmentsRequest())).segments
        rule = next(s.segment.rule for s in segments if s.segment.segment_id == SEGMENT)
        shown = profile_pb.GetProfileRequest(profile_id=profile_id)
        listed = ListIdentifiersRequest(profile_id=profile_id)
        timeline = profile_pb.ListTimelineRequest(profile_id=profile_id, page_size=1_000)
        changes = segment_pb.ListMembershipsRequest(profile_id=profile_id)
        explained = profile_pb.ExplainRuleRequest(profile_id=profile_id, rule=rule)
        return example_tree(
            profile=await profile.GetProfile(shown),
            identifiers=await self._system.client.identity.ListIdentifiers(listed),
            timeline=await profile.ListTimeline(timeline),
            memberships=await segment.ListMemberships(changes),
            explanation=await profile.ExplainRule(explained),
        )

    async def _check_deliveries(self) -> None:
        report = self.report
        report.deliveries = await self._final_deliveries()
        report.received = Counter(self._receiver.received)
        report.forged = self._receiver.forged
        delivered = report.deliveries.get("DELIVERED", 0)
        finished = ("DELIVERED", "SUPPRESSED")
        unfinished = {s: count for s, count in report.deliveries.items() if s not in finished}
        report.expect(not unfinished, f"effects are not delivered: {unfinished}")
        report.expect(delivered > 0, "nothing was delivered")
        report.expect(
            delivered == len(report.received) and set(report.received.values()) <= {1},
            f"{delivered} effects were delivered, but {report.received.total()} webhooks received",
        )
        report.expect(not report.forged, "a webhook had a wrong signature")

    async def _run_journey(self, key: str) -> None:
        events_url, address = self._stack.events_url, self._stack.public_address("ingest")
        journey = JourneyDemo(self._system, self._mailbox, events_url)
        if len(self._checks_us) == 1:
            await journey.begin(key, address)
            return
        self.report.journey = await journey.run(key, address)
        self.report.failures += self.report.journey.failures

    async def _final_deliveries(self) -> dict[str, int]:
        """Return the number of coupons by the state of their effects, once none is in progress."""
        deadline = time.monotonic() + WAIT_S
        while True:
            response = await self._system.client.activation.CountDeliveries(
                CountDeliveriesRequest()
            )
            counts: Counter[str] = Counter()
            for each in response.counts:
                if each.destination_id != COUPONS:
                    continue
                name = DeliveryState.Name(each.state)
                counts[name.removeprefix("DELIVERY_STATE_")] += each.count
            if not counts["PENDING"] + counts["UNKNOWN"] or time.monotonic() > deadline:
                return {state: count for state, count in counts.items() if count}
            await asyncio.sleep(0.2)
