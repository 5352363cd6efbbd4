"""Folds identity's stream for rebuilds: writes state, publishes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from asyncpg import Connection

from services.chassis.messaging.stream import Batch, FoldResult
from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import LeafState
from services.kernel.ids import LeafId, shard_of
from services.profile.codec.bus import decode_batch
from services.profile.domain.backfill import extend_index, new_requirements
from services.profile.domain.evaluation import EvaluationScope, PredicateIndexes
from services.profile.domain.facts import AttributedFact, newest_assignments
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.projection.leaves import fold_leaves
from services.profile.store.definitions import save_broadcast_facts


@dataclass(frozen=True, slots=True)
class FixedPredicates:
    """Predicates that do not change during a rebuild; see `PredicateSource`."""

    indexes: PredicateIndexes

    async def for_all_shards(self, conn: Connection) -> PredicateIndexes:
        return self.indexes


def offline_evaluator(indexes: PredicateIndexes, shards: int) -> ProfileEvaluator:
    """Return an evaluator with fixed predicates, whose locks do not block the live state."""
    return ProfileEvaluator(FixedPredicates(indexes), shards, lock_space="profile rebuild")


class ReplayFold:
    """The fold for rebuilds, as of one instant; see `Projection` in the chassis.

    `shards`: leaves are stored as if the log had this many shards.
    """

    def __init__(self, indexes: PredicateIndexes, shards: int, at_us: int) -> None:
        self._indexes = indexes
        self._shards = shards
        self._at_us = at_us
        self._evaluator = offline_evaluator(indexes, shards)

    async def fold(self, conn: Connection, batch: Batch) -> FoldResult:
        """Fold a batch. Raises ServiceUnavailable where it defines new predicates."""
        decoded = decode_batch(batch)
        self._check_definitions(decoded.facts)
        await save_broadcast_facts(conn, batch.shard, decoded.facts)
        deltas = Counter[str]()
        scopes: dict[LeafId, EvaluationScope] = {}
        states: dict[LeafId, LeafState] = {}
        assignments = list(decoded.assignments)
        for shard, facts in self._by_shard(decoded.facts).items():
            leaves, shard_deltas = await fold_leaves(conn, shard, facts, self._indexes)
            deltas.update(shard_deltas)
            scopes |= leaves.scopes
            states |= leaves.states
            assignments += leaves.fallback_assignments.values()
        request = EvaluationRequest(scopes, newest_assignments(assignments))
        changes = await self._evaluator.evaluate(conn, batch.shard, request, self._at_us, states)
        deltas.update(changes.deltas)
        log_time_us = decoded.facts[-1].recorded_at_us
        return FoldResult(batch.next, batch.next, log_time_us, deltas=deltas)

    def _by_shard(self, facts: Iterable[AttributedFact]) -> dict[int, list[AttributedFact]]:
        by_shard: dict[int, list[AttributedFact]] = defaultdict(list)
        for fact in facts:
            by_shard[shard_of(fact.leaf_id, self._shards)].append(fact)
        return by_shard

    def _check_definitions(self, facts: Iterable[AttributedFact]) -> None:
        definitions = [(f.workspace_id, f.rule_predicates) for f in facts if f.rule_predicates]
        extended = extend_index(self._indexes, definitions)
        if new_requirements(self._indexes, extended).predicates:
            raise ServiceUnavailable("a rule was defined during the rebuild; retry")
