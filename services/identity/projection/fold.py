"""Folds the log into profiles: load, decide, save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

import asyncpg

from services.chassis.access.tables import fold_access_facts
from services.chassis.codec.erasures import erasures_in
from services.chassis.messaging.stream import Batch, FoldResult, FoldUnit, StreamMessage
from services.chassis.projection.backfill import BackfillJob, BackfillStep
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.parked_facts import fold_parked_facts
from services.chassis.runtime.cpu import UNCOUNTED, ItemWatch
from services.identity.codec.bus import (
    DecodedLogBatch,
    LinkDecision,
    Observations,
    decode_batch,
    outputs,
    units_of,
)
from services.identity.domain.evidence import Evidence, IdentifierInWorkspace, Observation, SeenSpan
from services.identity.domain.normalize import IdentifierSet, normalize_pair
from services.identity.projection.apply_evidence import AppliedEvidence, apply_evidence
from services.identity.projection.erase import LeafFacts, erase_person, is_erasure, note_erasures
from services.identity.projection.evidence_cache import CachedBounds, EvidenceCache, bounds_of
from services.identity.projection.matches import fold_matches
from services.identity.projection.policy_rollout import fold_policies, roll_out_page
from services.identity.projection.ports import EvidenceStore
from services.identity.store.assignments import (
    LeafProfiles,
    load_leaf_profiles,
    note_cache_emptied,
    save_unpublished,
    take_unpublished,
)
from services.identity.store.evidence import PostgresEvidence
from services.kernel.ids import NO_ID, IdentifierId, to_hex

#: An identifier set, and when the events with it occurred.
ObservationItem: TypeAlias = tuple[IdentifierSet, SeenSpan]


class IdentityProjection:
    """Folds the log, and publishes it with the profile of each fact."""

    def __init__(
        self,
        *,
        shards: int,
        cache: EvidenceCache,
        log: LeafFacts | None = None,
        on_access: Callable[[], None] = lambda: None,
        watch: ItemWatch = UNCOUNTED,
    ) -> None:
        """`log`: where the facts of leaves are read again after an erasure; `on_access` is called
        after keys were folded."""
        self._log = log
        self._watch = watch
        self._shards = shards
        self._cache = cache
        #: By shard that is leased here; others use `cache`.
        self._caches: dict[int, EvidenceCache] = {}
        #: By shard, what the last fold has written, and where the shard is once it is committed.
        self._written: dict[int, tuple[int, Sequence[tuple[IdentifierSet, CachedBounds]]]] = {}
        self._on_access = on_access

    def forget(self, shard: int) -> None:
        """Forget the evidence of a shard; see `services.chassis.messaging.stream.Remembering`."""
        self._caches[shard] = self._cache.emptied(self._shards)
        self._written.pop(shard, None)

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch; see `services.chassis.messaging.stream.Projection`."""
        decoded = decode_batch(batch)
        cache = self._cache_for(batch)
        committed_at, written = self._written.pop(batch.shard, (-1, ()))
        if committed_at == batch.first and not batch.is_late:
            cache.put(written)
        await cache.regions.load(conn, decoded.broadcast, decoded.workspaces)
        store = PostgresEvidence(conn, shards=self._shards)

        def each(observations: Iterable[ObservationItem]) -> Iterable[ObservationItem]:
            return self._watch.each(observations, "event", lambda o: _place(batch, o))

        applied = await apply_batch(store, cache, decoded.observations, decoded.decisions, each)
        deltas = Counter(applied.deltas)
        deltas.update(await fold_matches(conn, self._shards, cache, decoded.matches))
        if decoded.broadcast:
            await self._fold_broadcast(conn, batch.shard, decoded)
        if batch.is_late:
            # Its message was published long ago: what it moves is published with the next one.
            await save_unpublished(conn, batch.shard, applied.assignments)
            return FoldResult(batch.next, batch.log_offset, batch.log_time_us, deltas=deltas)
        profiles, noted = await self._profiles(conn, batch.shard, decoded, applied)
        assignments = [*applied.assignments]
        if noted.is_cache_outdated:
            # Rows that the cache knew are gone: what it has left out of this batch may be new.
            self.forget(batch.shard)
            await note_cache_emptied(conn, batch.shard)
            cache = self._caches[batch.shard]
            await cache.regions.load(conn, decoded.broadcast, decoded.workspaces)
            applied = await apply_batch(store, cache, decoded.observations, decoded.decisions)
            deltas.update(applied.deltas)
            profiles, noted = await self._profiles(conn, batch.shard, decoded, applied)
            assignments += applied.assignments
        if noted.has_unpublished:
            assignments = [*await take_unpublished(conn, batch.shard), *assignments]
        self._written[batch.shard] = batch.next, applied.bounds
        return FoldResult(
            consumed_to=batch.next,
            log_offset=batch.next,
            log_time_us=decoded.log_time_us or batch.log_time_us,
            outputs=outputs(batch.shard, decoded, profiles, assignments),
            deltas=deltas,
        )

    def _cache_for(self, batch: Batch) -> EvidenceCache:
        if batch.is_late:
            # It does not learn whether the cache of its shard is outdated.
            return self._cache.emptied(self._shards)
        return self._caches.get(batch.shard, self._cache)

    def units(self, message: StreamMessage, first: int) -> list[FoldUnit]:
        """Return the facts of a message; see `services.chassis.messaging.stream.Isolating`."""
        return units_of(message, first)

    async def backfill_step(
        self, conn: asyncpg.Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        """Roll out a policy, or erase a person; see
        `services.chassis.projection.backfill.Backfilling`."""
        store = PostgresEvidence(conn, shards=self._shards)
        if is_erasure(job):
            if self._log is None:
                raise RuntimeError("a projection without a log cannot erase a person")
            cache = self._cache.emptied(self._shards)
            return await erase_person(conn, store, cache, self._log, job, shards=self._shards)
        return await roll_out_page(conn, store, job)

    async def _fold_broadcast(
        self, conn: asyncpg.Connection, shard: int, decoded: DecodedLogBatch
    ) -> None:
        # Last: every shard writes these rows, so a worker that waits for one of them blocks little.
        if await fold_access_facts(conn, decoded.broadcast):
            self._on_access()
        await fold_parked_facts(conn, "identity", shard, decoded.broadcast, counts_in_offsets=True)
        await fold_policies(conn, shard, self._shards, decoded.policies)
        await note_erasures(conn, shard, self._shards, erasures_in(decoded.broadcast))

    async def _profiles(
        self,
        conn: asyncpg.Connection,
        shard: int,
        decoded: DecodedLogBatch,
        applied: AppliedEvidence,
    ) -> tuple[list[bytes], LeafProfiles]:
        """Return the current profile of each fact's leaf (a leaf without evidence is a profile of
        its own), and what is noted for the shard."""
        profiles = dict(applied.profiles)
        others = {leaf for leaf in decoded.leaves if leaf} - profiles.keys()
        found = await load_leaf_profiles(conn, others, shard)
        profiles |= found.profiles
        of_facts = [profiles.get(IdentifierId(leaf), leaf) or NO_ID for leaf in decoded.leaves]
        return of_facts, found


def _place(batch: Batch, observation: ObservationItem) -> dict[str, object]:
    """Return where an observation is in the log: its fact, and the part that has it."""
    identifier_set, span = observation
    fact = to_hex(span.first.fact_id)
    place = {"shard": batch.shard, "first": batch.first, "next": batch.next, "fact": fact}
    return {"workspace": identifier_set[0], **place}


async def apply_batch(
    store: EvidenceStore,
    cache: EvidenceCache,
    observations: Observations,
    decisions: Iterable[LinkDecision] = (),
    each: Callable[[Iterable[ObservationItem]], Iterable[ObservationItem]] = iter,
) -> AppliedEvidence:
    """Apply the observations that may add evidence, and decisions.

    `each` passes the observations on, one while the one before it is worked on.
    """
    evidence, pending = collect_evidence(cache, each(observations.items()))
    add_decisions(evidence, cache, decisions)
    if not evidence:
        return AppliedEvidence()
    stored = await store.load(evidence)
    unknown = [
        (identifier_set, observation)
        for identifier_set, observation in pending
        if not cache.remember(identifier_set, observation, stored.identifiers, stored.edges)
    ]
    applied = await apply_evidence(store, evidence, stored)
    identifiers = {**stored.identifiers, **applied.written.identifiers}
    edges = {**stored.edges, **applied.written.edges}
    found = ((known, bounds_of(one, identifiers, edges)) for known, one in unknown)
    return replace(applied, bounds=[(known, own) for known, own in found if own is not None])


def add_decisions(
    evidence: Evidence, cache: EvidenceCache, decisions: Iterable[LinkDecision]
) -> None:
    """Add manual decisions to evidence; the regions of their workspaces are loaded."""
    for one in decisions:
        evidence.add_decision(one.decision, decision_identifiers(cache, one))


def decision_identifiers(
    cache: EvidenceCache, decision: LinkDecision
) -> dict[IdentifierId, IdentifierInWorkspace]:
    """Return the identifiers of a decision; see `normalize_pair`."""
    workspace_id = decision.workspace_id
    region = cache.regions.of(workspace_id)
    return normalize_pair(workspace_id, decision.identifiers, region, cache.index_key)


def collect_evidence(
    cache: EvidenceCache, observations: Iterable[ObservationItem]
) -> tuple[Evidence, list[tuple[IdentifierSet, Observation]]]:
    """Return the evidence that may be new, and the observations that it is made of."""
    evidence, pending = Evidence(), []
    for identifier_set, span in observations:
        if cache.may_add(identifier_set, span):
            observation = cache.observation(identifier_set)
            evidence.add(observation, span)
            pending.append((identifier_set, observation))
    return evidence, pending
