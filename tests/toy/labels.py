"""A toy projection with a backfill: a definition gives every leaf of its workspace a new label."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import asyncpg
from toy.words import WordFact, Words, facts_between

from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage
from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.ids import WorkspaceId

JOB = "label"
_DEFINES, _DEFINES_AND_BLOCKS = "define", "define and block"


def definition(workspace: str, version: int, *, blocking: bool = False) -> WordFact:
    """Return the fact that defines a version of a workspace's labels."""
    return WordFact(workspace, _DEFINES_AND_BLOCKS if blocking else _DEFINES, str(version))


class Labels(Words):
    """Counts words, and labels each leaf with the version of the newest definition.

    `shards`: those on which a definition schedules a backfill. `page`: leaves of a step.
    """

    def __init__(self, shards: int = 1, page: int = 1, poison: str = "") -> None:
        super().__init__(poison)
        self._shards = range(shards)
        self._page = page
        #: (shard, version, cursor) of every step that was begun.
        self.steps: list[tuple[int, int, str]] = []
        #: The most rows that each step was to work on.
        self.rows: list[int] = []
        #: "fold" and "step", in the order in which they began.
        self.journal: list[str] = []
        #: Steps wait for it before they begin.
        self.may_step = asyncio.Event()
        self.may_step.set()
        #: Steps wait for it when they have written their rows.
        self.may_end = asyncio.Event()
        self.may_end.set()
        #: Whether steps pause after they have begun.
        self.pauses = False
        #: The step with this cursor never ends.
        self.hang_at: str | None = None
        #: Every step raises it.
        self.error: Exception | None = None

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        self.journal.append("fold")
        folded = await super().fold(conn, batch)
        facts = facts_between(batch, batch.next)
        definitions = [fact for fact in facts if fact.leaf.startswith(_DEFINES)]
        await self._save_leaves(conn, batch.shard, [f for f in facts if f not in definitions])
        is_blocked = batch.is_withheld
        for workspace, leaf, version in definitions:
            blocking = leaf == _DEFINES_AND_BLOCKS
            is_blocked |= blocking
            await schedule(
                conn, self._shards, JOB, WorkspaceId(workspace), int(version), blocking=blocking
            )
        log_offset = batch.log_offset if is_blocked else batch.next
        outputs = (_message(batch.next_output, log_offset, []),)
        return FoldResult(batch.next, batch.next, folded.log_time_us, outputs)

    async def backfill_step(
        self, conn: asyncpg.Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        self.journal.append("step")
        self.steps.append((job.shard, job.version, job.cursor.decode()))
        self.rows.append(job.most)
        if job.cursor.decode() == self.hang_at:
            await asyncio.Event().wait()
        await self.may_step.wait()
        if self.pauses:
            job.pause()
        if self.error is not None:
            raise self.error
        rows = await conn.fetch(
            "UPDATE label SET version = $4 WHERE shard = $1 AND workspace = $2 AND leaf IN"
            " (SELECT leaf FROM label WHERE shard = $1 AND workspace = $2 AND leaf > $3"
            " ORDER BY leaf LIMIT $5) RETURNING leaf",
            *(job.shard, job.workspace_id, job.cursor.decode(), job.version, self._page),
        )
        leaves = sorted(row["leaf"] for row in rows)
        await self.may_end.wait()
        is_done = len(leaves) < self._page
        log_offset = job.log_offset_at_end if is_done else at.log_offset
        output = _message(at.next_output, log_offset, leaves)
        return BackfillStep(None if is_done else leaves[-1].encode(), (output,))

    async def _save_leaves(
        self, conn: asyncpg.Connection, shard: int, facts: Sequence[WordFact]
    ) -> None:
        await conn.executemany(
            "INSERT INTO label VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING",
            sorted({(shard, fact.workspace, fact.leaf) for fact in facts}),
        )


def _message(at: int, log_offset: int, leaves: list[str]) -> OutboxMessage:
    payload = json.dumps({"log_offset": log_offset, "leaves": leaves}).encode()
    return OutboxMessage(at, at + 1, payload)
