"""Decides whether the attempt to send a message may begin: the gate between journey and channel.

The gate looks at what is known when the attempt begins. It lets the message pass, postpones
it, or suppresses it for good; the first check that fails gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from services.activation.domain.journeys.player import share_of
from services.kernel.fold.consents import Consent
from services.kernel.ids import LeafId, to_hex
from services.kernel.journeys.contact_policy import ConsentNeed, ContactPolicy
from services.kernel.journeys.model import DEFAULT_PURPOSE, JourneyCap
from services.kernel.local_time import ZoneHistory

#: The purpose whose refusal means that content must not depend on what the person did.
PROFILING: Final = "profiling"
#: The purpose and the channel of an answer; an empty channel means all.
ConsentKey: TypeAlias = tuple[str, str]


class Flow(Enum):
    """Whether a journey or a destination lets messages through."""

    OPEN = "open"
    PAUSED = "paused"
    STOPPED = "stopped"


class AddressState(Enum):
    """What is known of the address of a person in a channel."""

    USABLE = "usable"
    MISSING = "missing"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    BLOCKED = "blocked"


class GateReason(Enum):
    """Why a message does not pass; in the order in which the gate checks."""

    STOPPED = "stopped"
    PAUSED = "paused"
    EXPIRED = "expired"
    NO_ADDRESS = "no_address"
    ADDRESS_BOUNCED = "address_bounced"
    ADDRESS_COMPLAINED = "address_complained"
    ADDRESS_BLOCKED = "address_blocked"
    NO_CONSENT = "no_consent"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    PROFILING_REFUSED = "profiling_refused"
    HELD_OUT = "held_out"
    CLOSED_HOURS = "closed_hours"
    CAPPED = "capped"
    IN_ORDER = "in_order"


class Verdict(Enum):
    """What happens to a message at the gate."""

    PASS = "pass"  # noqa: S105 - no password
    POSTPONE = "postpone"
    SUPPRESS = "suppress"


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """The verdict on a message, and what it rests on."""

    verdict: Verdict
    reason: GateReason | None = None
    #: When a postponed message may pass; None = it is not known, or depends on another event.
    until_us: int | None = None
    #: The fact or the effect that the reason rests on; empty = none.
    evidence: bytes = b""
    #: Whether the message is sent in the variant that is the same for all persons.
    is_plain: bool = False

    @property
    def text(self) -> str:
        """What stands in the reason of a delivery, such as `capped:` with the other effect."""
        reason = self.reason.value if self.reason else ""
        return f"{reason}:{to_hex(self.evidence)}" if self.evidence else reason


PASSED: Final = GateAnswer(Verdict.PASS)
_ADDRESS_REASONS: Final = {
    AddressState.MISSING: GateReason.NO_ADDRESS,
    AddressState.BOUNCED: GateReason.ADDRESS_BOUNCED,
    AddressState.COMPLAINED: GateReason.ADDRESS_COMPLAINED,
    AddressState.BLOCKED: GateReason.ADDRESS_BLOCKED,
}


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that counts for caps: its attempt has begun, and it was not rejected."""

    effect_id: bytes
    begun_at_us: int
    purpose: str
    journey_id: str


@dataclass(frozen=True, slots=True)
class GateMessage:
    """A message before its attempt."""

    effect_id: bytes
    journey_id: str
    purpose: str
    channel: str
    #: The instant that the journey has planned, Unix microseconds.
    at_us: int
    #: The leaf of the entry of its run.
    leaf_id: LeafId
    priority: int = 50
    #: How long after `at_us` the attempt may begin; 0 = without limit.
    valid_us: int = 0
    journey_caps: tuple[JourneyCap, ...] = ()
    journey: Flow = Flow.OPEN
    destination: Flow = Flow.OPEN
    address: AddressState = AddressState.USABLE
    #: Whether its content depends on what the person did, and has a variant that does not.
    is_personalised: bool = False
    has_plain_variant: bool = False
    #: Whether an earlier message to the person and the destination is open.
    has_predecessor: bool = False


@dataclass(frozen=True, slots=True)
class GatePerson:
    """What the gate knows of a person, all leaves together."""

    zones: ZoneHistory
    consents: Mapping[ConsentKey, Consent] = field(default_factory=dict)
    #: Those of at least the longest span of a cap.
    sent: Sequence[SentMessage] = ()


def pass_gate(
    messages: Iterable[GateMessage], person: GatePerson, policy: ContactPolicy, now_us: int
) -> dict[bytes, GateAnswer]:
    """Return the answers to the messages of a person whose attempts could begin now, by effect id.

    They are checked by priority, then by their planned instants: where a cap leaves room for one,
    the most important one passes.
    """
    sent = list(person.sent)
    answers: dict[bytes, GateAnswer] = {}
    for message in sorted(messages, key=lambda m: (-m.priority, m.at_us, m.effect_id)):
        answer = _answer(message, person, sent, policy, now_us)
        answers[message.effect_id] = answer
        if answer.verdict is Verdict.PASS:
            own = message.effect_id, now_us, message.purpose, message.journey_id
            sent.append(SentMessage(*own))
    return answers


