"""Models windows: the part of a person's past that an aggregate reads.

A window at the instant t contains events with occurred_at <= t only:

* `Ever`: all of them.
* `Rolling`: those with t - span_us < occurred_at, so the start is excluded.
* `Calendar`: those in some calendar periods of a zone: from the start of the period `oldest` before
  the one that contains t, to the end of the period `newest` before it (0 = the one with t).
* `Relative`: those strictly before, or strictly after, the first or the last event of another kind
  (the anchor), at most `within_us` away from it. Without an anchor event it is empty. The anchor is
  the first or the last of the person's whole past.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from services.kernel.calendar import PeriodUnit
from services.kernel.errors import RuleError
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.names import MAX_SPAN_US, check_span, check_whole, check_zone_name

MAX_PERIODS = 1_200


@dataclass(frozen=True, slots=True)
class Ever:
    """The whole past."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last `span_us` microseconds; the start is excluded."""

    span_us: int

    def __post_init__(self) -> None:
        check_span("within", self.span_us)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Calendar periods of a zone, counted back from the one that contains the instant."""

    unit: PeriodUnit
    #: The first period of the window, in periods before the current one.
    oldest: int
    #: The last period of the window; 0 = the current one.
    newest: int
    #: An IANA name such as `Asia/Shanghai`.
    zone: str

    def __post_init__(self) -> None:
        check_whole("during", self.oldest, 0, MAX_PERIODS)
        check_whole("during", self.newest, 0, self.oldest)
        check_zone_name("zone", self.zone)


class Anchor(Enum):
    """Which of several anchor events counts; the value is the word in a rule."""

    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Relative:
    """The time before or after another event of the person."""

    events: EventFilter
    anchor: Anchor
    #: False = before it.
    after: bool
    #: The longest distance in microseconds, included; 0 = any.
    within_us: int = 0

    def __post_init__(self) -> None:
        if type(self.within_us) is not int or not 0 <= self.within_us <= MAX_SPAN_US:
            raise RuleError("this is no span of time", "write one such as 7d").under("within")


Window: TypeAlias = Ever | Rolling | Calendar | Relative
EVER = Ever()
