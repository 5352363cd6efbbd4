"""Gives queries and commands one consistent state of the projection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.transaction import Transaction

from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.checkpoint import load_checkpoints, token_of
from services.chassis.projection.runner import ProjectionRunner
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token


class StateReader:
    """Reads the live state."""

    def __init__(self, database: Database, runner: ProjectionRunner, index_key: IndexKey) -> None:
        self.index_key = index_key
        self.database = database
        self.runner = runner

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection whose statements all read one state of the caller's workspace."""
        async with acquire(self.database.api_pool) as conn, _frozen(conn):
            yield conn

    @asynccontextmanager
    async def snapshot_at_token(
        self, *, of_all_workspaces: bool = False
    ) -> AsyncIterator[tuple[asyncpg.Connection, Token]]:
        """Yield a snapshot and the state of the log that it includes.

        `of_all_workspaces`: for the services downstream, whose calls concern no single one.
        """
        pool = self.database.pool if of_all_workspaces else self.database.api_pool
        async with acquire(pool) as conn, _frozen(conn):
            yield conn, token_of(await load_checkpoints(conn))


def _frozen(conn: asyncpg.Connection) -> Transaction:
    return conn.transaction(isolation="repeatable_read", readonly=True)
