"""Tests that records are a function of the multiset of events, and that one more costs little."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.fold import records
from services.kernel.fold.records import DayTotals, RecordAccumulator
from services.kernel.rules.readings.amounts import micro_units
from services.kernel.rules.values import canonical_json
from services.kernel.time import DAY_US

LIMIT = 4
Record = tuple[int, Any]
values = st.sampled_from((1, 2, 2.5, -3, "a", "b", True, ["so-1", "", 1_000_000]))
logs = st.lists(st.tuples(st.integers(0, 5 * DAY_US) | st.just(7), values), max_size=14)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    before, records.EXACT_LIMIT = records.EXACT_LIMIT, LIMIT
    yield
    records.EXACT_LIMIT = before


def added(log: list[Record]) -> RecordAccumulator:
    accumulator = RecordAccumulator()
    for at_us, value in log:
        accumulator.add(value, at_us)
    return accumulator


def expected(log: list[Record]) -> RecordAccumulator:
    """Return the accumulator of a log, computed from all of its records at once."""
    ordered = sorted(log, key=lambda record: (record[0], canonical_json(record[1])))
    older, exact = ordered[: max(0, len(ordered) - LIMIT)], ordered[max(0, len(ordered) - LIMIT) :]
    days: dict[int, DayTotals] = {}
    for at_us, value in older:
        number = value[-1] if isinstance(value, list) else value
        micro = number if isinstance(value, list) else micro_units(number)
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        own = DayTotals(1, 1, str(micro), number, number) if is_number else DayTotals(1)
        day = at_us // DAY_US
        days[day] = days[day].add(own) if day in days else own
    first = list(ordered[0]) if older else []
    return RecordAccumulator(
        [at for at, _ in exact], [value for _, value in exact], dict(sorted(days.items())), first
    )


@examples(200)
@given(logs, st.randoms(use_true_random=False))
def test_records_in_any_order_and_grouping_have_the_same_bytes(
    log: list[Record], random: Random
) -> None:
    encoded = msgspec.msgpack.encode(expected(log))
    assert msgspec.msgpack.encode(added(random.sample(log, len(log)))) == encoded
    cut = random.randint(0, len(log))
    shuffled = random.sample(log, len(log))
    combined = added(shuffled[:cut]).combine(added(shuffled[cut:]))
    assert msgspec.msgpack.encode(combined) == encoded


@examples(50)
@given(logs, logs)
def test_combining_changes_no_operand_and_shares_no_list(
    one: list[Record], two: list[Record]
) -> None:
    a, b = added(one), added(two)
    before = msgspec.msgpack.encode((a, b))
    a.combine(b).add(1, 9 * DAY_US)
    assert msgspec.msgpack.encode((a, b)) == before


def test_newer_record_is_added_without_a_copy_of_the_others() -> None:
    accumulator = added([(day * DAY_US, day) for day in range(3 * LIMIT)])
    times, stored, days = accumulator.times, accumulator.values, accumulator.days
    accumulator.add(1, 99 * DAY_US)
    assert accumulator.times is times
    assert accumulator.values is stored
    assert accumulator.days is days
    assert RecordAccumulator().times == []
