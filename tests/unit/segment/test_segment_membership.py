"""Tests the decision of entries and exits, without a database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.profile.v1.profile_stream_pb2 import LeafMove, MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.evaluate import RuleTest
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import Rule
from services.segment.codec.erasure import passed_without
from services.segment.domain import membership
from services.segment.domain.membership import (
    ActiveSegments,
    after_erasures,
    mark_unmerges,
    membership_changes,
    newer_evaluations,
    split_off,
)
from services.segment.domain.model import (
    EarlierEvent,
    EarlierState,
    MembershipCause,
    MembershipChange,
    ProfileEvaluation,
    SegmentDefinition,
    StoredEvaluation,
)
from services.segment.domain.stays import stays_of

W = WorkspaceId("w")
BOUGHT = parse_rule({"count": {"event": "bought", "at_least": 1}})
VISITED = parse_rule({"count": {"event": "visited", "within": "7d", "at_least": 1}})
NOT_VISITED = parse_rule({"not": {"count": {"event": "visited", "within": "7d", "at_least": 1}}})
BUYERS = SegmentDefinition(W, "buyers", 1, "", BOUGHT)
IDLE = SegmentDefinition(W, "idle", 1, "", NOT_VISITED)
BOUGHT_ID, VISITED_ID = (predicate_id(predicates(rule)[0]) for rule in (BOUGHT, VISITED))


def evaluation(
    n: int, *true_predicates: int, version: int = 1, into: int | None = None
) -> ProfileEvaluation:
    merged_into = None if into is None else profile(into)
    return ProfileEvaluation(W, profile(n), version, frozenset(true_predicates), merged_into, 1_000)


def profile(n: int) -> ProfileId:
    return ProfileId(bytes([n]) * 16)


def test_erasure_takes_the_evaluations_before_it_and_no_later_one() -> None:
    erased = evaluation(1, version=3, into=0)._replace(is_erased=True)
    before, after = evaluation(1, BOUGHT_ID, version=2), evaluation(1, VISITED_ID, version=4)
    other = evaluation(2, BOUGHT_ID)
    found = after_erasures([before, erased, other, after], {})
    assert found == ([erased, other, after], [profile(1)])
    [one, _] = newer_evaluations(found[0], {})
    assert (one.version, one.passed) == (4, ())
    # An older stored state is erased, and a new life that is stored already is not.
    for version, gone in ((1, [profile(1)]), (3, []), (9, [])):
        stored = {profile(1): StoredEvaluation(version, None)}
        assert after_erasures([erased], stored) == ([erased], gone)


def test_what_was_passed_on_of_an_erased_person_is_taken_out() -> None:
    event, other = (MatchedEvent(leaf_id=one * 16, properties=one) for one in (b"a", b"b"))
    moves = [LeafMove(leaf_id=one * 16) for one in (b"a", b"b")]
    payload = MembershipsChanged(matched_events=[event, other], leaf_moves=moves)
    left = passed_without(payload.SerializeToString(), {b"a" * 16})
    expected = MembershipsChanged(matched_events=[other], leaf_moves=moves[1:])
    assert MembershipsChanged.FromString(left) == expected


def test_profile_enters_matching_segments_and_leaves_the_others() -> None:
    segments = ActiveSegments([BUYERS, IDLE])
    memberships = {profile(1): frozenset({"gone"})}
    changes = membership_changes([evaluation(1, BOUGHT_ID)], memberships, segments)
    assert [(c.segment_id, c.entered) for c in changes] == [
        ("buyers", True),
        ("gone", False),
        ("idle", True),
    ]


def test_unchanged_membership_gives_no_change() -> None:
    memberships = {profile(1): frozenset({"buyers"})}
    segments = ActiveSegments([BUYERS])
    assert not membership_changes([evaluation(1, BOUGHT_ID)], memberships, segments)


def test_pending_segment_neither_loses_nor_gains_members() -> None:
    segments = ActiveSegments([], [BUYERS])
    memberships = {profile(1): frozenset({"buyers"})}
    assert not membership_changes([evaluation(1)], memberships, segments)
    assert not membership_changes([evaluation(1, BOUGHT_ID)], {}, segments)


def test_profiles_with_the_same_true_predicates_are_decided_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But for what they have in pending segments, and in other workspaces."""
    tested: list[frozenset[int]] = []

    def compiled(_: Rule) -> RuleTest:
        return lambda true_predicates: bool(tested.append(true_predicates) or true_predicates)

    monkeypatch.setattr(membership, "compile_rule", compiled)
    segments = ActiveSegments([BUYERS], [IDLE])
    memberships = {profile(2): frozenset({"idle"}), profile(3): frozenset({"buyers"})}
    evaluations = [evaluation(n, BOUGHT_ID) for n in (1, 2, 3)] + [evaluation(4)]
    foreign = evaluation(5, BOUGHT_ID)._replace(workspace_id=WorkspaceId("other"))
    changes = membership_changes([*evaluations, foreign], memberships, segments)
    assert [(c.profile_id, c.segment_id) for c in changes] == [
        (profile(1), "buyers"),
        (profile(2), "buyers"),
    ]
    assert tested == [frozenset({BOUGHT_ID}), frozenset()]


