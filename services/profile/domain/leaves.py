"""Folds events into the states of their leaves, and returns which predicates may have changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from services.kernel.fold.leaf import LeafState, fold_event
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId
from services.profile.domain.evaluation import (
    EMPTY_INDEX,
    EvaluationScope,
    PredicateIndexes,
)
from services.profile.domain.facts import AttributedFact, ProfileAssignment


@dataclass(slots=True)
class LeafFold:
    """The leaves that some events touched."""

    #: After the events.
    states: dict[LeafId, LeafState] = field(default_factory=dict)
    workspaces: dict[LeafId, WorkspaceId] = field(default_factory=dict)
    #: The predicates to evaluate for the profile of each leaf.
    scopes: dict[LeafId, EvaluationScope] = field(default_factory=dict)
    #: The profiles of those leaves as the facts name them: assignments of version 0.
    fallback_assignments: dict[LeafId, ProfileAssignment] = field(default_factory=dict)


def fold_events(
    facts: Iterable[AttributedFact], states: dict[LeafId, LeafState], indexes: PredicateIndexes
) -> LeafFold:
    """Fold the events among these facts into `states`, which has the touched leaves that exist.

    Changes `states` in place.
    """
    result = LeafFold(states)
    workspaces, scopes = result.workspaces, result.scopes
    for fact in facts:
        _, recorded_at_us, workspace_id, leaf_id, _, event, _ = fact
        if event is None:
            continue
        state = states.get(leaf_id)
        if state is None:
            state = states[leaf_id] = LeafState()
            scopes[leaf_id] = EvaluationScope(None, recorded_at_us=recorded_at_us)
            result.fallback_assignments[leaf_id] = _fallback_assignment(fact)
        workspaces[leaf_id] = workspace_id
        affected = fold_event(state, event, indexes.get(workspace_id, EMPTY_INDEX))
        if affected:
            _add_scope(result, fact, EvaluationScope(affected, recorded_at_us))
    return result


def _add_scope(result: LeafFold, fact: AttributedFact, scope: EvaluationScope) -> None:
    leaf_id = fact.leaf_id
    existing = result.scopes.get(leaf_id)
    result.scopes[leaf_id] = scope if existing is None else existing.union(scope)
    if leaf_id not in result.fallback_assignments:
        result.fallback_assignments[leaf_id] = _fallback_assignment(fact)


def _fallback_assignment(fact: AttributedFact) -> ProfileAssignment:
    leaf_id = IdentifierId(fact.leaf_id)
    return ProfileAssignment(fact.workspace_id, leaf_id, fact.profile_id, 0, None)


def leaf_share(leaf_id: LeafId, state: bytes) -> bytes:
    """Return the share that a leaf's row has in the digest of its workspace, 16 bytes.

    Leaf ids have one length, so no two rows hash the same bytes. One plain hash, because this runs
    for every event.
    """
    return blake2b(leaf_id + state, digest_size=16, person=b"leaf").digest()


def leaf_delta(leaf_id: LeafId, before: bytes | None, after: bytes) -> int:
    """Return how a new state of a leaf changes the digest; `before` is None for a new leaf."""
    delta = int.from_bytes(leaf_share(leaf_id, after))
    return delta if before is None else delta - int.from_bytes(leaf_share(leaf_id, before))
