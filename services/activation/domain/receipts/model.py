"""Defines receipts: what a provider reports of a message, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from services.activation.domain.model import DeliveryState
from services.kernel.journeys.model import ReportKind
from services.kernel.time import DAY_US

#: An address is not used for a while after so many messages in this span came back that may arrive
#: later.
SOFT_BOUNCES: Final = 3
SOFT_SPAN_US: Final = 7 * DAY_US
SOFT_UNUSABLE_US: Final = 30 * DAY_US
#: How a person writes that no more messages are wanted, and that they are wanted again.
_STOP_WORDS: Final = frozenset(
    {
        *("r", "t", "td", "n", "退订", "取消订阅", "拒收"),
        *("stop", "stopall", "unsubscribe", "cancel", "end", "quit"),
    }
)
_START_WORDS: Final = frozenset(["start", "unstop", "订阅", "恢复订阅"])


class ReceiptRefused(Exception):
    """A request is no receipt of the provider; the message holds nothing personal."""


class Bounce(Enum):
    """What a message that did not arrive says of its address."""

    NONE = "none"
    #: It may arrive later.
    SOFT = "soft"
    #: No message arrives there.
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """A request to the door of receipts."""

    #: The text after the `?`.
    query: str = ""
    #: By names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One report of a provider."""

    what: ReportKind
    #: The key of the message, 32 hexadecimal digits; empty = only the address is known.
    key: str = ""
    #: The address, where the report names no message.
    address: str = field(default="", repr=False)
    #: Tells repeats of a report from others of its kind; empty = there is one for a message.
    report_id: str = ""
    #: Unix microseconds; 0 = it does not say.
    at_us: int = 0
    reason: str = ""
    is_machine: bool = False
    bounce: Bounce = Bounce.NONE
    #: Whether the person consents from now on; None = it says nothing.
    consents: bool | None = None


@dataclass(frozen=True, slots=True)
class ReceiptAnswer:
    """What the provider expects as an answer, and what it has reported."""

    receipts: tuple[Receipt, ...] = ()
    body: bytes = b""
    content_type: str = "application/json"


def state_after(what: ReportKind) -> DeliveryState:
    """Return the state of a message that a provider has accepted, after a report."""
    if what is ReportKind.UNDELIVERED:
        return DeliveryState.UNDELIVERED
    return DeliveryState.DELIVERED


def consent_in_reply(text: str) -> bool | None:
    """Return whether a reply withdraws (False) or grants (True) consent; None = neither."""
    word = text.strip().strip(".。!！").casefold()
    if word in _STOP_WORDS:
        return False
    return True if word in _START_WORDS else None


def is_softly_dead(bounces: tuple[int, ...], now_us: int) -> bool:
    """Return whether an address with these bounces is not to be used for a while."""
    return sum(1 for at_us in bounces if at_us > now_us - SOFT_SPAN_US) >= SOFT_BOUNCES
