"""Folds a whole log into leaves and evaluations: the contract of every engine that rebuilds.

Events come in any order and in any number of parts, each event in one of them. The parts of a leaf
are combined, and then the leaves of a profile are evaluated together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.kernel.fold.leaf import LeafState, combine, decode, fold_event
from services.kernel.ids import LeafId, WorkspaceId
from services.profile.domain.evaluation import (
    EMPTY_INDEX,
    Evaluation,
    PredicateIndexes,
    ProfileState,
    evaluate_predicates,
)
from services.profile.domain.facts import LogEvent


class FoldedLeaf(NamedTuple):
    """What some events made of a leaf."""

    workspace_id: WorkspaceId
    state: LeafState


class BulkFold:
    """Folds events into new leaves, which are combined with others later."""

    __slots__ = ("_indexes", "_leaves")

    def __init__(self, indexes: PredicateIndexes) -> None:
        self._indexes = indexes
        self._leaves: dict[LeafId, FoldedLeaf] = {}

    def __len__(self) -> int:
        return len(self._leaves)

    def add(self, events: Iterable[LogEvent]) -> None:
        """Fold events; add each event once, in any order."""
        leaves, indexes = self._leaves, self._indexes
        for _, workspace_id, leaf_id, event in events:
            leaf = leaves.get(leaf_id)
            if leaf is None:
                leaf = leaves[leaf_id] = FoldedLeaf(workspace_id, LeafState())
            fold_event(leaf[1], event, indexes.get(workspace_id, EMPTY_INDEX))

    def take(self) -> dict[LeafId, FoldedLeaf]:
        """Return the leaves, and begin again without any."""
        leaves, self._leaves = self._leaves, {}
        return leaves


def with_stored(stored: bytes | None, more: LeafState) -> LeafState:
    """Return the state of stored events and of more; None = none are stored."""
    return more if stored is None else combine(decode(stored), more)


def first_evaluation(
    profile: ProfileState, indexes: PredicateIndexes, version: int, at_us: int
) -> Evaluation | None:
    """Evaluate a profile as of an instant (Unix microseconds); None where it is no person."""
    if profile.view is None or profile.is_account:
        return None
    index = indexes.get(profile.workspace_id, EMPTY_INDEX)
    true, due_us = evaluate_predicates(index.predicates, profile.view, index, at_us)
    id_, workspace_id = profile.profile_id, profile.workspace_id
    return Evaluation(id_, workspace_id, version, true, due_us, at_us)
