"""Loads a whole state in bulk: all evidence is collected in memory, resolved once, and copied.

Evidence is a set of minima and maxima, so no table is read while it is collected. Where there is
more of it than fits into memory, each further part is applied to the stored state.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from asyncpg import Pool
from onefold.log.v1.log_pb2 import Fact

from services.chassis.postgres.database import acquire, transaction
from services.chassis.projection.checkpoint import add_digest
from services.identity.codec.bus import LinkDecision, Observations, decode_facts
from services.identity.domain.delta import split_by_workspace
from services.identity.domain.digest import deltas
from services.identity.domain.evidence import Evidence
from services.identity.domain.full_resolution import full_resolution
from services.identity.projection.apply_evidence import apply_evidence
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import add_decisions
from services.identity.projection.matches import fold_matches
from services.identity.store.evidence import REBUILD, PostgresEvidence
from services.identity.store.policy import newest_policy
from services.kernel.ids import WorkspaceId

#: Identifiers, and edges, in one COPY.
PAGE = 5_000
#: Identifier sets that are applied to the stored state in one transaction.
PART = 20_000


@dataclass(slots=True)
class EvidenceLoader:
    """Writes evidence into an empty generation, as if the log had `shards` shards."""

    pool: Pool
    shards: int
    #: Normalises identifiers.
    cache: EvidenceCache
    #: Identifier sets in memory before they are written.
    max_sets: int
    _observations: Observations = field(default_factory=dict, init=False)
    _decisions: list[LinkDecision] = field(default_factory=list, init=False)
    _is_empty: bool = field(default=True, init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def add(self, facts: Sequence[Fact]) -> None:
        """Collect the evidence in facts; add each fact once, in any order."""
        decoded = decode_facts(facts)
        async with acquire(self.pool) as conn:
            await self.cache.regions.load(conn, decoded.broadcast, decoded.workspaces)
        observations = self._observations
        for identifier_set, span in decoded.observations.items():
            existing = observations.get(identifier_set)
            observations[identifier_set] = span if existing is None else existing.union(span)
        self._decisions += decoded.decisions
        if decoded.matches:
            async with transaction(self.pool) as conn:
                found = await fold_matches(conn, self.shards, self.cache, decoded.matches)
                await add_digest(conn, 0, found)
        if len(observations) > self.max_sets:
            await self.flush()

    async def flush(self) -> None:
        """Write the evidence in memory."""
        observations, self._observations = self._observations, {}
        decisions, self._decisions = self._decisions, []
        async with self._writing:
            if self._is_empty:
                self._is_empty = False
                evidence = await asyncio.to_thread(self._evidence, observations, decisions)
                for workspace_id, part in split_by_workspace(evidence).items():
                    await self._copy(workspace_id, part)
                return
            for some in _parts(observations):
                await self._apply(await asyncio.to_thread(self._evidence, some, decisions))
                decisions = []

    def _evidence(self, observations: Observations, decisions: Sequence[LinkDecision]) -> Evidence:
        evidence, cache = Evidence(), self.cache
        while observations:  # a set needs no memory any more once its evidence is added
            identifier_set, span = observations.popitem()
            evidence.add(cache.observation(identifier_set), span)
        add_decisions(evidence, cache, decisions)
        return evidence

    async def _copy(self, workspace_id: WorkspaceId, evidence: Evidence) -> None:
        """Write all of a workspace."""
        sums = Counter[str]()
        async with transaction(self.pool) as conn:
            policy = await newest_policy(conn, workspace_id)
            found = await asyncio.to_thread(full_resolution, workspace_id, evidence, policy)
            store = PostgresEvidence(conn, shards=self.shards, space=REBUILD)
            version = await store.next_version()
            pages = found.pages(PAGE)
            while (page := await asyncio.to_thread(next, pages, None)) is not None:
                await store.save(page, evidence.identifiers, version)
                sums.update(deltas(page, evidence.identifiers, ()))
            await add_digest(conn, 0, sums)

    async def _apply(self, evidence: Evidence) -> None:
        """Apply evidence to what is stored."""
        async with transaction(self.pool) as conn:
            store = PostgresEvidence(conn, shards=self.shards, space=REBUILD)
            applied = await apply_evidence(store, evidence, await store.load(evidence))
            await add_digest(conn, 0, applied.deltas)


def _parts(observations: Observations) -> Iterator[Observations]:
    rest = iter(observations.items())
    for _ in range(0, max(1, len(observations)), PART):
        yield dict(islice(rest, PART))
