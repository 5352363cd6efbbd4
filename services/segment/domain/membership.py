"""Decides membership changes from evaluations and current memberships."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from services.kernel.cache import RecentCache
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.evaluate import RuleTest, compile_rule
from services.segment.domain.model import (
    EarlierState,
    MembershipCause,
    MembershipChange,
    ProfileEvaluation,
    SegmentDefinition,
    StoredEvaluation,
)

#: The segments of each profile.
Memberships = Mapping[ProfileId, frozenset[str]]


_NO_TIMES: Mapping[str, int] = {}
#: Sets of true predicates whose segments are remembered.
MATCHING_CACHED = 4_096


class ActiveSegments:
    """The segments of every workspace, with their rules compiled.

    A segment is pending while a predicate of its rule is not backfilled: no profile enters or
    leaves it.
    """

    def __init__(
        self, active: Iterable[SegmentDefinition], pending: Iterable[SegmentDefinition] = ()
    ) -> None:
        self._active: dict[WorkspaceId, list[tuple[SegmentDefinition, RuleTest]]] = {}
        for definition in active:
            segments = self._active.setdefault(definition.workspace_id, [])
            segments.append((definition, compile_rule(definition.rule)))
        self._pending = {(d.workspace_id, d.segment_id) for d in pending}
        self._versions = {(d.workspace_id, d.segment_id): d.version for d in (*active, *pending)}
        #: By workspace and the predicates that are true: many profiles have the same ones.
        self._matching: RecentCache[tuple[WorkspaceId, frozenset[int]], frozenset[str]] = (
            RecentCache(MATCHING_CACHED)
        )

    def segments_of(self, evaluation: ProfileEvaluation, current: frozenset[str]) -> frozenset[str]:
        """Return the segments that a profile belongs to; `current`: those that it is in now."""
        if evaluation.merged_into is not None:
            return frozenset()
        workspace_id = evaluation.workspace_id
        key = (workspace_id, evaluation.true_predicates)
        matching = self._matching.get(key)
        if matching is None:
            matching = self._matching_segments(*key)
            self._matching.put(key, matching)
        if not self._pending:
            return matching
        return matching.union(s for s in current if (workspace_id, s) in self._pending)

    def _matching_segments(
        self, workspace_id: WorkspaceId, true_predicates: frozenset[int]
    ) -> frozenset[str]:
        return frozenset(
            definition.segment_id
            for definition, is_true in self._active.get(workspace_id, ())
            if not definition.retired and is_true(true_predicates)
        )

    @property
    def pending(self) -> frozenset[tuple[WorkspaceId, str]]:
        """The workspace and id of each pending segment."""
        return frozenset(self._pending)

    def version(self, workspace_id: WorkspaceId, segment_id: str) -> int:
        """Return the current version of a segment; 0 where it is not defined."""
        return self._versions.get((workspace_id, segment_id), 0)


def after_erasures(
    evaluations: Iterable[ProfileEvaluation], stored: Mapping[ProfileId, StoredEvaluation]
) -> tuple[list[ProfileEvaluation], list[ProfileId]]:
    """Return the evaluations but those before the erasure of their person, and the profiles whose
    memberships an erasure deletes."""
    evaluations = list(evaluations)
    erased: dict[ProfileId, int] = {}
    for one in evaluations:
        existing = stored.get(one.profile_id)
        if one.is_erased and (existing is None or one.version > existing.version):
            erased[one.profile_id] = max(one.version, erased.get(one.profile_id, 0))
    left = [one for one in evaluations if one.version >= erased.get(one.profile_id, 0)]
    return left, sorted(erased)


def newer_evaluations(
    evaluations: Iterable[ProfileEvaluation], stored: Mapping[ProfileId, StoredEvaluation]
) -> list[ProfileEvaluation]:
    """Return the evaluations that are newer than the stored ones, at most one a profile.

    The newest of a profile has passed through those before it.
    """
    newer: dict[ProfileId, dict[int, ProfileEvaluation]] = {}
    for evaluation in evaluations:
        existing = stored.get(evaluation.profile_id)
        if existing is None or evaluation.version > existing.version:
            newer.setdefault(evaluation.profile_id, {})[evaluation.version] = evaluation
    return [_combined([own[v] for v in sorted(own)]) for own in newer.values()]


def _combined(evaluations: list[ProfileEvaluation]) -> ProfileEvaluation:
    """Return the newest evaluation of a profile, which has passed through the others."""
    *earlier, newest = evaluations
    if not earlier:
        return newest
    passed: list[EarlierState] = []
    for evaluation in earlier:
        passed += evaluation.passed
        if evaluation.merged_into is None:
            own = (evaluation.true_predicates, evaluation.changed_at_us, evaluation.by_time)
            times = evaluation.occurred_at_us, evaluation.by_event
            passed.append(EarlierState(*own, *times))
    return newest._replace(passed=(*passed, *newest.passed))


def membership_changes(
    evaluations: Iterable[ProfileEvaluation],
    memberships: Memberships,
    segments: ActiveSegments,
    cause: MembershipCause = MembershipCause.RULE,
    each: Callable[[Iterable[ProfileEvaluation]], Iterable[ProfileEvaluation]] = iter,
) -> list[MembershipChange]:
    """Return the entries and exits that evaluations lead to, by profile and segment.

    `each` passes the evaluations on, one while the one before it is worked on; it may measure that.
    `memberships`: the current segments of these profiles and of those they were merged into. A
    membership that moves with a merge is marked on both sides, so that no message is sent again.
    """
    changes: list[MembershipChange] = []
    for evaluation in each(sorted(evaluations, key=lambda e: e.profile_id)):
        before = memberships.get(evaluation.profile_id, frozenset())
        for state in evaluation.states:
            after = segments.segments_of(state, before)
            by_time = state.by_time and cause is MembershipCause.RULE
            changed = sorted(before ^ after)
            times = _event_times(state, segments, before, after) if state.by_event else _NO_TIMES
            changes += [
                MembershipChange(
                    state.workspace_id,
                    segment_id,
                    segments.version(state.workspace_id, segment_id),
                    state.profile_id,
                    segment_id in after,
                    state.changed_at_us,
                    MembershipCause.TIME if by_time else cause,
                    occurred_at_us=times.get(segment_id, state.occurred_at_us),
                )
                for segment_id in changed
            ]
            before = after
    return mark_merges(changes, evaluations, memberships)


def _event_times(
    state: ProfileEvaluation,
    segments: ActiveSegments,
    before: frozenset[str],
    after: frozenset[str],
) -> dict[str, int]:
    """Return the own times of the events that changed segments before the last event did.

    The event that changes one is the first after which the profile is in it, or out of it, for
    good.
    """
    times: dict[str, int] = {}
    remaining = before ^ after
    for true_predicates, occurred_at_us in reversed(state.by_event):
        if not remaining:
            break
        then = segments.segments_of(state._replace(true_predicates=true_predicates), before)
        remaining -= then ^ after
        times |= dict.fromkeys(remaining, occurred_at_us)
    return times


def differing_members(
    existing: Iterable[MembershipChange], expected: Iterable[MembershipChange]
) -> list[MembershipChange]:
    """Return the changes that turn the existing members into the expected ones; both: entries."""
    before = {entry.profile_id: entry for entry in existing}
    after = {entry.profile_id: entry for entry in expected}
    exits = [before[p]._replace(entered=False) for p in before if p not in after]
    return exits + [after[p] for p in after if p not in before]


def mark_merges(
    changes: list[MembershipChange],
    evaluations: Iterable[ProfileEvaluation],
    memberships: Memberships,
) -> list[MembershipChange]:
    """Return the changes, with the cause MERGE where a membership moves with a merge.

    `memberships`: the segments, before the changes, of the profiles that others were merged into.
    """
    merged = {e.profile_id: e.merged_into for e in evaluations if e.merged_into is not None}
    if not merged:
        return changes
    entered = {(c.profile_id, c.segment_id) for c in changes if c.entered}
    marked: list[MembershipChange] = []
    #: By profile and segment that a membership moved to: the profile that it moved from.
    moved: dict[tuple[ProfileId, str], ProfileId] = {}
    for change in changes:
        target = merged.get(change.profile_id)
        if target is not None and not change.entered:
            key = (target, change.segment_id)
            if key in entered or change.segment_id in memberships.get(target, frozenset()):
                moved.setdefault(key, change.profile_id)
                change = _by_merge(change, target)
        marked.append(change)
    return [
        _by_merge(c, moved.get((c.profile_id, c.segment_id)) if c.entered else None) for c in marked
    ]


def split_off(
    newer: Iterable[ProfileEvaluation], stored: Mapping[ProfileId, StoredEvaluation]
) -> dict[ProfileId, ProfileId]:
    """Return the profiles that are no longer merged, with the profile each was merged into."""
    return {
        evaluation.profile_id: source
        for evaluation in newer
        if evaluation.merged_into is None
        and evaluation.profile_id in stored
        and (source := stored[evaluation.profile_id].merged_into) is not None
    }


def mark_unmerges(
    changes: list[MembershipChange],
    split: Mapping[ProfileId, ProfileId],
    last_causes: Mapping[tuple[ProfileId, str], MembershipCause],
) -> list[MembershipChange]:
    """Return the changes, with the cause MERGE where an unmerge returns a membership.

    `split`: the result of `split_off`; `last_causes`: the cause of the last change of each
    membership. So no message is sent again for a membership that moved with the merge.
    """
    others: dict[tuple[ProfileId, str], ProfileId] = {}
    for change in changes:
        key = (change.profile_id, change.segment_id)
        is_split = change.entered and change.profile_id in split
        if is_split and last_causes.get(key) is MembershipCause.MERGE:
            source = split[change.profile_id]
            others[key] = source
            if last_causes.get((source, change.segment_id)) is MembershipCause.MERGE:
                others[source, change.segment_id] = change.profile_id
    return [
        _by_merge(change, others.get((change.profile_id, change.segment_id))) for change in changes
    ]


def _by_merge(change: MembershipChange, other: ProfileId | None) -> MembershipChange:
    if other is None:
        return change
    return change._replace(cause=MembershipCause.MERGE, other_profile_id=other)
