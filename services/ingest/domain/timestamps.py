"""When an event took place: reading the sender's clock, and correcting it by ours."""

from __future__ import annotations

from services.ingest.domain.model import Refusal
from services.kernel.time import DAY_US, SECOND_US, parse_rfc3339

#: 2000-01-01T00:00:00Z.
EARLIEST_US = 946_684_800 * SECOND_US
#: A sender's clock that is off by no more than this is taken as right: what is left is the time
#: that sending took. So a repeat of an event, sent later, keeps its instant.
TOLERANCE_US = 10 * SECOND_US


def read_instant(field: str, stated: object) -> int | Refusal | None:
    """Unix microseconds of an instant as a door hands it in; None where none was said.

    The number 0 says nothing, as in the treaty; a text that means the same instant does.
    """
    if type(stated) is int:
        return stated or None
    if stated is None or stated == "":
        return None
    if not isinstance(stated, str) or len(stated) > 64:
        return _unreadable(field)
    try:
        return parse_rfc3339(stated)
    except (ValueError, OverflowError):
        return _unreadable(field)


def correct(stated_us: int, sent_us: int | None, now_us: int) -> int:
    """The instant by our clock, given when the sender's clock said that it was sent."""
    if sent_us is None or abs(now_us - sent_us) <= TOLERANCE_US:
        return stated_us
    return now_us - (sent_us - stated_us)


def place(field: str, instant_us: int, now_us: int) -> int | Refusal:
    """An instant inside the range that is kept, never after `now_us`."""
    if instant_us <= now_us:
        if instant_us >= EARLIEST_US:
            return instant_us
        return Refusal("TIME_OUT_OF_RANGE", field, "the time is before 2000")
    if instant_us <= now_us + DAY_US:
        return now_us
    return Refusal("TIME_OUT_OF_RANGE", field, "the time is more than a day in the future")


def _unreadable(field: str) -> Refusal:
    return Refusal("TIME_INVALID", field, "send RFC 3339, such as 2026-11-21T20:17:09.123Z")
