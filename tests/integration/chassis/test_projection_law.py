"""Law 2 for the chassis: however the same facts come, the digest is that of their set."""

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
from toy.heard import HeardTail, Range
from toy.words import LogUpstream, Said, WordLog, Words, encode, story, toy_root

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import connect
from services.chassis.postgres.migrate import migrate
from services.chassis.projection.checkpoint import Checkpoint, digests
from services.chassis.projection.consumer import Limits, ShardConsumer
from services.chassis.projection.worker import ShardWorker, WorkerCallbacks
from services.kernel.digest import digest_of, row_digest, to_hex

LENGTH = 40
FACTS = story(LENGTH)


def digests_of(facts: Sequence[Said]) -> dict[str, str]:
    """The digests of a set of facts, told without the chassis and without a database."""
    shares: dict[str, list[int]] = {}
    for fact, n in Counter(facts).items():
        shares.setdefault(fact.workspace, []).append(row_digest(*fact, str(n)))
    return {workspace: to_hex(digest_of(rows)) for workspace, rows in shares.items()}


class Reached(BaseException):
    """The end of the log is reached; nothing catches it on its way."""


async def stop_at_end(position: Checkpoint, outputs: Sequence[OutboxMessage]) -> None:
    if position.next == LENGTH:
        raise Reached


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
    heard=st.lists(st.none() | ranges, max_size=12),
    chunk=st.integers(0, 5),
    page=st.integers(1, 9),
    limits=st.builds(Limits, messages=st.integers(1, 6), span=st.integers(1, 50)),
)
async def test_any_order_repetition_and_batching_ends_in_the_same_state(
    conn: asyncpg.Connection,
    word_log: WordLog,
    heard: list[Range | None],
    chunk: int,
    page: int,
    limits: Limits,
) -> None:
    word_log.page = page
    await conn.execute(
        "TRUNCATE word_count, digest, outbox;"
        " UPDATE checkpoint SET next = 0, next_output = 0, log_offset = 0, log_time_us = 0"
    )
    tail = HeardTail(heard, lambda first, until: encode(FACTS[first:until]))
    intake = ShardConsumer(0, tail, LogUpstream(word_log), limits, gap_check_s=0)
    worker = ShardWorker(
        0,
        conn,
        Words(chunk=chunk),
        intake,
        WorkerCallbacks(stop_at_end, stalled=lambda *_: None, scheduled=lambda: None),
        asyncio.Semaphore(),
    )
    try:
        async with asyncio.timeout(20):
            await worker.run()
    except Reached:
        pass
    assert await digests(conn) == digests_of(FACTS)
    rows = await conn.fetch("SELECT first, next FROM outbox ORDER BY first")
    assert [row["first"] for row in rows] == [0, *[row["next"] for row in rows[:-1]]]


def test_a_changed_fact_has_another_digest() -> None:
    changed = [FACTS[0]._replace(word="another"), *FACTS[1:]]
    assert digests_of(changed) != digests_of(FACTS)
