"""The fold: load, decide, save."""

from __future__ import annotations

import asyncpg

from services.chassis.access import fold_access
from services.chassis.auth import Authenticator
from services.chassis.stream import Batch, Folded
from services.identity import metrics, wire
from services.identity.domain.model import Assignment, Evidence
from services.identity.learn import learn
from services.identity.memory import Memory, Remembered
from services.identity.ports import Tables
from services.identity.store import PostgresTables
from services.kernel.ids import NO_ID, IdentifierId, LeafId


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
        profiles, assignments = await self._attribute(tables, heard)
        # Last: its rows are the same for all shards, and who waits for one holds nothing up.
        await self._fold_access(conn, heard)
        _count(batch.shard, len(heard.leaves))
        return Folded(
            consumed_to=batch.next,
            log_offset=batch.next,
            log_time_us=batch.log_time_us if heard.log_time_us is None else heard.log_time_us,
            outputs=wire.outputs(batch.shard, heard, profiles, assignments),
        )

    async def _attribute(
        self, tables: Tables, heard: wire.Heard
    ) -> tuple[list[bytes], tuple[Assignment, ...]]:
        """The profile of each fact, and what its evidence led to."""
        evidence, unsettled = gather(self._memory, heard)
        assignments: tuple[Assignment, ...] = ()
        if evidence:
            known = await tables.identifiers(evidence.names)
            known_edges = await tables.edges(evidence.edges)
            for remembered in unsettled:
                remembered.settle(known, known_edges)
            assignments = await learn(tables, evidence, known, known_edges)
        return await _profiles(tables, heard.leaves), assignments

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


async def _profiles(tables: Tables, leaves: list[LeafId]) -> list[bytes]:
    """The profile of each leaf as of now; a leaf that nobody told about stands for itself."""
    asked = {leaf for leaf in leaves if leaf}
    found = await tables.profiles(asked) if asked else {}
    return [found.get(IdentifierId(leaf), leaf) or NO_ID for leaf in leaves]


def _count(shard: int, facts: int) -> None:
    metrics.FACTS.labels(shard).inc(facts)
    metrics.BATCH_FACTS.observe(facts)
