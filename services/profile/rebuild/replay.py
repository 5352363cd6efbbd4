"""The fold without what others hear of it: only what follows from the facts is kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import asyncpg

from services.chassis.messaging.stream import Batch, FoldResult
from services.chassis.projection.checkpoint import add_digest
from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import LeafState
from services.kernel.ids import LeafId, shard_of
from services.profile.codec import bus as wire
from services.profile.domain.assignments import newest
from services.profile.domain.backfill import grown, news
from services.profile.domain.facts import Assignment, Entry
from services.profile.domain.model import Catalogues
from services.profile.projection.evaluate import Asking, Settler
from services.profile.projection.leaves import fold_leaves
from services.profile.store import postgres as store
from services.profile.store.postgres import Connection


@dataclass(frozen=True, slots=True)
class Fixed:
    """Rules that do not change while a state is built."""

    catalogues: Catalogues

    async def of_all(self, conn: Connection) -> Catalogues:
        """See ports.Rules."""
        return self.catalogues


def settler_by(catalogues: Catalogues, shards: int) -> Settler:
    """Settles by these rules, out of the way of the live state."""
    return Settler(Fixed(catalogues), shards, space="rebuild")


class Refold:
    """Folds what identity said, as of one instant; see chassis.stream.Projection.

    `shards`: leaves are kept as if the log were cut into so many.
    """

    def __init__(self, catalogues: Catalogues, shards: int, at_us: int) -> None:
        self._catalogues = catalogues
        self._shards = shards
        self._at_us = at_us
        self._settler = settler_by(catalogues, shards)

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold a batch. Raises ServiceUnavailable where it asks for more than was back-filled."""
        heard = wire.hear(batch)
        await self._keep(conn, batch.shard, heard.entries)
        asking, deltas = Asking(), Counter[str]()
        states: dict[LeafId, LeafState] = {}
        told: list[Assignment] = [*heard.assignments]
        for shard, entries in self._cut(heard.entries).items():
            folding, added = await fold_leaves(conn, shard, entries, self._catalogues)
            deltas.update(added)
            states |= folding.states
            told += folding.hints.values()
            asking.leaves = {**asking.leaves, **folding.questions}
        asking.told = newest(told)
        decided = await self._settler.settle(conn, batch.shard, asking, self._at_us, states)
        deltas.update(decided.deltas)
        await add_digest(conn, batch.shard, deltas)
        return FoldResult(batch.next, batch.next, heard.entries[-1].recorded_at_us)

    def _cut(self, entries: list[Entry]) -> dict[int, list[Entry]]:
        by_shard: dict[int, list[Entry]] = defaultdict(list)
        for entry in entries:
            by_shard[shard_of(entry.leaf_id, self._shards)].append(entry)
        return by_shard

    async def _keep(self, conn: Connection, shard: int, entries: list[Entry]) -> None:
        told = [(e.offset, e.workspace_id, e.notice) for e in entries if e.notice is not None]
        asked = news(self._catalogues, grown(self._catalogues, [(w, n) for _, w, n in told]))
        if asked.predicates:
            raise ServiceUnavailable("a rule was defined while the state was built; try again")
        rows = [(at, w, n.kind, n.fact) for at, w, n in told if not n.is_tick]
        await store.save_definitions(conn, shard, rows)
