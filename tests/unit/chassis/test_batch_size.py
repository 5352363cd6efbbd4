"""Tests that transactions shrink where they take too much CPU time, and grow again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.messaging.stream import StreamMessage
from services.chassis.projection.batch_size import (
    FIRST_LIMIT,
    LARGE_MESSAGE,
    MAX_CPU_S,
    MAX_GATHERING_S,
    UNLIMITED,
    BatchSize,
    gathering_s,
)


def message(first: int, end: int) -> StreamMessage:
    return StreamMessage(first, end, b"")


def test_costly_transaction_makes_the_next_one_smaller_in_proportion() -> None:
    assert BatchSize(2_000).after(2_000, 20.0) == BatchSize(int(2_000 * MAX_CPU_S / 20.0))


def test_cheap_transactions_make_the_next_ones_larger() -> None:
    size = BatchSize()
    for _ in range(40):
        size = size.after(size.limit, 0.01)
    assert size == BatchSize(UNLIMITED)


def test_transaction_near_the_bound_keeps_the_size() -> None:
    assert BatchSize(300).after(300, MAX_CPU_S * 0.9) == BatchSize(300)


def test_transaction_without_facts_keeps_the_size() -> None:
    assert BatchSize(300).after(0, 10.0) == BatchSize(300)


@given(st.integers(1, 5_000), st.floats(0, 1e6))
def test_one_number_is_always_taken(folded: int, cpu_s: float) -> None:
    size = BatchSize().after(folded, cpu_s)
    assert 1 <= size.limit <= UNLIMITED
    assert size.take([message(7, 900), message(900, 901)], 7)


def test_steady_cost_leads_to_transactions_within_the_bound() -> None:
    """A fact costs 10 ms: from any size the bound is reached in one step."""
    size = BatchSize(UNLIMITED).after(2_000, 20.0)
    for _ in range(20):
        assert size.limit * 0.010 <= MAX_CPU_S
        size = size.after(size.limit, size.limit * 0.010)


def test_messages_that_fit_are_taken() -> None:
    messages = [message(5, 10), message(10, 20), message(20, 21)]
    assert BatchSize(15).take(messages, 5) == tuple(messages[:2])
    assert BatchSize(16).take(messages, 5) == tuple(messages)
    assert BatchSize(1).take(messages, 5) == tuple(messages[:1])
    # The first one began before: a part of it was folded already.
    assert BatchSize(2).take(messages, 8) == tuple(messages[:1])
    assert FIRST_LIMIT < UNLIMITED


def test_messages_gather_for_the_time_of_the_last_batch_and_longer_under_load() -> None:
    assert gathering_s(1, 300, 0.01) == 0.01
    assert gathering_s(200, 200 * 300, 0.01) == 0.02
    assert gathering_s(2_000, 2_000 * 300, 5.0) == MAX_GATHERING_S


def test_messages_of_many_changes_each_do_not_gather() -> None:
    """A single change behind those of a backfill would wait."""
    assert gathering_s(2, 2 * LARGE_MESSAGE - 1, 0.1) == 0.1
    assert gathering_s(2, 2 * LARGE_MESSAGE, 0.1) == 0.0
