"""Plans how a shard follows its definitions: the predicates it has, and sweeps over its leaves.

A sweep brings every leaf of a workspace in line with the definitions: it fills accumulators with
the old events of the leaf, and drops those that no definition needs. Then it evaluates the profile
of the leaf. A page of a sweep may be repeated, as it computes what it fills from the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import LeafState, fold_accumulators
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Predicate
from services.kernel.rules.references import Definitions, expand_known
from services.profile.domain.evaluation import (
    ALL_PREDICATES,
    EMPTY_INDEX,
    EvaluationScope,
    PredicateIndexes,
    related_only,
)
from services.profile.domain.facts import LogEvent, RuleDefinition
from services.profile.domain.journeys import journeys_in_force


class BackfillStage(IntEnum):
    """The progress of a predicate in one shard."""

    WAITING = 0
    #: A sweep evaluates it for every profile.
    SWEEPING = 1
    BACKFILLED = 2
    #: No definition of the shard needs it; leaves and evaluations may still have its results.
    DROPPED = 3
    #: A sweep removes its results.
    ERASING = 4


class ScopedId(NamedTuple):
    """The id of a predicate in one workspace."""

    workspace_id: WorkspaceId
    id: int


class IndexChange(NamedTuple):
    """How new definitions change the predicates of a shard."""

    added: frozenset[ScopedId]
    dropped: frozenset[ScopedId]

    @property
    def workspaces(self) -> list[WorkspaceId]:
        return sorted({key.workspace_id for key in (*self.added, *self.dropped)})


class Sweep(NamedTuple):
    """The predicates of one workspace that one sweep concerns, by id."""

    added: frozenset[int]
    erased: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.added or self.erased)


@dataclass(frozen=True, slots=True)
class BackfillCursor:
    """Where the next step of a workspace's job begins."""

    #: The number of steps so far; every step changes the cursor.
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


def index_of(
    definitions: Iterable[RuleDefinition], known: PredicateIndexes | None = None
) -> PredicateIndexes:
    """Return the predicates of the newest version of each definition, by workspace.

    It is a function of the set of definitions: an older version, and whatever it needed, has no
    part in it, unless it is one of a journey that runs may go by. An index among `known` that has
    these predicates is used again.
    """
    by_workspace: dict[WorkspaceId, list[RuleDefinition]] = defaultdict(list)
    for definition in newest_definitions(definitions):
        by_workspace[definition.workspace_id].append(definition)
    needed = {workspace_id: _predicates(own) for workspace_id, own in by_workspace.items()}
    return {w: _index(own, (known or {}).get(w)) for w, own in needed.items() if own}


def newest_definitions(definitions: Iterable[RuleDefinition]) -> list[RuleDefinition]:
    """Return the newest version of each definition, ascending by workspace, kind and key.

    Of journeys these are the versions that runs may go by.
    """
    newest: dict[tuple[WorkspaceId, str, str], RuleDefinition] = {}
    journeys: list[RuleDefinition] = []
    for definition in definitions:
        if definition.journey is not None or definition.stop is not None:
            journeys.append(definition)
            continue
        key = (definition.workspace_id, definition.kind, definition.key)
        if key not in newest or definition.version > newest[key].version:
            newest[key] = definition
    return [*(newest[key] for key in sorted(newest)), *journeys_in_force(journeys)]


def names_of(definitions: Iterable[RuleDefinition]) -> Definitions:
    """Return what references may name among the newest definitions of one workspace."""
    return dict(definition.named for definition in definitions if definition.named is not None)


def _predicates(definitions: Sequence[RuleDefinition]) -> dict[Predicate, None]:
    """Return the predicates that the newest definitions of one workspace need, in order."""
    names, needed = names_of(definitions), dict[Predicate, None]()
    for definition in definitions:
        rules = definition.named[1].values if definition.named is not None else ()
        for rule in (*(rule for _, rule in rules), *definition.rules):
            needed |= dict.fromkeys(predicates(expand_known(rule, names)))
        needed |= dict.fromkeys(definition.predicates)
    return needed


def union_of(indexes: Sequence[PredicateIndexes]) -> PredicateIndexes:
    """Return the predicates that any of some shards has."""
    if not indexes:
        return {}
    first, *others = indexes
    union = dict(first)
    for other in others:
        for workspace_id, index in other.items():
            existing = union.get(workspace_id, EMPTY_INDEX)
            own = {p.predicate: None for p in existing.predicates.values()}
            own.update({p.predicate: None for p in index.predicates.values()})
            union[workspace_id] = _index(own, existing)
    return union


def index_change(before: PredicateIndexes, after: PredicateIndexes) -> IndexChange:
    """Return the predicates that only one of two indexes has."""
    old, new = scoped_ids(before), scoped_ids(after)
    return IndexChange(new - old, old - new)


