"""Decides which refused events a source's quarantine has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class QuarantineQuota(NamedTuple):
    """The most that the quarantine stores of one source."""

    entries: int
    #: Of the events as they were sent.
    size_bytes: int


class QuarantineUsage(NamedTuple):
    """What the quarantine stores of one source, without released events."""

    entries: int = 0
    size_bytes: int = 0


def fitting(usage: QuarantineUsage, quota: QuarantineQuota, sizes: Sequence[int]) -> list[bool]:
    """Return for each of new entries, by their sizes in bytes, whether there is room for it.

    An entry that does not fit leaves its room to the entries after it.
    """
    entries, size_bytes = usage
    fits = []
    for size in sizes:
        has_room = entries < quota.entries and size_bytes + size <= quota.size_bytes
        if has_room:
            entries += 1
            size_bytes += size
        fits.append(has_room)
    return fits
