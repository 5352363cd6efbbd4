"""Plans the backfill that new definitions need: old events into accumulators, then evaluations.

A shard folds new events into an accumulator from the offset at which its definition was registered;
a backfill adds the events before that offset. Predicates whose accumulators are complete are then
evaluated for every profile that has a leaf in the shard, and are backfilled when all are evaluated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from services.kernel.fold.leaf import LeafState, fold_accumulators
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.rules.evaluate import compile_predicate
from services.kernel.rules.model import Predicate
from services.profile.domain.evaluation import EMPTY_INDEX, PredicateIndexes
from services.profile.domain.facts import LogEvent


class BackfillStage(IntEnum):
    """The progress of a predicate in one shard."""

    WAITING = 0
    #: A sweep evaluates it for every profile.
    SWEEPING = 1
    BACKFILLED = 2


class ScopedId(NamedTuple):
    """The id of a predicate or an accumulator in one workspace."""

    workspace_id: WorkspaceId
    id: int


class PendingAccumulator(NamedTuple):
    """An accumulator that lacks old events: those at offsets in [filled_to, live_from)."""

    key: ScopedId
    #: Events from this offset on were folded as they arrived.
    live_from: int
    #: Events before this offset were backfilled.
    filled_to: int


class PendingPredicate(NamedTuple):
    """A predicate that is not backfilled yet."""

    key: ScopedId
    stage: BackfillStage


@dataclass(frozen=True, slots=True)
class NewRequirements:
    """The predicates and accumulators that no earlier definition has."""

    predicates: frozenset[ScopedId]
    accumulators: frozenset[ScopedId]


class AccumulatorBackfill(NamedTuple):
    """A task: add old events to accumulators that were filled up to the same offset."""

    accumulators: tuple[PendingAccumulator, ...]

    @property
    def begin(self) -> int:
        return self.accumulators[0].filled_to

    @property
    def end(self) -> int:
        return max(accumulator.live_from for accumulator in self.accumulators)


class EvaluationSweep(NamedTuple):
    """A task: evaluate predicates for every profile."""

    predicates: frozenset[ScopedId]
    #: No profile has been evaluated yet.
    is_new: bool

    def of_workspace(self, workspace_id: WorkspaceId) -> frozenset[int]:
        return frozenset(key.id for key in self.predicates if key.workspace_id == workspace_id)


class BackfillCursor(NamedTuple):
    """The progress of a shard's backfill job."""

    #: Counts the steps, so that no two cursors of a job are equal.
    step: int = 0
    #: The last leaf that the sweep under way has reached; empty = none.
    swept_to: bytes = b""

    def encode(self) -> bytes:
        return self.step.to_bytes(8, "big") + self.swept_to

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode what `encode` encoded; b"" is the beginning."""
        return cls(int.from_bytes(raw[:8], "big"), raw[8:])

    def next(self, swept_to: bytes = b"") -> BackfillCursor:
        return BackfillCursor(self.step + 1, swept_to)


def extend_index(
    indexes: PredicateIndexes, definitions: Iterable[tuple[WorkspaceId, Iterable[Predicate]]]
) -> PredicateIndexes:
    """Return the indexes with the predicates of more definitions.

    Predicates are never removed. So an index is a function of the set of definitions, whichever
    definition replaces which.
    """
    added: dict[WorkspaceId, list[Predicate]] = defaultdict(list)
    for workspace_id, predicates in definitions:
        added[workspace_id].extend(predicates)
    extended = {w: _extended(indexes.get(w, EMPTY_INDEX), more) for w, more in added.items()}
    return {**indexes, **extended}


def new_requirements(before: PredicateIndexes, after: PredicateIndexes) -> NewRequirements:
    """Return the predicates and accumulators of `after` that `before` lacks."""
    predicates: set[ScopedId] = set()
    accumulators: set[ScopedId] = set()
    for workspace_id, index in after.items():
        existing = before.get(workspace_id, EMPTY_INDEX)
        new_predicates = index.predicates.keys() - existing.predicates
        new_accumulators = index.accumulator_ids - existing.accumulator_ids
        predicates.update(ScopedId(workspace_id, id_) for id_ in new_predicates)
        accumulators.update(ScopedId(workspace_id, id_) for id_ in new_accumulators)
    return NewRequirements(frozenset(predicates), frozenset(accumulators))


def next_task(
    predicates: Collection[PendingPredicate],
    accumulators: Collection[PendingAccumulator],
    indexes: PredicateIndexes,
) -> AccumulatorBackfill | EvaluationSweep | None:
    """Choose the next task: a sweep under way, else a sweep of all predicates that are ready, else
    the accumulators that are filled furthest. So all that wait at one offset are read together."""
    sweeping = [p.key for p in predicates if p.stage is BackfillStage.SWEEPING]
    if sweeping:
        return EvaluationSweep(frozenset(sweeping), is_new=False)
    incomplete = {accumulator.key for accumulator in accumulators}
    ready = [p.key for p in predicates if _accumulator_of(p.key, indexes) not in incomplete]
    if ready:
        return EvaluationSweep(frozenset(ready), is_new=True)
    if not accumulators:
        return None
    furthest = max(accumulator.filled_to for accumulator in accumulators)
    return AccumulatorBackfill(tuple(a for a in accumulators if a.filled_to == furthest))


def _accumulator_of(key: ScopedId, indexes: PredicateIndexes) -> ScopedId | None:
    accumulator_id = indexes[key.workspace_id].predicates[key.id].accumulator_id
    return None if accumulator_id is None else ScopedId(key.workspace_id, accumulator_id)


class BackfillFold:
    """Folds old events into accumulators, each up to the offset from which it was folded live."""

    def __init__(self, task: AccumulatorBackfill, indexes: PredicateIndexes) -> None:
        by_offset: dict[int, set[ScopedId]] = defaultdict(set)
        for accumulator in task.accumulators:
            by_offset[accumulator.live_from].add(accumulator.key)
        self._parts = tuple(
            (live_from, _restricted(keys, indexes)) for live_from, keys in by_offset.items()
        )

    def fold(self, events: Iterable[LogEvent]) -> dict[LeafId, tuple[WorkspaceId, LeafState]]:
        """Return what the events add to each leaf: accumulators only; the rest is stored."""
        added: dict[LeafId, tuple[WorkspaceId, LeafState]] = {}
        for offset, workspace_id, leaf_id, event in events:
            for live_from, indexes in self._parts:
                index = indexes.get(workspace_id)
                if offset >= live_from or index is None:
                    continue
                state = added[leaf_id][1] if leaf_id in added else LeafState()
                if fold_accumulators(state, event, index):
                    added[leaf_id] = (workspace_id, state)
        return added


def _restricted(
    keys: Iterable[ScopedId], indexes: PredicateIndexes
) -> Mapping[WorkspaceId, PredicateIndex]:
    """Return indexes that have these accumulators and no others."""
    ids: dict[WorkspaceId, set[int]] = defaultdict(set)
    for key in keys:
        ids[key.workspace_id].add(key.id)
    return {w: PredicateIndex(_predicates_on(indexes[w], own)) for w, own in ids.items()}


def _predicates_on(index: PredicateIndex, accumulator_ids: Collection[int]) -> list[Predicate]:
    return [p.predicate for p in index.predicates.values() if p.accumulator_id in accumulator_ids]


def _extended(index: PredicateIndex, more: Iterable[Predicate]) -> PredicateIndex:
    existing = [p.predicate for p in index.predicates.values()]
    new = {p: None for p in more if compile_predicate(p).id not in index.predicates}
    return PredicateIndex([*existing, *new]) if new else index
