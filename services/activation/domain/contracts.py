"""Declares what a channel promises, and decides what follows for a message that may be sent."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import Enum


class ChannelKind(Enum):
    """What a channel does with effects."""

    #: It sends each effect as a message of its own.
    MESSAGE = "message"
    #: It makes a copy elsewhere equal to the memberships; to do so again changes nothing.
    MIRROR = "mirror"


class Deduplication(Enum):
    """How a provider treats a message that it gets a second time."""

    #: It drops it, by the key of the message.
    KEYED = "keyed"
    #: It drops it within a time after the first one.
    KEYED_FOR_A_WHILE = "keyed for a while"
    #: It sends it again, but can be queried for the first one.
    QUERYABLE = "can be queried"
    #: It sends it again, and cannot be queried.
    NONE = "none"


#: Seconds.
_SHORTEST_S = 1e-6


@dataclass(frozen=True, slots=True)
class Pace:
    """At most `limit` attempts in any `per_s` seconds, over all replicas."""

    limit: int
    per_s: float

    @property
    def burst(self) -> int:
        """How many attempts may start at once after a rest."""
        return max(1, self.limit // 3)

    @property
    def interval_s(self) -> float:
        """By how much one attempt puts off those after the burst, seconds."""
        # In any window: the burst, and what fits into it at this interval.
        return self.per_s / max(1, self.limit - self.burst)

    def allowed(self, backlog_s: float) -> int:
        """Return how many attempts may start; `backlog_s`: what earlier ones put off, seconds."""
        return max(0, self.burst - math.ceil(backlog_s / self.interval_s))

    def wait_s(self, backlog_s: float) -> float:
        """Return the seconds until an attempt may start; 0 where one is allowed now."""
        if self.allowed(backlog_s):
            return 0.0
        # The difference of two rounded values may be nothing, where `allowed` still says no.
        return max(backlog_s - (self.burst - 1) * self.interval_s, _SHORTEST_S)


#: The parts of a template that a channel can need.
SUBJECT, TEXT, HTML, PROVIDER_TEMPLATE = "subject", "text", "html", "provider_template"


@dataclass(frozen=True, slots=True)
class ChannelContract:
    """What a channel promises to those that send through it."""

    deduplication: Deduplication
    kind: ChannelKind = ChannelKind.MESSAGE
    #: Seconds after the first attempt within which a repeat is dropped, if only for a while.
    window_s: float = 0.0
    #: Seconds after which the provider, if it can be queried, knows what it has accepted.
    known_after_s: float = 0.0
    pace: Pace | None = None
    #: Where the address comes from by default, such as `identifier email`; "" = there is none.
    address: str = ""
    #: Whether messages go to one person, by an address.
    is_addressed: bool = False
    #: Whether the provider can report later what became of a message that it has accepted.
    reports: bool = False
    #: Groups of parts of a template; of each group the channel needs at least one. Without groups
    #: the channel sends no texts, but the description of the change.
    parts: tuple[tuple[str, ...], ...] = ()


class Repeat(Enum):
    """What happens to a message whose earlier attempt has no answer."""

    SEND = "send"
    QUERY = "query"
    LEAVE = "leave"


#: The share of a window that is used, as clocks differ.
_WINDOW_SHARE = 0.8


def repeat_of(contract: ChannelContract, age_s: float) -> Repeat:
    """Return what to do with a message that may have been sent before.

    `age_s`: seconds since the first attempt at the latest.
    """
    match contract.deduplication:
        case Deduplication.KEYED:
            return Repeat.SEND
        case Deduplication.KEYED_FOR_A_WHILE if age_s < contract.window_s * _WINDOW_SHARE:
            return Repeat.SEND
        case Deduplication.QUERYABLE:
            return Repeat.QUERY
        case _:
            return Repeat.LEAVE


def position_at(now_s: float) -> bytes:
    """Return the instant before the first attempt, as the ledger stores it; Unix seconds."""
    return struct.pack(">d", now_s)


def age_of(position: bytes, now_s: float) -> float:
    """Return the seconds since a position was taken; infinite where it has no instant."""
    return now_s - struct.unpack(">d", position)[0] if len(position) == 8 else math.inf
