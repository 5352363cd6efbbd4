"""The state of identity, built anew from the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import asyncpg

from services.chassis.rebuild import rows_that_differ
from services.chassis.replay import Replay
from services.chassis.stream import Batch, Folded, Upstream
from services.identity import wire
from services.identity.app import learn_from
from services.identity.memory import Memory
from services.identity.store import REBUILDING, PostgresTables
from services.kernel.ids import LeafId, shard_of
from services.kernel.tokens import Token

_IDENTIFIER = "encode(identifier_id, 'hex')"
_EDGE = "encode(a, 'hex') || ' ' || encode(b, 'hex')"


class IdentityRebuilder:
    """See chassis.rebuild.Rebuilder."""

    def __init__(self, upstream: Upstream, *, remembered: int) -> None:
        self._upstream = upstream
        self._remembered = remembered

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        until: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """See chassis.rebuild.Rebuilder."""
        replay = Replay(Refold(Memory(self._remembered), shards), self._upstream)
        if shards != len(until.offsets):
            # A batch then learns once a shard, and workers that lock twice wait in a circle.
            workers = 1
        await replay.rebuild(pool, until, workers=workers, progress=progress)

    async def adopt(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """Nothing to carry over: versions come from a sequence that outlasts generations."""

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """See chassis.rebuild.Rebuilder."""
        columns = "identifier_id, profile_id, first_seen_us, first_fact"
        rows = await rows_that_differ(conn, live, new, "identifier", _IDENTIFIER, columns, limit)
        columns = "strength, first_seen_us, first_fact"
        return rows + await rows_that_differ(conn, live, new, "edge", _EDGE, columns, limit)


class Refold:
    """The fold without what others hear of it: only what follows from the facts is kept.

    `shards`: each batch is cut by leaf as if the log had so many.
    """

    def __init__(self, memory: Memory, shards: int) -> None:
        self._memory = memory
        self._shards = shards

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> Folded:
        """See chassis.stream.Projection."""
        heard = wire.hear(batch)
        await self._memory.regions.look_up(conn, heard.leafless, heard.workspaces)
        by_shard: dict[int, wire.Sightings] = {}
        for names, first in heard.sightings.items():
            shard = shard_of(LeafId(names[1]), self._shards)
            by_shard.setdefault(shard, {})[names] = first
        deltas: Counter[str] = Counter()
        for _, sightings in sorted(by_shard.items()):
            tables = PostgresTables(conn, shards=self._shards, space=REBUILDING)
            deltas.update((await learn_from(tables, self._memory, sightings)).deltas)
        now = heard.log_time_us or batch.log_time_us
        return Folded(batch.next, batch.next, now, deltas=deltas)
