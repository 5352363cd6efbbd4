"""Makes shards of services lag: a worker waits with its next batch, as on a slow machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import asyncpg
from integration.whole.whole_system import SHARDS, WholeSystem
from onefold.log.v1.log_service_pb2 import GetHeadRequest
from service_fixtures import wait_until

from services import SERVICES

#: In the order in which an event passes them; each has its first generation of state.
FOLDING = SERVICES[1:]
#: Folds of the shard wait for this lock; an erasure, which waits for folds that are under way, does
#: not.
_HOLD = "SELECT FROM {service}_g1.checkpoint WHERE shard = $1 FOR KEY SHARE"
_CHECKPOINTS = "SELECT shard, next, next_output FROM {service}_g1.checkpoint ORDER BY shard"


class Shard(NamedTuple):
    """A shard of a service."""

    service: str
    number: int


class Lag:
    """Holds shards back, each by a lock on its checkpoint, until they are let go."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._held: dict[Shard, asyncpg.Connection] = {}

    async def hold(self, shard: Shard) -> None:
        """Let a shard fold nothing from now on."""
        conn = await asyncpg.connect(self._dsn)
        await conn.execute("BEGIN")
        await conn.fetch(_HOLD.format(service=shard.service), shard.number)
        self._held[shard] = conn

    async def let_go(self, shard: Shard) -> None:
        """Let a shard fold again."""
        if conn := self._held.pop(shard, None):
            await conn.close()

    async def let_all_go(self) -> None:
        """Let every shard fold again."""
        for shard in list(self._held):
            await self.let_go(shard)

    async def change(self, random: Random) -> None:
        """Hold some shards back, and let others go."""
        for shard in all_shards():
            if random.random() < 0.4:
                await (self.let_go(shard) if shard in self._held else self.hold(shard))

    async def catch_up(self, system: WholeSystem) -> None:
        """Wait until what is not held back has folded all that the service before it has."""
        head = await system.internal.log.GetHead(GetHeadRequest())

        async def has_caught_up() -> bool:
            conn = await asyncpg.connect(self._dsn)
            try:
                rows = [await conn.fetch(_CHECKPOINTS.format(service=name)) for name in FOLDING]
            finally:
                await conn.close()
            ends = [list(head.token.offsets), *([r["next_output"] for r in own] for own in rows)]
            return all(
                Shard(name, row["shard"]) in self._held or row["next"] >= before[row["shard"]]
                for name, own, before in zip(FOLDING, rows, ends, strict=False)
                for row in own
            )

        await wait_until(has_caught_up)


def all_shards() -> Iterator[Shard]:
    """Yield the shards of all services that fold."""
    for service in FOLDING:
        for number in range(SHARDS):
            yield Shard(service, number)


@asynccontextmanager
async def lagging(dsn: str) -> AsyncIterator[Lag]:
    """Provide a lag that ends with the scope."""
    lag = Lag(dsn)
    try:
        yield lag
    finally:
        await lag.let_all_go()
