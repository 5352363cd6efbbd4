"""The fold: load, decide, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import asyncpg

from services.chassis.access import fold_access
from services.chassis.stream import Batch, Folded
from services.identity import wire
from services.identity.domain.facts import First
from services.identity.domain.model import Evidence, Learnt
from services.identity.domain.naming import Names
from services.identity.learn import learn
from services.identity.memory import Memory, Remembered
from services.identity.ports import Tables
from services.identity.store import PostgresTables
from services.kernel.ids import NO_ID, IdentifierId, LeafId, ProfileId


class Identity:
    """Folds the log into who is whom, and passes it on with the profile of each fact."""

    def __init__(
        self, *, shards: int, memory: Memory, on_access: Callable[[], None] = lambda: None
    ) -> None:
        self._shards = shards
        self._memory = memory
        #: Called where keys were folded.
        self._on_access = on_access

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> Folded:
        """See `services.chassis.stream.Projection.fold`."""
        heard = wire.hear(batch)
        await self._memory.regions.look_up(conn, heard.leafless, heard.workspaces)
        tables = PostgresTables(conn, shards=self._shards)
        learnt = await learn_from(tables, self._memory, heard.sightings)
        profiles = await _profiles(tables, heard.leaves, learnt)
        # Last: its rows are the same for all shards, and who waits for one holds nothing up.
        if heard.leafless and await fold_access(conn, heard.leafless):
            self._on_access()
        return Folded(
            consumed_to=batch.next,
            log_offset=batch.next,
            log_time_us=heard.log_time_us or batch.log_time_us,
            outputs=wire.outputs(batch.shard, heard, profiles, learnt.assignments),
            deltas=learnt.deltas,
        )


async def learn_from(tables: Tables, memory: Memory, sightings: Mapping[Names, First]) -> Learnt:
    """Takes in what may be new, and answers what came of it."""
    evidence, unsettled = gather(memory, sightings)
    if not evidence:
        return Learnt()
    kept = await tables.look(evidence)
    for remembered in unsettled:
        remembered.settle(kept.known, kept.edges)
    return await learn(tables, evidence, kept)


def gather(memory: Memory, sightings: Mapping[Names, First]) -> tuple[Evidence, list[Remembered]]:
    """The evidence that may be new, and what is remembered about its identifiers."""
    evidence, unsettled = Evidence(), []
    for names, first in sightings.items():
        remembered = memory.recall(names)
        if first.occurred_at_us <= remembered.settled_us:
            evidence.add(remembered.mention, first)
            unsettled.append(remembered)
    return evidence, unsettled


async def _profiles(tables: Tables, leaves: list[LeafId], learnt: Learnt) -> list[bytes]:
    """The profile of each leaf as of now; a leaf that nobody told about stands for itself."""
    found: dict[IdentifierId, ProfileId] = dict(learnt.profiles)
    asked = {leaf for leaf in leaves if leaf} - found.keys()
    if asked:
        found |= await tables.profiles(asked)
    return [found.get(IdentifierId(leaf), leaf) or NO_ID for leaf in leaves]
