"""Pairs the entries and exits of one profile into stays in segments, values of tags, and stages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.segment.domain.model import MembershipCause, MembershipChange


class Stay(NamedTuple):
    """The time from one entry to the next exit."""

    entered: MembershipChange
    #: None while the profile has not left.
    left_at_us: int | None
    left_cause: MembershipCause | None

    def duration_us(self, now_us: int) -> int:
        """Return how long the stay was, or is so far at an instant, microseconds."""
        end_us = now_us if self.left_at_us is None else self.left_at_us
        return max(0, end_us - self.entered.changed_at_us)


def stays_of(changes: Iterable[MembershipChange]) -> list[Stay]:
    """Return the stays of one profile by the instant of the entry; `changes`: all of them."""
    open_entries: dict[str, MembershipChange] = {}
    stays: list[Stay] = []
    for change in sorted(changes, key=lambda c: (c.segment_id, c.ordinal)):
        if change.entered:
            open_entries[change.segment_id] = change
        elif (entered := open_entries.pop(change.segment_id, None)) is not None:
            stays.append(Stay(entered, change.changed_at_us, change.cause))
    stays += [Stay(entered, None, None) for entered in open_entries.values()]
    return sorted(stays, key=lambda s: (s.entered.changed_at_us, s.entered.segment_id))
