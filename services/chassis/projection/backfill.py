"""Runs backfills: bounded steps of work over stored data that a changed definition requires.

A fold that changes a definition calls `schedule`; the worker of each shard then calls the
projection's `backfill_step` between batches until the job has ended. A step is one transaction: its
outputs, its digest changes and its cursor are saved together, so a crash resumes at the cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import asyncpg
import structlog

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import Queries, acquire, transaction
from services.chassis.projection.backfill_share import MOST_ROWS
from services.chassis.projection.checkpoint import (
    Backlog,
    Checkpoint,
    InvalidFoldResult,
    check_outputs,
    load_checkpoint,
    save_checkpoint,
)
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import WorkspaceId

log = structlog.get_logger(__name__)

Q = Queries.load(__package__, "backfill.sql")


def _go_on() -> None:
    """Let nothing go first."""


class BackfillJob(NamedTuple):
    """One backfill of one shard."""

    shard: int
    name: str
    #: Empty: all workspaces.
    workspace_id: WorkspaceId
    version: int
    #: Where the step begins: the cursor of the step before; b"" at the beginning.
    cursor: bytes
    blocking: bool
    #: Grows with every request; a step of an older run moves no cursor.
    run: int = 0
    #: The `log_offset` to publish with the outputs of the step that ends the job. Steps before it
    #: publish that of the checkpoint, which a blocking job withholds.
    log_offset_at_end: int = 0
    #: The rows that the step should work on at most, so that it takes the time that steps may take.
    most: int = MOST_ROWS
    #: Called by a step between its parts; it may raise what undoes the step.
    pause: Callable[[], None] = _go_on


@dataclass(frozen=True, slots=True)
class BackfillStep:
    """The result of a step. All of it is saved in the step's transaction."""

    #: Where the next step begins; None where the job has ended.
    cursor: bytes | None
    #: In order, starting at `next_output` of the checkpoint, without gaps.
    outputs: tuple[OutboxMessage, ...] = ()
    #: The change of each workspace's digest: new rows' shares minus old rows' shares.
    deltas: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Backfilling(Protocol):
    """A projection that has backfills."""

    async def backfill_step(
        self, conn: asyncpg.Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        """Do one bounded piece of a job inside the open transaction of `conn`.

        `at` is the checkpoint of the shard. The worker holds the fence and saves what the step
        returns in the same transaction. After an exception the step is retried between batches.
        Batches wait for a step, so it works on `job.most` rows at most.
        """


async def schedule(
    conn: asyncpg.Connection,
    shards: Iterable[int],
    name: str,
    workspace_id: WorkspaceId,
    version: int,
    *,
    blocking: bool = False,
    restart: bool = True,
) -> None:
    """Schedule a job on each of the shards, inside the transaction of a fold or a step.

    A job of this name and workspace that has not ended begins again, also while a step is under
    way, unless its version is higher. Call it last: another worker may wait for these rows at the
    end of its step.

    `restart`: without it, a job that has not ended goes on where it is, so that frequent requests
    do not keep it from its end. A step that is under way is repeated, so no job misses a request.

    `blocking`: the `log_offset` of the shard stays where it was before the fold that scheduled the
    job, and so do the tokens of all workspaces: only a job with few steps may block. The shard goes
    on folding. The outputs of that fold, and of those with `Batch.is_withheld`, must carry
    `batch.log_offset`; the step that ends the job publishes `BackfillJob.log_offset_at_end`.
    """
    await conn.execute(
        Q.schedule_backfill, sorted(shards), name, workspace_id, version, blocking, restart
    )


async def is_backfilling(
    conn: asyncpg.Connection, name: str | None = None, workspace_id: WorkspaceId | None = None
) -> bool:
    """Return whether any shard has a job, of this name and this workspace where they are given."""
    return bool(await conn.fetchval(Q.is_backfilling, name, workspace_id))


async def load_backlog(conn: asyncpg.Connection, shard: int) -> Backlog:
    """Return the backlog of a shard."""
    row = await conn.fetchrow(Q.load_backlog, shard)
    return Backlog(*row) if row else Backlog()


async def run_step(
    conn: asyncpg.Connection,
    projection: Backfilling,
    at: Checkpoint,
    *,
    publish: bool = True,
    most: int = MOST_ROWS,
    pause: Callable[[], None] = _go_on,
) -> tuple[BackfillStep, Checkpoint, Backlog] | None:
    """Run one step of the shard's next job in an open transaction; None where there is no job.

    `most` and `pause`: those of the job.

    The fence must be held. Return the step's result, and the checkpoint and the backlog after it.
    Without `publish` the outputs are dropped. Raises InvalidFoldResult, and ServiceUnavailable
    where a blocking job was requested again during its last step.
    """
    job = await _load_next_job(conn, at)
    if job is None:
        return None
    job = job._replace(most=most, pause=pause)
    step = await projection.backfill_step(conn, job, at)
    if step.cursor in (b"", job.cursor):
        raise InvalidFoldResult(f"the backfill {job.name} does not move its cursor")
    check_outputs(step.outputs, at.next_output)
    # After the step's own rows: a fold that schedules the job again holds this row to its end.
    if step.cursor is None:
        has_ended = await conn.fetchval(Q.end_backfill, job.shard, job.run)
        if job.blocking and not has_ended:
            # The outputs say that nothing blocks, but the job goes on: the step is repeated.
            raise ServiceUnavailable("the backfill was requested again during its last step")
        log.info("backfill_ended", shard=job.shard, job=job.name, version=job.version)
    else:
        await conn.execute(Q.move_backfill, job.shard, job.run, step.cursor)
    outputs = step.outputs if publish else ()
    after, backlog = await save_checkpoint(conn, at.after_step(outputs), outputs, step.deltas)
    return step, after, backlog


async def run_to_end(pool: asyncpg.Pool, projection: Backfilling) -> None:
    """Run all jobs of a generation that no worker folds, and publish nothing."""
    async with acquire(pool) as conn:
        rows = await conn.fetch(Q.load_shards_with_backfill)
    for row in rows:
        is_done = False
        while not is_done:
            async with transaction(pool) as conn:
                at = await load_checkpoint(conn, row["shard"])
                is_done = not at or not await run_step(conn, projection, at, publish=False)


async def _load_next_job(conn: asyncpg.Connection, at: Checkpoint) -> BackfillJob | None:
    row = await conn.fetchrow(Q.load_next_backfill, at.shard)
    if row is None:
        return None
    others = row["blocking_jobs"] - row["blocking"]
    return BackfillJob(
        shard=at.shard,
        name=row["name"],
        workspace_id=WorkspaceId(row["workspace_id"]),
        version=row["version"],
        cursor=row["cursor"],
        blocking=row["blocking"],
        run=row["run"],
        log_offset_at_end=at.log_offset if others else at.folded_offset,
    )
