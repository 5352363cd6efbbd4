"""Measures rules at scale on one system: a back-fill, people due at one instant, large profiles.

It has a large workspace, and a busy one whose events go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

import asyncpg
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.log.v1.log_service_pb2 import GetHeadRequest, ReadRequest, TickClockRequest
from onefold.profile.v1.profile_service_pb2 import ExplainMembershipRequest, GetProfileRequest
from onefold.segment.v1.segment_service_pb2 import ListMembersRequest, ListSegmentsRequest
from onefold.type.v1.event_pb2 import EVENT_TYPE_IDENTIFY, EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier

from bench import cpu
from bench.fairness import BOUGHT, CALLERS, GIVE_UP_S, Bench, Waits, Workspace
from bench.harness import Result, print_progress
from services.devstack.stack import Stack
from services.kernel.rules.forms.json_dump import Form
from services.kernel.time import DAY_US, HOUR_US, MINUTE_US
from tests.index_key import INDEX_KEY_TEXT

PEOPLE, EVENTS_A_PERSON = 100_000, 10
LEAVES, LONG_EVENTS, READS, EXPLANATIONS = 200, 100_000, 200, 3
BATCH, PROBES, PROBE_INTERVAL_S, BASELINE_S = 500, 2, 0.1, 10.0
GOAL_RATE, GOAL_LIVE, GOAL_OUT_S, GOAL_READ_MS, GOAL_EXPLAIN_S = 0.1, 2.0, 10.0, 50.0, 5.0
PARTS = ("backfill", "due", "reads")
RECENT: Form = {"count": {"event": "seen", "within": "7d", "at_least": 1}}
#: The rule that is back-filled.
WIDE: Form = {"distinct": {"event": "viewed", "property": "page", "at_least": 1}}
#: The rule that is explained.
EXPLAINED: Form = {
    "all": [
        {"count": {"event": "viewed", "within": "30d", "at_least": 3}},
        {"distinct": {"event": "viewed", "property": "page", "within": "30d", "at_least": 3}},
        {"trend": {"count": {"event": "seen", "within": "7d"}, "ratio": {"at_least": 2}}},
        {"trait": {"name": "city", "eq": "Shanghai"}},
    ]
}


class LoadBench(Bench):
    """A running system with a large and a busy workspace."""

    async def send(self, to: Workspace, requests: Iterator[IngestEventsRequest]) -> float:
        """Send requests, wait until they are folded, and return the seconds that took."""
        began = time.monotonic()

        async def call() -> None:
            for request in requests:
                response = await to.source.ingest.IngestEvents(request, timeout=60.0)
                if response.rejections:
                    raise RuntimeError(response.rejections[0].message)

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        await self.drain()
        return time.monotonic() - began

    async def while_probing(
        self, busy: Workspace, goes_on: Callable[[], Awaitable[bool]]
    ) -> tuple[Waits, float]:
        """Send events of new people as long as something goes on; return their waits, and the
        seconds that it took."""
        waits, began = Waits(), time.monotonic()
        async with asyncio.TaskGroup() as group:
            while await goes_on():
                for _ in range(PROBES):
                    group.create_task(self.probe(busy, waits))
                    await asyncio.sleep(PROBE_INTERVAL_S)
            ended = time.monotonic()
        return waits, ended - began

    async def read_log(self) -> float:
        """Return the seconds of a bare read of the whole log."""
        internal = await self.client(self._stack.internal_key)
        head = await internal.log.GetHead(GetHeadRequest())
        began = time.monotonic()
        for shard, end in enumerate(head.token.offsets):
            async for _ in internal.log.Read(ReadRequest(shard=shard, end_offset=end)):
                pass
        return time.monotonic() - began

    async def clock_ahead_s(self) -> float:
        """Return by how many seconds the clock of the log is ahead."""
        internal = await self.client(self._stack.internal_key)
        began = time.time()
        now_us = (await internal.log.GetHead(GetHeadRequest())).now_us
        return float(now_us / 1e6 - (began + time.time()) / 2)

    async def processor_times(self) -> cpu.Times:
        """Return the processor time that each process has used."""
        return await cpu.times(self._stack, {})

    async def advance_to(self, at_us: int) -> None:
        """Move the clock of the log ahead to an instant, Unix microseconds."""
        internal = await self.client(self._stack.internal_key)
        now_us = (await internal.log.GetHead(GetHeadRequest())).now_us
        await internal.log.TickClock(TickClockRequest(advance_us=max(0, at_us - now_us)))


def people(number: int, at_us: int) -> Iterator[IngestEventsRequest]:
    """Yield the events of people, the first of each at one instant."""
    return _requests(
        _event(f"person-{n // EVENTS_A_PERSON}", "viewed", n, at_us + n)
        if n % EVENTS_A_PERSON
        else _event(f"person-{n // EVENTS_A_PERSON}", "seen", n, at_us)
        for n in range(number * EVENTS_A_PERSON)
    )


def arrivals(number: int, at_us: int, step_us: int) -> Iterator[IngestEventsRequest]:
    """Yield one event of each of some people, at instants one after the other."""
    return _requests(
        _event(f"arrived-{n}", "arrived", n, at_us + n * step_us) for n in range(number)
    )


def long_profile(number: int, at_us: int) -> Iterator[IngestEventsRequest]:
    """Yield many events of one person."""
    return _requests(_event("long", ("seen", "viewed")[n % 2], n, at_us + n) for n in range(number))


def wide_profile(number: int, at_us: int) -> Iterator[IngestEventsRequest]:
    """Yield events of one person under many cookies, each then linked with the person."""
    for n in range(number):
        cookie = Identifier(namespace="anonymous_id", value=f"cookie-{n}")
        view = _event("", "viewed", n, at_us + n)
        view.identifiers.append(cookie)
        link = Event(
            type=EVENT_TYPE_IDENTIFY,
            message_id=f"link-{n}",
            identifiers=[Identifier(namespace="user_id", value="wide"), cookie],
            occurred_at_us=at_us + number + n,
            traits=b'{"name":"Lei"}',
        )
        yield IngestEventsRequest(events=[view, link])


def _requests(events: Iterator[Event]) -> Iterator[IngestEventsRequest]:
    batch: list[Event] = []
    for event in events:
        batch.append(event)
        if len(batch) == BATCH:
            yield IngestEventsRequest(events=batch)
            batch = []
    if batch:
        yield IngestEventsRequest(events=batch)


def _event(user_id: str, name: str, number: int, at_us: int) -> Event:
    return Event(
        type=EVENT_TYPE_TRACK,
        name=name,
        message_id=f"{user_id}-{name}-{number}",
        identifiers=[Identifier(namespace="user_id", value=user_id)] if user_id else [],
        occurred_at_us=at_us,
        properties=b'{"page":"page-%d"}' % (number % 100),
    )


def p99(waits: Waits) -> float:
    """Return the milliseconds within which 99 of 100 memberships are known."""
    ordered = sorted(waits.memberships)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] * 1e3


async def backfill(
    bench: LoadBench, large: Workspace, busy: Workspace, events: int
) -> list[Result]:
    """Measure the back-fill of a new rule, and the events that go on beside it."""
    end = time.monotonic() + BASELINE_S

    async def is_baseline() -> bool:
        return time.monotonic() < end

    before, _ = await bench.while_probing(busy, is_baseline)
    used = await bench.processor_times()
    await large.define("segment", "wide", WIDE)

    async def is_going_on() -> bool:
        return not await large.is_live("wide")

    beside, seconds = await bench.while_probing(busy, is_going_on)
    cpu.print_costs(cpu.by_name(used, await bench.processor_times()), events, seconds)
    rate, bare = events / seconds, events / await bench.read_log()
    note = f"{events:,} events in {seconds:.1f} s; the reference is a bare read of the log"
    return [
        _result("backfill_vs_read", "events/s", rate, bare, GOAL_RATE, note, is_more=True),
        _result(
            "backfill_live_p99",
            "ms",
            p99(beside),
            p99(before),
            GOAL_LIVE,
            f"less is better; {len(beside.memberships)} people; the reference is without it",
        ),
    ]


async def due(
    bench: LoadBench, large: Workspace, busy: Workspace, number: int, due_us: int
) -> list[Result]:
    """Measure people who leave a segment at one instant, and the events that go on beside."""
    await large.define("segment", "recent", RECENT)
    await large.wait_until_live("recent")
    if await _size(large, "recent") < number:
        raise RuntimeError("not all people are in the segment")
    await bench.advance_to(due_us - MINUTE_US)
    await bench.drain()
    used = await bench.processor_times()
    await bench.advance_to(due_us)

    async def are_in() -> bool:
        # Counting all members over and over would take a part of the machine by itself.
        request = ListMembersRequest(segment_id="recent", page_size=1)
        return bool((await large.admin.segment.ListMembers(request)).members)

    beside, seconds = await bench.while_probing(busy, are_in)
    cpu.print_costs(cpu.by_name(used, await bench.processor_times()), number, seconds)
    note = f"less is better; {number:,} people; live p99 {p99(beside):.0f} ms beside"
    return [_result("due_at_one_instant", "s", seconds, 0.0, GOAL_OUT_S, note)]


async def _size(of: Workspace, segment_id: str) -> int:
    response = await of.admin.segment.ListSegments(ListSegmentsRequest())
    return next(s.size for s in response.segments if s.segment.segment_id == segment_id)


async def reads(large: Workspace, user_id: str, name: str) -> Result:
    """Measure the reads of one profile."""
    request = GetProfileRequest(identifier=Identifier(namespace="user_id", value=user_id))
    times, response = [], await large.admin.profile.GetProfile(request)
    for _ in range(READS):
        began = time.monotonic()
        await large.admin.profile.GetProfile(request)
        times.append((time.monotonic() - began) * 1e3)
    times.sort()
    profile = response.profile
    note = (
        f"less is better; p50 {median(times):.1f} ms; {len(profile.leaf_ids)} leaves,"
        f" {profile.event_count:,} events"
    )
    return _result(name, "ms", times[int(0.99 * READS)], 0.0, GOAL_READ_MS, note)


async def explanation(large: Workspace, user_id: str) -> Result:
    """Measure the explanation of a segment of one profile."""
    await large.define("segment", "explained", EXPLAINED)
    await large.wait_until_live("explained")
    request = ExplainMembershipRequest(
        identifier=Identifier(namespace="user_id", value=user_id), segment_id="explained"
    )
    times: list[float] = []
    for _ in range(EXPLANATIONS):
        began = time.monotonic()
        await large.admin.profile.ExplainMembership(request, timeout=GIVE_UP_S)
        times.append(time.monotonic() - began)
    note = f"less is better; the worst of {EXPLANATIONS}"
    return _result("explain_100k_events", "s", max(times), 0.0, GOAL_EXPLAIN_S, note)


def _result(
    name: str,
    unit: str,
    figure: float,
    reference: float,
    goal: float,
    note: str,
    *,
    is_more: bool = False,
) -> Result:
    """Return a result of one round; without a reference the goal is about the figure itself."""
    ratio = figure / reference if reference else 0.0
    print_progress(f"{name}: {figure:,.2f} {unit}; {note}")
    reached = ratio if reference else figure
    holds = reached >= goal if is_more else reached <= goal
    result = Result(name, unit, round(figure, 2), round(reference, 2), 0, 0, 1, goal, holds, note)
    return replace(result, ratio=round(ratio, 3))


async def measure(folder: Path, number: int, parts: Collection[str]) -> list[Result]:
    """Measure some of PARTS with a number of people, on one system."""
    settings = {"ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT, "ONEFOLD_CLOCK_ADVANCE": "allowed"}
    async with Stack(folder, settings=settings) as stack, AsyncExitStack() as scope:
        conn = await asyncpg.connect(stack.postgres.superuser_dsn)
        scope.push_async_callback(conn.close)
        bench = LoadBench(stack, scope, conn)
        large, busy = await bench.workspace("large"), await bench.workspace("busy")
        await busy.define("segment", "buyers", BOUGHT)
        await busy.wait_until_live("buyers")
        at_us = int(time.time()) * 1_000_000 - HOUR_US
        results: list[Result] = []
        if "backfill" in parts or "due" in parts:
            # Begins before the load: a receiver that still reads the changes of the load would add
            # its own delay to the first memberships.
            async with bench.receiving():
                events = number * EVENTS_A_PERSON
                seconds = await bench.send(large, people(number, at_us))
                print_progress(f"{events:,} events are folded, {events / seconds:,.0f}/s")
                await bench.wait_for_receiver(busy)
                if "backfill" in parts:
                    results += await backfill(bench, large, busy, events)
                if "due" in parts:
                    results += await due(bench, large, busy, number, at_us + 7 * DAY_US)
        if "reads" in parts:
            await bench.send(large, long_profile(LONG_EVENTS * number // PEOPLE, at_us))
            await bench.send(large, wide_profile(LEAVES, at_us))
            results.append(await reads(large, "wide", "read_200_leaves_p99"))
            results.append(await reads(large, "long", "read_100k_events_p99"))
            results.append(await explanation(large, "long"))
        return results
