"""The position of a projection, its fence, its outbox and its digest, as rows of PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage, StreamMessage
from services.chassis.postgres.database import Queries
from services.kernel.digest import MODULUS, to_hex
from services.kernel.tokens import Token

Q = Queries.load(__package__)
_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the state of one shard is."""

    shard: int
    #: The place in the upstream after the last message taken in.
    next: int = 0
    #: The place of the next output.
    next_output: int = 0
    #: The offset in the log that the state has reached.
    log_offset: int = 0
    #: The log's clock there, Unix microseconds.
    log_time_us: int = 0

    def after(self, folded: FoldResult) -> Checkpoint:
        """The position once a fold is saved."""
        return Checkpoint(
            self.shard,
            folded.consumed_to,
            folded.outputs[-1].next if folded.outputs else self.next_output,
            folded.log_offset,
            folded.log_time_us,
        )


def make_batch(at: Checkpoint, messages: tuple[StreamMessage, ...]) -> Batch:
    """The batch of contiguous messages that begins at a position."""
    until = messages[-1].next
    places = (at.shard, at.next, until, messages, at.next_output, at.log_offset, at.log_time_us)
    return Batch(*places)


async def create_checkpoints(conn: asyncpg.Connection, shards: int) -> None:
    """Makes the rows of shards that have none, at the start of the log."""
    await conn.execute(Q.create_positions, shards)


async def load_checkpoint(conn: asyncpg.Connection, shard: int) -> Checkpoint | None:
    """Where a shard stands; None where the generation is closed.

    Raises LookupError where the shard has no row.
    """
    row = await conn.fetchrow(Q.load_position, shard)
    if row is None:
        raise LookupError(f"shard {shard} has no position")
    return None if row["closed"] else Checkpoint(shard, *row[:4])


async def load_checkpoints(conn: asyncpg.Connection) -> list[Checkpoint]:
    """Where all shards stand, in order."""
    return [Checkpoint(*row[:5]) for row in await conn.fetch(Q.load_positions)]


async def lock_checkpoints(conn: asyncpg.Connection) -> list[Checkpoint]:
    """Where all shards stand; every worker waits at its fence until the transaction ends."""
    return [Checkpoint(*row[:5]) for row in await conn.fetch(Q.lock_positions)]


async def acquire_fence(conn: asyncpg.Connection, at: Checkpoint) -> bool:
    """Locks the position's row until the transaction ends.

    False where the row does not stand at `at` any more, or the generation is closed: then somebody
    else works the shard, and nothing may be written.
    """
    return await conn.fetchval(Q.fence, at.shard, at.next, at.next_output) is not None


async def save_checkpoint(
    conn: asyncpg.Connection,
    to: Checkpoint,
    outputs: Sequence[OutboxMessage] = (),
    deltas: Mapping[str, int] = _NOTHING,
) -> None:
    """Keeps outputs in the outbox, adds to digests (see `add_digest`) and moves the position.

    The fence must be held.
    """
    moved = (to.shard, to.next, to.next_output, to.log_offset, to.log_time_us)
    if not outputs and not deltas:
        await conn.execute(Q.save_position, *moved)
        return
    columns = ([o.first for o in outputs], [o.next for o in outputs], [o.payload for o in outputs])
    await conn.execute(Q.save_outputs_and_position, *moved, *columns, *_nonzero(deltas))


def token_of(positions: Sequence[Checkpoint]) -> Token:
    """The state of the log that these positions have reached."""
    return Token.from_offsets({p.shard: p.log_offset for p in positions})


async def add_digest(conn: asyncpg.Connection, shard: int, deltas: Mapping[str, int]) -> None:
    """Adds to the digest of each workspace (new row's share minus old row's share), mod 2^128.

    Inside a transaction; a fold rather hands its deltas on with what it did (`FoldResult.deltas`).
    """
    workspaces, changes = _nonzero(deltas)
    if workspaces:
        await conn.execute(Q.add_digest, shard, workspaces, changes)


def _nonzero(deltas: Mapping[str, int]) -> tuple[list[str], list[int]]:
    changed = sorted((w, d % MODULUS) for w, d in deltas.items() if d % MODULUS)
    return [w for w, _ in changed], [d for _, d in changed]


async def digests(conn: asyncpg.Connection) -> dict[str, str]:
    """The digest of each workspace over all shards, 32 hexadecimal digits.

    A workspace whose state is empty again is left out, as one that never was.
    """
    rows = await conn.fetch(Q.load_digests)
    return {row["workspace"]: to_hex(int(row["value"])) for row in rows if row["value"]}
