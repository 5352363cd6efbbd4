"""A toy service for tests of the projection chassis: it counts the words of leaves.

`WordLog` is its upstream: a log of words in a table, as ingest has one of facts. `Words` is its
projection: it counts, keeps a digest, and passes on what it took in.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg

from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage, StreamMessage
from services.chassis.postgres.database import connect_pool
from services.chassis.projection.checkpoint import add_digest
from services.chassis.projection.consumer import Limits
from services.chassis.projection.rebuild import StateSwap, differing_digest_rows
from services.chassis.projection.replay import LogReplay
from services.kernel.digest import row_digest
from services.kernel.errors import RangeExpired
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


class Said(NamedTuple):
    """One fact: somebody said a word."""

    workspace: str
    leaf: str
    word: str


def toy_root(folder: Path) -> Path:
    """Writes the migrations of the toy service into a folder of services; gives the folder."""
    (folder / SERVICE / "state").mkdir(parents=True, exist_ok=True)
    (folder / SERVICE / "state" / "0001_words.sql").write_text(_STATE)
    return folder


def encode(facts: Sequence[Said]) -> bytes:
    """The payload of a message."""
    return json.dumps(facts).encode()


def decode(message: StreamMessage) -> list[Said]:
    """The facts of a message, one a place."""
    facts = [Said(*fact) for fact in json.loads(message.payload)]
    assert len(facts) == message.next - message.first
    return facts


def cut(message: StreamMessage, until: int) -> StreamMessage:
    """What of a message lies before a place."""
    if message.next <= until:
        return message
    facts = decode(message)[: until - message.first]
    return StreamMessage(message.first, until, encode(facts))


class WordLog:
    """A log of words, by shard: where a relay reads it, and where a projection heals from it."""

    def __init__(self, pool: asyncpg.Pool, page: int = 50) -> None:
        self._pool = pool
        self.page = page

    @classmethod
    async def make(cls, dsn: str, page: int = 50) -> WordLog:
        pool = await connect_pool(dsn, schema="public", max_size=4)
        await pool.execute(
            'CREATE TABLE IF NOT EXISTS said (shard int, "offset" bigint, fact text,'
            ' PRIMARY KEY (shard, "offset"))'
        )
        return cls(pool, page)

    async def close(self) -> None:
        await self._pool.close()

    async def append(self, shard: int, facts: Iterable[Said]) -> list[OutboxMessage]:
        """Appends in one transaction; what a relay may be offered."""
        rows = [json.dumps(fact) for fact in facts]
        async with self._pool.acquire() as conn, conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock(77, $1)", shard)
            first = await self._tail(conn, shard)
            await conn.executemany(
                "INSERT INTO said VALUES ($1, $2, $3)",
                [(shard, first + i, row) for i, row in enumerate(rows)],
            )
        return [_output(first, rows)] if rows else []

    async def tail(self, shard: int) -> int:
        async with self._pool.acquire() as conn:
            return await self._tail(conn, shard)

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        rows = await self._pool.fetch(
            'SELECT fact FROM said WHERE shard = $1 AND "offset" >= $2 ORDER BY "offset" LIMIT $3',
            *(shard, first, limit * self.page),
        )
        facts = [row["fact"] for row in rows]
        pages = range(0, len(facts), self.page)
        return [_output(first + i, facts[i : i + self.page]) for i in pages]

    async def prune(self, shard: int, published: int) -> None:
        """A log keeps everything."""

    async def _tail(self, conn: asyncpg.Connection, shard: int) -> int:
        return await conn.fetchval(
            'SELECT coalesce(max("offset") + 1, 0) FROM said WHERE shard = $1', shard
        )


class LogUpstream:
    """A `WordLog` as an upstream."""

    def __init__(self, log: WordLog) -> None:
        self._log = log
        #: What was read, for tests to look at.
        self.reads: list[tuple[int, int, int]] = []
        #: What lies before is no longer kept.
        self.gone_before = 0

    async def read(self, shard: int, first: int, until: int) -> AsyncIterator[StreamMessage]:
        self.reads.append((shard, first, until))
        if first < self.gone_before:
            raise RangeExpired(f"the log begins at {self.gone_before}")
        tail = await self._log.tail(shard)
        # Who reads for a message that this log never said asks for more than there is.
        until = min(until or tail, tail)
        while first < until:
            for output in await self._log.read(shard, first, 4):
                if output.first >= until:
                    return
                yield cut(StreamMessage(output.first, output.next, output.payload), until)
                first = output.next


class Words:
    """The projection. `poison`: a word at which it fails; `chunk`: most facts a transaction."""

    def __init__(self, poison: str = "", chunk: int = 0) -> None:
        self.poison = poison
        self._chunk = chunk
        #: (shard, first, next) of every fold that was begun.
        self.folds: list[tuple[int, int, int]] = []

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        self.folds.append((batch.shard, batch.first, batch.next))
        until = min(batch.next, batch.first + self._chunk) if self._chunk else batch.next
        facts = facts_between(batch, until)
        if self.poison and any(fact.word == self.poison for fact in facts):
            raise ValueError("this word cannot be counted")
        await count_words(conn, batch.shard, facts)
        output = OutboxMessage(batch.first, until, encode(facts))
        return FoldResult(until, until, batch.log_time_us + len(facts), (output,))


class WordsRebuilder:
    """Rebuilds the toy's state from its log."""

    def __init__(self, log: WordLog, words: Words | None = None) -> None:
        self._replay = LogReplay(words or Words(), LogUpstream(log), Limits(messages=2))
        #: The schemas of every adoption.
        self.adopted: list[tuple[str, str]] = []

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        until: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        await self._replay.rebuild(pool, until, workers=workers, progress=progress)

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        self.adopted.append((live, new))

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        named = "workspace || '/' || leaf"
        return await differing_digest_rows(
            conn, live, new, "word_count", named, "workspace, leaf, word, n", limit
        )


