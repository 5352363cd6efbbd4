"""Reads published messages, also those that the outbox has deleted, and watches the changes.

Membership changes, broadcast facts and what is passed on are stored for ever, so no consumer ever
has to be rebuilt. Consecutive messages that only survive in the history are replayed as a single
message.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import asyncpg

from services.chassis.messaging.lives import load_life
from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import StreamMessage
from services.chassis.postgres.database import Database, acquire
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.segment.codec.bus import encode_from_history
from services.segment.domain.model import MembershipChange
from services.segment.store import memberships as store

#: Sequences that are read at a time.
PAGE = 100
#: Changes in one replayed message.
MAX_CHANGES = 2_000
#: Changes in one watched page.
WATCHED_PAGE = 500
#: Seconds between two polls of the history.
POLL_INTERVAL_S = 0.5
_MAX_SEQUENCE = 2**63 - 1


async def read_published(
    pool: asyncpg.Pool, shard: int, first: int, end: int, life: int = 0
) -> AsyncGenerator[StreamMessage]:
    """Yield the messages that cover [first, end) of a shard; `end` 0 = all that exist.

    `life` as in `Outbox.check_start`. Raises UpstreamWentBack, StoreUnavailable.
    """
    outbox = Outbox(pool)
    await outbox.check_start(shard, first, life)
    async with acquire(pool) as conn:
        outbox_begin = await conn.fetchval(store.Q.load_outbox_begin, shard) or 0
    replay_end = min(outbox_begin, end or outbox_begin)
    while first < replay_end:
        for message in await _replay_from_history(pool, shard, first, replay_end):
            yield message
            first = message.next
    if not end or first < end:
        async for message in outbox.stream(shard, first, end):
            yield message


async def _replay_from_history(
    pool: asyncpg.Pool, shard: int, first: int, end: int
) -> list[StreamMessage]:
    """Return the next messages of a range, merged."""
    async with acquire(pool) as conn, conn.transaction(isolation="repeatable_read"):
        life = await load_life(conn, shard)
        rows = await conn.fetch(store.Q.load_sequences, shard, first, end, PAGE)
        sequences = [row["sequence"] for row in rows]
        page_end = sequences[-1] + 1 if len(sequences) == PAGE else end
        change_rows = await conn.fetch(store.Q.load_changes, shard, first, page_end)
        fact_rows = await conn.fetch(store.Q.load_broadcast_facts, shard, first, page_end)
        passed_rows = await conn.fetch(store.Q.load_passed, shard, first, page_end)
    changes, facts = defaultdict(list), defaultdict(list)
    passed = {row["sequence"]: row["payload"] for row in passed_rows}
    for row in change_rows:
        changes[row["sequence"]].append(store.change_from_row(row))
    for row in fact_rows:
        facts[row["sequence"]].append(row["fact"])
    starts = _merged_starts(first, sequences, changes, {*facts, *passed})
    messages: list[StreamMessage] = []
    for start, next_ in pairwise([*starts, page_end]):
        merged = [sequence for sequence in sequences if start <= sequence < next_]
        merged_changes = [change for sequence in merged for change in changes[sequence]]
        merged_facts = [fact for sequence in merged for fact in facts[sequence]]
        merged_passed = [passed[sequence] for sequence in merged if sequence in passed]
        payload = encode_from_history(shard, start, merged_changes, merged_facts, merged_passed)
        messages.append(StreamMessage(start, next_, payload, life))
    return messages


def _merged_starts(
    first: int,
    sequences: Sequence[int],
    changes: Mapping[int, list[MembershipChange]],
    facts: Collection[int],
) -> list[int]:
    """Return where merged messages begin.

    One begins at each sequence of `facts`: broadcast facts apply to later rows only, and what is
    passed on is as large as a message may be.
    """
    starts, count = [first], 0
    for sequence in sequences:
        added = len(changes.get(sequence, ()))
        is_full = count > 0 and count + added > MAX_CHANGES
        if (sequence in facts or is_full) and sequence > starts[-1]:
            starts.append(sequence)
            count = 0
        count += added
    return starts


class WatchedChanges(NamedTuple):
    """Changes, and the sequence of each shard from which to watch on."""

    changes: list[MembershipChange]
    next_sequences: tuple[int, ...]


async def watch_memberships(
    database: Database, shards: int, workspace_id: WorkspaceId, from_sequences: Sequence[int]
) -> AsyncIterator[WatchedChanges]:
    """Yield changes from these sequences on, one for each shard; empty = from now on.

    The first result has no changes: it says where the watch begins, so that a client whose
    connection ends before the first change goes on without a gap. Raises InvalidField.
    """
    _check_sequences(from_sequences, shards)
    sequences = list(from_sequences) or await _next_sequences(database.pool, shards)
    yield WatchedChanges([], tuple(sequences))
    load = store.Q.load_changes_of_workspace
    while True:
        is_idle = True
        for shard in range(shards):
            async with acquire(database.api_pool) as conn:
                rows = await conn.fetch(load, shard, sequences[shard], workspace_id, WATCHED_PAGE)
            if rows:
                is_idle = False
                sequences[shard] = rows[-1]["sequence"] + 1
                changes = list(map(store.change_from_row, rows))
                yield WatchedChanges(changes, tuple(sequences))
        if is_idle:
            await asyncio.sleep(POLL_INTERVAL_S)


def _check_sequences(from_sequences: Sequence[int], shards: int) -> None:
    if from_sequences and len(from_sequences) != shards:
        reason = f"has one entry for each of the {shards} shards, or none"
    elif any(sequence > _MAX_SEQUENCE for sequence in from_sequences):
        reason = "is the position of an earlier response"
    else:
        return
    raise InvalidField(f"from_position {reason}", field="from_position")


async def _next_sequences(pool: asyncpg.Pool, shards: int) -> list[int]:
    async with acquire(pool) as conn:
        rows = await conn.fetch(store.Q.load_next_sequences, shards)
    return [row["next"] or 0 for row in rows]
