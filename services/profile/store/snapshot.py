"""Opens one consistent state of all shards for reading."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from asyncpg import Connection

from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.checkpoint import Checkpoint, load_checkpoints, token_of
from services.kernel.tokens import Token


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent state of all shards."""

    conn: Connection
    checkpoints: Sequence[Checkpoint]

    @property
    def token(self) -> Token:
        """The state of the log that the snapshot includes."""
        return token_of(self.checkpoints)

    @property
    def now_us(self) -> int:
        """The log's clock, Unix microseconds."""
        return max(checkpoint.log_time_us for checkpoint in self.checkpoints)


@asynccontextmanager
async def open_snapshot(database: Database) -> AsyncIterator[Snapshot]:
    """Open the present state for reading, whatever is folded meanwhile. Raises StoreUnavailable."""
    async with (
        acquire(database.pool) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield Snapshot(conn, await load_checkpoints(conn))
