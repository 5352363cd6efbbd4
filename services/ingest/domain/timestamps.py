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
    """Return an instant in Unix microseconds; None where none is stated."""
    if type(stated) is int:
        return stated
    if stated is None or stated == "":
        return None
    if not isinstance(stated, str) or len(stated) > _MAX_CHARACTERS:
        return _unreadable(field)
    try:
        return parse_rfc3339(stated)
    except (ValueError, OverflowError):
        return _unreadable(field)


def occurred_at(stated_us: int, sent_us: int | None, received_us: int) -> int | Refusal:
    """Return when an event occurred by our clock; refuse a time before 2000 or a day ahead.

    The stated instant is corrected by the error of the sender's clock: the difference between the
    time of sending and that of receipt. A time of sending well before the event is wrong itself,
    so it corrects nothing.
    """
    occurred_us = _corrected(stated_us, sent_us, received_us)
    refusal = _range_refusal(occurred_us, received_us)
    if refusal is None:
        return min(occurred_us, received_us)
    if occurred_us != stated_us and _range_refusal(stated_us, received_us) is None:
        message = (
            "the time of sending contradicts that of the event: send the current time, or none"
        )
        return Refusal("TIME_OUT_OF_RANGE", "sent_at", message)
    return refusal


def _corrected(stated_us: int, sent_us: int | None, received_us: int) -> int:
    if sent_us is None or abs(received_us - sent_us) <= TOLERANCE_US:
        return stated_us
    if sent_us < stated_us - TOLERANCE_US:
        return stated_us
    return received_us - max(sent_us - stated_us, 0)


def _range_refusal(instant_us: int, received_us: int) -> Refusal | None:
    if instant_us < EARLIEST_US:
        message = "the time is before 2000: send a later one"
    elif instant_us > received_us + DAY_US:
        message = "the time is more than a day in the future: check the sender's clock"
    else:
        return None
    return Refusal("TIME_OUT_OF_RANGE", "occurred_at_us", message)


def _unreadable(field: str) -> Refusal:
    message = "the time must be RFC 3339, such as 2026-11-21T20:17:09.123Z"
    return Refusal("TIME_INVALID", field, message)