def scoped_ids(indexes: PredicateIndexes) -> frozenset[ScopedId]:
    """Return the predicates of all workspaces."""
    return frozenset(ScopedId(w, id_) for w, index in indexes.items() for id_ in index.predicates)


def next_sweep(stages: Mapping[int, BackfillStage], needed_elsewhere: Collection[int]) -> Sweep:
    """Return the sweep that a workspace needs next, or the one under way: empty where none.

    `stages` has the predicates of a workspace in one shard. A dropped predicate is erased when no
    shard needs it: until then other shards evaluate it.
    """
    under_way = _sweep(stages, BackfillStage.SWEEPING, BackfillStage.ERASING)
    if under_way:
        return under_way
    waiting = _sweep(stages, BackfillStage.WAITING, BackfillStage.DROPPED)
    return Sweep(waiting.added, waiting.erased - frozenset(needed_elsewhere))


def _sweep(
    stages: Mapping[int, BackfillStage], added: BackfillStage, erased: BackfillStage
) -> Sweep:
    return Sweep(
        frozenset(id_ for id_, stage in stages.items() if stage is added),
        frozenset(id_ for id_, stage in stages.items() if stage is erased),
    )


def incomplete_accumulators(
    index: PredicateIndex, stages: Mapping[int, BackfillStage], sweep: Sweep
) -> frozenset[int]:
    """Return the accumulators of a sweep that lack old events.

    An accumulator that a backfilled predicate reads is complete: it has been in the index, and so
    in every fold, since it was filled.
    """
    complete = (
        compiled.accumulator_ids
        for id_, compiled in index.predicates.items()
        if stages.get(id_) is BackfillStage.BACKFILLED
    )
    added = (index.predicates.get(id_) for id_ in sweep.added)
    needed = (compiled.accumulator_ids for compiled in added if compiled is not None)
    return frozenset().union(*needed).difference(*complete)


def sweep_scopes(
    leaves: Iterable[LeafId],
    states: Mapping[LeafId, LeafState],
    sweep: Sweep,
    index: PredicateIndex,
) -> dict[LeafId, EvaluationScope]:
    """Return what a sweep evaluates for the profiles of some leaves, by leaf.

    An object is not evaluated, but its members are where a new predicate reads objects: they may
    have been evaluated before, in shards that knew the predicate when this one did not.
    """
    scope = ALL_PREDICATES if sweep.erased else EvaluationScope(sweep.added)
    reads_objects = not sweep.added.isdisjoint(index.related_predicates)
    return {
        leaf: related_only() if states[leaf].members else scope
        for leaf in leaves
        if reads_objects or not states[leaf].members
    }


class LeafRefill:
    """Computes the accumulators of leaves that lack old events, from all events of the leaves."""

    def __init__(self, index: PredicateIndex, accumulators: frozenset[int]) -> None:
        """`accumulators`: those that lack old events."""
        self._incomplete = accumulators
        self._complete = index.accumulator_ids - accumulators
        compiled = index.predicates.values()
        own = [p.predicate for p in compiled if not accumulators.isdisjoint(p.accumulator_ids)]
        self._index = PredicateIndex(own)
        self._filled: dict[LeafId, LeafState] = {}

    @property
    def needs_events(self) -> bool:
        """Whether an accumulator lacks old events."""
        return bool(self._index.predicates)

    def add(self, events: Iterable[LogEvent]) -> None:
        """Fold events of the leaves; add each event once, in any order."""
        for _, _, leaf_id, event in events:
            self._add(leaf_id, event)

    def _add(self, leaf_id: LeafId, event: EventView) -> None:
        state = self._filled.get(leaf_id)
        if state is None:
            state = self._filled[leaf_id] = LeafState()
        fold_accumulators(state, event, self._index)

    def apply(self, leaf_id: LeafId, state: LeafState) -> None:
        """Give a state the accumulators of the index, and no others."""
        accumulators = {i: a for i, a in state.accumulators.items() if i in self._complete}
        if leaf_id in self._filled:
            filled = self._filled[leaf_id].accumulators
            # A predicate may read complete accumulators beside the ones that are filled.
            accumulators |= {i: a for i, a in filled.items() if i in self._incomplete}
        state.accumulators = dict(sorted(accumulators.items()))


def page_within(event_counts: Sequence[int], most: int) -> int:
    """Return how many leaves (of at least one) have at most `most` events together."""
    total = 0
    for leaves, count in enumerate(event_counts):
        total += count
        if total > most:
            return max(1, leaves)
    return len(event_counts)


def _index(needed: Mapping[Predicate, None], known: PredicateIndex | None) -> PredicateIndex:
    if known is None or len(known.predicates) != len(needed):
        return PredicateIndex(needed)
    is_same = all(compiled.predicate in needed for compiled in known.predicates.values())
    return known if is_same else PredicateIndex(needed)
