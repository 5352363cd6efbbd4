from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.profile.domain.facts import Entry, Notice
from services.profile.domain.scheduling import LEAP_US, Due, cut, plan

TICK = Notice("onefold.log.v1.ClockTicked", b"", is_tick=True)
DEFINITION = Notice("onefold.segment.v1.SegmentDefined", b"", is_tick=False, asks=())


def entry(offset: int, at_us: int, notice: Notice | None = None) -> Entry:
    leaf, profile = LeafId(bytes(16)), ProfileId(bytes(16))
    return Entry(offset, at_us, WorkspaceId("w"), leaf, profile, None, notice)


def profile(number: int) -> ProfileId:
    return ProfileId(number.to_bytes(16, "big"))


def test_what_comes_without_a_break_is_folded_together() -> None:
    assert cut([entry(0, 5), entry(1, 5, TICK), entry(2, 5 + LEAP_US)]) == 3


def test_definitions_are_taken_in_by_themselves() -> None:
    facts = [entry(0, 1), entry(1, 1, DEFINITION), entry(2, 1, DEFINITION), entry(3, 1)]
    assert cut(facts) == 1
    assert cut(facts[1:]) == 2
    assert cut(facts[3:]) == 1


def test_a_long_silence_ends_what_is_folded_together() -> None:
    assert cut([entry(0, 0), entry(1, 1), entry(2, 2 + LEAP_US), entry(3, 3 + LEAP_US)]) == 2


def test_few_dues_leave_nothing_out() -> None:
    planned = plan([entry(0, 10), entry(1, 30)], [Due(5, profile(1)), Due(30, profile(2))], 2)
    assert planned == (2, 30, (profile(1), profile(2)))


def test_too_many_dues_before_the_first_fact_come_alone() -> None:
    dues = [Due(5, profile(n)) for n in range(4)]
    assert plan([entry(0, 10), entry(1, 30)], dues, 3) == (0, 10, tuple(map(profile, range(3))))


def test_too_many_dues_later_on_cut_what_is_taken_in() -> None:
    dues = [Due(5, profile(0)), Due(12, profile(1)), Due(20, profile(2))]
    planned = plan([entry(0, 10), entry(1, 12), entry(2, 20)], dues, 2)
    assert planned == (2, 12, (profile(0), profile(1)))


@given(
    st.lists(st.integers(0, 50), min_size=1).map(sorted),
    st.lists(st.integers(0, 60)).map(sorted),
    st.integers(1, 5),
)
def test_steps_come_to_an_end_and_leave_nobody_out(
    times: list[int], dues: list[int], limit: int
) -> None:
    entries = [entry(n, at) for n, at in enumerate(times)]
    waiting = [Due(at, profile(n)) for n, at in enumerate(dues)]
    for _ in range(len(entries) + len(dues) + 1):
        if not entries:
            break
        due = [d for d in waiting if d.due_us <= entries[-1].recorded_at_us][: limit + 1]
        planned = plan(entries, due, limit)
        assert len(planned.due) <= limit
        looked_at = set(planned.due)
        assert all(d.due_us <= planned.at_us for d in waiting if d.profile_id in looked_at)
        waiting = [d for d in waiting if d.profile_id not in looked_at]
        if planned.take:
            assert all(d.due_us > planned.at_us for d in waiting)
        entries = entries[planned.take :]
    assert entries == []
    assert all(d.due_us > times[-1] for d in waiting)
