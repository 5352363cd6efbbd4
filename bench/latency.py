"""Measures where the time goes from an acknowledged event to a membership, hop by hop.

python -m bench.latency

The load of `bench.pipeline`, with a hundred rules more, at 2,000 events a second and at half of the
rate that the system sustains. People who enter a segment are sent beside it, and looked for in the
messages of each stream: so the time of a hop is that between two streams. It consists of the
transaction, of which the commit is a part, and of the rest: the wait for a batch to end and for
messages to gather, the relay and the bus.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import aiohttp
import uvloop
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsRequest

from bench.harness import Result, print_progress, print_results
from bench.pipeline import CALLERS, PROBES_A_SECOND, WINDOW, Durations, loaded_system
from bench.worker import Worker
from services import SERVICES
from services.chassis.codec.rules import rule_to_proto
from services.client.client import ApiEndpoints, Client
from services.devstack.stack import Stack
from services.kernel.rules.forms.json_form import parse_rule

#: Each stream, in order, with the service that consumes it.
STREAMS = {"log": "identity", "identity": "profile", "profile": "segment", "segment": "activation"}
RULES, RATE = 100, 2_000.0
GOAL_MS, GOAL_HALF_MS = 250.0, 1_000.0
_EVENTS = ("viewed_course_page", "attended_trial_lesson", "consulted_support", "purchased_course")
_FIGURES = ("fold_duration_seconds", "fold_commit_seconds", "batch_size_facts")


async def define_rules(stack: Stack, number: int) -> None:
    """Define segments, each with a rule of its own, and wait until they are live."""
    addresses = {service: stack.address(service) for service in SERVICES}
    async with Client(ApiEndpoints(grpc=addresses, key=stack.admin_key)) as client:
        for n in range(number):
            count = {"event": _EVENTS[n % 4], "within": f"{1 + n // 4}d", "at_least": 4 + n % 7}
            rule = rule_to_proto(parse_rule({"count": count}))
            segment = SegmentDefined(segment_id=f"rule-{n}", title=f"Rule {n}", rule=rule)
            await client.segment.DefineSegment(DefineSegmentRequest(segment=segment))
        while True:
            listed = await client.segment.ListSegments(ListSegmentsRequest())
            if all(one.live for one in listed.segments):
                return
            await asyncio.sleep(0.5)


async def figures(stack: Stack) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the sum and the count of the figures of each service, by (service, figure)."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    async with aiohttp.ClientSession() as http:
        for service in SERVICES[1:]:
            async with http.get(f"{stack.operations_url(service)}/metrics") as response:
                lines = (await response.text()).splitlines()
            values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            for figure in _FIGURES:
                name = f"onefold_{service}_{figure}"
                if f"{name}_count" in values:
                    ends = values[f"{name}_sum"], values[f"{name}_count"]
                    found[service, figure] = (float(ends[0]), float(ends[1]))
    return found


async def at_rate(
    stack: Stack, generator: Worker, name: str, rate: float, seconds: float, goal_ms: float
) -> list[Result]:
    """Measure the latencies at a rate of events per second."""
    how = {"rate": rate, "probes": PROBES_A_SECOND}
    await generator.run(do="pace", seconds=5, name=f"warm-{name}", **how)
    before = await figures(stack)
    result = await generator.run(do="pace", seconds=seconds, name=f"probe-{name}", **how)
    after = await figures(stack)
    if result["missing"] or not result["waited"]:
        raise RuntimeError(f"{result['missing']} memberships are missing")
    waited = sorted(one * 1e3 for one in result["waited"])
    p99 = at(waited, 0.99)
    note = (
        f"less is better; {len(waited)} people; median {median(waited):.0f}, max {waited[-1]:.0f}"
    )
    results = [_result(f"{name}_p99", p99, goal_ms, f"{note}; at {rate:,.0f} events/s")]
    previous: Sequence[float] = [0.0] * len(result["seen"])
    for stream in STREAMS:
        reached = [one.get(stream, one[stream_after(stream, one)]) for one in result["seen"]]
        hop = sorted((b - a) * 1e3 for a, b in zip(previous, reached, strict=True))
        share = _share(stream, before, after) if stream != "log" else "group commit, relay and bus"
        note = f"p99 {at(hop, 0.99):.0f}; {share}"
        results.append(_result(f"{name}_to_{stream}", median(hop), 0.0, note))
        previous = reached
    return results


def stream_after(stream: str, seen: Mapping[str, float]) -> str:
    """Return the first stream from one on in which a person was seen."""
    names = list(STREAMS)
    return next(name for name in names[names.index(stream) :] if name in seen)


def at(ordered: Sequence[float], part: float) -> float:
    """Return the figure below which a part of all figures is."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _share(
    service: str,
    before: Mapping[tuple[str, str], tuple[float, float]],
    after: Mapping[tuple[str, str], tuple[float, float]],
) -> str:
    """Return the means of the transactions of a service between two readings."""
    means = []
    for figure in _FIGURES:
        total, count = after.get((service, figure), (0.0, 0.0))
        old_total, old_count = before.get((service, figure), (0.0, 0.0))
        means.append((total - old_total) / max(1.0, count - old_count))
    took_s, commit_s, facts = means
    return f"transaction {took_s * 1e3:.1f}, of it commit {commit_s * 1e3:.1f}; {facts:.0f} facts"


def _result(name: str, figure: float, goal: float, note: str) -> Result:
    print_progress(f"{name}: {figure:,.1f} ms; {note}")
    holds = not goal or figure <= goal
    return Result(name, "ms", round(figure, 1), 0.0, 0.0, 0.0, 1, goal, holds, note)


async def run(folder: Path, rules: int, seconds: float, peak_s: float) -> list[Result]:
    """Measure at both rates on one system."""
    durations = Durations(warm_up=peak_s, sustained=0.0, paced=3 * seconds)
    async with loaded_system(folder, durations, STREAMS) as (stack, generator):
        await define_rules(stack, rules)
        how = {"callers": CALLERS, "window": WINDOW}
        progress = (await generator.run(do="sustain", seconds=peak_s, **how))["progress"]
        (began, first), (ended, last) = progress[len(progress) // 3], progress[-1]
        half = (last - first) / (ended - began) / 2
        await generator.run(do="drain")
        results = await at_rate(stack, generator, "latency", RATE, seconds, GOAL_MS)
        return results + await at_rate(
            stack, generator, "latency_half", half, seconds, GOAL_HALF_MS
        )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--peak-seconds", type=float, default=30.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(run(Path(folder), args.rules, args.seconds, args.peak_seconds)))


if __name__ == "__main__":
    main()
