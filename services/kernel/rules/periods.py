"""Reads and writes calendar windows as words, such as `this month` and `last 3 weeks`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from services.kernel.calendar import PeriodUnit

_NUMBER = "[1-9][0-9]{0,3}"
_UNITS = "|".join(unit.value for unit in PeriodUnit)
#: The words; a number is one of periods before the current one.
PATTERN: Final = (
    "today|yesterday"
    "|(?:this|last) (?:week|month|quarter|year)"
    f"|last {_NUMBER} (?:{_UNITS})s?(?: to date)?"
    f"|{_NUMBER}(?: to {_NUMBER})? (?:{_UNITS})s? ago"
)
_PATTERN = re.compile(PATTERN)
_DAYS: Final = {"today": 0, "yesterday": 1}


class Periods(NamedTuple):
    """Calendar periods in a row, counted back from the current one (0)."""

    unit: PeriodUnit
    oldest: int
    newest: int


def parse_periods(text: str) -> Periods:
    """Return the periods of words. Raises ValueError if the text has another form.

    `last 3 weeks` are the 3 full weeks before the current one, `last 3 weeks to date` includes the
    current one too, and `5 to 3 weeks ago` are 3 full weeks.
    """
    if _PATTERN.fullmatch(text) is None:
        raise ValueError("these are no calendar periods")
    if text in _DAYS:
        return Periods(PeriodUnit.DAY, _DAYS[text], _DAYS[text])
    unit = next(unit for unit in PeriodUnit if unit.value in text.removesuffix(" to date"))
    numbers = [int(number) for number in re.findall("[0-9]+", text)]
    if text.endswith(" ago"):
        return Periods(unit, numbers[0], numbers[-1])
    if numbers:
        return Periods(unit, numbers[0], 0 if text.endswith(" to date") else 1)
    back = 1 if text.startswith("last") else 0
    return Periods(unit, back, back)


def format_periods(periods: Periods) -> str:
    """Return the shortest words of calendar periods."""
    unit, oldest, newest = periods.unit.value, periods.oldest, periods.newest
    if oldest == newest and oldest < 2:
        if periods.unit is PeriodUnit.DAY:
            return "yesterday" if oldest else "today"
        return f"last {unit}" if oldest else f"this {unit}"
    plural = unit if oldest == 1 else f"{unit}s"
    if newest == 0:
        return f"last {oldest} {plural} to date"
    if newest == 1:
        return f"last {oldest} {plural}"
    return f"{oldest} {plural} ago" if oldest == newest else f"{oldest} to {newest} {plural} ago"
