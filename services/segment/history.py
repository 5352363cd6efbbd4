"""What was said, for those who come back after the outbox has forgotten it.

Announcements, and facts that concern no person, are kept for ever; so nobody downstream ever has to
be built anew. Many messages of which nothing is left but that are told again as one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from services.chassis.messaging.relay import Outbox
from services.chassis.messaging.stream import StreamMessage
from services.chassis.postgres.database import acquire
from services.segment.codec import bus as wire
from services.segment.store import postgres as store

#: Sequences at which anything was said that are read at a time.
PAGE = 100
#: Changes in one message that is told again.
MOST_CHANGES = 2_000


async def said(
    pool: asyncpg.Pool, shard: int, first: int, until: int
) -> AsyncGenerator[StreamMessage]:
    """The messages that cover [first, until) of a shard; `until` 0 = what there is."""
    async with acquire(pool) as conn:
        begin = await conn.fetchval(store.Q.outbox_begin, shard)
    stop = min(begin or 0, until or begin or 0)
    while first < stop:
        for message in await _retold(pool, shard, first, stop):
            yield message
            first = message.next
    if not until or first < until:
        async for message in Outbox(pool).stream(shard, first, until):
            yield message


async def _retold(pool: asyncpg.Pool, shard: int, first: int, stop: int) -> list[StreamMessage]:
    """The next messages of a range, told again out of what is kept for ever."""
    async with acquire(pool) as conn, conn.transaction(isolation="repeatable_read"):
        rows = await conn.fetch(store.Q.telling_sequences, shard, first, stop, PAGE)
        end = rows[-1]["sequence"] + 1 if len(rows) == PAGE else stop
        announced = await conn.fetch(store.Q.announced, shard, first, end)
        noticed = await conn.fetch(store.Q.noticed, shard, first, end)
    parts = list(_parts(first, [r["sequence"] for r in rows], announced, noticed))
    ends = [part.first for part in parts[1:]] + [end]
    return [
        StreamMessage(part.first, end, wire.retold(shard, part.first, part.facts, part.rows))
        for part, end in zip(parts, ends, strict=True)
    ]


@dataclass(slots=True)
class _Part:
    """Neighbours that are told as one."""

    first: int
    facts: list[bytes] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)


def _parts(
    first: int, sequences: Sequence[int], announced: Sequence[Any], noticed: Sequence[Any]
) -> Iterator[_Part]:
    """Cut where facts come: they hold for the changes after them, and not for those before."""
    facts: dict[int, list[bytes]] = {}
    for row in noticed:
        facts.setdefault(row["sequence"], []).append(row["fact"])
    changes: dict[int, list[Any]] = {}
    for row in announced:
        changes.setdefault(row["sequence"], []).append(row)
    part = _Part(first)
    for sequence in sequences:
        rows = changes.get(sequence, [])
        full = part.rows and len(part.rows) + len(rows) > MOST_CHANGES
        if (sequence in facts or full) and sequence > part.first:
            yield part
            part = _Part(sequence)
        part.facts += facts.get(sequence, [])
        part.rows += rows
    yield part
