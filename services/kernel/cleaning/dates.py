"""Standardises dates as people write them."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from services.kernel.cleaning.text import has_other_digits, plain_text
from services.kernel.rules.values import Json

#: Longer texts are no dates.
MAX_LENGTH: Final = 100
#: The years of dates that are written as eight digits; other numbers are no dates.
_COMPACT_YEARS: Final = range(1900, 2100)
_TIME: Final = (
    r"(?:(?:[T ]|(?<=[日号]))(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
    r" ?(?:Z|[-+][0-9]{2}:?[0-9]{2})?)?"
)
_SEPARATED: Final = re.compile(
    rf"(?P<year>[0-9]{{4}})(?P<mark>[-/.])(?P<month>[0-9]{{1,2}})(?P=mark)(?P<day>[0-9]{{1,2}}){_TIME}",
    re.IGNORECASE,
)
_CHINESE: Final = re.compile(
    rf"(?P<year>[0-9]{{4}}) ?年 ?(?P<month>[0-9]{{1,2}}) ?月 ?(?P<day>[0-9]{{1,2}}) ?[日号]{_TIME}",
    re.IGNORECASE,
)
_COMPACT: Final = re.compile(r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})")


def clean_date(value: Json) -> str | None:
    """Return the ISO 8601 text (`2026-01-02`) of the date that a value is, or None.

    Dates are `2026-1-2`, `2026/01/02`, `2026.1.2`, `2026年1月2日`, and `20260102`, as a text or as
    a whole number, from 1900 to 2099. A time of day after the date is ignored: the date is that of
    the zone in which it is written. None: a year of two digits, an order other than year, month,
    day (`01/02/2026`), a date that the calendar does not have.
    """
    if type(value) is int:
        value = str(value) if 0 < value < 10**8 else ""
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return None
    text = "" if has_other_digits(value) else plain_text(value)
    found = _SEPARATED.fullmatch(text) or _CHINESE.fullmatch(text)
    if found is None:
        found = _COMPACT.fullmatch(text)
        if found is None or int(found["year"]) not in _COMPACT_YEARS:
            return None
    try:
        return date(int(found["year"]), int(found["month"]), int(found["day"])).isoformat()
    except ValueError:
        return None
