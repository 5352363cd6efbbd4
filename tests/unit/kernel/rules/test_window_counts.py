"""Tests how events in windows are counted where most of them are only known by their day."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from random import Random

import pytest

from services.kernel.fold.accumulators import EXACT_LIMIT, CountAccumulator
from services.kernel.fold.leaf import LeafState, view_of
from services.kernel.rules.evaluate import compile_predicate
from services.kernel.rules.features import Aggregate, Function, Trend, TrendMeasure
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import Rolling
from services.kernel.time import DAY_US

NOW_US = 20_000 * DAY_US
VIEWS = EventFilter.of("viewed")


def accumulated(events: int, seed: int = 1) -> CountAccumulator:
    """Return events of the last two years."""
    random, times = Random(seed), CountAccumulator()
    for _ in range(events):
        times.add(NOW_US - random.randrange(730 * DAY_US))
    return times


@pytest.mark.parametrize("events", [0, 1, EXACT_LIMIT, EXACT_LIMIT + 1, 3 * EXACT_LIMIT])
def test_totals_are_the_numbers_of_events_before_each_time(events: int) -> None:
    accumulator = accumulated(events)
    times, totals = accumulator.totals()
    assert len(totals) == len(times) + 1
    assert totals[-1] == accumulator.total() == events
    assert list(times) == sorted(times)
    for start_us in (*times, NOW_US - 9 * DAY_US):
        index = bisect_left(times, start_us)
        assert totals[-1] - totals[index] == accumulator.count_after(start_us - 1)


def test_trend_over_many_older_days_reads_them_once_and_not_for_each_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trend = Trend(Aggregate(Function.COUNT, VIEWS, "", Rolling(60 * DAY_US)), TrendMeasure.RATIO)
    predicate = compile_predicate(Predicate(trend, Operator.GE, 1_000))
    [accumulator_id] = predicate.accumulator_ids
    state = LeafState(accumulators={accumulator_id: accumulated(3 * EXACT_LIMIT)})
    calls, older = [0], CountAccumulator._older

    def counting(self: CountAccumulator) -> Iterator[tuple[int, int]]:
        calls[0] += 1
        return older(self)

    monkeypatch.setattr(CountAccumulator, "_older", counting)
    result = predicate.evaluate(view_of([state]), NOW_US)
    assert (result.holds, result.next_due_us) == (False, None)
    assert calls[0] <= 2
