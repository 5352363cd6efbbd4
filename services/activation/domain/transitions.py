"""What follows from a change of membership, and from an attempt at a delivery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from services.activation.domain.model import Change, Destination, Effect, State, effect_id
from services.kernel.ids import WorkspaceId

MERGED = "the membership moved with a merge; the person was told before"
#: Beyond so many doublings every pause is the longest one.
_MOST_DOUBLINGS = 40


def effects(changes: Iterable[Change], destinations: Iterable[Destination]) -> list[Effect]:
    """What is to be sent; an effect that a merge would repeat is kept as suppressed."""
    hearing: dict[tuple[WorkspaceId, str], list[Destination]] = {}
    for destination in destinations:
        for segment_id in destination.segment_ids:
            hearing.setdefault((destination.workspace_id, segment_id), []).append(destination)
    return [
        _effect(change, destination)
        for change in changes
        for destination in hearing.get((change.workspace_id, change.segment_id), ())
        if destination.hears(change.segment_id, change.trigger)
    ]


def _effect(change: Change, destination: Destination) -> Effect:
    key = effect_id(
        change.workspace_id,
        destination.destination_id,
        change.segment_id,
        change.profile_id,
        change.ordinal,
    )
    return Effect(
        key,
        change.workspace_id,
        destination.destination_id,
        change.segment_id,
        change.profile_id,
        change.trigger,
        change.ordinal,
        change.at_us,
        destination.before(change.ordinal),
        State.SUPPRESSED if change.by_merge else State.PENDING,
        MERGED if change.by_merge else "",
    )


class Verdict(Enum):
    """How an attempt ended."""

    #: The receiver has it.
    DELIVERED = "delivered"
    #: It may succeed later.
    FAILED = "failed"
    #: It will never succeed as it is.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt."""

    verdict: Verdict
    #: For people, such as `HTTP 410`; holds nothing personal.
    reason: str = ""
    #: Seconds that the receiver asks to wait.
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how far apart attempts are made."""

    attempts: int = 24
    #: Seconds before the second attempt; doubles with each.
    first_pause: float = 1.0
    longest_pause: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of an effect after an attempt."""

    state: State
    reason: str
    #: Seconds until the next attempt, where the state is PENDING.
    pause: float = 0.0
    #: False where nothing was sent after all, so that the attempt does not count.
    counts: bool = True


def after_attempt(outcome: Outcome, attempts: int, retries: Retries, jitter: float) -> Next:
    """What follows from the end of attempt number `attempts` (from 1).

    The pause doubles with every attempt, is spread by `jitter` (0 to 1) over plus or minus a
    quarter, and is never shorter than the receiver asks.
    """
    if outcome.verdict is Verdict.DELIVERED:
        return Next(State.DELIVERED, outcome.reason)
    if outcome.verdict is Verdict.REFUSED or attempts >= retries.attempts:
        return Next(State.DEAD, outcome.reason)
    doublings = min(attempts - 1, _MOST_DOUBLINGS)
    pause = min(retries.first_pause * 2.0**doublings, retries.longest_pause)
    spread = pause * (0.75 + jitter / 2)
    return Next(State.PENDING, outcome.reason, max(spread, outcome.retry_after))


def put_back(reason: str, pause: float) -> Next:
    """What follows where an attempt was begun and nothing was sent: it is made later."""
    return Next(State.PENDING, reason, pause, counts=False)
