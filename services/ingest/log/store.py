"""Reads the heads of the log's shards and the numbers of its kinds of facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.tokens import Token

Q = Queries.load(__package__, "store.sql")


class FactKinds:
    """The kinds of facts: numbers by name, and names by number."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}

    async def ensure(self, conn: asyncpg.Connection, names: Iterable[str]) -> None:
        """Give a number to each of these that has none; not inside a transaction."""
        missing = sorted(set(names) - self.ids.keys())
        if missing:
            await conn.execute(Q.add_kinds, missing)
            await self.reload(conn)

    async def reload(self, conn: asyncpg.Connection) -> None:
        """Read all kinds."""
        for kind_id, name in await conn.fetch(Q.load_kinds):
            self.ids[name] = kind_id
            self.names[kind_id] = name


class LogHeads(NamedTuple):
    """The end of the log, and its clock."""

    token: Token
    #: The log's clock, Unix microseconds: a fact that is appended now is recorded then, or later.
    now_us: int
    #: When the shard that is idle for longest had its last fact, Unix microseconds.
    oldest_us: int


async def load_heads(conn: asyncpg.Connection) -> LogHeads:
    """Return the end of the log, and its clock."""
    [row] = await conn.fetch(Q.load_heads)
    return LogHeads(Token(tuple(row["nexts"] or ())), row["now_us"] or 0, row["oldest_us"] or 0)
