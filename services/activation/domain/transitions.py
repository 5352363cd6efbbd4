"""Decides which effects a membership change has, and how an attempt changes an effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from services.activation.domain.contracts import ChannelContract, ChannelKind, Deduplication
from services.activation.domain.model import (
    DeliveryState,
    Destination,
    Effect,
    TriggeringChange,
    effect_id,
)
from services.kernel.ids import WorkspaceId

MOVED_BY_MERGE = "the membership moved with a merge; its message was sent before"
#: Bounds the exponent of the backoff; after this many doublings every delay is the longest one.
_MAX_DOUBLINGS = 40
#: Seconds after which a held effect is due in any case; what ends the hold makes it due before.
HELD_S = 86_400.0
#: The contract of a receiver that drops repeats by their key.
KEYED = ChannelContract(Deduplication.KEYED)


def plan_effects(
    changes: Iterable[TriggeringChange], destinations: Iterable[Destination]
) -> list[Effect]:
    """Return one effect for each change and subscribed destination that sends messages.

    An effect that would repeat a message after a merge is suppressed.
    """
    by_segment: dict[tuple[WorkspaceId, str], list[Destination]] = {}
    for destination in destinations:
        if destination.channel.contract.kind is not ChannelKind.MESSAGE:
            continue
        for segment_id in destination.segment_ids:
            key = (destination.workspace_id, segment_id)
            by_segment.setdefault(key, []).append(destination)
    return [
        _effect(change, destination)
        for change in changes
        for destination in by_segment.get((change.workspace_id, change.segment_id), ())
        if destination.subscribes_to(change.segment_id, change.trigger)
    ]


def _effect(change: TriggeringChange, destination: Destination) -> Effect:
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
        change.changed_at_us,
        destination.predecessor(change.ordinal),
        DeliveryState.SUPPRESSED if change.by_merge else DeliveryState.PENDING,
        MOVED_BY_MERGE if change.by_merge else "",
        change.occurred_at_us,
    )


class AttemptStatus(Enum):
    """How an attempt ended."""

    #: The receiver has the message, or the provider has accepted it.
    DELIVERED = "delivered"
    #: A retry may succeed.
    FAILED = "failed"
    #: No retry can succeed.
    REJECTED = "rejected"
    #: No message to this address can succeed.
    ADDRESS_DEAD = "address_dead"
    #: No message of the destination can succeed until it is defined otherwise.
    CREDENTIALS = "credentials"
    #: The message was sent, and whether the receiver has it is not known.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of an attempt."""

    status: AttemptStatus
    #: Text for operators, such as `HTTP 410`; holds nothing personal.
    reason: str = ""
    #: Seconds that the receiver demands to wait.
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an effect is attempted, and how long the delays between attempts are."""

    max_attempts: int = 24
    #: Seconds before the second attempt; doubles with each.
    initial_backoff: float = 1.0
    #: Seconds.
    max_backoff: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Transition:
    """The state of an effect after an attempt."""

    state: DeliveryState
    reason: str
    #: Seconds until the next attempt, where the state is PENDING.
    delay: float = 0.0
    #: False if no message was sent, so that the attempt does not count.
    counts: bool = True
    #: Whether the receiver may have the message, as the answer was lost.
    unanswered: bool = False
    #: Where the state is HELD: until when, on the log's clock; None = until an event ends it.
    held_until_us: int | None = None
    #: Whether no message to the address can arrive.
    address_dead: bool = False


def after_attempt(
    result: AttemptResult,
    attempt: int,
    policy: RetryPolicy,
    jitter: float,
    contract: ChannelContract = KEYED,
    *,
    unanswered: bool = False,
) -> Transition:
    """Return the transition after attempt number `attempt` (from 1).

    The delay doubles with every attempt, is spread by `jitter` (0 to 1) over plus or minus a
    quarter, and is never shorter than the receiver demands. `unanswered`: the answer of an earlier
    attempt was lost, so an effect that is not sent again is unconfirmed and not dead.
    """
    status = result.status
    lost = status is AttemptStatus.LOST
    deduplication = contract.deduplication
    unanswered = (unanswered or lost) and deduplication is not Deduplication.KEYED
    if status is AttemptStatus.DELIVERED:
        state = DeliveryState.ACCEPTED if contract.reports else DeliveryState.DELIVERED
        return Transition(state, result.reason)
    if status is AttemptStatus.CREDENTIALS:
        # The breaker pauses the destination; the effect waits behind it.
        return Transition(DeliveryState.PENDING, result.reason, counts=False, unanswered=unanswered)
    is_final = status in (AttemptStatus.REJECTED, AttemptStatus.ADDRESS_DEAD)
    leaves = lost and deduplication is Deduplication.NONE
    if is_final or leaves or attempt >= policy.max_attempts:
        state = DeliveryState.UNCONFIRMED if unanswered else DeliveryState.DEAD
        address_dead = status is AttemptStatus.ADDRESS_DEAD
        return Transition(state, result.reason, unanswered=unanswered, address_dead=address_dead)
    delay = max(backoff_s(attempt, policy, jitter), result.retry_after)
    if unanswered:
        delay = max(delay, contract.known_after_s)
    return Transition(DeliveryState.PENDING, result.reason, delay, unanswered=unanswered)


def backoff_s(attempt: int, policy: RetryPolicy, jitter: float) -> float:
    """Return the seconds after attempt number `attempt` (from 1) until the next one.

    They double with every attempt, and `jitter` (0 to 1) spreads them over plus or minus a quarter.
    """
    doublings = min(attempt - 1, _MAX_DOUBLINGS)
    delay = min(policy.initial_backoff * 2.0**doublings, policy.max_backoff)
    return delay * (0.75 + jitter / 2)


def requeue(reason: str, delay: float) -> Transition:
    """Return the transition of an attempt that sent nothing; it is made later."""
    return Transition(DeliveryState.PENDING, reason, delay, counts=False)


def hold(reason: str, until_us: int | None) -> Transition:
    """Return the transition of an attempt that the gate has postponed.

    `until_us`: on the log's clock; None = until an event ends it.
    """
    return Transition(DeliveryState.HELD, reason, HELD_S, counts=False, held_until_us=until_us)


def suppress(reason: str, *, unanswered: bool) -> Transition:
    """Return the transition of an attempt that is not made.

    `unanswered`: an earlier one may have sent the message.
    """
    state = DeliveryState.UNCONFIRMED if unanswered else DeliveryState.SUPPRESSED
    return Transition(state, reason, counts=False, unanswered=unanswered)
