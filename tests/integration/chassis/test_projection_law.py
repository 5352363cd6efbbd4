"""Law 2 for the chassis: however facts arrive, the digest is that of their set."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest_asyncio
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from properties import examples
from service_fixtures import HANG_S
from toy.fake_subscription import FakeSubscription, Range
from toy.words import LogUpstream, WordFact, WordLog, Words, encode, sample_facts, toy_root

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import connect
from services.chassis.postgres.migrate import migrate
from services.chassis.projection.backfill_share import StepTurns
from services.chassis.projection.callbacks import WorkerCallbacks
from services.chassis.projection.checkpoint import Checkpoint, digests
from services.chassis.projection.consumer import Limits, ShardConsumer
from services.chassis.projection.worker import ShardWorker
from services.chassis.runtime.telemetry import Metrics
from services.kernel.digest import digest_of, row_digest, to_hex

LENGTH = 40
FACTS = sample_facts(LENGTH)


def digests_of(facts: Sequence[WordFact]) -> dict[str, str]:
    """Return the digests of a set of facts, computed without the chassis or a database."""
    shares: dict[str, list[int]] = {}
    for fact, n in Counter(facts).items():
        shares.setdefault(fact.workspace, []).append(row_digest(*fact, str(n)))
    return {workspace: to_hex(digest_of(rows)) for workspace, rows in shares.items()}


class EndReached(BaseException):
    """The end of the log is reached; no handler catches it on its way."""


async def stop_at_end(checkpoint: Checkpoint, outputs: Sequence[OutboxMessage]) -> None:
    if checkpoint.next == LENGTH:
        raise EndReached


@pytest_asyncio.fixture(loop_scope="session")
async def conn(
    database: str, word_log: WordLog, tmp_path: Path
) -> AsyncIterator[asyncpg.Connection]:
    await migrate(database, "toy", shards=1, root=toy_root(tmp_path))
    await word_log.append(0, FACTS)
    conn = await connect(database, schema="toy_g1,toy")
    yield conn
    await conn.close()


ranges = st.tuples(
    st.integers(0, LENGTH - 1), st.integers(1, 9), st.sampled_from((False, False, True))
).map(lambda r: (r[0], min(r[0] + r[1], LENGTH), r[2]))


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    received=st.lists(st.none() | ranges, max_size=12),
    chunk=st.integers(0, 5),
    page=st.integers(1, 9),
    limits=st.builds(Limits, messages=st.integers(1, 6), span=st.integers(1, 50)),
)
async def test_digest_after_any_order_repetition_and_batching_is_that_of_the_facts(
    conn: asyncpg.Connection,
    word_log: WordLog,
    received: list[Range | None],
    chunk: int,
    page: int,
    limits: Limits,
) -> None:
    word_log.page = page
    await conn.execute(
        "TRUNCATE word_count, digest, outbox;"
        " UPDATE checkpoint SET next = 0, next_output = 0, log_offset = 0, log_time_us = 0"
    )
    subscription = FakeSubscription(received, lambda first, end: encode(FACTS[first:end]))
    consumer = ShardConsumer(0, subscription, LogUpstream(word_log), limits, gap_check_s=0)
    worker = ShardWorker(
        0,
        conn,
        Words(chunk=chunk),
        consumer,
        WorkerCallbacks(stop_at_end, stalled=lambda *_: None, scheduled=lambda: None),
        asyncio.Semaphore(),
        StepTurns(),
        Metrics("toy"),
    )
    try:
        async with asyncio.timeout(HANG_S):
            await worker.run()
    except EndReached:
        pass
    assert await digests(conn) == digests_of(FACTS)
    rows = await conn.fetch("SELECT first, next FROM outbox ORDER BY first")
    assert [row["first"] for row in rows] == [0, *[row["next"] for row in rows[:-1]]]


def test_digest_of_a_changed_fact_differs() -> None:
    changed = [FACTS[0]._replace(word="another"), *FACTS[1:]]
    assert digests_of(changed) != digests_of(FACTS)
