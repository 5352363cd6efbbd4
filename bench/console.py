"""Measures what the console lists and finds among a million people, beside the bare queries.

The people are copied into the tables of profile. Each call is made over HTTP, so it passes the
console and profile. The bare query is what a program with access to the database does for the same
page: one statement over an open connection, its rows decoded and written as JSON. A call over HTTP
that does nothing takes longer than the query of one person, so there are two references: the same
query behind a bare endpoint of HTTP, and, as `…_vs_query`, the query without HTTP. The goal is
about the median time that a caller waits; the processor time of all processes stands beside it.
What a call costs whatever it reads is seen from a page of one person; `console_rows_cpu` compares
what the other people of a page cost beside that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import aiohttp
import asyncpg
import msgspec
import uvloop

from bench import cpu
from bench.bare_pages import DSN, BareQuery, connect, read_page
from bench.fairness import Workspace
from bench.harness import Result, print_progress, print_results
from bench.segment_system import LoadBench
from bench.worker import worker
from services.chassis.runtime import logs
from services.cli.demo.dataset import GIVEN_NAMES, SURNAMES
from services.devstack.stack import Stack
from services.kernel.fold.events import IDENTIFY, EventView
from services.kernel.fold.leaf import LeafState, encode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, shard_of
from services.kernel.index_key import IndexKey
from services.kernel.trust import SourceTrust
from services.profile.codec.api import encode_page_token
from services.profile.domain.evaluation import Evaluation
from services.profile.domain.facts import ProfileAssignment
from services.profile.domain.names import forms_of
from services.profile.store import profiles as profile_store
from services.profile.store.evaluations import copy_evaluations
from services.profile.store.profiles import LeafRow, NameRow
from tests.index_key import INDEX_KEY_TEXT

PEOPLE, BATCH, PAGE, PAGES_ON = 1_000_000, 20_000, 50, 10_000
ROUNDS, CALLS, GOAL, IDLE_S = 5, 100, 2.0, 5.0
#: The milliseconds within which 95 of 100 calls have an answer.
GOALS_MS = {
    "one_person": 60,
    "first_page": 150,
    "page_10000": 150,
    "by_telephone": 60,
    "by_name": 300,
}
WORKSPACE = "large"
#: The indexes that are made again after the people were copied.
INDEXES = ("leaf_by_workspace", "name_by_form", "assignment_by_profile", "evaluation_by_workspace")
INDEX_KEY = IndexKey.parse(INDEX_KEY_TEXT)
NO_PREDICATES = PredicateIndex.from_rules([])
SENT_US = 1_700_000_000_000_000
ENDPOINT = "the reference is the bare query over HTTP"
BARE = "the reference is the bare query"
Call = Callable[[], Awaitable[object]]
T = TypeVar("T")


def name(number: int) -> str:
    """Return the name of a person."""
    given = GIVEN_NAMES[number // 7 % len(GIVEN_NAMES)]
    return SURNAMES[number % len(SURNAMES)] + given + GIVEN_NAMES[number // 131 % len(GIVEN_NAMES)]


def telephone(number: int) -> str:
    """Return the number of a person, in canonical form."""
    return f"+861{30_000_000_00 + 37 * number}"


@lru_cache(maxsize=100_000)
def _forms(text: str) -> list[str]:
    return sorted(forms_of(text))


class People:
    """People with a name, a city, a user id and a telephone number, as rows of profile."""

    def __init__(self, workspace_id: WorkspaceId, shards: int, first: int, end: int) -> None:
        self.leaves: dict[int, list[LeafRow]] = defaultdict(list)
        self.names: dict[int, list[NameRow]] = defaultdict(list)
        self.assignments: list[ProfileAssignment] = []
        self.evaluations: list[Evaluation] = []
        for number in range(first, end):
            self._add(workspace_id, shards, number)

    def _add(self, workspace_id: WorkspaceId, shards: int, number: int) -> None:
        traits = json.dumps({"name": name(number), "city": "北京"}, ensure_ascii=False).encode()
        fact_id = number.to_bytes(16, "big")
        state = LeafState()
        event = EventView(
            *(IDENTIFY, "", SENT_US + number, fact_id),
            traits=traits,
            trust=SourceTrust.SERVER,
            source_id="site",
        )
        fold_event(state, event, NO_PREDICATES)
        own = [Identifier("user_id", f"person-{number}"), Identifier("phone", telephone(number))]
        ids = [each.id_in(workspace_id, INDEX_KEY) for each in own]
        leaf, profile = LeafId(ids[0]), ProfileId(ids[0])
        shard = shard_of(leaf, shards)
        self.leaves[shard].append(LeafRow(leaf, workspace_id, encode(state)))
        self.names[shard].append(NameRow(leaf, workspace_id, _forms(name(number))))
        self.assignments += [
            ProfileAssignment(workspace_id, id_, profile, 1, each)
            for id_, each in zip(ids, own, strict=True)
        ]
        self.evaluations.append(Evaluation(profile, workspace_id, 1, frozenset(), None, SENT_US))


async def load(conn: asyncpg.Connection, workspace_id: WorkspaceId, people: int) -> None:
    """Copy people into the tables of profile, and make their indexes."""
    shards = await conn.fetchval("SELECT count(*) FROM checkpoint")
    made = dict(
        await conn.fetch(
            "SELECT indexname, indexdef FROM pg_indexes"
            " WHERE schemaname = current_schema() AND indexname = ANY ($1)",
            INDEXES,
        )
    )
    for index in made:
        await conn.execute(f"DROP INDEX {index}")
    for first in range(0, people, BATCH):
        some = People(workspace_id, shards, first, min(first + BATCH, people))
        async with conn.transaction():
            for shard, leaves in some.leaves.items():
                await profile_store.copy_leaves(conn, shard, leaves)
                await profile_store.save_names(conn, shard, some.names[shard])
            await profile_store.copy_assignments(conn, some.assignments, shards)
            await copy_evaluations(conn, some.evaluations, shards)
    for definition in made.values():
        await conn.execute(definition)
    await conn.execute("VACUUM ANALYZE")


async def milliseconds(call: Call) -> list[float]:
    """Return the milliseconds of each of some calls, ascending."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        times.append((time.perf_counter() - began) * 1e3)
    return sorted(times)


