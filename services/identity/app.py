"""The fold: load, decide, save."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from services.chassis.access import fold_access
from services.chassis.auth import Authenticator
from services.chassis.stream import Batch, Folded
from services.identity import metrics, wire
from services.identity.domain.model import Evidence, Known
from services.identity.learn import Learned, learn
from services.identity.memory import Memory, Remembered
from services.identity.ports import Tables
from services.identity.store import PostgresTables
from services.kernel.ids import NO_ID, IdentifierId, LeafId, ProfileId


class Identity:
    """Folds the log into who is whom, and passes it on with the profile of each fact."""

    def __init__(
        self, *, shards: int, memory: Memory, authenticator: Authenticator | None = None
    ) -> None:
        self._shards = shards
        self._memory = memory
        self._authenticator = authenticator

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> Folded:
        """See `services.chassis.stream.Projection.fold`."""
        heard = wire.hear(batch)
        tables = PostgresTables(conn, shard=batch.shard, shards=self._shards)
        profiles, learned = await self._attribute(tables, heard)
        # Last: its rows are the same for all shards, and who waits for one holds nothing up.
        await self._fold_access(conn, heard)
        _count(batch.shard, heard, learned)
        return Folded(
            consumed_to=batch.next,
            log_offset=batch.next,
            log_time_us=batch.log_time_us if heard.log_time_us is None else heard.log_time_us,
            outputs=wire.outputs(batch.shard, heard, profiles, learned.assignments),
        )

    async def _attribute(self, tables: Tables, heard: wire.Heard) -> tuple[list[bytes], Learned]:
        """The profile of each fact after all that the facts say was learnt."""
        evidence, unsettled = gather(self._memory, heard)
        asked = {IdentifierId(leaf) for leaf in heard.leaves if leaf} | evidence.names.keys()
        known = await tables.identifiers(asked) if asked else {}
        known_edges = await tables.edges(evidence.edges.keys())
        for remembered in unsettled:
            remembered.settle(known, known_edges)
        learned = await learn(tables, evidence, known, known_edges)
        return [_profile_of(leaf, known, learned) for leaf in heard.leaves], learned

    async def _fold_access(self, conn: asyncpg.Connection, heard: wire.Heard) -> None:
        if heard.leafless and await fold_access(conn, heard.leafless) and self._authenticator:
            self._authenticator.forget()


def gather(memory: Memory, heard: wire.Heard) -> tuple[Evidence, list[Remembered]]:
    """The evidence that may be new, and what is remembered about its identifiers."""
    evidence, unsettled = Evidence(), []
    for names, first in heard.sightings.items():
        remembered = memory.recall(names)
        if first.occurred_at_us <= remembered.settled_us:
            evidence.add(remembered.mention, first)
            unsettled.append(remembered)
    return evidence, unsettled


def _profile_of(leaf: LeafId, known: Mapping[IdentifierId, Known], learned: Learned) -> bytes:
    """The profile that holds a leaf; a leaf that nobody has told about stands for itself."""
    if not leaf:
        return NO_ID
    id_ = IdentifierId(leaf)
    row = known.get(id_)
    before = ProfileId(leaf) if row is None else row.profile_id
    return learned.profiles.get(id_) or learned.moved.get(before, before)


def _count(shard: int, heard: wire.Heard, learned: Learned) -> None:
    metrics.FACTS.labels(shard).inc(len(heard.leaves))
    metrics.BATCH_FACTS.observe(len(heard.leaves))
