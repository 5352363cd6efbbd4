"""A toy service for tests of the projection chassis: it counts the words of leaves.

`WordLog` is its upstream, a log of words in a table, like ingest's log of facts. `Words` is its
projection, which counts, maintains a digest, and publishes the facts that it folded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg

from services.chassis.messaging.stream import (
    Batch,
    FoldResult,
    FoldUnit,
    OutboxMessage,
    StreamMessage,
    UnitId,
)
from services.chassis.postgres.database import connect_pool
from services.chassis.projection.checkpoint import add_digest
from services.chassis.projection.consumer import Limits
from services.chassis.projection.differing_rows import differing_table_rows
from services.chassis.projection.rebuild import StateSwap
from services.chassis.projection.replay import LogReplay
from services.kernel.digest import row_digest
from services.kernel.errors import RangeExpired, UpstreamWentBack
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

SERVICE = "toy"
LOG_SUBJECT = "onefold.log"
TOY_SUBJECT = "onefold.toy"

_STATE = """
CREATE TABLE word_count (
    workspace text NOT NULL,
    leaf text NOT NULL,
    word text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (workspace, leaf, word)
);
CREATE TABLE label (
    shard int NOT NULL,
    workspace text NOT NULL,
    leaf text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (shard, workspace, leaf)
);
"""


class WordFact(NamedTuple):
    """One fact: a leaf used a word."""

    workspace: str
    leaf: str
    word: str


def toy_root(folder: Path) -> Path:
    """Write the migrations of the toy service into a folder of services; return the folder."""
    (folder / SERVICE / "store" / "state").mkdir(parents=True, exist_ok=True)
    (folder / SERVICE / "store" / "state" / "0001_words.sql").write_text(_STATE)
    return folder


def encode(facts: Sequence[WordFact]) -> bytes:
    """Return the payload of a message."""
    return json.dumps(facts).encode()


def decode(message: StreamMessage) -> list[WordFact]:
    """Return the facts of a message, one per offset."""
    facts = [WordFact(*fact) for fact in json.loads(message.payload)]
    assert len(facts) == message.next - message.first
    return facts


def cut(message: StreamMessage, end: int) -> StreamMessage:
    """Return the part of a message before an offset."""
    if message.next <= end:
        return message
    facts = decode(message)[: end - message.first]
    return StreamMessage(message.first, end, encode(facts), message.life)


class WordLog:
    """A log of words, by shard: a relay and an upstream read it."""

    def __init__(self, pool: asyncpg.Pool, page: int = 50) -> None:
        self._pool = pool
        self.page = page
        #: The lives of every shard, in order, each with the offset at which it began.
        self.lives: list[tuple[int, int]] = []

    @property
    def life(self) -> int:
        """The newest life; 0 where none has begun."""
        return self.lives[-1][0] if self.lives else 0

    async def has_life(self, shard: int, end: int, life: int) -> bool:
        """Return whether the log has everything before `end` as it was in a life of it."""
        numbers = [number for number, _ in self.lives]
        if life not in numbers:
            return False
        return all(end <= first for _, first in self.lives[numbers.index(life) + 1 :])

    @classmethod
    async def make(cls, dsn: str, page: int = 50) -> WordLog:
        pool = await connect_pool(dsn, schema="public", max_size=4)
        await pool.execute(
            'CREATE TABLE IF NOT EXISTS word_fact (shard int, "offset" bigint, fact text,'
            ' PRIMARY KEY (shard, "offset"))'
        )
        return cls(pool, page)

    async def close(self) -> None:
        await self._pool.close()

    async def append(self, shard: int, facts: Iterable[WordFact]) -> list[OutboxMessage]:
        """Append in one transaction; return the outputs for the relay."""
        rows = [json.dumps(fact) for fact in facts]
        async with self._pool.acquire() as conn, conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock(77, $1)", shard)
            first = await self._tail(conn, shard)
            await conn.executemany(
                "INSERT INTO word_fact VALUES ($1, $2, $3)",
                [(shard, first + i, row) for i, row in enumerate(rows)],
            )
        return [_output(first, rows, self.life)] if rows else []

    async def tail(self, shard: int) -> int:
        async with self._pool.acquire() as conn:
            return await self._tail(conn, shard)

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        rows = await self._pool.fetch(
            'SELECT fact FROM word_fact WHERE shard = $1 AND "offset" >= $2'
            ' ORDER BY "offset" LIMIT $3',
            *(shard, first, limit * self.page),
        )
        facts = [row["fact"] for row in rows]
        pages = range(0, len(facts), self.page)
        return [_output(first + i, facts[i : i + self.page], self.life) for i in pages]

    async def prune(self, shard: int, published: int) -> None:
        """A log is never pruned."""

    async def _tail(self, conn: asyncpg.Connection, shard: int) -> int:
        return await conn.fetchval(
            'SELECT coalesce(max("offset") + 1, 0) FROM word_fact WHERE shard = $1', shard
        )


class LogUpstream:
    """A `WordLog` as an upstream."""

    def __init__(self, log: WordLog) -> None:
        self._log = log
        #: (shard, first, end) of every read.
        self.reads: list[tuple[int, int, int]] = []
        #: Facts before it are no longer stored.
        self.gone_before = 0

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        self.reads.append((shard, first, end))
        if first < self.gone_before:
            raise RangeExpired(f"the log begins at {self.gone_before}")
        tail = await self._log.tail(shard)
        if first > tail:
            raise UpstreamWentBack(f"the log ends at {tail}")
        if life and not await self._log.has_life(shard, first, life):
            raise UpstreamWentBack(f"the log had other facts before {first}")
        # A message that this log never published may name an offset beyond the tail.
        end = min(end or tail, tail)
        while first < end:
            for output in await self._log.read(shard, first, 4):
                if output.first >= end:
                    return
                message = StreamMessage(output.first, output.next, output.payload, output.life)
                yield cut(message, end)
                first = output.next


class Words:
    """The projection. `poison`: a word at which it fails; `chunk`: most facts per transaction."""

    def __init__(self, poison: str = "", chunk: int = 0) -> None:
        self.poison = poison
        self._chunk = chunk
        #: (shard, first, next) of every fold that was begun.
        self.folds: list[tuple[int, int, int]] = []

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        self.folds.append((batch.shard, batch.first, batch.next))
        end = min(batch.next, batch.first + self._chunk) if self._chunk else batch.next
        facts = facts_between(batch, end)
        counted = [f for at, f in enumerate(facts, batch.first) if UnitId(at) not in batch.left_out]
        if self.poison and any(fact.word == self.poison for fact in counted):
            raise ValueError("this word cannot be counted")
        await count_words(conn, batch.shard, counted)
        if batch.is_late:
            return FoldResult(end, end, 0)
        output = OutboxMessage(batch.first, end, encode(facts))
        return FoldResult(end, end, batch.log_time_us + len(facts), (output,))


class IsolatingWords(Words):
    """The projection, where single facts can be left out."""

    def units(self, message: StreamMessage, first: int) -> list[FoldUnit]:
        facts = decode(message)[first - message.first :]
        return [
            FoldUnit(UnitId(at), WorkspaceId(fact.workspace), encode([fact]))
            for at, fact in enumerate(facts, first)
        ]


class WordsRebuilder:
    """Rebuilds the toy's state from its log."""

    def __init__(self, log: WordLog, words: Words | None = None) -> None:
        self._replay = LogReplay(words or Words(), LogUpstream(log), Limits(messages=2))
        #: The schemas of every `carry_over`.
        self.carried_over: list[tuple[str, str]] = []

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        end: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        await self._replay.rebuild(pool, end, workers=workers, progress=progress)

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        self.carried_over.append((live, new))

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        named = "workspace || '/' || leaf"
        return await differing_table_rows(
            conn, live, new, "word_count", named, "workspace, leaf, word, n", limit
        )