def test_retired_segment_loses_every_member() -> None:
    segments = ActiveSegments([replace(BUYERS, version=2, retired=True)])
    memberships = {profile(1): frozenset({"buyers"})}
    (left,) = membership_changes([evaluation(1, BOUGHT_ID)], memberships, segments)
    assert (left.entered, left.segment_version) == (False, 2)


def test_segments_of_another_workspace_do_not_match() -> None:
    foreign = evaluation(1, BOUGHT_ID)._replace(workspace_id=WorkspaceId("other"))
    assert not membership_changes([foreign], {}, ActiveSegments([BUYERS]))


def test_membership_that_moves_with_a_merge_is_marked_on_both_sides() -> None:
    changes = membership_changes(
        [evaluation(1, into=2), evaluation(2, BOUGHT_ID)],
        {profile(1): frozenset({"buyers"})},
        ActiveSegments([BUYERS]),
    )
    assert summary(changes) == [
        (profile(1), False, MembershipCause.MERGE, profile(2)),
        (profile(2), True, MembershipCause.MERGE, profile(1)),
    ]


def test_exit_by_merge_into_a_member_has_cause_merge() -> None:
    memberships = {profile(1): frozenset({"buyers"}), profile(2): frozenset({"buyers"})}
    (left,) = membership_changes(
        [evaluation(1, into=2), evaluation(2, BOUGHT_ID)], memberships, ActiveSegments([BUYERS])
    )
    assert (left.entered, left.cause) == (False, MembershipCause.MERGE)


def test_exit_by_merge_into_a_profile_that_does_not_match_has_cause_rule() -> None:
    memberships = {profile(1): frozenset({"buyers"})}
    (left,) = membership_changes(
        [evaluation(1, into=2), evaluation(2)], memberships, ActiveSegments([BUYERS])
    )
    assert (left.entered, left.cause) == (False, MembershipCause.RULE)


@given(st.permutations([evaluation(1, BOUGHT_ID, version=v) for v in range(1, 6)]))
def test_newest_evaluation_wins_in_any_order(evaluations: list[ProfileEvaluation]) -> None:
    (newest,) = newer_evaluations(evaluations, {})
    assert newest.version == 5
    assert not newer_evaluations(evaluations, {profile(1): evaluation(1, version=5)})


@given(st.lists(st.tuples(st.integers(1, 4), st.sets(st.sampled_from([BOUGHT_ID, VISITED_ID])))))
def test_members_are_the_profiles_whose_last_evaluation_matches(
    evaluations: list[tuple[int, set[int]]],
) -> None:
    segments = ActiveSegments([BUYERS, IDLE])
    memberships: dict[ProfileId, frozenset[str]] = {}
    last: dict[ProfileId, set[int]] = {}
    for n, true_predicates in evaluations:
        for change in membership_changes([evaluation(n, *true_predicates)], memberships, segments):
            before = memberships.get(change.profile_id, frozenset())
            memberships[change.profile_id] = before ^ {change.segment_id}
        last[profile(n)] = true_predicates
    for profile_id, true_predicates in last.items():
        expected = {"buyers"} if BOUGHT_ID in true_predicates else set()
        expected |= set() if VISITED_ID in true_predicates else {"idle"}
        assert memberships.get(profile_id, frozenset()) == expected


Summary = list[tuple[ProfileId, bool, MembershipCause, ProfileId | None]]


def summary(changes: list[MembershipChange]) -> Summary:
    return [(c.profile_id, c.entered, c.cause, c.other_profile_id) for c in changes]


def changes_of_unmerge(*last: tuple[int, MembershipCause]) -> Summary:
    """Split profile 1, a buyer, off profile 2; `last`: the causes of their last changes."""
    stored = {profile(1): evaluation(1, into=2), profile(2): evaluation(2, BOUGHT_ID)}
    newer = [evaluation(1, BOUGHT_ID, version=2), evaluation(2, version=2)]
    memberships = {profile(2): frozenset({"buyers"})}
    changes = membership_changes(newer, memberships, ActiveSegments([BUYERS]))
    causes = {(profile(n), "buyers"): cause for n, cause in last}
    return summary(mark_unmerges(changes, split_off(newer, stored), causes))


def test_unmerge_marks_memberships_that_moved_with_the_merge() -> None:
    both_moved = changes_of_unmerge((1, MembershipCause.MERGE), (2, MembershipCause.MERGE))
    assert both_moved == [
        (profile(1), True, MembershipCause.MERGE, profile(2)),
        (profile(2), False, MembershipCause.MERGE, profile(1)),
    ], "the membership that the merge brought returns"
    one_moved = changes_of_unmerge((1, MembershipCause.MERGE), (2, MembershipCause.RULE))
    assert one_moved == [
        (profile(1), True, MembershipCause.MERGE, profile(2)),
        (profile(2), False, MembershipCause.RULE, None),
    ], "a member from before the merge leaves by the rule"


