"""How much of what came is folded at once, and who is looked at because time has passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.kernel.ids import ProfileId
from services.kernel.time import MINUTE_US
from services.profile.domain.facts import Entry

#: Where the log was silent for this long, what stood before is settled before time goes on.
LEAP_US = 10 * MINUTE_US


class Due(NamedTuple):
    """Time alone may change a profile at an instant (Unix microseconds)."""

    due_us: int
    profile_id: ProfileId


class Plan(NamedTuple):
    """What one transaction takes in."""

    #: Entries from the start; 0 = none, only time passes.
    take: int
    #: The instant as of which profiles are settled, Unix microseconds.
    at_us: int
    #: The profiles to look at because time has passed.
    due: tuple[ProfileId, ...]


def cut(entries: Sequence[Entry]) -> int:
    """How many entries (of at least one) may be folded together.

    Facts after a definition are folded with what it asks for, and facts before it without; and
    nobody enters and leaves unseen because a long silence lies between two facts of a batch.
    """
    defining = is_definition(entries[0])
    before = entries[0]
    for count, entry in enumerate(entries[1:], 1):
        if (
            is_definition(entry) != defining
            or entry.recorded_at_us - before.recorded_at_us > LEAP_US
        ):
            return count
        before = entry
    return len(entries)


def is_definition(entry: Entry) -> bool:
    """Whether a fact defines a rule."""
    return entry.notice is not None and entry.notice.asks is not None


def plan(entries: Sequence[Entry], dues: Sequence[Due], limit: int) -> Plan:
    """What to take in, so that at most `limit` profiles are due.

    `dues` ascend, and are all until the last entry, or the first `limit + 1` of them.
    """
    if len(dues) <= limit:
        due = tuple(due.profile_id for due in dues)
        return Plan(len(entries), entries[-1].recorded_at_us, due)
    horizon = dues[limit].due_us
    first_us = entries[0].recorded_at_us
    if horizon <= first_us:
        return Plan(0, first_us, tuple(due.profile_id for due in dues[:limit]))
    taken = [entry for entry in entries if entry.recorded_at_us < horizon]
    at_us = taken[-1].recorded_at_us
    return Plan(len(taken), at_us, tuple(d.profile_id for d in dues if d.due_us <= at_us))