class WordsReplacer(WordsRebuilder):
    """Replaces the toy's state by one that goes up to a token, and says it in one message."""

    def __init__(self, log: WordLog, until: Token) -> None:
        super().__init__(log)
        self._until = until

    async def upstream_head(self) -> Token:
        return self._until

    async def build(
        self, pool: asyncpg.Pool, until: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        await self._replay.rebuild(pool, until, workers=workers, progress=progress)

    async def difference(
        self, conn: asyncpg.Connection, replaced: StateSwap
    ) -> dict[int, tuple[OutboxMessage, ...]]:
        return {
            after.shard: (OutboxMessage(before.next_output, after.next, b"[]"),)
            for before, after in zip(replaced.before, replaced.after, strict=True)
        }


def facts_between(batch: Batch, until: int) -> list[Said]:
    """The facts of a batch from its place on, however its messages are cut."""
    facts: list[Said] = []
    at = batch.first
    for message in batch.messages:
        assert message.first <= at < message.next
        facts += decode(message)[at - message.first :]
        at = message.next
    assert at == batch.next
    return facts[: until - batch.first]


async def count_words(conn: asyncpg.Connection, shard: int, facts: Sequence[Said]) -> None:
    """Counts, and keeps the digest."""
    deltas: Counter[str] = Counter()
    for fact, n in sorted(Counter(facts).items()):
        now = await conn.fetchval(
            "INSERT INTO word_count VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (workspace, leaf, word) DO UPDATE SET n = word_count.n + $4 RETURNING n",
            *(*fact, n),
        )
        deltas[fact.workspace] += _share(fact, now) - (_share(fact, now - n) if now > n else 0)
    await add_digest(conn, shard, deltas)


def _share(fact: Said, n: int) -> int:
    return row_digest(*fact, str(n))


def _output(first: int, rows: Sequence[str]) -> OutboxMessage:
    payload = ("[" + ",".join(rows) + "]").encode()
    return OutboxMessage(first, first + len(rows), payload)


def story(length: int, seed: int = 0) -> list[Said]:
    """Some facts of two workspaces, always the same."""
    return [
        Said(f"w{(i * 7 + seed) % 2}", f"leaf{(i * 13 + seed) % 5}", f"word{(i * i + seed) % 11}")
        for i in range(length)
    ]
