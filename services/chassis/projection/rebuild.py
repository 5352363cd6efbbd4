"""Defines what a service implements to have its state rebuilt or resynced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.tokens import Token


class Rebuilder(Protocol):
    """Rebuilds the state of a service from the log."""

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        end: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """Fold the log into the generation of `pool`, from its checkpoints up to `end` exactly.

        Called again, with later tokens, until the live state is caught up with. Writes state,
        digests, and `log_offset` of the checkpoints (one row per shard of the log); publishes
        nothing. `shards`: fold as if the log had so many; `workers` fold side by side; `progress`
        is called with the facts that were folded since its last call.
        """
        ...

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """Copy what a new state must continue and no digest covers, such as versions.

        `live` and `new` are schemas; every worker is stopped. Called before the switch, in its
        transaction.
        """
        ...

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """Return names of rows that differ between two schemas, without values.

        See `differing_digest_rows`.
        """
        ...


@dataclass(frozen=True, slots=True)
class StateSwap:
    """A stalled state and the one that replaces it."""

    #: The schemas.
    live: str
    new: str
    #: The checkpoints of all shards in the old state and in the new one.
    before: Sequence[Checkpoint]
    after: Sequence[Checkpoint]


class Resync(Protocol):
    """Replaces a stalled state by a new one that goes beyond its checkpoints."""

    async def upstream_head(self) -> Token:
        """Return how far upstream is; its messages up to there, or its state, can be read."""
        ...

    async def build(
        self, pool: asyncpg.Pool, end: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """Fold up to `end` as `Rebuilder.rebuild` does, whatever the live state is."""
        ...

    async def difference(
        self, conn: asyncpg.Connection, swap: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """Return the outputs that publish what changed between the two states, by shard.

        Copies what the new state must continue, too. `conn` sees the new state; every worker is
        stopped. The outputs begin at `next_output` of the checkpoints before; the last one of each
        shard contains the log offset of the checkpoint after.
        """
        ...


async def differing_digest_rows(
    conn: asyncpg.Connection, live: str, new: str, table: str, key: str, columns: str, limit: int
) -> list[str]:
    """Return names of rows of a table that differ between two schemas, for `differing_rows`.

    `key` is an SQL expression for the text that names a row, `columns` are those that the digest
    covers: `differing_digest_rows(conn, live, new, "leaf", "encode(leaf_id, 'hex')", "leaf_id,
    state", 20)`.
    """
    rows = await conn.fetch(
        f"SELECT DISTINCT key FROM ("
        f" (SELECT {key} AS key, {columns} FROM {live}.{table}"
        f" EXCEPT SELECT {key}, {columns} FROM {new}.{table})"
        f" UNION ALL (SELECT {key}, {columns} FROM {new}.{table}"
        f" EXCEPT SELECT {key}, {columns} FROM {live}.{table})"
        f") AS differing ORDER BY key LIMIT {int(limit)}"
    )
    return [f"{table} {row['key']}" for row in rows]
