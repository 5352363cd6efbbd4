"""Evaluates predicates over profiles: which are true, and when time alone may change that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeAlias

from services.kernel.digest import row_digest
from services.kernel.fold.leaf import ProfileView
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import NO_ID, IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.rules.ids import pack_ids
from services.profile.domain.event_trace import TracedLeaves, trace_of
from services.profile.domain.facts import Assignments, Reassignment

#: The predicates of each workspace.
PredicateIndexes: TypeAlias = Mapping[WorkspaceId, PredicateIndex]
EMPTY_INDEX = PredicateIndex()

_NO_PREDICATES: frozenset[int] = frozenset()
_NO_MEMBERS: Mapping[LeafId, EvaluationScope] = {}
_NO_TIMES: Mapping[ProfileId, int] = {}
#: Instants that one evaluation passes through at most; later ones are evaluated together. Also the
#: most states after events that it has.
MAX_PASSED = 64


class PassedState(NamedTuple):
    """The predicates that were true of a profile from one instant on, until the next change."""

    true_predicates: frozenset[int]
    #: The instant at which time alone made them so, Unix microseconds.
    changed_at_us: int


class EventState(NamedTuple):
    """The predicates that were true of a profile after one event of a batch."""

    true_predicates: frozenset[int]
    #: The event's own time, Unix microseconds.
    occurred_at_us: int


class Evaluation(NamedTuple):
    """The result of evaluating all predicates of one profile."""

    profile_id: ProfileId
    workspace_id: WorkspaceId
    #: Given by the store when a change is saved; grows with every change of the profile.
    version: int
    true_predicates: frozenset[int]
    #: The earliest instant at which time alone may change `true_predicates`, Unix microseconds;
    #: None = never.
    next_due_us: int | None
    #: The instant of the last change, Unix microseconds: when time alone changed a predicate, else
    #: when the log recorded the last event that did.
    changed_at_us: int
    #: None while the profile has leaves; then the profile that took over its id, or NO_ID.
    merged_into: ProfileId | None = None
    #: Whether time alone made the last change. Published only, like all that follows.
    by_time: bool = False
    #: The states between the one before and this one, ascending by instants.
    passed: tuple[PassedState, ...] = ()
    #: The own time of the event that made the last change, Unix microseconds; None = no event did.
    occurred_at_us: int | None = None
    #: The states after events of one batch that lie far apart in time, between the last one passed
    #: and this one.
    by_event: tuple[EventState, ...] = ()
    is_erased: bool = False  # what was published before is to be deleted

    @property
    def digest_share(self) -> int:
        """The share of the row in the digest; 0 for a profile without leaves."""
        if self.merged_into is not None:
            return 0
        return row_digest(b"evaluation", self.profile_id, pack_ids(self.true_predicates))


class EvaluationScope(NamedTuple):
    """The predicates of a profile to evaluate."""

    #: None = all.
    predicates: frozenset[int] | None
    #: Also those that read related objects; for an object, those of its members.
    related: bool = False
    #: When the log recorded the last event that may have changed them, Unix microseconds; 0 = no
    #: event did.
    recorded_at_us: int = 0
    #: The greatest own time of these events, Unix microseconds; None = no event did.
    occurred_at_us: int | None = None

    def union(self, other: EvaluationScope) -> EvaluationScope:
        # Without calls, as this runs for most events.
        predicates, related, recorded_at_us, occurred_at_us = self
        others, other_related, other_recorded_us, other_occurred_us = other
        if other_recorded_us > recorded_at_us:
            recorded_at_us = other_recorded_us
        if occurred_at_us is None:
            occurred_at_us = other_occurred_us
        elif other_occurred_us is not None:
            occurred_at_us = max(occurred_at_us, other_occurred_us)
        if predicates is None or others is None:
            return EvaluationScope(None, False, recorded_at_us, occurred_at_us)
        related = related or other_related
        return EvaluationScope(predicates | others, related, recorded_at_us, occurred_at_us)

    @property
    def concerns_members(self) -> bool:
        """Whether an object with this scope has changed for its members."""
        return self.predicates is None or self.related


ALL_PREDICATES = EvaluationScope(None)
#: Time has passed: evaluates all predicates where the profile is due, and nothing else.
DUE_ONLY = EvaluationScope(_NO_PREDICATES)


class ProfileState(NamedTuple):
    """A stored profile."""

    profile_id: ProfileId
    workspace_id: WorkspaceId
    #: None where the profile was never evaluated.
    evaluation: Evaluation | None
    #: None where the profile has no leaves.
    view: ProfileView | None
    #: The profile that its own id belongs to now, where it has no leaves.
    heir: ProfileId | None = None
    #: Set where events of the batch that is folded lie far apart in time.
    traced: TracedLeaves = ()

    @property
    def is_account(self) -> bool:
        return self.view is not None and self.view.is_account

    @classmethod
    def emptied(cls, evaluation: Evaluation, heirs: Mapping[IdentifierId, ProfileId]) -> Self:
        """Return a profile that has lost its last leaf; `heirs`: the profiles of identifiers."""
        id_ = evaluation.profile_id
        return cls(id_, evaluation.workspace_id, evaluation, None, heirs.get(IdentifierId(id_)))


@dataclass(frozen=True, slots=True)
class EvaluationChanges:
    """How the evaluations of some profiles change."""

    #: Evaluations to save and to publish.
    changed: Sequence[Evaluation] = ()
    #: Evaluations of which only `next_due_us` changed.
    rescheduled: Sequence[Evaluation] = ()
    #: The change of each workspace's digest.
    deltas: Mapping[str, int] = field(default_factory=dict)
    #: The identifiers that were assigned.
    reassigned: Sequence[Reassignment] = ()

    def then(self, later: EvaluationChanges) -> EvaluationChanges:
        """Return these changes and later ones, in order."""
        deltas = Counter(self.deltas)
        deltas.update(later.deltas)
        return EvaluationChanges(
            [*self.changed, *later.changed],
            [*self.rescheduled, *later.rescheduled],
            deltas,
            [*self.reassigned, *later.reassigned],
        )


def related_only(recorded_at_us: int = 0, occurred_at_us: int | None = None) -> EvaluationScope:
    """Return the scope where a related object has changed; see `EvaluationScope`."""
    return EvaluationScope(_NO_PREDICATES, True, recorded_at_us, occurred_at_us)


def evaluate(
    scope: EvaluationScope, before: Evaluation, view: ProfileView, index: PredicateIndex, at_us: int
) -> Evaluation:
    """Evaluate a profile that has leaves as of `at_us` (Unix microseconds).

    Predicates outside the scope keep their result, unless the profile is due: then they change at
    each instant that was due. Returns `before` itself where there is nothing to save: a later due
    is not worth a write, it only costs one evaluation too many. A saved due is always after
    `at_us`.
    """
    at_us = max(at_us, before.changed_at_us)
    is_back = before.merged_into is not None
    is_due = before.next_due_us is not None and before.next_due_us <= at_us
    passed: list[PassedState] = []
    own: Collection[int] = index.predicates
    if scope.predicates is None or is_back:
        true, due_us = evaluate_predicates(own, view, index, at_us)
    else:
        own = scope.predicates | index.related_predicates if scope.related else scope.predicates
        unchanged, due_us = before.true_predicates, before.next_due_us
        if is_due:
            passed, due_us = _pass_dues(own, before, view, index, at_us)
            unchanged = passed[-1].true_predicates if passed else unchanged
        found, own_due_us = evaluate_predicates(own, view, index, at_us)
        true, due_us = (unchanged - own) | found, earliest(own_due_us, due_us)
    if passed and passed[-1].true_predicates == true:
        *passed, last = passed
        changed_at_us, by_time, occurred_at_us = last.changed_at_us, True, None
    else:
        changed_at_us, by_time = _event_time(scope, before, passed, at_us), False
        occurred_at_us = scope.occurred_at_us
        if is_due and occurred_at_us is not None and _is_by_time(own, before, view, index):
            occurred_at_us = None
    if is_back or passed or true != before.true_predicates:
        return Evaluation(
            before.profile_id,
            before.workspace_id,
            before.version,
            true,
            due_us,
            changed_at_us,
            by_time=by_time,
            passed=tuple(passed),
            occurred_at_us=occurred_at_us,
        )
    if is_due or earliest(due_us, before.next_due_us) != before.next_due_us:
        return before._replace(next_due_us=due_us)
    return before


def _is_by_time(
    own: Collection[int], before: Evaluation, view: ProfileView, index: PredicateIndex
) -> bool:
    """Return whether events have left the predicates that they may have changed as they were until
    the profile was due: then time has changed them, and a late event is folded beside that."""
    until_us = (before.next_due_us or 0) - 1
    found, _ = evaluate_predicates(own, view, index, until_us)
    return found == before.true_predicates.intersection(own)


def _pass_dues(
    scope: frozenset[int], before: Evaluation, view: ProfileView, index: PredicateIndex, at_us: int
) -> tuple[list[PassedState], int | None]:
    """Return the states that the predicates outside the scope pass through, and their next due.

    Only those that time alone may change for the profile are evaluated.
    """
    passed: list[PassedState] = []
    true, due_us = before.true_predicates, before.next_due_us
    others = index.affected_by_time(view.accumulator_ids) - scope
    unchanged = true - others
    for step in range(MAX_PASSED + 1):
        if due_us is None or due_us > at_us:
            break
        instant_us = max(due_us, before.changed_at_us) if step < MAX_PASSED else at_us
        found, due_us = evaluate_predicates(others, view, index, instant_us)
        if unchanged | found != true:
            true = unchanged | found
            passed.append(PassedState(true, instant_us))
    return passed, due_us


def _event_time(
    scope: EvaluationScope, before: Evaluation, passed: Sequence[PassedState], at_us: int
) -> int:
    """Return the instant of a change that time alone did not make."""
    earliest_us = passed[-1].changed_at_us if passed else before.changed_at_us
    return max(min(scope.recorded_at_us or at_us, at_us), earliest_us)


def evaluate_predicates(
    ids: Iterable[int], view: ProfileView, index: PredicateIndex, at_us: int
) -> tuple[frozenset[int], int | None]:
    """Return which of the predicates are true, and the earliest due of all (None = never)."""
    found: list[int] = []
    due_us: int | None = None
    for id_ in ids:
        result = index.predicates[id_].evaluate(view, at_us)
        if result.holds:
            found.append(id_)
        if result.next_due_us is not None and (due_us is None or result.next_due_us < due_us):
            due_us = result.next_due_us
    return frozenset(found), due_us


def tombstone(
    before: Evaluation, heir: ProfileId | None, at_us: int, occurred_at_us: int | None = None
) -> Evaluation:
    """Return the evaluation of a profile that has lost its last leaf.

    `heir`: the profile that its own id belongs to now. `occurred_at_us`: the own time of the event
    that has moved the leaf, if one has. Returns `before` itself where there is
    nothing to save.
    """
    if before.merged_into is not None:
        return before
    merged_into = heir if heir is not None and heir != before.profile_id else ProfileId(NO_ID)
    return before._replace(
        true_predicates=_NO_PREDICATES,
        next_due_us=None,
        changed_at_us=max(at_us, before.changed_at_us),
        merged_into=merged_into,
        occurred_at_us=occurred_at_us,
    )


def initial(profile_id: ProfileId, workspace_id: WorkspaceId) -> Evaluation:
    """Return the evaluation of a profile before its first leaf: that of one without leaves."""
    return Evaluation(profile_id, workspace_id, 0, _NO_PREDICATES, None, 0, ProfileId(NO_ID))


def earliest(a: int | None, b: int | None) -> int | None:
    """Return the earlier of two instants; None is never."""
    if a is None:
        return b
    return a if b is None or a < b else b


def lasting_scopes(
    scopes: Mapping[ProfileId, EvaluationScope], indexes: PredicateIndexes
) -> dict[ProfileId, EvaluationScope]:
    """Return the scopes that have only predicates which no event makes false."""
    lasting = _NO_PREDICATES.union(*(index.lasting_predicates for index in indexes.values()))
    return {
        profile_id: scope
        for profile_id, scope in scopes.items()
        if scope.predicates is not None and not scope.related and scope.predicates <= lasting
    }


def is_unaffected(scope: EvaluationScope, stored: Evaluation, until_us: int) -> bool:
    """Return whether evaluating one of `lasting_scopes` would change nothing.

    `until_us`: the latest instant at which it may be evaluated: that of the evaluation, or the
    newest event. The predicates are true, and time alone changes none before that.
    """
    is_due = stored.next_due_us is not None and stored.next_due_us <= until_us
    if stored.merged_into is not None or is_due or scope.predicates is None:
        return False
    return scope.predicates <= stored.true_predicates


def scopes_by_profile(
    leaf_scopes: Mapping[LeafId, EvaluationScope],
    profile_scopes: Mapping[ProfileId, EvaluationScope],
    stored: Assignments,
    reassigned: Sequence[Reassignment],
    members: Mapping[LeafId, EvaluationScope] = _NO_MEMBERS,
    own_times: Mapping[ProfileId, int] = _NO_TIMES,
) -> dict[ProfileId, EvaluationScope]:
    """Return the scope of each profile to evaluate, after assignments have changed.

    `stored` has the assignment of each leaf in `leaf_scopes` that `reassigned` does not have.
    `members`: the scopes of some leaves of persons whose related objects have changed; unknown
    leaves are left out. `own_times`: the greatest own time of the events of a profile, one of which
    has moved its identifiers. A profile that gains or loses an identifier is evaluated whole. An
    identifier that was unknown has no leaf outside of `leaf_scopes`: its assignment is stored with
    its leaf, or before it.
    """
    scopes = dict(profile_scopes)
    current = {**stored, **{moved.after.identifier_id: moved.after for moved in reassigned}}
    for leaf_id, scope in leaf_scopes.items():
        _add_scope(scopes, current[IdentifierId(leaf_id)].profile_id, scope)
    for leaf_id, scope in members.items():
        if (assignment := current.get(IdentifierId(leaf_id))) is not None:
            _add_scope(scopes, assignment.profile_id, scope)
    for before, after in reassigned:
        if before is not None and before != after.profile_id:
            scope = EvaluationScope(None, occurred_at_us=own_times.get(after.profile_id))
            _add_scope(scopes, before, scope)
            _add_scope(scopes, after.profile_id, scope)
    return scopes


def _add_scope(
    scopes: dict[ProfileId, EvaluationScope], profile_id: ProfileId, scope: EvaluationScope
) -> None:
    existing = scopes.get(profile_id)
    scopes[profile_id] = scope if existing is None else existing.union(scope)


def evaluate_all(
    scopes: Mapping[ProfileId, EvaluationScope],
    profiles: Iterable[ProfileState],
    indexes: PredicateIndexes,
    at_us: int,
) -> EvaluationChanges:
    """Evaluate these profiles as of `at_us` (Unix microseconds); accounts have no evaluation."""
    changed: list[Evaluation] = []
    rescheduled: list[Evaluation] = []
    deltas = Counter[str]()
    for profile in profiles:
        if profile.is_account:
            continue
        before = profile.evaluation or initial(profile.profile_id, profile.workspace_id)
        if profile.view is None:
            occurred_at_us = scopes[profile.profile_id].occurred_at_us
            after = tombstone(before, profile.heir, at_us, occurred_at_us)
        else:
            index = indexes.get(profile.workspace_id, EMPTY_INDEX)
            after = evaluate(scopes[profile.profile_id], before, profile.view, index, at_us)
            if profile.traced and after.occurred_at_us is not None:
                after = _traced(before, after, profile.traced, profile.view, index, at_us)
        # A new due alone need not be published.
        is_changed = before.true_predicates != after.true_predicates or after.passed
        if is_changed or before.merged_into != after.merged_into:
            changed.append(after)
            deltas[after.workspace_id] += after.digest_share - before.digest_share
        elif after is not before:
            rescheduled.append(after)
    return EvaluationChanges(changed, rescheduled, deltas)


def _traced(
    before: Evaluation,
    after: Evaluation,
    traced: TracedLeaves,
    view: ProfileView,
    index: PredicateIndex,
    at_us: int,
) -> Evaluation:
    """Return an evaluation with the event that made its change, and the states before that one."""
    base = after.passed[-1].true_predicates if after.passed else before.true_predicates
    changed = [id_ for id_ in base ^ after.true_predicates if id_ in index.predicates]
    is_back = before.merged_into is not None
    if not changed and not is_back:
        return after
    true, occurred_at_us = base, after.occurred_at_us
    states: list[EventState] = []
    # Even where nothing is true of it, a profile without leaves is in no segment.
    last = None if is_back else base
    for own_us, then, affected in trace_of(traced).views(view, index, changed):
        true = after.true_predicates if then is None else true - affected
        if then is not None:
            true |= evaluate_predicates(affected, then, index, at_us)[0]
        if true != last:
            last = true
            states.append(EventState(true, own_us))
    if states and states[-1].true_predicates == after.true_predicates:
        occurred_at_us = states.pop().occurred_at_us
    by_event = tuple(states[-MAX_PASSED:])
    return after._replace(occurred_at_us=occurred_at_us, by_event=by_event)
