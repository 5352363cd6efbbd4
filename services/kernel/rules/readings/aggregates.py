"""Evaluates aggregates, trends and most frequent values over the records of a profile."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from services.kernel.rules.features import Aggregate, Function, TopValues, Trend, TrendMeasure
from services.kernel.rules.ids import accumulator_id
from services.kernel.rules.inputs import (
    AccumulatorKind,
    AccumulatorSpec,
    aggregate_input,
    records_of,
)
from services.kernel.rules.readings.amounts import MICRO, from_micro_units
from services.kernel.rules.readings.ranges import Range, before, range_of, turns_of, turns_of_both
from services.kernel.rules.readings.views import ProfileFacts, RecordGroup, RecordsView
from services.kernel.rules.values import Json, canonical_json, scalar_key
from services.kernel.rules.windows import Calendar, Rolling

#: Returns the value of a feature at an instant; the profile's state is fixed.
ValueFn: TypeAlias = Callable[[int], Json]


class Reading(NamedTuple):
    """A feature of one profile as a function of time."""

    value_at: ValueFn
    #: The later instants at which time alone may change the value, ascending.
    turns: Iterator[int]


#: Reads a feature of a profile from an instant on.
FeatureFn: TypeAlias = Callable[[ProfileFacts, int], Reading]
#: Returns the value over the records of a range.
RangeValueFn: TypeAlias = Callable[[Range], Json]

_NEVER: tuple[int, ...] = ()


def read_aggregate(aggregate: Aggregate) -> FeatureFn:
    """Return how an aggregate is read."""
    spec = aggregate_input(aggregate)
    id_, range_at, turns = (
        accumulator_id(spec),
        range_of(aggregate.window),
        turns_of(aggregate.window),
    )
    empty = _empty_value(aggregate.function)

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        accumulator = profile.accumulator(id_)
        if accumulator is None:
            return Reading(lambda at_us: empty, iter(_NEVER))
        value_of = _range_value(aggregate.function, spec, accumulator)
        later = turns(_times(spec, accumulator), as_of_us) if turns else iter(_NEVER)
        return Reading(lambda at_us: value_of(range_at(profile, at_us)), later)

    return read


def read_trend(trend: Trend) -> FeatureFn:
    """Return how a trend is read."""
    aggregate, is_ratio = trend.aggregate, trend.measure is TrendMeasure.RATIO
    spec, window = aggregate_input(aggregate, all_times=True), aggregate.window
    assert isinstance(window, Rolling | Calendar)  # noqa: S101 - the model has checked it
    id_, now, earlier = accumulator_id(spec), range_of(window), before(window)
    turns, empty = turns_of_both(window), _empty_value(aggregate.function)

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        accumulator = profile.accumulator(id_)
        if accumulator is None:
            value = _compared(empty, empty, is_ratio=is_ratio)
            return Reading(lambda at_us: value, iter(_NEVER))
        value_of = _range_value(aggregate.function, spec, accumulator)

        def value_at(at_us: int) -> Json:
            left, right = value_of(now(profile, at_us)), value_of(earlier(profile, at_us))
            return _compared(left, right, is_ratio=is_ratio)

        return Reading(value_at, turns(_times(spec, accumulator), as_of_us))

    return read


def read_top(top: TopValues) -> FeatureFn:
    """Return how the most frequent values are read: a list, the most frequent first."""
    id_ = accumulator_id(records_of(top.events, top.property))
    range_at, turns, limit = range_of(top.window), turns_of(top.window), top.limit

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        records: RecordsView | None = profile.accumulator(id_)
        if records is None:
            return Reading(lambda at_us: None, iter(_NEVER))
        known = records
        later = turns(known.times, as_of_us) if turns else iter(_NEVER)
        return Reading(lambda at_us: _top(known, range_at(profile, at_us), limit), later)

    return read


def indexes_of(times: Sequence[int], range_: Range) -> tuple[int, int]:
    """Return the indexes low <= i < high of ascending instants in a range."""
    return bisect_left(times, range_.start_us), bisect_left(times, range_.end_us)


def _empty_value(function: Function) -> Json:
    return 0 if function in (Function.COUNT, Function.DISTINCT, Function.SUM) else None


def _compared(now: Json, earlier: Json, *, is_ratio: bool) -> Json:
    if now is None or earlier is None:
        return None
    if is_ratio:
        return now / earlier if earlier else None
    return now - earlier


def _times(spec: AccumulatorSpec, accumulator: Any) -> Sequence[int]:
    """Return the instants of an accumulator, as windows count them."""
    if spec.kind is AccumulatorKind.COUNT:
        return accumulator.totals()[0]
    if spec.kind is AccumulatorKind.DISTINCT:
        return list(accumulator.values.values())
    return [cell.at_us for cell in accumulator.cells()]


def _range_value(function: Function, spec: AccumulatorSpec, accumulator: Any) -> RangeValueFn:
    """Return a function of the records of one accumulator in a range."""
    if spec.kind is AccumulatorKind.COUNT:
        return _number(*accumulator.totals())
    if spec.kind is AccumulatorKind.DISTINCT:
        newest = sorted(accumulator.values.values())
        return _number(newest, range(len(newest) + 1))
    records: RecordsView = accumulator
    match function:
        case Function.FIRST:
            return lambda r: _first(records, r)
        case Function.LAST:
            return lambda r: _last(records, r)
        case Function.DISTINCT:
            return lambda r: _distinct(records, r)
        case _:
            return _measured(function, records)


def _number(times: Sequence[int], totals: Sequence[int]) -> RangeValueFn:
    """Return the number of events or values in a range: summed once for all ranges."""

    def number(range_: Range) -> int:
        low, high = indexes_of(times, range_)
        return totals[high] - totals[low]

    return number


def _first(records: RecordsView, range_: Range) -> Json:
    at_us, value = records.earliest()
    if range_.start_us <= at_us < range_.end_us:
        return value
    low, high = indexes_of(records.times, range_)
    return records.values[low] if low < high else None


def _last(records: RecordsView, range_: Range) -> Json:
    low, high = indexes_of(records.times, range_)
    return records.values[high - 1] if low < high else None


def _distinct(records: RecordsView, range_: Range) -> int:
    low, high = indexes_of(records.times, range_)
    return len(set(map(scalar_key, records.values[low:high])))


def _measured(function: Function, records: RecordsView) -> RangeValueFn:
    """Return sum, average, minimum or maximum of the numbers in a range."""
    cells = [cell for cell in records.cells() if cell.numbers]
    times = [cell.at_us for cell in cells]
    if function is Function.MIN or function is Function.MAX:
        return lambda r: _extreme(function, cells, indexes_of(times, r))
    sums, numbers = _prefixes(cells)

    def value(range_: Range) -> Json:
        low, high = indexes_of(times, range_)
        sum_, count = sums[high] - sums[low], numbers[high] - numbers[low]
        if function is Function.SUM:
            return from_micro_units(sum_)
        return sum_ / (MICRO * count) if count else None

    return value


def _prefixes(cells: Sequence[RecordGroup]) -> tuple[list[int], list[int]]:
    """Return the sums in micro-units, and the numbers, of the first n cells for each n."""
    sums, numbers = [0], [0]
    for cell in cells:
        sums.append(sums[-1] + cell.sum)
        numbers.append(numbers[-1] + cell.numbers)
    return sums, numbers


def _extreme(function: Function, cells: Sequence[RecordGroup], indexes: tuple[int, int]) -> Json:
    within = cells[slice(*indexes)]
    if not within:
        return None
    if function is Function.MIN:
        return min(cell.least for cell in within)
    return max(cell.greatest for cell in within)


def _top(records: RecordsView, range_: Range, limit: int) -> list[Json] | None:
    low, high = indexes_of(records.times, range_)
    counts: dict[str | None, list[Json]] = {}
    for at_us, value in zip(records.times[low:high], records.values[low:high], strict=True):
        entry = counts.setdefault(scalar_key(value), [0, at_us, value])
        entry[0], entry[1] = entry[0] + 1, at_us
    if not counts:
        return None
    ordered = sorted(
        counts.values(), key=lambda entry: (-entry[0], -entry[1], canonical_json(entry[2]))
    )
    return [value for *_, value in ordered[:limit]]