class WordsResync(WordsRebuilder):
    """Resyncs the toy's state up to a token, and publishes the difference in one message."""

    def __init__(self, log: WordLog, head: Token) -> None:
        super().__init__(log)
        self._head = head

    async def upstream_head(self) -> Token:
        return self._head

    async def build(
        self, pool: asyncpg.Pool, end: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        await self._replay.rebuild(pool, end, workers=workers, progress=progress)

    async def difference(
        self, conn: asyncpg.Connection, swap: StateSwap
    ) -> dict[int, tuple[OutboxMessage, ...]]:
        return {
            after.shard: (OutboxMessage(before.next_output, after.next, b"[]"),)
            for before, after in zip(swap.before, swap.after, strict=True)
        }


def facts_between(batch: Batch, end: int) -> list[WordFact]:
    """Return the facts of a batch before `end`, however its messages are cut."""
    facts: list[WordFact] = []
    at = batch.first
    for message in batch.messages:
        assert message.first <= at < message.next
        facts += decode(message)[at - message.first :]
        at = message.next
    assert at == batch.next
    return facts[: end - batch.first]


async def count_words(conn: asyncpg.Connection, shard: int, facts: Sequence[WordFact]) -> None:
    """Count, and update the digest."""
    deltas: Counter[str] = Counter()
    for fact, n in sorted(Counter(facts).items()):
        now = await conn.fetchval(
            "INSERT INTO word_count VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (workspace, leaf, word) DO UPDATE SET n = word_count.n + $4 RETURNING n",
            *(*fact, n),
        )
        deltas[fact.workspace] += _share(fact, now) - (_share(fact, now - n) if now > n else 0)
    await add_digest(conn, shard, deltas)


def _share(fact: WordFact, n: int) -> int:
    return row_digest(*fact, str(n))


def _output(first: int, rows: Sequence[str], life: int) -> OutboxMessage:
    payload = ("[" + ",".join(rows) + "]").encode()
    return OutboxMessage(first, first + len(rows), payload, life)


def sample_facts(length: int, seed: int = 0) -> list[WordFact]:
    """Return facts of two workspaces, always the same ones."""
    return [
        WordFact(
            f"w{(i * 7 + seed) % 2}", f"leaf{(i * 13 + seed) % 5}", f"word{(i * i + seed) % 11}"
        )
        for i in range(length)
    ]
