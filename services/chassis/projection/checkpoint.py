"""Loads and saves the checkpoint, the fence, the outbox and the digest of a projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import asyncpg

from services.chassis.messaging.stream import (
    Batch,
    FoldResult,
    OutboxMessage,
    StreamMessage,
    UnitId,
)
from services.chassis.postgres.database import Queries
from services.chassis.postgres.together import Statement
from services.kernel.digest import MODULUS, to_hex
from services.kernel.tokens import Token

Q = Queries.load(__package__, "checkpoint.sql")
#: Reads the columns of the checkpoints of all shards, in order.
CHECKPOINTS = Statement(Q.load_checkpoints)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the state of one shard is."""

    shard: int
    #: The sequence number in the upstream after the last message that was folded.
    next: int = 0
    #: The sequence number of the next output.
    next_output: int = 0
    #: The offset in the log that the state has reached.
    log_offset: int = 0
    #: The log's clock there, Unix microseconds.
    log_time_us: int = 0
    #: While a blocking backfill runs: the offset that the folds have reached. It becomes
    #: `log_offset` when the last one ends.
    withheld_offset: int | None = None
    #: A life of the upstream that has everything before `next`; 0 where none is known.
    upstream_life: int = 0

    @property
    def folded_offset(self) -> int:
        """Return the offset in the log that the folds have reached, blocking backfills aside."""
        return self.log_offset if self.withheld_offset is None else self.withheld_offset

    def after(self, folded: FoldResult, messages: Sequence[StreamMessage] = ()) -> Checkpoint:
        """Return the checkpoint to save with a fold of messages."""
        lives = [m.life for m in messages if m.first < folded.consumed_to]
        return Checkpoint(
            self.shard,
            folded.consumed_to,
            folded.outputs[-1].next if folded.outputs else self.next_output,
            folded.log_offset,
            folded.log_time_us,
            upstream_life=(lives and lives[-1]) or self.upstream_life,
        )

    def after_step(self, outputs: Sequence[OutboxMessage]) -> Checkpoint:
        """Return the checkpoint to save with a backfill step."""
        next_output = outputs[-1].next if outputs else self.next_output
        return replace(
            self, next_output=next_output, log_offset=self.folded_offset, withheld_offset=None
        )


class Backlog(NamedTuple):
    """The backfills that a shard still has to run."""

    #: The newest request; 0 where there is none.
    newest_run: int = 0
    #: Whether a job keeps the shard's `log_offset` where it is.
    is_blocked: bool = False

    def __bool__(self) -> bool:
        return self.newest_run > 0


class FenceLost(Exception):
    """Another worker works the shard now, or another generation is live."""


class InvalidFoldResult(Exception):
    """A projection returned a result that cannot be saved."""


def check_fold(batch: Batch, folded: FoldResult) -> None:
    """Raise InvalidFoldResult for no progress, for too much, and for outputs with a gap."""
    if not batch.first <= folded.consumed_to <= batch.next:
        raise InvalidFoldResult(
            f"consumed to {folded.consumed_to} of [{batch.first}, {batch.next})"
        )
    if folded.consumed_to == batch.first and not folded.outputs:
        raise InvalidFoldResult("the fold consumed nothing and published nothing")
    check_outputs(folded.outputs, batch.next_output)


def check_outputs(outputs: Sequence[OutboxMessage], at: int) -> None:
    """Raise InvalidFoldResult where outputs leave a gap, or do not begin at `at`."""
    for output in outputs:
        if output.first != at or output.next <= at:
            raise InvalidFoldResult(
                f"an output covers [{output.first}, {output.next}) and not {at}"
            )
        at = output.next


def make_batch(
    at: Checkpoint, messages: tuple[StreamMessage, ...], left_out: frozenset[UnitId] = frozenset()
) -> Batch:
    """Return the batch of contiguous messages that begins at a checkpoint."""
    return Batch(
        shard=at.shard,
        first=at.next,
        next=messages[-1].next,
        messages=messages,
        next_output=at.next_output,
        log_offset=at.log_offset,
        log_time_us=at.log_time_us,
        left_out=left_out,
        is_withheld=at.withheld_offset is not None,
    )


async def load_checkpoint(conn: asyncpg.Connection, shard: int) -> Checkpoint | None:
    """Return the checkpoint of a shard; None where the generation is retired or dropped.

    Raises LookupError where the shard has no row.
    """
    try:
        row = await conn.fetchrow(Q.load_checkpoint, shard)
    except asyncpg.UndefinedTableError:
        return None
    if row is None:
        raise LookupError(f"shard {shard} has no checkpoint")
    return None if row["retired"] else Checkpoint(shard, *row[:6])


