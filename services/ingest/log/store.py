"""The tables of the log, as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.tokens import Token

Q = Queries.load(__package__)


class Kinds(Mapping[str, int]):
    """The kinds of facts: name to number, and back by `names`."""

    def __init__(self) -> None:
        #: Numbers by name: what this mapping maps, to be asked without a call in between.
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}

    def __getitem__(self, name: str) -> int:
        return self.ids[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    async def learn(self, conn: asyncpg.Connection, names: Iterable[str]) -> None:
        """Makes sure that all of these have numbers; not inside a transaction."""
        missing = sorted(set(names) - self.ids.keys())
        if missing:
            await conn.execute(Q.add_kinds, missing)
            await self.load(conn)

    async def load(self, conn: asyncpg.Connection) -> None:
        """Reads all kinds."""
        for kind_id, name in await conn.fetch(Q.kinds):
            self.ids[name] = kind_id
            self.names[kind_id] = name


@dataclass(frozen=True, slots=True)
class Heads:
    """Where the log ends, and what time it is there."""

    token: Token
    #: The log's clock, Unix microseconds: a fact appended now is recorded at it, or later.
    now_us: int
    #: When the shard that heard nothing for the longest time heard something, Unix microseconds.
    oldest_us: int


async def heads(conn: asyncpg.Connection) -> Heads:
    """Where the log ends now."""
    [row] = await conn.fetch(Q.heads)
    return Heads(Token(tuple(row["nexts"] or ())), row["now_us"] or 0, row["oldest_us"] or 0)
