"""Measures what the console lists and finds among a million people, beside the bare queries."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import aiohttp
import asyncpg
import uvloop
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.type.v1.event_pb2 import EVENT_TYPE_IDENTIFY, Event
from onefold.type.v1.identifier_pb2 import Identifier

from bench.fairness import Workspace
from bench.harness import Result, print_progress, print_results
from bench.segment_system import LoadBench
from services.chassis.runtime import logs
from services.cli.demo.dataset import GIVEN_NAMES, SURNAMES
from services.devstack.stack import Stack
from services.kernel.identifiers.model import Identifier as KernelIdentifier
from services.kernel.index_key import IndexKey
from services.profile.codec.api import encode_page_token
from services.profile.store import profiles as profile_store
from tests.index_key import INDEX_KEY_TEXT

PEOPLE, BATCH, PAGE, PAGES_ON = 1_000_000, 500, 50, 10_000
ROUNDS, CALLS, GOAL = 5, 20, 2.0
#: The milliseconds within which 95 of 100 calls have an answer.
GOALS_MS = {"first_page": 150, "page_10000": 150, "by_telephone": 60, "by_name": 300}
WORKSPACE = "large"
Call = Callable[[], Awaitable[object]]


def person(number: int) -> Event:
    """Return the event of a person with a name, an e-mail and a telephone number."""
    name = SURNAMES[number % len(SURNAMES)] + GIVEN_NAMES[number // 7 % len(GIVEN_NAMES)]
    name += GIVEN_NAMES[number // 131 % len(GIVEN_NAMES)]
    return Event(
        type=EVENT_TYPE_IDENTIFY,
        message_id=f"p-{number}",
        identifiers=[
            Identifier(namespace="user_id", value=f"person-{number}"),
            Identifier(namespace="phone", value=telephone(number)),
        ],
        traits=json.dumps({"name": name, "city": "北京"}).encode(),
    )


def telephone(number: int) -> str:
    """Return the number of a person, in canonical form."""
    return f"+861{30_000_000_00 + 37 * number}"


def requests(people: int) -> Iterator[IngestEventsRequest]:
    """Yield the events of all people."""
    for start in range(0, people, BATCH):
        yield IngestEventsRequest(events=map(person, range(start, min(start + BATCH, people))))


async def p95(call: Call) -> float:
    """Return the milliseconds within which 95 of 100 calls have ended."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return sorted(times)[int(0.95 * (len(times) - 1))] * 1e3


async def measure(folder: Path, people: int) -> list[Result]:
    """Load people, and measure each call of the console beside its bare query, in turns."""
    settings = {"ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT}
    async with AsyncExitStack() as scope:
        stack = await scope.enter_async_context(Stack(folder, settings=settings, console=True))
        conn = await asyncpg.connect(stack.postgres.superuser_dsn)
        scope.push_async_callback(conn.close)
        await conn.execute("SET search_path = profile_g1, profile")
        bench = LoadBench(stack, scope, conn)
        large = await bench.workspace(WORKSPACE)
        seconds = await bench.send(large, requests(people))
        print_progress(f"{people:,} people in {seconds:.0f} s")
        await conn.execute("ANALYZE")
        http = await scope.enter_async_context(aiohttp.ClientSession())
        results = []
        for name, (call, query) in (await contenders(http, stack, large, conn, people)).items():
            figures, references = [], []
            for _ in range(ROUNDS):
                figures.append(await p95(call))
                references.append(await p95(query))
                print_progress(f"{name}: {figures[-1]:.1f} ms, bare {references[-1]:.1f} ms")
            results.append(_result(name, figures, references, people))
        return results


async def contenders(
    http: aiohttp.ClientSession,
    stack: Stack,
    large: Workspace,
    conn: asyncpg.Connection,
    people: int,
) -> dict[str, tuple[Call, Call]]:
    """Return each call of the console with the queries that read the same rows."""
    headers = {"authorization": f"Bearer {large.admin.endpoints.key}"}

    def call(name: str, **message: object) -> Call:
        async def made() -> None:
            url = f"{stack.console_url}/api/profile/{name}"
            async with http.post(url, json=message, headers=headers) as response:
                answer = await response.json()
                if not answer.get("profiles"):
                    raise RuntimeError(f"{name} finds no person: {answer}")

        return made

    def page_after(after: bytes) -> Call:
        return lambda: profile_store.list_profiles(conn, large.workspace_id, after, PAGE + 1)

    skipped = min(PAGE * PAGES_ON, people // 2)
    after = await conn.fetchval(
        "SELECT profile_id FROM evaluation WHERE workspace_id = $1 AND merged_into IS NULL"
        " ORDER BY profile_id OFFSET $2 LIMIT 1",
        large.workspace_id,
        skipped,
    )
    number = telephone(people // 3)
    phone = KernelIdentifier("phone", number).id_in(
        large.workspace_id, IndexKey.parse(INDEX_KEY_TEXT)
    )

    async def by_telephone() -> object:
        found = await profile_store.profiles_of(conn, large.workspace_id, [phone])
        return await profile_store.load_profiles(conn, large.workspace_id, list(found.values()))

    async def by_name() -> object:
        async with conn.transaction():
            ids = await profile_store.find_names(conn, large.workspace_id, "李伟", 4 * PAGE)
        return await profile_store.load_profiles(conn, large.workspace_id, ids[:PAGE])

    return {
        "first_page": (call("ListProfiles", page_size=PAGE), page_after(b"")),
        "page_10000": (
            call("ListProfiles", page_size=PAGE, page_token=encode_page_token(after)),
            page_after(after),
        ),
        "by_telephone": (call("SearchProfiles", text=number), by_telephone),
        "by_name": (call("SearchProfiles", text="李伟", page_size=PAGE), by_name),
    }


def _result(name: str, figures: list[float], references: list[float], people: int) -> Result:
    figure, reference = median(figures), median(references)
    ratio = figure / reference
    return Result(
        name=f"console_{name}",
        unit="ms",
        figure=round(figure, 1),
        reference=round(reference, 1),
        ratio=round(ratio, 2),
        spread=round((max(figures) - min(figures)) / figure, 2),
        rounds=len(figures),
        goal=GOAL,
        holds=ratio <= GOAL,
        note=f"less is better; p95 over HTTP among {people:,} people, at most {GOALS_MS[name]} ms;"
        " the reference is the bare query",
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
