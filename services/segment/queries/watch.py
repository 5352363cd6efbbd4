"""Streams the membership changes of a workspace as they are published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from services.chassis.postgres.database import Database, acquire
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.segment.domain.model import MembershipChange
from services.segment.store import history

#: Changes in one page.
PAGE = 500
#: Seconds between two polls of the history.
POLL_INTERVAL_S = 0.5
_MAX_SEQUENCE = 2**63 - 1


class WatchedChanges(NamedTuple):
    """Changes of one shard, and the sequence from which to watch on."""

    shard: int
    changes: list[MembershipChange]
    next_sequence: int


async def watch_memberships(
    database: Database, shards: int, workspace_id: WorkspaceId, from_sequences: Sequence[int]
) -> AsyncIterator[WatchedChanges]:
    """Yield changes from these sequences on, one for each shard; empty = from now on.

    Raises InvalidField.
    """
    _check_sequences(from_sequences, shards)
    sequences = list(from_sequences) or await _next_sequences(database, shards)
    while True:
        is_idle = True
        for shard in range(shards):
            page = await _load_page(database, shard, sequences[shard], workspace_id)
            if page is not None:
                is_idle = False
                sequences[shard] = page.next_sequence
                yield page
        if is_idle:
            await asyncio.sleep(POLL_INTERVAL_S)


def _check_sequences(from_sequences: Sequence[int], shards: int) -> None:
    if from_sequences and len(from_sequences) != shards:
        raise InvalidField(
            f"from_sequences has one entry for each of the {shards} shards, or none",
            field="from_sequences",
        )
    if any(sequence > _MAX_SEQUENCE for sequence in from_sequences):
        raise InvalidField(
            "from_sequences has values of next_sequence from earlier responses",
            field="from_sequences",
        )


async def _next_sequences(database: Database, shards: int) -> list[int]:
    async with acquire(database.pool) as conn:
        rows = await conn.fetch(history.Q.load_next_sequences)
    following = {row["shard"]: row["next"] for row in rows}
    return [following.get(shard, 0) for shard in range(shards)]


async def _load_page(
    database: Database, shard: int, sequence: int, workspace_id: WorkspaceId
) -> WatchedChanges | None:
    async with acquire(database.pool) as conn:
        rows = await conn.fetch(
            history.Q.load_changes_of_workspace, shard, sequence, workspace_id, PAGE
        )
    if not rows:
        return None
    changes = [history.change_from_row(row) for row in rows]
    return WatchedChanges(shard, changes, rows[-1]["sequence"] + 1)