def is_held_out(policy: ContactPolicy, purpose: str, leaf_id: LeafId) -> bool:
    """Return whether a person gets no message of a purpose, to be compared with the others."""
    if policy.hold_out is None or purpose != DEFAULT_PURPOSE:
        return False
    return share_of("hold_out", policy.hold_out.salt, leaf_id) < policy.hold_out.share_ppm


def consent_of(
    consents: Mapping[ConsentKey, Consent], purpose: str, channel: str
) -> Consent | None:
    """Return the last answer of a person to a purpose in a channel, or in all; None without one.

    Of two answers at one instant the grant counts, as in rules.
    """
    found = [consents[key] for key in ((purpose, channel), (purpose, "")) if key in consents]
    return max(found, default=None)


def cap_exceeded(
    caps: Iterable[JourneyCap], instants: Mapping[bytes, int], now_us: int
) -> bytes | None:
    """Return the last message because of which another one now would exceed a cap; None = none.

    `instants`: when the messages that count were begun, by effect id. Messages exactly a span apart
    are not in one span. Those of a replica whose clock is ahead count, too.
    """
    for cap in caps:
        inside = [(at, id_) for id_, at in instants.items() if abs(now_us - at) < cap.in_us]
        if len(inside) >= cap.at_most:
            return max(inside)[1]
    return None


def _answer(
    message: GateMessage,
    person: GatePerson,
    sent: Sequence[SentMessage],
    policy: ContactPolicy,
    now_us: int,
) -> GateAnswer:
    flow = (message.journey, message.destination)
    if Flow.STOPPED in flow:
        return _suppressed(GateReason.STOPPED)
    if Flow.PAUSED in flow:
        return GateAnswer(Verdict.POSTPONE, GateReason.PAUSED)
    end_us = message.at_us + message.valid_us if message.valid_us else None
    if end_us is not None and now_us > end_us:
        return _suppressed(GateReason.EXPIRED)
    if message.address is not AddressState.USABLE:
        return _suppressed(_ADDRESS_REASONS[message.address])
    refused = _consent_refusal(message, person, policy)
    if refused is not None:
        return refused
    profiling = consent_of(person.consents, PROFILING, message.channel)
    is_plain = message.is_personalised and profiling is not None and not profiling[1]
    if profiling is not None and is_plain and not message.has_plain_variant:
        return _suppressed(GateReason.PROFILING_REFUSED, profiling[2])
    if is_held_out(policy, message.purpose, message.leaf_id):
        return _suppressed(GateReason.HELD_OUT)
    closed = policy.closed_hours(message.purpose, message.channel)
    open_us = person.zones.next_open(now_us, closed)
    if open_us is None or (end_us is not None and open_us > end_us):
        return _suppressed(GateReason.EXPIRED)
    if open_us > now_us:
        return GateAnswer(Verdict.POSTPONE, GateReason.CLOSED_HOURS, open_us)
    winner = _capped_by(message, sent, policy, now_us)
    if winner is not None:
        return _suppressed(GateReason.CAPPED, winner)
    if message.has_predecessor:
        return GateAnswer(Verdict.POSTPONE, GateReason.IN_ORDER)
    return GateAnswer(Verdict.PASS, is_plain=True) if is_plain else PASSED


def _consent_refusal(
    message: GateMessage, person: GatePerson, policy: ContactPolicy
) -> GateAnswer | None:
    need = policy.purpose(message.purpose).consent
    if need is ConsentNeed.NOTHING:
        return None
    consent = consent_of(person.consents, message.purpose, message.channel)
    if consent is None:
        is_missing = need is ConsentNeed.GRANTED
        return _suppressed(GateReason.NO_CONSENT) if is_missing else None
    return None if consent[1] else _suppressed(GateReason.CONSENT_WITHDRAWN, consent[2])


def _capped_by(
    message: GateMessage, sent: Sequence[SentMessage], policy: ContactPolicy, now_us: int
) -> bytes | None:
    """Return the message because of which this one is one too many; None = there is none."""
    of_purpose = {m.effect_id: m.begun_at_us for m in sent if m.purpose == message.purpose}
    winner = cap_exceeded(policy.purpose(message.purpose).caps, of_purpose, now_us)
    if winner is not None:
        return winner
    own = {m.effect_id: m.begun_at_us for m in sent if m.journey_id == message.journey_id}
    return cap_exceeded(message.journey_caps, own, now_us)


def _suppressed(reason: GateReason, evidence: bytes = b"") -> GateAnswer:
    return GateAnswer(Verdict.SUPPRESS, reason, evidence=evidence)
