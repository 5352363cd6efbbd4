"""Accumulators are independent of order, exact up to their limit and bounded beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.fold import accumulators as module
from services.kernel.fold.accumulators import (
    EXACT_LIMIT,
    CountAccumulator,
    DistinctAccumulator,
    distinct_key,
)

DAY = 86_400_000_000
#: A few days, with ties.
instants = st.integers(-8, 32).map(lambda quarter: quarter * DAY // 4)
many = st.lists(instants, max_size=14)
values = st.sampled_from("abcdefgh")


@contextmanager
def exact_limit(number: int) -> Iterator[None]:
    with patch.object(module, "EXACT_LIMIT", number):
        yield


def counted(times: list[int]) -> CountAccumulator:
    accumulator = CountAccumulator()
    for occurred_at_us in times:
        accumulator.add(occurred_at_us)
    return accumulator


def seen(pairs: list[tuple[str, int]]) -> DistinctAccumulator:
    accumulator = DistinctAccumulator()
    for key, occurred_at_us in pairs:
        accumulator.add(key, occurred_at_us)
    return accumulator


@examples(100)
@given(many, st.randoms(use_true_random=False), st.integers(1, 15))
def test_count_in_any_order_and_grouping_is_equal(
    times: list[int], random: object, limit: int
) -> None:
    shuffled = list(times)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cut = len(times) // 2
    with exact_limit(limit):
        whole = counted(times)
        assert counted(shuffled) == whole
        assert counted(shuffled[:cut]).combine(counted(shuffled[cut:])) == whole
        assert counted(shuffled[cut:]).combine(counted(shuffled[:cut])) == whole
        assert list(whole.days) == sorted(whole.days)
        assert whole.total() == len(times)


@examples(100)
@given(many, many, many)
def test_combining_counts_is_associative(a: list[int], b: list[int], c: list[int]) -> None:
    with exact_limit(4):
        x, y, z = counted(a), counted(b), counted(c)
        assert x.combine(y).combine(z) == x.combine(y.combine(z)) == counted(a + b + c)
        assert x.combine(y, z) == z.combine(x, y) == counted(a + b + c)
        assert x == counted(a)


@examples(200)
@given(many, instants, st.integers(-1, 1), st.integers(1, 15))
def test_count_in_a_window_is_exact_or_at_most_a_day_late(
    times: list[int], start: int, shift: int, limit: int
) -> None:
    start_us = start + shift
    with exact_limit(limit):
        accumulator = counted(times)
        count = accumulator.count_after(start_us)
    true = sum(time > start_us for time in times)
    if len(times) <= limit or start_us >= sorted(times)[-limit]:
        assert count == true
    assert true <= count <= sum(time > start_us - DAY for time in times)


@examples(100)
@given(many, st.integers(1, 15))
def test_nth_most_recent_is_where_the_count_changes(times: list[int], limit: int) -> None:
    with exact_limit(limit):
        accumulator = counted(times)
        for n in range(1, len(times) + 1):
            nth_us = accumulator.nth_most_recent(n)
            assert accumulator.count_after(nth_us) < n <= accumulator.count_after(nth_us - 1)
            true = sorted(times)[-n]
            assert nth_us == true if n <= limit else true <= nth_us < true + DAY
        with pytest.raises(IndexError):
            accumulator.nth_most_recent(len(times) + 1)


def test_events_beyond_the_limit_are_counted_by_day() -> None:
    accumulator = counted([5] * 3 + [DAY + i for i in range(EXACT_LIMIT)] + [7])
    assert len(accumulator.times) == 8 * EXACT_LIMIT
    assert accumulator.days == {0: 4}
    assert accumulator.total() == EXACT_LIMIT + 4
    assert accumulator.count_after(DAY) == EXACT_LIMIT - 1
    assert accumulator.count_after(DAY - 1) == EXACT_LIMIT
    assert accumulator.count_after(DAY - 2) == EXACT_LIMIT + 4
    assert accumulator.nth_most_recent(EXACT_LIMIT) == DAY
    assert accumulator.nth_most_recent(EXACT_LIMIT + 4) == DAY - 1


def test_combining_changes_neither_operand() -> None:
    a, b = counted([1, 2]), counted([3])
    a.combine(b).add(9)
    assert (a, b) == (counted([1, 2]), counted([3]))
    x, y = seen([("a", 1)]), seen([("b", 2)])
    x.combine(y).add("c", 9)
    assert (x, y) == (seen([("a", 1)]), seen([("b", 2)]))


pairs = st.lists(st.tuples(values, st.integers(0, 9)), max_size=14)


@examples(100)
@given(pairs, st.randoms(use_true_random=False), st.integers(1, 9))
def test_distinct_values_in_any_order_and_grouping_are_equal(
    events: list[tuple[str, int]], random: object, limit: int
) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cut = len(events) // 2
    with exact_limit(limit):
        whole = seen(events)
        assert seen(shuffled) == whole
        assert seen(shuffled[:cut]).combine(seen(shuffled[cut:])) == whole
        parts = [seen(shuffled[start : start + 7]) for start in range(0, len(shuffled), 7)]
        assert seen([]).combine(*parts) == whole
        assert seen(shuffled[cut:]).combine(seen(shuffled[:cut])) == whole
    assert list(whole.values) == sorted(whole.values)
    assert whole.overflowed is (len({key for key, _ in events}) > limit)


@examples(100)
@given(pairs, st.integers(-1, 9), st.integers(1, 9))
def test_distinct_values_in_a_window_are_counted_up_to_the_limit(
    events: list[tuple[str, int]], start_us: int, limit: int
) -> None:
    with exact_limit(limit):
        accumulator = seen(events)
    true = len({key for key, seen_us in events if seen_us > start_us})
    assert accumulator.count_after(start_us) == min(true, limit)
    for n in range(1, accumulator.total() + 1):
        nth_us = accumulator.nth_most_recent(n)
        assert accumulator.count_after(nth_us) < n <= accumulator.count_after(nth_us - 1)


def test_distinct_key_is_equal_for_equal_scalars_only() -> None:
    assert distinct_key("c1") == "sc1"
    assert distinct_key(1.0) == distinct_key(1) == "n1"
    assert distinct_key(True) == "true"
    assert distinct_key(None) is distinct_key([1]) is distinct_key({}) is None
    long = distinct_key("京" * 1000)
    assert long is not None
    assert (len(long), long[0]) == (33, "h")
    assert long != distinct_key("京" * 1001)


def test_values_of_one_instant_beyond_the_limit_drop_the_smaller_ones() -> None:
    with exact_limit(2):
        assert list(seen([("ab", 1), ("ba", 1), ("c", 2)]).values) == ["ba", "c"]