class ConsoleBench:
    """Measures calls beside queries, in turns."""

    def __init__(self, stack: Stack, own: Mapping[str, int]) -> None:
        """`own`: the processes of the benchmark."""
        self._stack = stack
        self._own = own
        #: The seconds of processor time that each process uses in a second without calls.
        self._idle: Mapping[str, float] = {}

    async def begin(self) -> None:
        """Measure what the system uses while it does nothing."""
        self._idle = {
            name: used / IDLE_S
            for name, used in (await self._used(asyncio.sleep(IDLE_S)))[0].items()
        }

    async def compare(self, call_name: str, contenders: Contenders, people: int) -> list[Result]:
        """Return the results of the median, of the p95 and of the processor time of a call."""
        times: defaultdict[str, list[list[float]]] = defaultdict(list)
        costs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for _ in range(ROUNDS):
            for kind, made in contenders._asdict().items():
                used, found = await self._used(milliseconds(made))
                times[kind].append(found)
                for process, seconds in used.items():
                    own = seconds - self._idle.get(process, 0.0) * sum(found) / 1e3
                    costs[kind][_part(process)] += max(0.0, own) * 1e3 / CALLS / ROUNDS
        shown = ", ".join(f"{part} {ms:.2f}" for part, ms in costs["call"].most_common())
        middle = {kind: [median(each) for each in found] for kind, found in times.items()}
        p95 = {kind: [each[int(0.95 * CALLS)] for each in found] for kind, found in times.items()}
        limit = GOALS_MS[call_name]
        slow = _result(
            f"console_{call_name}_p95", p95["call"], p95["query"], f"at most {limit} ms; {BARE}"
        )
        spent = {kind: [sum(parts.values())] for kind, parts in costs.items()}
        waited = f"median time of a call; {people:,} people"
        return [
            _result(
                f"console_{call_name}", middle["call"], middle["endpoint"], f"{waited}; {ENDPOINT}"
            ),
            _result(
                f"console_{call_name}_vs_query",
                middle["call"],
                middle["query"],
                f"{waited}; {BARE}",
            ),
            slow.with_holds(slow.figure <= limit),
            _result(
                *(f"console_{call_name}_cpu", spent["call"], spent["endpoint"]),
                f"processor time a call: {shown}; {ENDPOINT}",
            ),
        ]

    async def _used(self, work: Coroutine[Any, Any, T]) -> tuple[Mapping[str, float], T]:
        """Return the seconds of processor time that each process uses during some work."""
        before = await cpu.times(self._stack, self._own)
        done = await work
        return cpu.by_name(before, await cpu.times(self._stack, self._own)), done


def _part(process: str) -> str:
    """Return the part of a call that a process is."""
    return "postgres" if process.startswith("postgres") else process


