"""Reads the instants that senders state, and corrects them by the log's clock."""

from __future__ import annotations

from services.ingest.domain.events import Refusal
from services.kernel.time import DAY_US, SECOND_US, parse_rfc3339

#: 2000-01-01T00:00:00Z.
EARLIEST_US = 946_684_800 * SECOND_US
#: A sender's clock within this of ours counts as right, because the difference may be the duration
#: of the request. So an event that is sent again later keeps its instant.
TOLERANCE_US = 10 * SECOND_US
_MAX_CHARACTERS = 64


def read_instant(field: str, stated: object) -> int | Refusal | None:
    """Return an instant in Unix microseconds; None where none is stated.

    The number 0 means "not stated", as in the API contract; the text 1970-01-01T00:00:00Z does not.
    """
    if type(stated) is int:
        return stated or None
    if stated is None or stated == "":
        return None
    if not isinstance(stated, str) or len(stated) > _MAX_CHARACTERS:
        return _unreadable(field)
    try:
        return parse_rfc3339(stated)
    except (ValueError, OverflowError):
        return _unreadable(field)


def correct_clock_skew(stated_us: int, sent_us: int | None, now_us: int) -> int:
    """Return a stated instant by our clock, corrected by the sender's time of sending."""
    if sent_us is None or abs(now_us - sent_us) <= TOLERANCE_US:
        return stated_us
    return now_us - (sent_us - stated_us)


def clamp_to_now(field: str, instant_us: int, now_us: int) -> int | Refusal:
    """Return an instant that is not after `now_us`; refuse one before 2000 or a day ahead."""
    if instant_us <= now_us:
        if instant_us >= EARLIEST_US:
            return instant_us
        return Refusal("TIME_OUT_OF_RANGE", field, "the time is before 2000: send a later one")
    if instant_us <= now_us + DAY_US:
        return now_us
    message = "the time is more than a day in the future: check the sender's clock"
    return Refusal("TIME_OUT_OF_RANGE", field, message)


def _unreadable(field: str) -> Refusal:
    message = "the time must be RFC 3339, such as 2026-11-21T20:17:09.123Z"
    return Refusal("TIME_INVALID", field, message)
