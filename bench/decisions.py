"""Measures how long decisions of slots and ranked items take, at a steady rate of calls.

python -m bench.decisions

Calls begin at fixed instants, whether the ones before have ended or not, and their time counts from
there. The reference is a read of the person alone, at the same rate. Each person has had a decision
before: the first one reads the person from the services upstream, and is measured apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from statistics import quantiles

import asyncpg
import uvloop
from onefold.activation.v1 import decision_service_pb2 as pb
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier

from bench import cpu
from bench.fairness import Workspace
from bench.harness import Result, print_progress, print_results
from bench.segment_system import LoadBench
from services.chassis.codec.journeys import slot_to_proto
from services.chassis.runtime import logs
from services.devstack.stack import Stack
from services.kernel.errors import RateLimited
from services.kernel.journeys.decisions import parse_slot
from services.kernel.rules.defaults import Defaults

#: The events are a multiple of a batch.
PEOPLE, ITEMS, EVENTS_A_PERSON, BATCH = 2_000, 300, 10, 500
SECONDS = 10.0
#: By the call: how many a second, and the milliseconds within which 95 of 100 have an answer.
RATES, GOALS_MS = {"decide": 500, "recommend": 100}, {"decide": 10.0, "recommend": 20.0}
#: First decisions a second.
FIRST_RATE = 100
LONG_MS = 10_000
#: The time that a call counts that is refused, as too many wait, seconds.
REFUSED_S = 1.0
BANNER = {
    "id": "banner",
    "variants": [{"id": "buyer", "when": {"segment": "buyers"}, "content": {"image": "a.jpg"}}],
    "fallback": {"image": "b.jpg"},
}
PRODUCTS = {
    "id": "products",
    "items": {
        "bought": [{"event": "bought", "item": "sku"}],
        "seen": [{"event": "viewed", "item": "sku"}],
    },
    "fallback": {"items": []},
}
Call = Callable[[Identifier], Awaitable[object]]


def requests() -> Iterator[IngestEventsRequest]:
    """Yield the events of people, who each view and buy items of one of ten tastes."""
    random = Random(1)
    batch: list[Event] = []
    for number in range(PEOPLE * EVENTS_A_PERSON):
        person, place = divmod(number, EVENTS_A_PERSON)
        taste = person % 10
        sku = f"item-{taste}-{random.randrange(ITEMS // 10)}"
        event = Event(
            type=EVENT_TYPE_TRACK,
            name="bought" if place < 3 else "viewed",
            message_id=f"event-{number}",
            identifiers=[Identifier(namespace="user_id", value=f"person-{person}")],
            properties=json.dumps({"sku": sku}).encode(),
        )
        batch.append(event)
        if len(batch) == BATCH:
            yield IngestEventsRequest(events=batch)
            batch = []


async def milliseconds(call: Call, rate: int, seconds: float) -> list[float]:
    """Return the milliseconds of calls at a rate, of one person after the other."""
    found: list[float] = []
    begin = time.monotonic() + 0.1

    async def timed(number: int) -> None:
        at = begin + number / rate
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        try:
            await call(Identifier(namespace="user_id", value=f"person-{number % PEOPLE}"))
        except RateLimited:
            # The system is not quick enough for so many calls.
            await asyncio.sleep(REFUSED_S)
        found.append((time.monotonic() - at) * 1e3)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            group.create_task(timed(number))
    return found


async def measure(folder: Path, seconds: float) -> list[Result]:
    """Load people, and measure each call beside the reads of persons."""
    async with AsyncExitStack() as scope:
        stack = await scope.enter_async_context(Stack(folder))
        conn = await asyncpg.connect(stack.postgres.superuser_dsn)
        scope.push_async_callback(conn.close)
        bench = LoadBench(stack, scope, conn)
        shop = await bench.workspace("shop")
        await shop.define("segment", "buyers", {"count": {"event": "bought", "at_least": 3}})
        for form in (BANNER, PRODUCTS):
            slot = slot_to_proto(parse_slot(form, "slot", Defaults()))
            await shop.admin.decisions.DefineSlot(pb.DefineSlotRequest(slot=slot))
        await shop.wait_until_live("buyers")
        await bench.send(shop, requests())
        fitted = await shop.admin.decisions.FitItems(pb.FitItemsRequest(slot_id="products"))
        print_progress(f"{fitted.items:,} items of {fitted.persons:,} people")
        calls = _calls(shop)
        results = []
        first = quantiles(
            await milliseconds(calls["decide"], FIRST_RATE, PEOPLE / FIRST_RATE), n=100
        )
        print_progress(f"first decisions: median {first[49]:.1f} ms, p95 {first[94]:.1f} ms")
        for name, rate in RATES.items():
            for each in (calls["read"], calls[name]):
                await milliseconds(each, rate, seconds / 10)
            figures = {}
            for kind in ("read", name):
                before = await bench.processor_times()
                figures[kind] = await milliseconds(calls[kind], rate, seconds)
                used = cpu.by_name(before, await bench.processor_times())
                print_progress(f"{kind}, {rate} a second:")
                cpu.print_costs(used, int(rate * seconds), seconds)
            results.append(_result(name, figures[name], figures["read"]))
            print_progress(f"{name}: {results[-1].note}")
        return results


def _calls(shop: Workspace) -> dict[str, Call]:
    decisions, profile = shop.admin.decisions, shop.admin.profile

    async def decide(who: Identifier) -> None:
        request = pb.DecideRequest(identifier=who, slot_ids=["banner"], deadline_ms=LONG_MS)
        [decision] = (await decisions.Decide(request)).decisions
        if decision.reason == pb.DECISION_REASON_UNAVAILABLE:
            raise RateLimited("the decision is a fallback")
        if decision.variant_id != "buyer":
            raise RuntimeError(f"a decision is wrong: {decision}")

    async def recommend(who: Identifier) -> None:
        request = pb.RecommendRequest(identifier=who, slot_id="products", deadline_ms=LONG_MS)
        response = await decisions.Recommend(request)
        if response.reason == pb.DECISION_REASON_UNAVAILABLE:
            raise RateLimited("there are no items")
        if not response.items:
            raise RuntimeError("a person has no items")

    async def read(who: Identifier) -> None:
        await profile.GetProfile(GetProfileRequest(identifier=who))

    return {"decide": decide, "recommend": recommend, "read": read}


def _result(name: str, figures: list[float], reads: list[float]) -> Result:
    own, other = (quantiles(values, n=100) for values in (figures, reads))
    figure, reference = own[94], other[94]
    goal = GOALS_MS[name]
    return Result(
        name=f"{name}_p95",
        unit="ms",
        figure=round(figure, 2),
        reference=round(reference, 2),
        ratio=round(figure / reference, 2),
        spread=0.0,
        rounds=1,
        goal=goal,
        holds=figure <= goal,
        note=f"less is better; {RATES[name]} calls a second; median {own[49]:.1f} ms, p99 "
        f"{own[98]:.1f} ms; the reference is a read of the person",
    )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(measure(Path(folder), options.seconds)))


if __name__ == "__main__":
    main()
