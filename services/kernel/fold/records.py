"""Accumulates events with a value: of one property, or the parts of an order statement.

It is a commutative monoid like the accumulators of times: in any order and grouping of `add` and
`combine`, the same multiset of records gives the same fields, and so the same bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from services.kernel.fold.accumulators import EXACT_LIMIT
from services.kernel.rules.readings.amounts import micro_units
from services.kernel.rules.readings.views import RecordGroup, RecordValue
from services.kernel.rules.values import Json, canonical_json, number
from services.kernel.time import DAY_US

#: Longer texts are recorded by their beginning and a hash.
MAX_TEXT: Final = 256


class DayTotals(msgspec.Struct, array_like=True, gc=False):
    """What is known of the records of one day that are no longer stored one by one."""

    records: int = 0
    #: How many of them are numbers, and their sum in micro-units as a decimal text.
    numbers: int = 0
    sum: str = "0"
    least: int | float = 0
    greatest: int | float = 0

    def add(self, other: DayTotals) -> DayTotals:
        """Return the totals of both."""
        if not self.numbers or not other.numbers:
            measured = self if self.numbers else other
            least, greatest = measured.least, measured.greatest
        else:
            least = min(self.least, other.least)
            greatest = max(self.greatest, other.greatest)
        return DayTotals(
            self.records + other.records,
            self.numbers + other.numbers,
            str(int(self.sum) + int(other.sum)),
            least,
            greatest,
        )


class RecordAccumulator(msgspec.Struct, array_like=True, gc=False, tag=2):
    """Records by (occurred_at, canonical JSON): the newest `EXACT_LIMIT` exactly, older by UTC day.

    Totals of a day count as if all its records had occurred in the last microsecond of the day, but
    never later than the oldest exact record: they leave a window at most one day late.
    """

    #: Ascending, parallel to `values`.
    times: list[int] = []
    values: list[RecordValue] = []
    #: Day since 1970 -> totals of its older records; ascending.
    days: dict[int, DayTotals] = {}
    #: The first record of all, [occurred_at, value], if `days` has any; else empty.
    first: list[RecordValue] = []

    def add(self, value: RecordValue, occurred_at_us: int) -> None:
        """Add one record."""
        times, values = self.times, self.values
        if not times or occurred_at_us > times[-1]:
            times.append(occurred_at_us)
            values.append(value)
        else:
            index = self._index_of(value, occurred_at_us)
            times.insert(index, occurred_at_us)
            values.insert(index, value)
        if len(times) > EXACT_LIMIT:
            self._total_oldest(1)

    def combine(self, *others: RecordAccumulator) -> RecordAccumulator:
        """Return the accumulator of all multisets of records; no operand is changed."""
        parts = (self, *others)
        records = sorted(
            (record for part in parts for record in zip(part.times, part.values, strict=True)),
            key=_order,
        )
        combined = RecordAccumulator([at for at, _ in records], [value for _, value in records])
        for part in parts:
            combined._add_days(part.days.items())
            if part.first:
                combined._add_first(part.earliest())
        combined._total_oldest(max(0, len(records) - EXACT_LIMIT))
        return combined

    def earliest(self) -> tuple[int, RecordValue]:
        """Return the first record of all. There is at least one."""
        return (self.first[0], self.first[1]) if self.first else (self.times[0], self.values[0])

    def older(self) -> list[RecordGroup]:
        """Return the days of the older records, ascending by the time at which they count."""
        if not self.days:
            return []
        oldest_us = self.times[0]
        return [
            RecordGroup(
                min((day + 1) * DAY_US - 1, oldest_us), t.records, t.numbers, int(t.sum), *_ends(t)
            )
            for day, t in self.days.items()
        ]

    def cells(self) -> list[RecordGroup]:
        """Return all records, the days of the older ones first, ascending by time."""
        return [*self.older(), *map(cell_of, self.times, self.values)]

    def _index_of(self, value: RecordValue, occurred_at_us: int) -> int:
        low = bisect_left(self.times, occurred_at_us)
        high = bisect_right(self.times, occurred_at_us, low)
        if low == high:
            return low
        texts = [canonical_json(same) for same in self.values[low:high]]
        return low + bisect_right(texts, canonical_json(value))

    def _total_oldest(self, surplus: int) -> None:
        """Move the oldest `surplus` records into the totals by day."""
        if surplus <= 0:
            return
        times, values = self.times, self.values
        self._add_first((times[0], values[0]))
        oldest = zip(times[:surplus], values[:surplus], strict=True)
        self._add_days((at_us // DAY_US, _totals(value)) for at_us, value in oldest)
        del times[:surplus], values[:surplus]

    def _add_first(self, record: tuple[int, RecordValue]) -> None:
        if not self.first or record[0] < self.first[0]:
            self.first = list(record)
        elif record[0] == self.first[0]:
            least = min(self.earliest(), record, key=_order)
            self.first = list(least)

    def _add_days(self, days: Iterable[tuple[int, DayTotals]]) -> None:
        sums, newest = self.days, next(reversed(self.days), None)
        is_sorted = True
        for day, totals in days:
            if day in sums:
                sums[day] = sums[day].add(totals)
                continue
            is_sorted = is_sorted and (newest is None or day > newest)
            sums[day], newest = totals, day
        if not is_sorted:
            self.days = dict(sorted(sums.items()))


def recordable(value: Json) -> RecordValue | None:
    """Return a JSON scalar as it is recorded; None for null, lists and objects."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + _hash(value)
    if kind is int or kind is float:
        return number(value)
    return value if kind is bool else None


def cell_of(at_us: int, value: RecordValue) -> RecordGroup:
    """Return one record as windows read it."""
    totals = _totals(value)
    return RecordGroup(at_us, 1, totals.numbers, int(totals.sum), totals.least, totals.greatest)


def _totals(value: RecordValue) -> DayTotals:
    measured = value[-1] if type(value) is list else value
    if type(value) is list:
        return DayTotals(1, 1, str(measured), measured, measured)
    if type(measured) is not int and type(measured) is not float:
        return DayTotals(1)
    micro = micro_units(measured)
    return DayTotals(1, int(micro is not None), str(micro or 0), measured, measured)


def _ends(totals: DayTotals) -> tuple[int | float, int | float]:
    return totals.least, totals.greatest


def _order(record: tuple[int, RecordValue]) -> tuple[int, str]:
    return record[0], canonical_json(record[1])


def _hash(text: str) -> str:
    return "…" + blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()