def test_unmerge_does_not_mark_an_entry_after_an_exit_by_rule() -> None:
    for last in ([(1, MembershipCause.RULE)], []):
        assert changes_of_unmerge(*last) == [
            (profile(1), True, MembershipCause.RULE, None),
            (profile(2), False, MembershipCause.RULE, None),
        ]


def test_states_that_time_passed_through_enter_and_leave_at_their_instants() -> None:
    passed = (EarlierState(frozenset({BOUGHT_ID, VISITED_ID}), 20), EarlierState(frozenset(), 30))
    last = evaluation(1, BOUGHT_ID)._replace(passed=passed, changed_at_us=40, by_time=True)
    memberships = {profile(1): frozenset({"idle"})}
    changes = membership_changes([last], memberships, ActiveSegments([BUYERS, IDLE]))
    assert [(c.segment_id, c.entered, c.changed_at_us) for c in changes] == [
        ("buyers", True, 20),
        ("idle", False, 20),
        ("buyers", False, 30),
        ("idle", True, 30),
        ("buyers", True, 40),
    ]
    assert {c.cause for c in changes} == {MembershipCause.TIME}


def test_newest_evaluation_has_passed_through_the_ones_before_it() -> None:
    older = evaluation(1, BOUGHT_ID, version=2)._replace(changed_at_us=20)
    newest = evaluation(1, version=3)._replace(changed_at_us=30, by_time=True)
    [combined] = newer_evaluations([newest, older], {profile(1): evaluation(1)})
    assert combined.passed == (EarlierState(frozenset({BOUGHT_ID}), 20, by_time=False),)
    changes = membership_changes([combined], {}, ActiveSegments([BUYERS]))
    assert [(c.entered, c.changed_at_us, c.cause) for c in changes] == [
        (True, 20, MembershipCause.RULE),
        (False, 30, MembershipCause.TIME),
    ]


def test_change_has_the_own_time_of_the_event_that_made_it() -> None:
    by_event = evaluation(1, BOUGHT_ID)._replace(occurred_at_us=7)
    segments = ActiveSegments([BUYERS])
    [entered] = membership_changes([by_event], {}, segments)
    assert (entered.changed_at_us, entered.occurred_at_us) == (1_000, 7)
    [entered] = membership_changes([evaluation(1, BOUGHT_ID)], {}, segments)
    assert entered.occurred_at_us is None, "no event made the change"


def test_change_of_each_segment_has_the_first_event_after_which_it_lasts() -> None:
    both, none = frozenset({BOUGHT_ID, VISITED_ID}), frozenset[int]()
    events = (EarlierEvent(both, 1), EarlierEvent(none, 2), EarlierEvent(both, 3))
    last = evaluation(1, BOUGHT_ID)._replace(occurred_at_us=4, by_event=events)
    seen = replace(IDLE, segment_id="seen", rule=VISITED)
    changes = membership_changes([last], {}, ActiveSegments([BUYERS, IDLE, seen]))
    assert [(c.segment_id, c.entered, c.occurred_at_us) for c in changes] == [
        ("buyers", True, 3),
        ("idle", True, 4),
    ]


def test_evaluation_that_a_newer_one_overtakes_keeps_its_events() -> None:
    states = (EarlierEvent(frozenset({BOUGHT_ID}), 1),)
    older = evaluation(1, BOUGHT_ID, VISITED_ID, version=2)._replace(
        occurred_at_us=2, by_event=states
    )
    newest = evaluation(1, BOUGHT_ID, version=3)._replace(occurred_at_us=9)
    [combined] = newer_evaluations([newest, older], {})
    changes = membership_changes([combined], {}, ActiveSegments([BUYERS, IDLE]))
    assert [(c.segment_id, c.occurred_at_us) for c in changes] == [("buyers", 1), ("idle", 9)]


def test_stays_pair_each_entry_with_the_next_exit() -> None:
    def change(segment: str, ordinal: int, at_us: int) -> MembershipChange:
        entered = ordinal % 2 == 1
        cause = MembershipCause.RULE if entered else MembershipCause.TIME
        return MembershipChange(W, segment, 1, profile(1), entered, at_us, cause, None, ordinal)

    stays = stays_of(
        [change("b", 1, 15), change("a", 3, 40), change("a", 1, 10), change("a", 2, 15)]
    )
    found = [(s.entered.segment_id, s.entered.changed_at_us, s.left_at_us) for s in stays]
    assert found == [("a", 10, 15), ("b", 15, None), ("a", 40, None)]
    assert [stay.duration_us(100) for stay in stays] == [5, 85, 60]
    assert [s.left_cause for s in stays] == [MembershipCause.TIME, None, None]
