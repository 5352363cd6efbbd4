"""Measures what keyed ids, content tags and the MAC of the bus cost of append and of the pipeline.

python -m bench.guards

Each guard is measured alone, interleaved with the same work without it, and set in relation to the
processor time of an event in the pipeline, which is measured in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from unittest import mock

import asyncpg
import uvloop
from onefold.log.v1.log_pb2 import FactBatch

from bench.append import Copy, contender, facts
from bench.harness import Result, compare, interleave, print_progress, print_results, spread
from bench.pipeline import Durations, loaded_system, sustained
from services.chassis.messaging.envelope import Envelope, MessageAuthenticator
from services.chassis.postgres.database import connect
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime import logs
from services.devstack.postgres import PostgresServer
from services.ingest.domain import admission
from services.ingest.domain.admission import admit
from services.ingest.domain.events import EventType, RawEvent, Source
from services.kernel.ids import FactId, IdentifierId, hash_id
from services.kernel.index_key import IndexKey
from tests.index_key import INDEX_KEY, INDEX_KEY_TEXT

ROUNDS = 9
EVENTS = 20_000
#: Facts of a message on the bus under load, and how often their bytes are signed and verified.
MESSAGE_FACTS, HOPS = 500, 3
#: A guard may cost this part of the whole.
GOAL = 0.03
NOW_US = 1_790_000_000_000_000
PROPERTIES = b'{"order_id":"o-123456","currency":"CNY","total":34.9,"coupon":"XYZ","products":' + (
    b'[{"sku":"A1","price":12.5,"quantity":2},{"sku":"B1","price":9.9,"quantity":1}]}'
)
CONTEXT = b'{"library":{"name":"analytics.js","version":"2.1.0"},"page":{"path":"/x"}}'


class PlainKey(IndexKey):
    """Derives ids as plain hashes, and no content tags."""

    def identifier_id(self, workspace_id: str, namespace: str, value: str) -> IdentifierId:
        return IdentifierId(hash_id(workspace_id, namespace, value))

    def event_fact_id(
        self, workspace_id: str, source_id: str, message_id: str, leaf_id: bytes
    ) -> FactId:
        return FactId(hash_id(workspace_id, source_id, message_id, leaf_id))

    def content_tag(self, workspace_id: str, content: bytes) -> bytes:
        return b""


class CopyWithoutTags(Copy):
    """COPY into a copy of the log's table without content tags."""

    @classmethod
    async def beside(cls, conn: asyncpg.Connection) -> CopyWithoutTags:
        await conn.execute(
            "CREATE TABLE fact_untagged (LIKE fact INCLUDING ALL);"
            "ALTER TABLE fact_untagged DROP COLUMN content_tag"
        )
        return cls(conn, "fact_untagged", tags=False)


def events() -> list[RawEvent]:
    """Return events of some hundred persons."""
    return [
        RawEvent(
            EventType.TRACK,
            "Order Completed",
            f"m-{number}",
            (("user_id", f"u{number % 500}"), ("anonymous_id", f"a{number % 500}")),
            NOW_US - 5,
            properties=PROPERTIES,
            context=CONTEXT,
        )
        for number in range(EVENTS)
    ]


def no_content(*_: object) -> bytes:
    """Return the content of no event."""
    return b""


def cost_us(work: Callable[[], object], count: int) -> float:
    """Return the microseconds of processor time of one of `count` items."""
    began = time.process_time()
    work()
    return (time.process_time() - began) / count * 1e6


def admission_costs() -> tuple[list[float], list[float]]:
    """Return the microseconds of admitting an event, with keyed ids and tags and without."""
    raw = events()
    plain = Source("w", "s", PlainKey(1, bytes(32)), "web")
    keyed = Source("w", "s", INDEX_KEY, "web")
    figures: tuple[list[float], list[float]] = ([], [])
    without_content = mock.patch.object(admission, "canonical_content", no_content)
    for _ in range(ROUNDS):
        figures[0].append(cost_us(lambda: [admit(e, keyed, NOW_US, str) for e in raw], EVENTS))
        with without_content:
            figures[1].append(cost_us(lambda: [admit(e, plain, NOW_US, str) for e in raw], EVENTS))
    return figures


def mac_costs() -> list[float]:
    """Return the microseconds an event that signing and verifying its messages takes."""
    authenticator = MessageAuthenticator(INDEX_KEY_TEXT)
    batch = FactBatch()
    for fact in facts(MESSAGE_FACTS):
        batch.facts.add(fact_id=fact.fact_id, kind=fact.kind, payload=fact.payload)
    payload, envelope = batch.SerializeToString(), Envelope(0, MESSAGE_FACTS)

    def work() -> None:
        for _ in range(50):
            for _ in range(HOPS):
                headers = authenticator.headers("onefold.log.0", envelope, payload)
                authenticator.verify("onefold.log.0", headers, payload)

    return [cost_us(work, 50 * MESSAGE_FACTS) for _ in range(ROUNDS)]


def share(name: str, figures: Sequence[float], whole_us: float, note: str) -> Result:
    """Return the part of the processor time of an event that a guard takes; less is better."""
    part = median(figures) / whole_us
    return Result(
        name=name,
        unit="us of CPU per event",
        figure=round(median(figures), 2),
        reference=round(whole_us, 1),
        ratio=round(part, 4),
        spread=round(spread(figures), 3),
        rounds=len(figures),
        goal=GOAL,
        holds=part <= GOAL,
        note=f"less is better; reference: an event in the pipeline; {note}",
    )


async def copies(folder: Path) -> Result:
    """Measure COPY into tables like the log's, with content tags and without."""
    async with AsyncExitStack() as scope:
        server = await scope.enter_async_context(PostgresServer(folder))
        await migrate(server.superuser_dsn, "ingest")
        conn = await connect(server.superuser_dsn, schema="ingest")
        scope.push_async_callback(conn.close)
        tagged, untagged = await Copy.beside(conn), await CopyWithoutTags.beside(conn)
        figures = await interleave(
            ROUNDS, {"with tags": contender(tagged, 1000), "without": contender(untagged, 1000)}
        )
    return compare(
        "copy_with_tags",
        figures["with tags"],
        figures["without"],
        goal=1 - GOAL,
        unit="events/s",
        note="reference: COPY of the same facts into a table without content tags",
    )


async def run(folder: Path, durations: Durations) -> list[Result]:
    """Measure all guards."""
    async with loaded_system(folder, durations) as (stack, generator):
        rate, whole_us = await sustained(stack, generator, durations)
        print_progress(f"{rate:,.0f} events/s, {whole_us:.0f} us of CPU per event")
    with_ids, without = await asyncio.to_thread(admission_costs)
    extra = [a - b for a, b in zip(with_ids, without, strict=True)]
    return [
        share("ids_and_tags", extra, whole_us, f"admission takes {median(without):.1f} us besides"),
        share("bus_mac", mac_costs(), whole_us, f"{HOPS} hops, {MESSAGE_FACTS} facts a message"),
        await copies(folder / "postgres"),
    ]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sustained", type=float, default=20.0)
    seconds = parser.parse_args().sustained
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        durations = Durations(warm_up=5.0, sustained=seconds, paced=0.0)
        print_results(uvloop.run(run(Path(folder), durations)))


if __name__ == "__main__":
    main()
