"""Series keep what they say they keep, whatever the order, and beyond KEPT within the bound."""

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
def keeping(number: int) -> Iterator[None]:
    with patch.object(module, "EXACT_LIMIT", number):
        yield


def counted(times: list[int]) -> CountAccumulator:
    series = CountAccumulator()
    for at_us in times:
        series.add(at_us)
    return series


def seen(pairs: list[tuple[str, int]]) -> DistinctAccumulator:
    series = DistinctAccumulator()
    for key, at_us in pairs:
        series.add(key, at_us)
    return series


@examples(100)
@given(many, st.randoms(use_true_random=False), st.integers(1, 15))
def test_counts_do_not_depend_on_order_or_grouping(
    times: list[int], random: object, kept: int
) -> None:
    shuffled = list(times)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cut = len(times) // 2
    with keeping(kept):
        whole = counted(times)
        assert counted(shuffled) == whole
        assert counted(shuffled[:cut]).combine(counted(shuffled[cut:])) == whole
        assert counted(shuffled[cut:]).combine(counted(shuffled[:cut])) == whole
        assert list(whole.days) == sorted(whole.days)
        assert whole.total() == len(times)


@examples(100)
@given(many, many, many)
def test_joining_is_associative(a: list[int], b: list[int], c: list[int]) -> None:
    with keeping(4):
        x, y, z = counted(a), counted(b), counted(c)
        assert x.combine(y).combine(z) == x.combine(y.combine(z)) == counted(a + b + c)
        assert x == counted(a)


@examples(200)
@given(many, instants, st.integers(-1, 1), st.integers(1, 15))
def test_a_window_is_exact_or_at_most_a_day_long(
    times: list[int], edge: int, nudge: int, kept: int
) -> None:
    edge_us = edge + nudge
    with keeping(kept):
        series = counted(times)
        told = series.count_after(edge_us)
    true = sum(at_us > edge_us for at_us in times)
    if len(times) <= kept or edge_us >= sorted(times)[-kept]:
        assert told == true
    assert true <= told <= sum(at_us > edge_us - DAY for at_us in times)


@examples(100)
@given(many, st.integers(1, 15))
def test_the_nth_newest_is_where_the_count_changes(times: list[int], kept: int) -> None:
    with keeping(kept):
        series = counted(times)
        for n in range(1, len(times) + 1):
            at_us = series.nth_most_recent(n)
            assert series.count_after(at_us) < n <= series.count_after(at_us - 1)
            true = sorted(times)[-n]
            assert at_us == true if n <= kept else true <= at_us < true + DAY
        with pytest.raises(IndexError):
            series.nth_most_recent(len(times) + 1)


def test_a_thousand_are_exact_and_the_rest_is_counted_by_day() -> None:
    series = counted([5] * 3 + [DAY + i for i in range(EXACT_LIMIT)] + [7])
    assert len(series.times) == 8 * EXACT_LIMIT
    assert series.days == {0: 4}
    assert series.total() == EXACT_LIMIT + 4
    assert series.count_after(DAY) == EXACT_LIMIT - 1
    assert series.count_after(DAY - 1) == EXACT_LIMIT
    assert series.count_after(DAY - 2) == EXACT_LIMIT + 4
    assert series.nth_most_recent(EXACT_LIMIT) == DAY
    assert series.nth_most_recent(EXACT_LIMIT + 4) == DAY - 1


def test_a_join_leaves_both_sides_alone() -> None:
    a, b = counted([1, 2]), counted([3])
    a.combine(b).add(9)
    assert (a, b) == (counted([1, 2]), counted([3]))
    x, y = seen([("a", 1)]), seen([("b", 2)])
    x.combine(y).add("c", 9)
    assert (x, y) == (seen([("a", 1)]), seen([("b", 2)]))


pairs = st.lists(st.tuples(values, st.integers(0, 9)), max_size=14)


@examples(100)
@given(pairs, st.randoms(use_true_random=False), st.integers(1, 9))
def test_values_do_not_depend_on_order_or_grouping(
    events: list[tuple[str, int]], random: object, kept: int
) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cut = len(events) // 2
    with keeping(kept):
        whole = seen(events)
        assert seen(shuffled) == whole
        assert seen(shuffled[:cut]).combine(seen(shuffled[cut:])) == whole
        assert seen(shuffled[cut:]).combine(seen(shuffled[:cut])) == whole
    assert list(whole.values) == sorted(whole.values)
    assert whole.overflowed is (len({key for key, _ in events}) > kept)


@examples(100)
@given(pairs, st.integers(-1, 9), st.integers(1, 9))
def test_distinct_values_in_a_window(
    events: list[tuple[str, int]], edge_us: int, kept: int
) -> None:
    with keeping(kept):
        series = seen(events)
    true = len({key for key, at_us in events if at_us > edge_us})
    assert series.count_after(edge_us) == min(true, kept)
    for n in range(1, series.total() + 1):
        at_us = series.nth_most_recent(n)
        assert series.count_after(at_us) < n <= series.count_after(at_us - 1)


def test_keys_of_values() -> None:
    assert distinct_key("c1") == "sc1"
    assert distinct_key(1.0) == distinct_key(1) == "n1"
    assert distinct_key(True) == "true"
    assert distinct_key(None) is distinct_key([1]) is distinct_key({}) is None
    long = distinct_key("京" * 1000)
    assert long is not None
    assert (len(long), long[0]) == (33, "h")
    assert long != distinct_key("京" * 1001)


def test_of_values_seen_at_once_the_greater_ones_are_kept() -> None:
    with keeping(2):
        assert list(seen([("ab", 1), ("ba", 1), ("c", 2)]).values) == ["ba", "c"]
