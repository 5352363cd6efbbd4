"""Measures ingest over HTTP, beside a bare endpoint that stores each body as one row.

`bench.ingest` runs it. Beside rates it measures processor time: of the service, of PostgreSQL and
of NATS together, for each event.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg

from bench import cpu
from bench.bare_endpoint import DSN
from bench.harness import Contender, Result, compare, interleave
from bench.worker import Worker, worker
from services.devstack.stack import Stack


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one size, over some connections that each wait for their responses."""

    name: str
    events: int
    size: int
    connections: int
    #: Goals: accepted events per second, and microseconds of processor time an event.
    rate: float
    cost: float


BATCHES = Load("http_100", 40_000, 100, 16, rate=17_000, cost=75)
SINGLE = Load("http_1", 12_000, 1, 128, rate=3_500, cost=350)
#: The same batches while all services work; the processors are theirs, too.
WORKING = replace(BATCHES, name="http_100_all_working", rate=8_000)
_ROUNDS = 5


class HttpBench:
    """Sends loads to ingest and to the bare endpoint of one running stack."""

    def __init__(
        self, stack: Stack, caller: Worker, key: str, bare: Mapping[str, int], processes: int
    ) -> None:
        """`bare`: the `port` and the `pid` of the bare endpoint. `processes`: those of ingest."""
        self._stack = stack
        self._caller = caller
        self._key = key
        self._bare = bare
        self._processes = processes

    def _contender(self, load: Load, port: int, costs: list[float]) -> Contender:
        async def send() -> float:
            processes = {"bare": self._bare["pid"]}
            before = await cpu.times(self._stack, processes)
            result = await self._caller.run(
                port=port,
                key=self._key,
                events=load.events,
                size=load.size,
                connections=load.connections,
            )
            used = cpu.by_name(before, await cpu.times(self._stack, processes))
            costs.append(sum(used.values()) / load.events * 1e6)
            if port != self._bare["port"] and result["accepted"] != load.events:
                raise RuntimeError(f"{result['accepted']} of {load.events} events were accepted")
            return float(result["rate"])

        return send

    async def compare(self, load: Load, *, with_cost: bool = True) -> list[Result]:
        """Measure a load at both: its rate, and its cost."""
        own_costs: list[float] = []
        bare_costs: list[float] = []
        own_port = int(self._stack.events_url.rpartition(":")[2])
        contenders = {
            load.name: self._contender(load, own_port, own_costs),
            "bare": self._contender(load, self._bare["port"], bare_costs),
        }
        figures = await interleave(_ROUNDS, contenders)
        how = f"{load.connections} connections; ingest in {self._processes} processes"
        reference = "reference: a bare ASGI endpoint in one process that COPYs each body as one row"
        rates = compare(
            load.name,
            figures[load.name],
            figures["bare"],
            goal=load.rate,
            unit="events/s",
            note=f"goal in events/s; {how}; {reference}, one commit each",
        )
        results = [rates.with_holds(rates.figure >= load.rate)]
        if with_cost:
            # The first round warms up.
            costs = compare(
                f"{load.name}_cpu",
                own_costs[1:],
                bare_costs[1:],
                goal=load.cost,
                unit="us/event",
                note=f"less is better, goal in us; with PostgreSQL and NATS; {how}; {reference}",
            )
            results.append(costs.with_holds(costs.figure <= load.cost))
        return results


@asynccontextmanager
async def http_bench(stack: Stack, key: str, processes: int) -> AsyncIterator[HttpBench]:
    """Run the caller and the bare endpoint; `key` is that of a source."""
    admin = await asyncpg.connect(stack.postgres.admin_dsn)
    await admin.execute("CREATE DATABASE bare")
    await admin.close()
    os.environ[DSN] = stack.postgres.superuser_dsn.rpartition("/")[0] + "/bare"
    async with worker("bench.bare_endpoint") as bare, worker("bench.http_caller") as caller:
        port = int(await bare.line())
        yield HttpBench(stack, caller, key, {"port": port, "pid": bare.pid}, processes)
