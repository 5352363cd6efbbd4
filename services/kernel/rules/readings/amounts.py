"""Sums numbers exactly, in units of a millionth, whatever their order."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from services.kernel.rules.values import Json

#: Numbers are summed in units of this fraction of one.
MICRO: Final = 1_000_000
#: Larger numbers are no values of sums, averages, minima and maxima.
MAX_SUMMED: Final = 1e15


def micro_units(value: Json) -> int | None:
    """Return a number in micro-units, rounded half to even; None if it is none, or too large."""
    kind = type(value)
    if kind is int:
        return value * MICRO if -MAX_SUMMED <= value <= MAX_SUMMED else None
    if kind is not float or not -MAX_SUMMED <= value <= MAX_SUMMED:
        return None
    return int((Decimal(repr(value)) * MICRO).to_integral_value(ROUND_HALF_EVEN))


def from_micro_units(sum_: int, divisor: int = 1) -> int | float:
    """Return a sum of micro-units, divided: an integer if it is whole, else the nearest double."""
    whole, rest = divmod(sum_, MICRO * divisor)
    return sum_ / (MICRO * divisor) if rest else whole