async def discard_outputs(conn: asyncpg.Connection, shard: int) -> None:
    """Delete the outputs of a shard, and its lives: the services after it are resynced."""
    await conn.execute(Q.discard_outputs, shard)
    await conn.execute(Q.discard_lives, shard)


async def mark_beyond_upstream(conn: asyncpg.Connection, shard: int) -> None:
    """Record that the upstream ended before the checkpoint of a shard."""
    await conn.execute(Q.mark_beyond_upstream, shard)


async def is_beyond_upstream(conn: asyncpg.Connection, shard: int) -> bool:
    """Return whether the upstream went back since the state was made: only a resync ends that."""
    return bool(await conn.fetchval(Q.is_beyond_upstream, shard))


async def load_checkpoints(conn: asyncpg.Connection) -> list[Checkpoint]:
    """Return the checkpoints of all shards, in order."""
    return [Checkpoint(*row) for row in await conn.fetch(Q.load_checkpoints)]


async def lock_checkpoints(conn: asyncpg.Connection) -> list[Checkpoint]:
    """Return the checkpoints of all shards; every worker waits until the transaction ends."""
    return [Checkpoint(*row) for row in await conn.fetch(Q.lock_checkpoints)]


async def acquire_fence(conn: asyncpg.Connection, at: Checkpoint) -> bool:
    """Lock the row of a shard until the transaction ends.

    False where the row is not at `at` any more, or the generation is retired: another worker works
    the shard then, and nothing may be written. The second switch drops a generation, perhaps before
    an idle worker has met its fence once: that is False too.
    """
    try:
        found = await conn.fetchval(Q.acquire_fence, at.shard, at.next, at.next_output)
    except asyncpg.UndefinedTableError:
        return False
    return found is not None


async def save_checkpoint(
    conn: asyncpg.Connection,
    to: Checkpoint,
    outputs: Sequence[OutboxMessage] = (),
    deltas: Mapping[str, int] = {},
) -> tuple[Checkpoint, Backlog]:
    """Save outputs in the outbox, add to digests (see `add_digest`) and move the checkpoint.

    The fence must be held. Return the checkpoint as it was saved, and what the shard has to
    backfill: while a job blocks the shard, `log_offset` is withheld.
    """
    args: list[object] = [to.shard, to.next, to.next_output, to.log_offset, to.log_time_us]
    args.append(to.upstream_life)
    statement = Q.save_checkpoint
    if outputs or deltas:
        statement = Q.save_outputs_and_checkpoint
        args += [[o.first for o in outputs], [o.next for o in outputs]]
        args.append([o.payload if o.stored is None else o.stored for o in outputs])
        args += _nonzero(deltas)
    row = await conn.fetchrow(statement, *args)
    if row is None:
        raise LookupError(f"shard {to.shard} has no checkpoint")
    log_offset, withheld_offset, *backlog = row
    saved = replace(to, log_offset=log_offset, withheld_offset=withheld_offset)
    return saved, Backlog(*backlog)


async def retire_checkpoints(conn: asyncpg.Connection) -> None:
    """Retire the generation that the connection sees: no worker acquires its fence any more."""
    await conn.execute(Q.retire_checkpoints)


def token_of(checkpoints: Sequence[Checkpoint]) -> Token:
    """Return the state of the log that these checkpoints have reached."""
    return Token.from_offsets({c.shard: c.log_offset for c in checkpoints})


async def add_digest(conn: asyncpg.Connection, shard: int, deltas: Mapping[str, int]) -> None:
    """Add to the digest of each workspace (new row's share minus old row's share), mod 2^128.

    A fold rather returns its deltas (`FoldResult.deltas`), which saves a round trip.
    """
    workspaces, changes = _nonzero(deltas)
    if workspaces:
        await conn.execute(Q.add_digest, shard, workspaces, changes)


def _nonzero(deltas: Mapping[str, int]) -> tuple[list[str], list[int]]:
    changed = sorted((w, d % MODULUS) for w, d in deltas.items() if d % MODULUS)
    return [w for w, _ in changed], [d for _, d in changed]


async def digests(conn: asyncpg.Connection) -> dict[str, str]:
    """Return the digest of each workspace over all shards, 32 hexadecimal digits.

    A workspace whose state is empty is left out.
    """
    rows = await conn.fetch(Q.load_digests)
    return {row["workspace_id"]: to_hex(int(row["value"])) for row in rows if row["value"]}
