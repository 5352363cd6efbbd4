"""The transactions that append.

Most facts are new, and most of those that are not were appended here a moment ago, and are
remembered. So the writer first writes without looking: the unique index objects where a fact is
known after all. Then it looks before it writes, and goes on looking for as long as that finds what
is not remembered, for repeats come in swarms: one without an answer sends all it had once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from services.ingest.domain.facts import NewFact, Row
from services.ingest.domain.offsets import Content, Key, Placed, Request, Shards, keys_of, place
from services.ingest.log.copy_format import copy
from services.ingest.log.store import Kinds, Q, heads
from services.kernel.cache import RecentCache

#: Up to so many rows, one call with arrays is quicker than the round trips that COPY takes.
FEW = 128
#: After a repeat was seen, so many transactions look before they write.
WARY = 50
#: Facts that were appended last, or found to be there; most of their payloads are kept for
#: followers anyway.
REMEMBERED = 50_000

# A replica that hangs while it holds heads would hang all the others: PostgreSQL ends its session.
_BEGIN = """BEGIN;
SET LOCAL idle_in_transaction_session_timeout = '5s';
SET LOCAL lock_timeout = '20s'"""


class Writer:
    """Appends by a connection that nobody else uses meanwhile.

    Where a method raises, nothing was appended; except where the connection breaks during the
    commit: then only a repetition tells. The connection may be inside a transaction then, and is
    not to be used again.
    """

    def __init__(self, shards: int, kinds: Kinds) -> None:
        self._shards = shards
        self._kinds = kinds
        #: Facts that are in the log for certain.
        self._recent = RecentCache[Key, Content](REMEMBERED)
        self._wary = 0

    async def append(self, conn: asyncpg.Connection, requests: Sequence[Request]) -> Placed:
        """Appends the facts of some callers in one transaction."""
        await self._kinds.learn(conn, {f.kind for request in requests for f in request.facts})
        keys = keys_of(requests, self._shards)
        if not self._wary:
            try:
                return await self._append_unseen(conn, requests, keys)
            except asyncpg.UniqueViolationError:
                self._wary = WARY
            if conn.is_in_transaction():
                await conn.execute("ROLLBACK")
        self._wary -= 1
        held = await self._begin(conn, {key[0] for key in keys})
        held.known = await _known(conn, keys)
        if held.known.keys() - self._recent.get_many(held.known).keys():
            self._wary = WARY
        return await self._place(conn, requests, keys, held)

    async def tick(
        self,
        conn: asyncpg.Connection,
        tick_at: Callable[[int], NewFact],
        *,
        advance_us: int = 0,
        quiet_since_us: int | None = None,
    ) -> Placed:
        """Appends a tick to every shard at one instant, later than all before it.

        `advance_us` moves the log's clock first. With `quiet_since_us` nothing happens where every
        shard has heard something since then.
        """
        await self._kinds.learn(conn, [tick_at(0).kind])
        held = await self._begin(conn, range(self._shards), advance_us=advance_us)
        if quiet_since_us is not None and (await heads(conn)).oldest_us > quiet_since_us:
            return await self._commit(conn, held, Placed())
        held.instant_us += 1  # no tick before can have this instant, so none can have this fact id
        requests = [Request([tick_at(held.instant_us)])]
        keys = keys_of(requests, self._shards)
        return await self._commit(conn, held, place(requests, keys, held, self._kinds.ids))

    async def _append_unseen(
        self, conn: asyncpg.Connection, requests: Sequence[Request], keys: Sequence[Key]
    ) -> Placed:
        touched, known = sorted({key[0] for key in keys}), self._recent.get_many(keys)
        if len(keys) <= FEW:
            # Placed twice: from zero to learn the ranks, then from where the shards did end.
            ranked = place(requests, keys, Shards.empty(touched, known), self._kinds.ids)
            if ranked.rows:
                [row] = await conn.fetch(Q.append_few, *_arrays(touched, ranked.rows))
                held = _held(touched, row, known)
                placed = place(requests, keys, held, self._kinds.ids)
                self._recent.update(held.known)
                return placed
        held = await self._begin(conn, touched)
        held.known = known
        return await self._place(conn, requests, keys, held)

    async def _place(
        self,
        conn: asyncpg.Connection,
        requests: Sequence[Request],
        keys: Sequence[Key],
        held: Shards,
    ) -> Placed:
        placed = await self._commit(conn, held, place(requests, keys, held, self._kinds.ids))
        self._recent.update(held.known)
        return placed

    async def _begin(
        self, conn: asyncpg.Connection, touched: Iterable[int], *, advance_us: int = 0
    ) -> Shards:
        await conn.execute(_BEGIN)
        if advance_us:
            await conn.execute(Q.advance_clock, advance_us)
        ordered = sorted(touched)
        [row] = await conn.fetch(Q.hold, ordered)
        return _held(ordered, row)

    async def _commit(self, conn: asyncpg.Connection, held: Shards, placed: Placed) -> Placed:
        if not placed.rows:
            await conn.execute("ROLLBACK")
            return placed
        await copy(conn, placed.rows)
        # A shard that got nothing new did not hear what time it is: its head stays as it is. One
        # script without parameters is one round trip; all its values are integers.
        grown = {row.shard for row in placed.rows}
        ends = ",".join(f"({shard},{held.next[shard]}::bigint)" for shard in grown)
        await conn.execute(
            f"UPDATE head SET next = v.next, recorded_at = {held.instant_us} "
            f"FROM (VALUES {ends}) AS v (shard, next) WHERE head.shard = v.shard; COMMIT"
        )
        return placed


def _held(
    touched: Sequence[int], row: asyncpg.Record, known: Mapping[Key, Content] | None = None
) -> Shards:
    ends = dict(zip(touched, row["nexts"], strict=True))
    return Shards(next=ends, instant_us=row["instant"], known=dict(known or {}))


async def _known(conn: asyncpg.Connection, keys: Sequence[Key]) -> dict[Key, Content]:
    found = await conn.fetch(Q.known, [key[0] for key in keys], [key[1] for key in keys])
    return {keys[at - 1]: (kind_id, payload) for at, kind_id, payload in found}


def _arrays(touched: Sequence[int], rows: Sequence[Row]) -> list[Sequence[Any]]:
    """The arguments of append_few; `rows` are ranked from 0 in each shard."""
    ranks, occurred, _, shards, *others = zip(*rows, strict=True)
    counts = Counter(shards)
    slots = {shard: slot for slot, shard in enumerate(touched, 1)}
    return [
        touched,
        [counts[shard] for shard in touched],
        [slots[shard] for shard in shards],
        ranks,
        occurred,
        *others,
    ]
