"""Converts instants and spans to integers of microseconds; nothing here reads a clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
#: An instant that a client states may be ahead of the log's clock by this much, because the clocks
#: of two machines differ.
CLOCK_TOLERANCE_US = 5 * MINUTE_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"us": 1, "s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_SPAN = re.compile(r"([0-9]{1,19})(us|s|m|h|d|w)")


def to_us(instant: datetime) -> int:
    """Return Unix time in microseconds. Raises ValueError for a datetime without a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    elapsed = instant - _EPOCH
    return elapsed.days * DAY_US + elapsed.seconds * SECOND_US + elapsed.microseconds


def from_us(us: int) -> datetime:
    """Return the UTC datetime of Unix microseconds."""
    return _EPOCH + timedelta(microseconds=us)


def to_rfc3339(us: int) -> str:
    """Return text such as `2026-11-21T20:17:09.000001Z`."""
    return from_us(us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> int:
    """Return Unix microseconds of an RFC 3339 (or ISO 8601) instant; without a zone it is UTC.

    A leap second counts as the second before it. Raises ValueError if the text is no instant.
    """
    text = text.strip()
    if "T" not in text.upper() and " " not in text:
        raise ValueError("an instant needs a date and a time, such as 2026-11-21T20:17:09Z")
    is_leap = text[17:19] == "60"
    instant = datetime.fromisoformat(text[:17] + "59" + text[19:] if is_leap else text)
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def parse_span(text: str) -> int:
    """Return microseconds of a span such as `30s`, `15m`, `2h`, `7d`, `4w`.

    Raises ValueError if the text is no span.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no span; write one such as 30s, 15m, 2h, 7d or 4w")
    return int(match[1]) * _UNITS[match[2]]


def format_span(us: int) -> str:
    """Return the shortest exact span, such as `7d`; `…us` if no larger unit is exact."""
    for unit in ("w", "d", "h", "m", "s"):
        if us and us % _UNITS[unit] == 0 and not (unit == "w" and us < 4 * _UNITS["w"]):
            return f"{us // _UNITS[unit]}{unit}"
    return f"{us}us"
