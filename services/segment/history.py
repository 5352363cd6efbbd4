"""Reads published messages, also those that the outbox has deleted.

Membership changes and broadcast facts are stored for ever, so no consumer ever has to be rebuilt.
Consecutive messages that only survive in the history are replayed as a single message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import StreamMessage
from services.chassis.postgres.database import acquire
from services.segment.codec.bus import encode_from_history
from services.segment.domain.model import MembershipChange
from services.segment.store import history as store

#: Sequences that are read at a time.
PAGE = 100
#: Changes in one replayed message.
MAX_CHANGES = 2_000


async def read_published(
    pool: asyncpg.Pool, shard: int, first: int, end: int
) -> AsyncGenerator[StreamMessage]:
    """Yield the messages that cover [first, end) of a shard; `end` 0 = all that exist."""
    async with acquire(pool) as conn:
        outbox_begin = await conn.fetchval(store.Q.load_outbox_begin, shard) or 0
    replay_end = min(outbox_begin, end or outbox_begin)
    while first < replay_end:
        for message in await _replay_from_history(pool, shard, first, replay_end):
            yield message
            first = message.next
    if not end or first < end:
        async for message in Outbox(pool).stream(shard, first, end):
            yield message


async def _replay_from_history(
    pool: asyncpg.Pool, shard: int, first: int, end: int
) -> list[StreamMessage]:
    """Return the next messages of a range, merged."""
    async with acquire(pool) as conn, conn.transaction(isolation="repeatable_read"):
        rows = await conn.fetch(store.Q.load_sequences, shard, first, end, PAGE)
        sequences = [row["sequence"] for row in rows]
        page_end = sequences[-1] + 1 if len(sequences) == PAGE else end
        change_rows = await conn.fetch(store.Q.load_changes, shard, first, page_end)
        fact_rows = await conn.fetch(store.Q.load_broadcast_facts, shard, first, page_end)
    changes, facts = defaultdict(list), defaultdict(list)
    for row in change_rows:
        changes[row["sequence"]].append(store.change_from_row(row))
    for row in fact_rows:
        facts[row["sequence"]].append(row["fact"])
    merged = list(_merge(first, sequences, changes, facts))
    ends = [message.first for message in merged[1:]] + [page_end]
    return [
        StreamMessage(m.first, next_, encode_from_history(shard, m.first, m.changes, m.facts))
        for m, next_ in zip(merged, ends, strict=True)
    ]


@dataclass(slots=True)
class _MergedMessage:
    """Consecutive messages that are replayed as one."""

    first: int
    changes: list[MembershipChange] = field(default_factory=list)
    #: Serialised facts.
    facts: list[bytes] = field(default_factory=list)


def _merge(
    first: int,
    sequences: Sequence[int],
    changes: Mapping[int, list[MembershipChange]],
    facts: Mapping[int, list[bytes]],
) -> Iterator[_MergedMessage]:
    """Merge messages, but begin a new one at facts: they apply to the changes after them only."""
    merged = _MergedMessage(first)
    for sequence in sequences:
        added = changes.get(sequence, [])
        is_full = merged.changes and len(merged.changes) + len(added) > MAX_CHANGES
        if (sequence in facts or is_full) and sequence > merged.first:
            yield merged
            merged = _MergedMessage(sequence)
        merged.facts += facts.get(sequence, [])
        merged.changes += added
    yield merged
