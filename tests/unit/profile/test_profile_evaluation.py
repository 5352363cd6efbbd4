"""Tests the evaluation of a profile: scopes, due times, tombstones, digests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import NO_ID, ProfileId, WorkspaceId
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from services.profile.domain.evaluation import (
    ALL_PREDICATES,
    DUE_ONLY,
    MAX_PASSED,
    Evaluation,
    EvaluationScope,
    PassedState,
    ProfileState,
    evaluate,
    evaluate_all,
    evaluate_predicates,
    initial,
    is_unaffected,
    lasting_scopes,
    tombstone,
)
from tests.rule_builders import count_of, events_named, trait_is

WORKSPACE, PROFILE = WorkspaceId("w"), ProfileId(b"p" * 16)
RECENT = count_of(events_named("viewed"), 10, Operator.GE, 1)
NEVER = count_of(events_named("bought"), 0, Operator.EQ, 0)
LOCAL = trait_is("city", Operator.EQ, "北京市")
HOME = '{"city":"北京市"}'.encode()
INDEX = PredicateIndex([RECENT, NEVER, LOCAL])
RECENT_ID, NEVER_ID, LOCAL_ID = map(predicate_id, (RECENT, NEVER, LOCAL))
NOTHING = EvaluationScope(frozenset())
RECENT_ONLY = EvaluationScope(frozenset({RECENT_ID}))


def view(*events: EventView) -> ProfileView:
    state = LeafState()
    for event in events:
        fold_event(state, event, INDEX)
    return view_of([state])


def viewed(at_us: int) -> EventView:
    return EventView(TRACK, "viewed", at_us, bytes(16))


def evaluated(
    *true: int, due: int | None = None, changed_at: int = 0, version: int = 1
) -> Evaluation:
    return Evaluation(PROFILE, WORKSPACE, version, frozenset(true), due, changed_at)


def test_first_evaluation_is_returned_even_without_true_predicates() -> None:
    before = initial(PROFILE, WORKSPACE)
    after = evaluate(NOTHING, before, view(viewed(5)), PredicateIndex(), 7)
    assert after == Evaluation(PROFILE, WORKSPACE, 0, frozenset(), None, 7)


def test_predicates_outside_the_scope_keep_their_result() -> None:
    after = evaluate(RECENT_ONLY, evaluated(LOCAL_ID), view(viewed(5)), INDEX, 7)
    assert after == evaluated(LOCAL_ID, RECENT_ID, due=15, changed_at=7)


def test_unchanged_result_with_a_later_due_returns_the_same_evaluation() -> None:
    before = evaluated(RECENT_ID, NEVER_ID, due=12, changed_at=3)
    assert evaluate(RECENT_ONLY, before, view(viewed(5)), INDEX, 7) is before


def test_whole_evaluation_with_a_later_due_returns_the_same_evaluation() -> None:
    """A later due would cost a write; the earlier one costs one evaluation too many."""
    before = evaluated(RECENT_ID, NEVER_ID, due=12, changed_at=3)
    assert evaluate(ALL_PREDICATES, before, view(viewed(5)), INDEX, 7) is before
    assert evaluate(ALL_PREDICATES, before, view(viewed(5)), INDEX, 12).next_due_us == 15


def test_unchanged_result_with_an_earlier_due_returns_the_new_due() -> None:
    before = evaluated(RECENT_ID, NEVER_ID, due=40, changed_at=3)
    after = evaluate(RECENT_ONLY, before, view(viewed(5)), INDEX, 7)
    assert after == evaluated(RECENT_ID, NEVER_ID, due=15, changed_at=3)


def test_due_profile_is_evaluated_in_what_time_may_change_whatever_the_scope() -> None:
    # Time alone changes no trait, so what reads one keeps its result.
    before = evaluated(RECENT_ID, LOCAL_ID, NEVER_ID, due=15, changed_at=3)
    after = evaluate(DUE_ONLY, before, view(viewed(5)), INDEX, 15)
    assert after == evaluated(LOCAL_ID, NEVER_ID, changed_at=15)._replace(by_time=True)
    later = evaluate(DUE_ONLY, before, view(viewed(5), viewed(9)), INDEX, 15)
    expected = before._replace(next_due_us=19)
    assert later == expected


WITHIN_20 = count_of(events_named("viewed"), 20, Operator.GE, 1)


def test_time_that_passes_several_dues_at_once_gives_each_its_own_instant() -> None:
    index = PredicateIndex([RECENT, WITHIN_20])
    long_id = predicate_id(WITHIN_20)
    before = evaluated(RECENT_ID, long_id, due=15, changed_at=5)
    after = evaluate(DUE_ONLY, before, view(viewed(5)), index, 1_000)
    assert after.passed == (PassedState(frozenset({long_id}), 15),)
    assert (after.true_predicates, after.changed_at_us, after.by_time) == (frozenset(), 25, True)
    assert after.next_due_us is None


def test_state_that_time_leaves_again_is_published_although_nothing_differs() -> None:
    between = count_of(events_named("viewed"), 10, Operator.EQ, 1)
    index, id_ = PredicateIndex([between]), predicate_id(between)
    before = evaluated(due=15, changed_at=6)
    profile = ProfileState(PROFILE, WORKSPACE, before, view(viewed(5), viewed(6)))
    changes = evaluate_all({PROFILE: DUE_ONLY}, [profile], {WORKSPACE: index}, 1_000)
    [after] = changes.changed
    assert after.passed == (PassedState(frozenset({id_}), 15),)
    assert (after.true_predicates, after.changed_at_us) == (frozenset(), 16)


def test_change_by_an_event_has_the_time_at_which_the_log_recorded_it() -> None:
    scope = EvaluationScope(frozenset({RECENT_ID}), recorded_at_us=6)
    after = evaluate(scope, evaluated(NEVER_ID), view(viewed(5)), INDEX, 9)
    assert (after.changed_at_us, after.by_time) == (6, False)
    assert scope.union(DUE_ONLY).recorded_at_us == 6
    assert scope.union(ALL_PREDICATES).recorded_at_us == 6


def test_change_by_an_event_has_the_own_time_of_the_event_and_one_by_time_has_none() -> None:
    scope = EvaluationScope(frozenset({RECENT_ID}), recorded_at_us=6, occurred_at_us=-4)
    assert evaluate(scope, evaluated(), view(viewed(5)), INDEX, 9).occurred_at_us == -4
    before = evaluated(RECENT_ID, due=15, changed_at=5)
    assert evaluate(DUE_ONLY, before, view(viewed(5)), INDEX, 20).occurred_at_us is None
    assert evaluate(ALL_PREDICATES, evaluated(), view(viewed(5)), INDEX, 9).occurred_at_us is None


def test_change_by_time_has_no_own_time_where_a_late_event_is_folded_beside_it() -> None:
    """An import brings an event of long ago in the transaction in which the profile is due."""
    late = RECENT_ONLY._replace(recorded_at_us=18, occurred_at_us=-400)
    before = evaluated(RECENT_ID, due=15, changed_at=5)
    after = evaluate(late, before, view(viewed(5), viewed(-400)), INDEX, 20)
    assert (after.true_predicates, after.occurred_at_us) == (frozenset(), None)
    whole = ALL_PREDICATES._replace(occurred_at_us=-400)
    before = evaluated(RECENT_ID, NEVER_ID, due=15, changed_at=5)
    assert evaluate(whole, before, view(viewed(5), viewed(-400)), INDEX, 20).occurred_at_us is None
    bought = EventView(TRACK, "bought", -400, bytes(16))
    own = EvaluationScope(frozenset({NEVER_ID}), False, 18, -400)
    assert evaluate(own, before, view(viewed(5), bought), INDEX, 20).occurred_at_us == -400


def test_scopes_together_have_the_greatest_own_time() -> None:
    old, new = (EvaluationScope(frozenset(), occurred_at_us=at) for at in (-4, 5))
    assert old.union(new).occurred_at_us == new.union(old).occurred_at_us == 5
    assert old.union(DUE_ONLY).occurred_at_us == ALL_PREDICATES.union(old).occurred_at_us == -4
    assert DUE_ONLY.union(ALL_PREDICATES).occurred_at_us is None


def test_dues_beyond_the_most_are_evaluated_together() -> None:
    times = range(0, 4 * MAX_PASSED, 2)
    index = PredicateIndex([count_of(events_named("viewed"), 1, Operator.EQ, n) for n in range(2)])
    first = evaluate(ALL_PREDICATES, evaluated(), view(*map(viewed, times)), index, 0)
    after = evaluate(DUE_ONLY, first, view(*map(viewed, times)), index, 8 * MAX_PASSED)
    assert len(after.passed) <= MAX_PASSED
    whole, _ = evaluate_predicates(index.predicates, view(*map(viewed, times)), index, 10**6)
    assert after.true_predicates == whole


def test_evaluation_never_goes_back_in_time() -> None:
    before = evaluated(NEVER_ID, changed_at=20)
    assert evaluate(ALL_PREDICATES, before, view(viewed(5)), INDEX, 7) is before


def test_tombstone_names_the_heir_once_and_has_no_digest_share() -> None:
    before = evaluated(RECENT_ID, due=9, changed_at=3)
    heir = ProfileId(b"q" * 16)
    after = tombstone(before, heir, 8)
    assert after == Evaluation(PROFILE, WORKSPACE, 1, frozenset(), None, 8, heir)
    assert tombstone(after, ProfileId(b"r" * 16), 9) is after
    assert tombstone(before, PROFILE, 8).merged_into == NO_ID
    assert after.digest_share == 0


def test_profile_with_leaves_again_is_evaluated_whole() -> None:
    before = tombstone(evaluated(RECENT_ID, due=9, changed_at=3), None, 8)
    after = evaluate(NOTHING, before, view(viewed(5)), INDEX, 9)
    assert after == evaluated(RECENT_ID, NEVER_ID, due=15, changed_at=9)


def test_digest_changes_by_the_difference_of_the_shares() -> None:
    before = evaluated(RECENT_ID, version=4)
    profile = ProfileState(PROFILE, WORKSPACE, before, view(viewed(5)))
    changes = evaluate_all({PROFILE: ALL_PREDICATES}, [profile], {WORKSPACE: INDEX}, 7)
    after = evaluated(RECENT_ID, NEVER_ID, due=15, changed_at=7, version=4)
    assert list(changes.changed) == [after]
    assert changes.deltas == {WORKSPACE: after.digest_share - before.digest_share}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=15))
def test_incremental_evaluations_equal_one_evaluation_of_all_predicates(
    occurred: list[tuple[int, int]],
) -> None:
    """A worker evaluates the predicates that each event affects, and profiles that are due."""
    state, evaluation, now_us = LeafState(), initial(PROFILE, WORKSPACE), 0
    for at_us, kind in occurred:
        event = (
            viewed(at_us),
            EventView(TRACK, "bought", at_us, bytes(16)),
            EventView(TRACK, "noise", at_us, bytes(16)),
            EventView(IDENTIFY, "", at_us, at_us.to_bytes(16, "big"), traits=HOME),
        )[kind]
        now_us = max(now_us, at_us)
        if evaluation.next_due_us is not None and evaluation.next_due_us <= now_us:
            evaluation = evaluate(DUE_ONLY, evaluation, view_of([state]), INDEX, now_us)
        affected = EvaluationScope(fold_event(state, event, INDEX))
        evaluation = evaluate(affected, evaluation, view_of([state]), INDEX, now_us)
    while evaluation.next_due_us is not None and evaluation.next_due_us <= 60:
        due_us = evaluation.next_due_us
        evaluation = evaluate(DUE_ONLY, evaluation, view_of([state]), INDEX, due_us)
    before = initial(PROFILE, WORKSPACE)
    expected = evaluate(ALL_PREDICATES, before, view_of([state]), INDEX, 60)
    assert evaluation.true_predicates == expected.true_predicates


#: Rules that more events of a name only make true, and one that they may make false.
LASTING = [
    parse_rule({"count": {"event": "viewed", "at_least": 2}}),
    parse_rule({"count": {"event": "viewed", "within": "7d", "at_least": 2}}),
    parse_rule({"last_seen": {"event": ["viewed", "bought"], "within": "5d"}}),
]
EXACTLY_TWO = parse_rule({"count": {"event": "viewed", "eq": 2}})
days = st.integers(0, 12)


@examples(300)
@given(
    st.sets(st.sampled_from(range(3)), min_size=1),
    st.lists(days, max_size=6),
    st.lists(days, min_size=1, max_size=3),
    *(days, days),
)
def test_scope_that_is_unaffected_would_change_nothing(
    rules: set[int], earlier: list[int], later: list[int], at: int, passed: int
) -> None:
    index = PredicateIndex.from_rules([LASTING[n] for n in rules])
    state = LeafState()
    for day in earlier:
        fold_event(state, viewed(day * DAY_US), index)
    before = evaluate(
        ALL_PREDICATES, initial(PROFILE, WORKSPACE), view_of([state]), index, at * DAY_US
    )
    affected = frozenset[int]()
    for day in later:
        affected |= fold_event(state, viewed(day * DAY_US), index)
    scope, at_us = EvaluationScope(affected), (at + passed) * DAY_US
    assert lasting_scopes({PROFILE: scope}, {WORKSPACE: index}) == {PROFILE: scope}
    after = evaluate(scope, before, view_of([state]), index, at_us)
    until_us = max(at_us, state.last_seen_us)
    if is_unaffected(scope, before, until_us):
        assert after is before
    elif affected <= before.true_predicates and before.merged_into is None:
        assert before.next_due_us is not None
        assert before.next_due_us <= until_us


def test_scope_with_a_predicate_that_events_make_false_is_not_lasting() -> None:
    index = PredicateIndex.from_rules([*LASTING, EXACTLY_TWO])
    state = LeafState()
    scope = EvaluationScope(fold_event(state, viewed(0), index))
    assert lasting_scopes({PROFILE: scope}, {WORKSPACE: index}) == {}
    assert lasting_scopes({PROFILE: ALL_PREDICATES}, {WORKSPACE: index}) == {}


def test_scope_of_a_merged_or_a_due_profile_is_affected() -> None:
    before = evaluated(RECENT_ID, due=100)
    assert is_unaffected(RECENT_ONLY, before, 99)
    assert not is_unaffected(RECENT_ONLY, before, 100)
    assert not is_unaffected(RECENT_ONLY, before._replace(merged_into=PROFILE), 99)
    assert not is_unaffected(RECENT_ONLY, evaluated(NEVER_ID), 99)
