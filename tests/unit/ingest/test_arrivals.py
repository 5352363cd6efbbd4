"""Events that arrive together are placed in their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.arrivals import ArrivalClock, StatementOrder, waited_arrivals
from services.kernel.time import HOUR_US, SECOND_US

NOW = 1_795_000_000_000_000


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 1_000)), max_size=20))
def test_later_event_arrives_later_also_in_another_batch(batches: list[tuple[int, int]]) -> None:
    clock, now_us = ArrivalClock(), NOW
    instants: list[int] = []
    for pause_us, count in batches:
        now_us += pause_us
        instants += clock.take(now_us, count)
    assert instants == sorted(set(instants))
    assert all(instant >= NOW for instant in instants)


def test_clock_that_goes_back_is_followed() -> None:
    clock = ArrivalClock()
    assert clock.take(NOW, 3) == range(NOW, NOW + 3)
    assert clock.take(NOW - 1, 1) == range(NOW + 3, NOW + 4)
    assert clock.take(NOW - HOUR_US, 1) == range(NOW - HOUR_US, NOW - HOUR_US + 1)


@given(st.lists(st.tuples(st.integers(-SECOND_US, HOUR_US), st.integers(1, 50)), max_size=20))
def test_event_of_a_message_that_waited_arrives_at_its_receipt(
    messages: list[tuple[int, int]],
) -> None:
    messages.sort(reverse=True)
    instants = waited_arrivals(NOW, messages)
    assert len(instants) == sum(count for _, count in messages)
    assert instants == sorted(set(instants))
    if messages:
        assert instants[0] == NOW - max(messages[0][0], 0)


def test_statements_of_one_instant_keep_their_order() -> None:
    order = StatementOrder()
    assert [order.place(at) for at in (5, 9_000, 5, 5)] == [5, 9_000, 6, 7]