async def measure(folder: Path, people: int) -> list[Result]:
    """Load people, and measure each call of the console beside its bare query, in turns."""
    settings = {"ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT}
    async with AsyncExitStack() as scope:
        stack = await scope.enter_async_context(Stack(folder, settings=settings, console=True))
        conn = await connect(stack.postgres.superuser_dsn)
        scope.push_async_callback(conn.close)
        bench = LoadBench(stack, scope, conn)
        large = await bench.workspace(WORKSPACE)
        began = time.monotonic()
        await load(conn, WorkspaceId(large.workspace_id), people)
        print_progress(f"{people:,} people in {time.monotonic() - began:.0f} s")
        http = await scope.enter_async_context(aiohttp.ClientSession())
        os.environ[DSN] = stack.postgres.superuser_dsn
        endpoint = await scope.enter_async_context(worker("bench.bare_pages"))
        ends = Endpoints(http, stack.console_url, f"http://127.0.0.1:{int(await endpoint.line())}")
        measured = ConsoleBench(stack, {"bench": os.getpid(), "endpoint": endpoint.pid})
        await measured.begin()
        results: list[Result] = []
        for name, contenders in (await calls(ends, large, conn, people)).items():
            results += await measured.compare(name, contenders, people)
            for result in results[-4:]:
                print_progress(
                    f"{result.name}: {result.figure} to {result.reference}; {result.note}"
                )
        return [*results, rows_cost({result.name: result for result in results})]


def rows_cost(results: Mapping[str, Result]) -> Result:
    """Return the result of what the rows of a page cost, beside what every call costs."""
    page, one = results["console_first_page_cpu"], results["console_one_person_cpu"]
    figure, reference = page.figure - one.figure, page.reference - one.reference
    note = f"processor time of the other {PAGE - 1} people of a page; {one.figure} ms are fixed"
    return _result("console_rows_cpu", [figure], [reference], f"{note}; {ENDPOINT}")


class Contenders(NamedTuple):
    """What is measured in turns."""

    #: Of the console.
    call: Call
    #: The bare query over an open connection, without HTTP.
    query: Call
    #: The bare query over HTTP, of an endpoint that does nothing else.
    endpoint: Call


class Endpoints(NamedTuple):
    """Where calls go."""

    http: aiohttp.ClientSession
    console: str
    bare: str

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Make one call. Raises RuntimeError where it finds no person."""
        async with self.http.post(url, data=body, headers=headers) as response:
            answer = await response.read()
            if response.status != 200 or b'"profile_id":' not in answer:
                raise RuntimeError(f"{url} finds no person: {answer[:500]!r}")


async def calls(
    ends: Endpoints, large: Workspace, conn: asyncpg.Connection, people: int
) -> dict[str, Contenders]:
    """Return each call of the console with the query that reads the same rows."""
    headers = {
        "authorization": f"Bearer {large.admin.endpoints.key}",
        "content-type": "application/json",
    }
    workspace_id = WorkspaceId(large.workspace_id)

    def contenders(method: str, message: dict[str, object], query: BareQuery) -> Contenders:
        url, body = f"{ends.console}/api/profile/{method}", json.dumps({**message, "brief": True})
        bare = msgspec.json.encode(query)

        async def read() -> None:
            if b'"profile_id":' not in await read_page(conn, query):
                raise RuntimeError("the bare query finds no person")

        return Contenders(
            lambda: ends.post(url, body.encode(), headers),
            read,
            lambda: ends.post(ends.bare, bare, headers),
        )

    def page(size: int, after: bytes = b"") -> Contenders:
        token = encode_page_token(after)
        message: dict[str, object] = {"page_size": size, "page_token": token}
        query = BareQuery("page", workspace_id, size, after)
        return contenders("ListProfiles", message, query)

    skipped = min(PAGE * PAGES_ON, people // 2)
    after = await conn.fetchval(
        "SELECT profile_id FROM evaluation WHERE workspace_id = $1 AND merged_into IS NULL"
        " ORDER BY profile_id OFFSET $2 LIMIT 1",
        *(workspace_id, skipped),
    )
    number, surname = telephone(people // 3), name(people // 3)[:2]
    phone = Identifier("phone", number).id_in(workspace_id, INDEX_KEY)
    lookup = BareQuery("lookup", workspace_id, 1, ids=(phone,))
    search = BareQuery("search", workspace_id, PAGE, forms=f"'{workspace_id}/{surname}':*")
    return {
        "one_person": page(1),
        "first_page": page(PAGE),
        "page_10000": page(PAGE, after),
        "by_telephone": contenders("SearchProfiles", {"text": number}, lookup),
        "by_name": contenders("SearchProfiles", {"text": surname, "page_size": PAGE}, search),
    }


def _result(name: str, figures: list[float], references: list[float], note: str) -> Result:
    figure, reference = median(figures), median(references)
    ratio = figure / reference
    return Result(
        name=name,
        unit="ms",
        figure=round(figure, 2),
        reference=round(reference, 2),
        ratio=round(ratio, 2),
        spread=round((max(figures) - min(figures)) / figure, 2),
        rounds=len(figures),
        goal=GOAL,
        holds=ratio <= GOAL,
        note=f"less is better; {note}",
    )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    options = parser.parse_args()
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        print_results(uvloop.run(measure(Path(folder), options.people)))


if __name__ == "__main__":
    main()
