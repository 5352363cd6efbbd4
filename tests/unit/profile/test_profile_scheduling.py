"""Tests how many facts one transaction folds, and which due profiles it evaluates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.profile.domain.facts import AttributedFact, BroadcastFact
from services.profile.domain.scheduling import (
    MAX_TIME_GAP_US,
    DueProfile,
    schedule,
    split_at_definitions,
)

TICK = BroadcastFact("onefold.log.v1.ClockTicked", b"", is_tick=True)
DEFINITION = BroadcastFact("onefold.segment.v1.SegmentDefined", b"", is_tick=False, predicates=())


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


def test_facts_after_a_long_gap_are_folded_apart() -> None:
    facts = [fact(0, 0), fact(1, 1), fact(2, 2 + MAX_TIME_GAP_US), fact(3, 3 + MAX_TIME_GAP_US)]
    assert split_at_definitions(facts) == 2


def test_few_due_profiles_leave_all_facts_in_the_schedule() -> None:
    due = [DueProfile(5, profile(1)), DueProfile(30, profile(2))]
    scheduled = schedule([fact(0, 10), fact(1, 30)], due, 2)
    assert scheduled == (2, 30, (profile(1), profile(2)))


def test_too_many_profiles_due_before_the_first_fact_are_evaluated_alone() -> None:
    due = [DueProfile(5, profile(n)) for n in range(4)]
    scheduled = schedule([fact(0, 10), fact(1, 30)], due, 3)
    assert scheduled == (0, 10, tuple(map(profile, range(3))))


def test_too_many_profiles_due_later_cut_the_facts() -> None:
    due = [DueProfile(5, profile(0)), DueProfile(12, profile(1)), DueProfile(20, profile(2))]
    scheduled = schedule([fact(0, 10), fact(1, 12), fact(2, 20)], due, 2)
    assert scheduled == (2, 12, (profile(0), profile(1)))


@given(
    st.lists(st.integers(0, 50), min_size=1).map(sorted),
    st.lists(st.integers(0, 60)).map(sorted),
    st.integers(1, 5),
)
def test_schedules_end_and_evaluate_every_due_profile(
    times: list[int], due_times: list[int], limit: int
) -> None:
    facts = [fact(n, at) for n, at in enumerate(times)]
    waiting = [DueProfile(at, profile(n)) for n, at in enumerate(due_times)]
    for _ in range(len(facts) + len(due_times) + 1):
        if not facts:
            break
        due = [d for d in waiting if d.due_us <= facts[-1].recorded_at_us][: limit + 1]
        scheduled = schedule(facts, due, limit)
        assert len(scheduled.due) <= limit
        evaluated = set(scheduled.due)
        assert all(d.due_us <= scheduled.at_us for d in waiting if d.profile_id in evaluated)
        waiting = [d for d in waiting if d.profile_id not in evaluated]
        if scheduled.take:
            assert all(d.due_us > scheduled.at_us for d in waiting)
        facts = facts[scheduled.take :]
    assert facts == []
    assert all(d.due_us > times[-1] for d in waiting)
