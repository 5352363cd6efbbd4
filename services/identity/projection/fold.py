"""The fold: load, decide, save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import asyncpg

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import Batch, FoldResult
from services.identity.codec import bus as wire
from services.identity.domain.evidence import Observation, Pair
from services.identity.domain.normalize import IdentifierSet, normalize_pair
from services.identity.domain.rows import AppliedEvidence, Evidence, StoredEvidence
from services.identity.projection.apply_evidence import ProfilesToReresolve, apply_evidence
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.matches import fold_matches
from services.identity.projection.policy_rollout import fold_policies, next_step
from services.identity.projection.ports import EvidenceStore
from services.identity.store.postgres import PostgresEvidence
from services.kernel.ids import NO_ID, IdentifierId, LeafId, ProfileId

_NOBODY: ProfilesToReresolve = {}
#: Facts in a batch after which the next one may be long in coming.
LITTLE = 100


class IdentityProjection:
    """Folds the log into who is whom, and passes it on with the profile of each fact."""

    def __init__(
        self,
        *,
        shards: int,
        memory: EvidenceCache,
        on_access: Callable[[], None] = lambda: None,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_access` is called where keys were folded; `on_waiting` where people have to be looked
        at anew with what comes next, and little comes."""
        self._shards = shards
        self._memory = memory
        self._on_access = on_access
        self._on_waiting = on_waiting
        #: Shards in which people have to be looked at anew.
        self._resettling: set[int] = set()

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """See `services.chassis.messaging.stream.Projection.fold`."""
        heard = wire.decode_batch(batch)
        memory, shards = self._memory, self._shards
        await memory.regions.load(conn, heard.leafless, heard.workspaces)
        tables = PostgresEvidence(conn, shards=shards)
        step = await next_step(conn, batch.shard) if batch.shard in self._resettling else None
        revisit = {step.workspace_id: step.profiles} if step else {}
        learnt = await apply_batch(tables, memory, heard.observations, heard.decisions, revisit)
        profiles = await self._profiles(tables, batch.shard, heard.leaves, learnt)
        deltas = Counter(learnt.deltas)
        deltas.update(await fold_matches(conn, shards, memory, heard.matches))
        if heard.leafless:
            await self._fold_leafless(conn, batch.shard, heard)
        if step is not None:
            await step.end(conn)
        is_waiting = heard.policies or batch.shard in self._resettling
        if is_waiting and len(heard.leaves) <= LITTLE:
            self._on_waiting()
        return FoldResult(
            consumed_to=batch.next,
            log_offset=batch.next,
            log_time_us=heard.log_time_us or batch.log_time_us,
            outputs=wire.outputs(batch.shard, heard, profiles, learnt.assignments),
            deltas=deltas,
        )

    async def _fold_leafless(
        self, conn: asyncpg.Connection, shard: int, heard: wire.DecodedLogBatch
    ) -> None:
        # Last: these rows are the same for all shards, and who waits for one holds nothing up.
        if await fold_access_facts(conn, heard.leafless):
            self._on_access()
        await fold_policies(conn, shard, self._shards, heard.policies)

    async def _profiles(
        self, tables: PostgresEvidence, shard: int, leaves: list[LeafId], learnt: AppliedEvidence
    ) -> list[bytes]:
        """The profile of each leaf as of now; a leaf that nobody told about stands for itself."""
        found: dict[IdentifierId, ProfileId] = dict(learnt.profiles)
        asked = {leaf for leaf in leaves if leaf} - found.keys()
        known, is_resettling = await tables.profiles_and_work(asked, shard)
        # People are looked at anew from the next batch on.
        (self._resettling.add if is_resettling else self._resettling.discard)(shard)
        found |= known
        return [found.get(IdentifierId(leaf), leaf) or NO_ID for leaf in leaves]


async def apply_batch(
    tables: EvidenceStore,
    memory: EvidenceCache,
    sightings: wire.Observations,
    decisions: Iterable[wire.LinkDecision] = (),
    revisit: ProfilesToReresolve = _NOBODY,
) -> AppliedEvidence:
    """Takes in what may be new, and answers what came of it."""
    evidence, unsettled = collect_evidence(memory, sightings)
    for decided in decisions:
        region = memory.regions.of(decided.workspace_id)
        two = normalize_pair(decided.workspace_id, decided.identifiers, region)
        if two:
            evidence.decide(Pair(min(two), max(two)), decided.decision, two)
    if not evidence and not any(revisit.values()):
        return AppliedEvidence()
    kept = await tables.load(evidence) if evidence else StoredEvidence()
    for names, mention in unsettled:
        memory.remember(names, mention, kept.identifiers, kept.edges)
    return await apply_evidence(tables, evidence, kept, revisit)


def collect_evidence(
    memory: EvidenceCache, sightings: wire.Observations
) -> tuple[Evidence, list[tuple[IdentifierSet, Observation]]]:
    """The evidence that may be new, and whose it is."""
    evidence, unsettled = Evidence(), []
    for names, span in sightings.items():
        if memory.may_add(names, span):
            mention = memory.observation(names)
            evidence.add(mention, span)
            unsettled.append((names, mention))
    return evidence, unsettled
