"""Loads a whole state in bulk: all evidence is collected in memory, resolved once, and copied.

Evidence is a set of minima and maxima, so no table is read while it is collected. Where there is
more of it than fits into memory, each further part is applied to the stored state.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncpg import Pool
from onefold.log.v1.log_pb2 import Fact

from services.chassis.postgres.database import acquire, transaction
from services.chassis.projection.checkpoint import add_digest
from services.identity.codec.bus import LinkDecision
from services.identity.codec.compact_sets import SetCollector
from services.identity.domain.digest import deltas
from services.identity.domain.evidence import Evidence
from services.identity.domain.full_resolution import full_resolution
from services.identity.projection.apply_evidence import apply_evidence
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.matches import fold_matches
from services.identity.rebuild.bulk_evidence import BulkEvidence
from services.identity.store.evidence import REBUILD, PostgresEvidence
from services.identity.store.policy import newest_policy
from services.kernel.ids import WorkspaceId

#: Identifiers, and edges, in one COPY.
PAGE = 5_000
#: Identifier sets that are resolved at a time, or applied to the stored state in one transaction.
PART = 20_000


@dataclass(slots=True)
class EvidenceLoader:
    """Writes evidence into an empty generation, as if the log had `shards` shards."""

    pool: Pool
    shards: int
    #: Normalises identifiers.
    cache: EvidenceCache
    #: Identifier sets in memory before they are written: beyond them each further part is slower.
    max_sets: int
    _sets: SetCollector = field(default_factory=SetCollector, init=False)
    _decisions: list[LinkDecision] = field(default_factory=list, init=False)
    _is_empty: bool = field(default=True, init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def add(self, facts: Sequence[Fact]) -> None:
        """Collect the evidence in facts; add each fact once, in any order."""
        decoded = self._sets.add(facts)
        self.cache.regions.fold(decoded.broadcast)
        self._decisions += decoded.decisions
        if decoded.matches:
            async with transaction(self.pool) as conn:
                await self.cache.regions.load(conn, (), decoded.workspaces)
                found = await fold_matches(conn, self.shards, self.cache, decoded.matches)
                await add_digest(conn, 0, found)
        if len(self._sets) > self.max_sets:
            await self.flush()

    async def flush(self) -> None:
        """Write the evidence in memory."""
        sets, self._sets = self._sets, SetCollector()
        decisions, self._decisions = self._decisions, []
        async with self._writing:
            write = self._copy if self._is_empty else self._apply
            self._is_empty = False
            by_workspace: defaultdict[WorkspaceId, list[LinkDecision]] = defaultdict(list)
            for decision in decisions:
                by_workspace[decision.workspace_id].append(decision)
            workspaces = sorted(sets.by_workspace.keys() | by_workspace.keys())
            async with acquire(self.pool) as conn:
                await self.cache.regions.load(conn, (), workspaces)
            for workspace_id in workspaces:
                own = sets.by_workspace.pop(workspace_id, {})
                bulk = BulkEvidence(workspace_id, self.cache, own, by_workspace[workspace_id])
                parts = bulk.parts(PART)
                while (part := await asyncio.to_thread(next, parts, None)) is not None:
                    await write(workspace_id, part)
                    del part  # the next one takes as much memory

    async def _copy(self, workspace_id: WorkspaceId, evidence: Evidence) -> None:
        """Write whole components of a workspace that has none of them."""
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

    async def _apply(self, _: WorkspaceId, evidence: Evidence) -> None:
        """Apply evidence to what is stored."""
        async with transaction(self.pool) as conn:
            store = PostgresEvidence(conn, shards=self.shards, space=REBUILD)
            applied = await apply_evidence(store, evidence, await store.load(evidence))
            await add_digest(conn, 0, applied.deltas)
