"""Folds events into the states of their leaves, and returns which predicates may have changed."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from hashlib import blake2b

from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import LeafState, encode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId
from services.profile.domain.evaluation import (
    DUE_ONLY,
    EMPTY_INDEX,
    EvaluationScope,
    PredicateIndexes,
    related_only,
)
from services.profile.domain.event_trace import LeafTrace
from services.profile.domain.facts import AttributedFact, ProfileAssignment
from services.profile.domain.names import may_change_names


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
    #: The leaves of persons that objects have gained, where rules read objects, with their scopes.
    new_members: dict[LeafId, EvaluationScope] = field(default_factory=dict)
    #: The leaves whose events are traced.
    traces: dict[LeafId, LeafTrace] = field(default_factory=dict)
    #: The leaves whose names the events may have changed.
    named: set[LeafId] = field(default_factory=set)


def fold_events(
    facts: Iterable[AttributedFact],
    states: dict[LeafId, LeafState],
    indexes: PredicateIndexes,
    apart: Set[LeafId] = frozenset(),
) -> LeafFold:
    """Fold the events among these facts into `states`, which has the touched leaves that exist.

    Changes `states` in place. `apart`: the leaves whose events are traced.
    """
    result = LeafFold(states)
    workspaces, scopes = result.workspaces, result.scopes
    for fact in facts:
        _, recorded_at_us, workspace_id, leaf_id, _, event, _ = fact
        if event is None:
            continue
        state = states.get(leaf_id)
        if leaf_id in apart and leaf_id not in result.traces:
            before = None if state is None else encode(state)
            result.traces[leaf_id] = LeafTrace(before, [])
        if state is None:
            state = states[leaf_id] = LeafState()
            scopes[leaf_id] = EvaluationScope(None, False, recorded_at_us, event.occurred_at_us)
            result.fallback_assignments[leaf_id] = _fallback_assignment(fact)
        workspaces[leaf_id] = workspace_id
        index = indexes.get(workspace_id, EMPTY_INDEX)
        if event.member_leaf and index.related_predicates:
            _fold_object(result, fact, state, event, index)
            continue
        affected = fold_event(state, event, index)
        if leaf_id in apart:
            result.traces[leaf_id].add(fact.offset, leaf_id, event, affected)
        if may_change_names(event):
            result.named.add(leaf_id)
        if affected:
            scope = EvaluationScope(affected, False, recorded_at_us, event.occurred_at_us)
            _add_scope(result, fact, scope)
    return result


def _fold_object(
    result: LeafFold,
    fact: AttributedFact,
    state: LeafState,
    event: EventView,
    index: PredicateIndex,
) -> None:
    """Fold a group event into the leaf of an object, which the rules of persons read.

    The object is locked also where it only gains a member: else the member could be evaluated
    with a part of a change of the object that another worker saves, and miss the rest.
    """
    members, scope = state.members, related_only(fact.recorded_at_us, event.occurred_at_us)
    if fold_event(state, event, index):
        _add_scope(result, fact, scope)
    if state.members is not members:
        _add_scope(result, fact, DUE_ONLY)
        member = LeafId(event.member_leaf)
        result.new_members[member] = scope.union(result.new_members.get(member, scope))


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
