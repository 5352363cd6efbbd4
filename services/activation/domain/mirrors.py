"""Decides how a mirror, a copy of memberships elsewhere, becomes equal to them and stays so.

A mirror consists of entries, each found by a key: the hash of an address, or the id of a record.
Every key is written on its own, so the order of keys does not matter; a key is written again until
the receiver confirms its last version. A write whose answer was lost may arrive later than the
writes after it: for a while the key is doubtful, and is written once more at the end of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from services.activation.domain.model import Destination
from services.activation.domain.transitions import (
    AttemptResult,
    AttemptStatus,
    RetryPolicy,
    backoff_s,
)
from services.kernel.ids import ProfileId

#: Seconds after which a write without an answer has arrived, or never will.
DOUBT_S = 600.0
#: Seconds after which a removal that the receiver refuses is tried again.
REFUSED_REMOVAL_S = 86_400.0
#: Seconds after which an entry is tried again where the destination has wrong credentials.
CREDENTIALS_S = 60.0


#: What stands in place of a segment for the persons that runs of journeys have added.
JOINED = "journey:"


@dataclass(frozen=True, slots=True)
class MirrorEntry:
    """One entry of a mirror. Instants are Unix seconds."""

    key: str
    #: The members that have it, each with its fields as a JSON object (UTF-8); without any member
    #: it is to be removed.
    owners: Mapping[ProfileId, bytes]
    #: Grows with each change, also over removals: the first one is Unix microseconds.
    version: int
    #: When the entry is written next; None = the receiver has it as it has to be, or refuses it.
    due_s: float | None
    #: Whether the receiver may have it.
    is_written: bool = False
    #: Whether a write has begun whose result is not known.
    in_flight: bool = False
    #: Until when an earlier write may still arrive; 0 = none may.
    doubtful_until_s: float = 0.0
    #: Attempts at this version.
    attempts: int = 0
    #: Why the last attempt did not succeed; holds nothing personal.
    reason: str = ""

    @property
    def wanted(self) -> bytes | None:
        """What the receiver has to have: the fields of the first member; None = nothing."""
        return self.owners[min(self.owners)] if self.owners else None


def is_member(memberships: Mapping[str, int], destination: Destination) -> bool:
    """Return whether a profile is in one of the segments of a destination, or was added by a run.

    `memberships`: by segment, the ordinal of the last change; an odd one is an entry.
    """
    return any(memberships.get(id_, 0) % 2 for id_ in (*destination.segment_ids, JOINED))


def join_ordinal(at_us: int, *, joined: bool) -> int:
    """Return the ordinal of what a step of a run has done: it grows with the instant of the step,
    so that the order does not matter in which steps are carried out. At one instant a removal
    counts."""
    return 2 * at_us + (1 if joined else 2)


def assign(
    member: ProfileId,
    had: Collection[str],
    targets: Mapping[str, bytes],
    entries: Mapping[str, MirrorEntry],
    now_us: int,
) -> dict[str, MirrorEntry | None]:
    """Return the entries that change where a member has other entries than before, by key.

    `had`: the keys of the member before; `targets`: what it has now; `entries`: those of all these
    keys. None stands for one that is deleted, as it was never written. `now_us`: Unix microseconds.
    """
    changed: dict[str, MirrorEntry | None] = {}
    for key in sorted({*had, *targets}):
        before = entries.get(key)
        owners = {id_: v for id_, v in before.owners.items() if id_ != member} if before else {}
        if key in targets:
            owners[member] = targets[key]
        if before is None:
            if owners:
                changed[key] = MirrorEntry(key, owners, now_us, now_us / 1e6)
            continue
        after = replace(before, owners=owners)
        if after.wanted != before.wanted:
            after = _changed(after, now_us)
            changed[key] = after if owners or before.is_written else None
        elif owners != before.owners:
            changed[key] = after
    return changed


def _changed(entry: MirrorEntry, now_us: int) -> MirrorEntry:
    version = max(now_us, entry.version + 1)
    return replace(entry, version=version, due_s=now_us / 1e6, attempts=0, reason="")


def begin_write(entry: MirrorEntry, now_s: float, lease_s: float) -> MirrorEntry:
    """Return an entry whose write begins; it is due again where no result comes in the lease."""
    doubtful_until_s = now_s + DOUBT_S if entry.in_flight else entry.doubtful_until_s
    return replace(
        entry,
        is_written=True,
        in_flight=True,
        due_s=now_s + lease_s,
        doubtful_until_s=doubtful_until_s,
    )


def after_write(
    entry: MirrorEntry,
    version: int,
    result: AttemptResult,
    now_s: float,
    policy: RetryPolicy,
    jitter: float,
) -> MirrorEntry | None:
    """Return an entry after the write of a version of it; None = it is deleted.

    `jitter`: 0 to 1, spreads the delay.
    """
    status = result.status
    if status is AttemptStatus.LOST:
        entry = replace(entry, doubtful_until_s=now_s + DOUBT_S)
    entry = replace(entry, in_flight=False)
    if entry.version != version:  # it has to be something else by now
        return replace(entry, due_s=now_s)
    entry = replace(entry, attempts=entry.attempts + 1, reason=result.reason)
    match status:
        case AttemptStatus.DELIVERED:
            return _confirmed(replace(entry, attempts=0, reason=""), now_s)
        case AttemptStatus.REJECTED | AttemptStatus.ADDRESS_DEAD:
            # An addition is refused for good; a removal must happen.
            return replace(entry, due_s=None if entry.owners else now_s + REFUSED_REMOVAL_S)
        case AttemptStatus.CREDENTIALS:
            return replace(entry, due_s=now_s + CREDENTIALS_S)
    delay = max(backoff_s(entry.attempts, policy, jitter), result.retry_after)
    return replace(entry, due_s=now_s + delay)


def _confirmed(entry: MirrorEntry, now_s: float) -> MirrorEntry | None:
    if entry.doubtful_until_s > now_s:
        return replace(entry, due_s=entry.doubtful_until_s)
    if entry.wanted is None:
        return None
    return replace(entry, due_s=None, doubtful_until_s=0.0)


def newest_changes(
    changes: Iterable[tuple[ProfileId, str, int]],
) -> dict[ProfileId, dict[str, int]]:
    """Return the ordinal of the last change of each profile in each segment.

    `changes`: profile, segment and ordinal, in any order.
    """
    newest: dict[ProfileId, dict[str, int]] = {}
    for profile_id, segment_id, ordinal in changes:
        of = newest.setdefault(profile_id, {})
        of[segment_id] = max(ordinal, of.get(segment_id, 0))
    return newest
