"""Measures journeys on a whole system: a backtest beside a read of the log, a burst of messages."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import asyncpg
from aiohttp import web
from onefold.activation.v1 import journey_service_pb2 as pb

from bench import cpu
from bench.fairness import GIVE_UP_S, POLL_S, Workspace
from bench.harness import Result, compare, print_progress
from bench.journey_store import PARK
from bench.segment_system import EVENTS_A_PERSON, LoadBench, arrivals, people
from services.chassis.codec.journeys import journey_to_proto
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.devstack.stack import Stack
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.rules.forms.json_dump import Form
from services.kernel.time import DAY_US, HOUR_US
from tests.index_key import INDEX_KEY_TEXT

PARTS = ("backtest", "lag", "burst")
PEOPLE, CLIENTS = 100_000, 32
GOAL_BACKTEST, GOAL_BURST = 1 / 3, 0.4
#: People who come due one after the other, how many in a second, and the goals in milliseconds.
STEADY, STEADY_RATE, GOAL_LAG_P50_MS, GOAL_LAG_P99_MS = 10_000, 500, 300.0, 1_000.0
#: What is tried over the log.
TRIED: Form = {
    "id": "tried",
    "enter": {"event": "seen", "again": "never"},
    "steps": [
        {
            "listen": {
                "to": {"event": "viewed"},
                "at_most": "1d",
                "then": [{"put": {"tag": "keen"}, "id": "keen"}],
            },
            "id": "waits",
        }
    ],
}
#: Everybody gets one message at one instant.
BURST = """
contact_policy: {{purposes: {{marketing: {{consent: none}}}}}}
destinations:
  - {{id: sink, webhook: {{url: "{url}", secret: "${{SECRET}}"}}}}
templates: [{{id: t, locales: {{en: {{text: Hello}}}}}}]
journeys:
  - id: burst
    enter: {{event: seen, again: never}}
    steps: [{{wait: 1d}}, {{send: {{id: all, to: sink, template: t}}}}]
  - id: steady
    enter: {{event: arrived, again: never}}
    steps: [{{wait: 2h}}, {{send: {{id: own, to: sink, template: t}}}}]
"""


class Sink:
    """A receiver of webhooks that counts them."""

    def __init__(self) -> None:
        self.received = 0
        self.url = ""
        #: How far the clock of the log is ahead, seconds; None = lags are not measured.
        self.ahead_s: float | None = None
        #: Seconds from the due of each message to its arrival.
        self.lags: list[float] = []

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received += 1
        if self.ahead_s is not None:
            due = datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp()
            self.lags.append(time.time() + self.ahead_s - due)
        return web.Response()

    async def until(self, number: int) -> None:
        """Wait until so many messages have come."""
        end = time.monotonic() + GIVE_UP_S
        while self.received < number:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.received:,} of {number:,} messages have come")
            await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receive until the scope ends."""
        app = web.Application()
        app.router.add_post("/", self._receive)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}/"
            yield
        finally:
            await runner.cleanup()


async def backtest(bench: LoadBench, large: Workspace, at_us: int, number: int) -> list[Result]:
    """Measure a backtest of another definition, beside a bare read of the log."""
    request = pb.BacktestJourneyRequest(
        journey=journey_to_proto(parse_journey(TRIED)),
        basis=pb.BACKTEST_BASIS_KNOWN,
        from_us=at_us - HOUR_US,
    )
    events, used, effects = number * EVENTS_A_PERSON, await bench.processor_times(), 0
    began = time.monotonic()
    async for response in large.admin.journeys.BacktestJourney(request, timeout=GIVE_UP_S):
        effects += len(response.effects)
    seconds = time.monotonic() - began
    rate = events / seconds
    cpu.print_costs(cpu.by_name(used, await bench.processor_times()), events, seconds)
    bare = events / await bench.read_log()
    note = f"{events:,} events, {effects:,} effects; the reference is a bare read of the log"
    named = {"goal": GOAL_BACKTEST, "unit": "events/s", "note": note}
    return [compare("backtest_vs_read", [rate], [bare], **named)]  # type: ignore[arg-type]  # of two types


