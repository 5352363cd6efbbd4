"""Tests how many facts one transaction folds, and which due profiles it evaluates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.erasures import PersonErasure
from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.rules.filters import PropertyFilter
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.profile.domain.facts import AttributedFact, BroadcastFact, RuleDefinition
from services.profile.domain.scheduling import (
    MAX_TIME_GAP_US,
    DueProfile,
    schedule,
    split_at_definitions,
    split_by_work,
)
from tests.rule_builders import count_of, events_named, trait_is

TICK = BroadcastFact("onefold.log.v1.ClockTicked", b"", is_tick=True)
SEGMENT = "onefold.segment.v1.SegmentDefined"
RULE = RuleDefinition(WorkspaceId("w"), SEGMENT, "s", 1, ())
DEFINITION = BroadcastFact(SEGMENT, b"", is_tick=False, rule_definition=RULE)


def fact(offset: int, at_us: int, broadcast: BroadcastFact | None = None) -> AttributedFact:
    leaf, profile = LeafId(bytes(16)), ProfileId(bytes(16))
    return AttributedFact(offset, at_us, WorkspaceId("w"), leaf, profile, None, broadcast)


def profile(number: int) -> ProfileId:
    return ProfileId(number.to_bytes(16, "big"))


def test_facts_without_a_gap_are_folded_together() -> None:
    assert split_at_definitions([fact(0, 5), fact(1, 5, TICK), fact(2, 5 + MAX_TIME_GAP_US)]) == 3


def test_definitions_are_folded_apart_from_other_facts() -> None:
    facts = [fact(0, 1), fact(1, 1, DEFINITION), fact(2, 1, DEFINITION), fact(3, 1)]
    assert split_at_definitions(facts) == 1
    assert split_at_definitions(facts[1:]) == 2
    assert split_at_definitions(facts[3:]) == 1


def test_erasure_of_a_person_is_folded_apart_from_the_old_and_the_new_life() -> None:
    erasure = PersonErasure(WorkspaceId("w"), b"r", *[frozenset[bytes]()] * 3, 1)
    erased = BroadcastFact("e", b"", is_tick=False, erasure=erasure)
    facts = [fact(0, 1), fact(1, 1, TICK), fact(2, 1, erased), fact(3, 1, erased), fact(4, 1)]
    assert split_at_definitions(facts) == 2
    assert split_at_definitions(facts[2:]) == 2
    assert split_at_definitions([facts[2], fact(3, 1, DEFINITION)]) == 1


def test_facts_after_a_long_gap_are_folded_apart() -> None:
    facts = [fact(0, 0), fact(1, 1), fact(2, 2 + MAX_TIME_GAP_US), fact(3, 3 + MAX_TIME_GAP_US)]
    assert split_at_definitions(facts) == 2


def test_few_due_profiles_leave_all_facts_in_the_schedule() -> None:
    due = [DueProfile(5, profile(1)), DueProfile(30, profile(2))]
    scheduled = schedule([fact(0, 10), fact(1, 30)], due, 2)
    assert scheduled == (2, 30, (profile(1), profile(2)), False)


def test_too_many_profiles_due_long_before_the_first_fact_are_evaluated_alone() -> None:
    due = [DueProfile(5, profile(n)) for n in range(4)]
    first_us = 6 + MAX_TIME_GAP_US
    scheduled = schedule([fact(0, first_us), fact(1, 30 + first_us)], due, 3)
    assert scheduled == (0, first_us, tuple(map(profile, range(3))), False)


def test_facts_go_ahead_of_too_many_profiles_that_are_due_just_before() -> None:
    due = [DueProfile(5, profile(n)) for n in range(4)]
    late_us = 6 + MAX_TIME_GAP_US
    facts = [fact(0, 5), fact(1, late_us - 1), fact(2, late_us)]
    assert schedule(facts, due, 3) == (2, late_us - 1, (), True)
    definition = fact(0, 5, DEFINITION)
    assert schedule([definition, *facts], due, 3) == (0, 5, tuple(map(profile, range(3))), False)


def test_too_many_profiles_due_later_cut_the_facts() -> None:
    due = [DueProfile(5, profile(0)), DueProfile(12, profile(1)), DueProfile(20, profile(2))]
    scheduled = schedule([fact(0, 10), fact(1, 12), fact(2, 20)], due, 2)
    assert scheduled == (2, 12, (profile(0), profile(1)), False)


@given(
    st.lists(st.integers(0, 50), min_size=1).map(sorted),
    st.lists(st.integers(0, 60)).map(sorted),
    st.integers(1, 5),
    st.sampled_from([1, MAX_TIME_GAP_US // 20, MAX_TIME_GAP_US]),
)
def test_schedules_end_and_evaluate_every_due_profile(
    times: list[int], due_times: list[int], limit: int, unit_us: int
) -> None:
    facts = [fact(n, at * unit_us) for n, at in enumerate(times)]
    waiting = [DueProfile(at * unit_us, profile(n)) for n, at in enumerate(due_times)]
    last_us = facts[-1].recorded_at_us
    for _ in range(len(facts) + len(due_times) + 1):
        if not facts:
            break
        due = [d for d in waiting if d.due_us <= facts[-1].recorded_at_us][: limit + 1]
        scheduled = schedule(facts, due, limit)
        assert len(scheduled.due) <= limit
        evaluated = set(scheduled.due)
        assert all(d.due_us <= scheduled.at_us for d in waiting if d.profile_id in evaluated)
        waiting = [d for d in waiting if d.profile_id not in evaluated]
        if scheduled.take and not scheduled.is_behind:
            assert all(d.due_us > scheduled.at_us for d in waiting)
        assert not scheduled.is_behind or scheduled.at_us <= due[0].due_us + MAX_TIME_GAP_US
        facts = facts[scheduled.take :]
        if scheduled.is_behind:  # a step of the job
            waiting = waiting[limit:]
    assert facts == []
    # The job evaluates those that the last transaction has left.
    assert scheduled.is_behind or all(d.due_us > last_us for d in waiting)


HEAVY, LIGHT = WorkspaceId("heavy"), WorkspaceId("light")


def counts(number: int, filters: int = 1) -> list[Predicate]:
    return [
        count_of(
            events_named(
                "viewed", tuple(PropertyFilter(f"p{f}", Operator.EQ, n) for f in range(filters))
            ),
            0,
            Operator.GE,
            1,
        )
        for n in range(number)
    ]


def event(offset: int, workspace: WorkspaceId, leaf: int, name: str = "viewed") -> AttributedFact:
    id_ = LeafId(leaf.to_bytes(16, "big"))
    view = EventView(TRACK if name else IDENTIFY, name, offset, bytes(16))
    return AttributedFact(offset, offset, workspace, id_, ProfileId(id_), view, None)


def test_facts_of_few_predicates_are_folded_together() -> None:
    indexes = {LIGHT: PredicateIndex(counts(10))}
    facts = [event(n, LIGHT, n) for n in range(2_000)]
    assert split_by_work(facts, indexes) == 2_000
    assert split_by_work(facts, {}) == 2_000


def test_facts_of_many_predicates_are_folded_in_parts() -> None:
    """An event concerns 100 accumulators, filters and predicates each, a leaf 100 predicates."""
    indexes = {HEAVY: PredicateIndex(counts(100))}
    assert split_by_work([event(n, HEAVY, n) for n in range(2_000)], indexes, most=10_000) == 25
    assert split_by_work([event(n, HEAVY, 1) for n in range(2_000)], indexes, most=10_000) == 33


def test_facts_of_other_workspaces_and_names_are_no_work() -> None:
    indexes = {HEAVY: PredicateIndex(counts(100)), LIGHT: PredicateIndex()}
    light = [event(n, LIGHT, n) for n in range(500)]
    unnamed = [event(n, HEAVY, 1, "other") for n in range(500, 1_000)]
    facts = [*light, *unnamed, event(1_000, HEAVY, 1), event(1_001, HEAVY, 1)]
    assert split_by_work(facts, indexes, most=450) == 1_001


def test_filters_and_predicates_over_traits_are_work() -> None:
    filtered = {HEAVY: PredicateIndex(counts(10, filters=50))}
    assert filtered[HEAVY].work_of(event(0, HEAVY, 1).event) == 10 * 52  # type: ignore[arg-type]
    traits = {HEAVY: PredicateIndex(trait_is("city", Operator.EQ, n) for n in range(100))}
    facts = [event(n, HEAVY, 1, "") for n in range(50)]
    assert split_by_work(facts, traits, most=1_000) == 9


def test_one_fact_is_always_folded() -> None:
    indexes = {HEAVY: PredicateIndex(counts(100))}
    assert split_by_work([event(0, HEAVY, 1), event(1, HEAVY, 1)], indexes, most=1) == 1
