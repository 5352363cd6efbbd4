"""The tables of the log, as statements and transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from services.chassis.database import Queries
from services.ingest.domain.facts import NewFact, Row
from services.ingest.domain.placing import Key, Placed, Request, Shards, keys_of, place
from services.kernel.tokens import Token

Q = Queries.load(__package__)

#: The columns of the table `fact`, in the order of `Row`.
COLUMNS = (
    *("offset", "occurred_at", "recorded_at", "shard", "kind_id", "fact_id", "leaf_id"),
    *("workspace_id", "source_id", "actor", "payload"),
)

# A replica that hangs while it holds heads would hang all the others: PostgreSQL ends its session.
_BEGIN = """BEGIN;
SET LOCAL idle_in_transaction_session_timeout = '5s';
SET LOCAL lock_timeout = '20s'"""


class Kinds(Mapping[str, int]):
    """The kinds of facts: name to number, and back by `names`."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self.names: dict[int, str] = {}

    def __getitem__(self, name: str) -> int:
        return self._ids[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    async def learn(self, conn: asyncpg.Connection, names: Iterable[str]) -> None:
        """Makes sure that all of these have numbers; not inside a transaction."""
        missing = sorted(set(names) - self._ids.keys())
        if missing:
            await conn.execute(Q.add_kinds, missing)
            await self.load(conn)

    async def load(self, conn: asyncpg.Connection) -> None:
        """Reads all kinds."""
        for kind_id, name in await conn.fetch(Q.kinds):
            self._ids[name] = kind_id
            self.names[kind_id] = name


@dataclass(frozen=True, slots=True)
class Heads:
    """Where the log ends, and what time it is there."""

    token: Token
    #: The log's clock, Unix microseconds: a fact appended now is recorded at it, or later.
    now_us: int
    #: When the shard that heard nothing for the longest time heard something, Unix microseconds.
    oldest_us: int


async def heads(conn: asyncpg.Connection) -> Heads:
    """Where the log ends now."""
    [row] = await conn.fetch(Q.heads)
    return Heads(Token(tuple(row["nexts"] or ())), row["now_us"] or 0, row["oldest_us"] or 0)


async def append(
    conn: asyncpg.Connection, kinds: Kinds, shards: int, requests: Sequence[Request]
) -> Placed:
    """Appends the facts of some callers in one transaction.

    Four round trips: begin, reserve, copy, and heads with commit. Where this raises, nothing was
    appended; except where the connection breaks during the commit: then only a repetition tells.
    The transaction may then still be open: the connection must not be used again.
    """
    keys = keys_of(requests, shards)
    await kinds.learn(conn, {fact.kind for request in requests for fact in request.facts})
    await conn.execute(_BEGIN)
    held = await _reserve(conn, {key[0] for key in keys}, keys)
    placed = place(requests, keys, held, kinds)
    await _write(conn, held, placed.rows)
    return placed


async def tick(
    conn: asyncpg.Connection,
    kinds: Kinds,
    shards: int,
    tick_at: Callable[[int], NewFact],
    *,
    advance_us: int = 0,
    quiet_since_us: int | None = None,
) -> Placed:
    """Appends a tick to every shard at one instant, later than all before it.

    `advance_us` moves the log's clock first. With `quiet_since_us` nothing happens where every
    shard has heard something since then. Otherwise as `append`.
    """
    await kinds.learn(conn, [tick_at(0).kind])
    await conn.execute(_BEGIN)
    if advance_us:
        await conn.execute(Q.advance_clock, advance_us)
    held = await _reserve(conn, range(shards), ())
    if quiet_since_us is not None and (await heads(conn)).oldest_us > quiet_since_us:
        await conn.execute("ROLLBACK")
        return Placed()
    held.instant_us += 1  # no tick before can have this instant, so none can have this fact id
    request = Request([tick_at(held.instant_us)])
    placed = place([request], keys_of([request], shards), held, kinds)
    await _write(conn, held, placed.rows)
    return placed


async def _reserve(conn: asyncpg.Connection, touched: Iterable[int], keys: Sequence[Key]) -> Shards:
    ordered = sorted(touched)
    [row] = await conn.fetch(Q.reserve, ordered, [key[0] for key in keys], [key[1] for key in keys])
    return Shards(
        next=dict(zip(ordered, row["nexts"], strict=True)),
        instant_us=row["instant"],
        known=_known(keys, row),
    )


def _known(keys: Sequence[Key], row: asyncpg.Record) -> dict[Key, tuple[int, bytes]]:
    if row["known"] is None:
        return {}
    found = zip(row["known"], row["known_kinds"], row["known_payloads"], strict=True)
    return {keys[place - 1]: (kind_id, payload) for place, kind_id, payload in found}


async def _write(conn: asyncpg.Connection, held: Shards, rows: Sequence[Row]) -> None:
    if not rows:
        await conn.execute("ROLLBACK")
        return
    await conn.copy_records_to_table("fact", records=rows, columns=COLUMNS)
    # One script without parameters is one round trip; all its values are integers.
    ends = ",".join(f"({shard},{end}::bigint)" for shard, end in held.next.items())
    await conn.execute(
        f"UPDATE head SET next = v.next, recorded_at = {held.instant_us} "
        f"FROM (VALUES {ends}) AS v (shard, next) WHERE head.shard = v.shard; COMMIT"
    )