async def lag(
    bench: LoadBench,
    sink: Sink,
    large: Workspace,
    conn: asyncpg.Connection,
    at_us: int,
    parked: int,
) -> list[Result]:
    """Measure from the due of a message to its arrival, at a steady rate beside parked runs."""
    step_us = 1_000_000 // STEADY_RATE
    # The last of them has arrived then.
    await asyncio.sleep(max(0.0, at_us / 1e6 + STEADY / STEADY_RATE - time.time()))
    await bench.send(large, arrivals(STEADY, at_us, step_us))
    if parked:
        await conn.execute("SET search_path TO activation")
        await conn.execute(PARK, parked, at_us + 3_650 * DAY_US)
        await conn.execute("ANALYZE")
    await bench.advance_to(at_us + 2 * HOUR_US - 5_000_000)
    sink.ahead_s = await bench.clock_ahead_s()
    await sink.until(STEADY)
    sink.ahead_s, sink.received = None, 0
    lags = sorted(1_000 * each for each in sink.lags)
    note = f"{STEADY_RATE} dues a second, {parked:,} runs parked; to the arrival at the receiver"
    return [
        Result(name, "ms", round(figure, 1), 0.0, 0.0, 0.0, 1, goal, figure <= goal, note)
        for name, figure, goal in (
            ("lag_p50", lags[len(lags) // 2], GOAL_LAG_P50_MS),
            ("lag_p99", lags[len(lags) * 99 // 100], GOAL_LAG_P99_MS),
        )
    ]


async def burst(bench: LoadBench, sink: Sink, number: int, due_us: int) -> list[Result]:
    """Measure messages that are due at one instant, beside a bare client."""
    await bench.advance_to(due_us - HOUR_US)
    await bench.drain()
    used, began = await bench.processor_times(), time.monotonic()
    own = time.process_time()
    await bench.advance_to(due_us)
    await sink.until(number)
    seconds = time.monotonic() - began
    rate = number / seconds
    costs = cpu.by_name(used, await bench.processor_times())
    cpu.print_costs(costs, number, seconds)
    received_s, sink.received = time.process_time() - own, 0
    own = time.process_time()
    bare = number / await _bare_client(sink, number)
    bare_s = time.process_time() - own
    note = f"{number:,} people are due at one instant; the reference is a bare client"
    by_cpu = [number / (sum(costs.values()) + received_s)], [number / bare_s]
    named = {"goal": GOAL_BURST, "note": note}
    return [
        compare("burst_vs_client", [rate], [bare], unit="messages/s", **named),  # type: ignore[arg-type]  # of two types
        compare("burst_vs_client_cpu", *by_cpu, unit="messages/cpu s", **named),  # type: ignore[arg-type]  # of two types
    ]


async def _bare_client(sink: Sink, number: int) -> float:
    """Return the seconds in which a client alone sends so many messages of the same size."""
    body, left = b"x" * 600, iter(range(number))
    began = time.monotonic()
    async with aiohttp.ClientSession() as session:

        async def send() -> None:
            for _ in left:
                async with session.post(sink.url, data=body) as response:
                    await response.read()

        await asyncio.gather(*(send() for _ in range(CLIENTS)))
    return time.monotonic() - began


async def measure(folder: Path, parts: Collection[str], number: int, parked: int) -> list[Result]:
    """Measure some of PARTS with a number of people and of parked runs, on one system."""
    sink = Sink()
    async with AsyncExitStack() as scope:
        await scope.enter_async_context(sink.running())
        settings = {
            "ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT,
            "ONEFOLD_CLOCK_ADVANCE": "allowed",
            "ONEFOLD_ACTIVATION_PRIVATE_TARGETS": sink.url.removeprefix("http://").rstrip("/"),
        }
        stack = await scope.enter_async_context(Stack(folder, settings=settings))
        conn = await asyncpg.connect(stack.postgres.superuser_dsn)
        scope.push_async_callback(conn.close)
        bench = LoadBench(stack, scope, conn)
        large = await bench.workspace("large")
        if {"burst", "lag"} & set(parts):
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
            pack = folder.with_name("burst.yaml")
            pack.write_text(BURST.format(url=sink.url), encoding="utf-8")
            await apply_pack(large.admin, read_pack(pack, {"SECRET": secret}))
        at_us = int(time.time() * 1e6)
        seconds = await bench.send(large, people(number, at_us))
        print_progress(f"{number * EVENTS_A_PERSON:,} events are folded in {seconds:.0f} s")
        results: list[Result] = []
        if "backtest" in parts:
            results += await backtest(bench, large, at_us, number)
        if "lag" in parts:
            results += await lag(bench, sink, large, conn, at_us, parked)
        if "burst" in parts:
            results += await burst(bench, sink, number, at_us + DAY_US)
        return results
