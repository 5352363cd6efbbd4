"""Computes which instants a window contains, and when time alone changes that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from services.kernel.calendar import period_start
from services.kernel.rules.ids import accumulator_id
from services.kernel.rules.inputs import times_of
from services.kernel.rules.readings.views import ProfileFacts
from services.kernel.rules.windows import Anchor, Calendar, Relative, Rolling, Window

FIRST_US = -(2**63)
END_US = 2**63


class Range(NamedTuple):
    """The instants start_us <= t < end_us."""

    start_us: int
    end_us: int


EVERYTHING = Range(FIRST_US, END_US)
NOTHING = Range(0, 0)

RangeFn: TypeAlias = Callable[[ProfileFacts, int], Range]
#: Returns the instants after `as_of_us` at which time alone may change the content of a window,
#: ascending, for events at some instants.
TurnsFn: TypeAlias = Callable[[Iterable[int], int], Iterator[int]]


def range_of(window: Window) -> RangeFn:
    """Return the range of a window as a function of a profile and an instant.

    No event of the profile is later than the instant, so windows that reach it have no end.
    """
    match window:
        case Rolling(span_us):
            return lambda profile, as_of_us: Range(as_of_us - span_us + 1, END_US)
        case Calendar():
            return _calendar_range(window)
        case Relative():
            return _relative_range(window)
        case _:
            return lambda profile, as_of_us: EVERYTHING


def before(window: Rolling | Calendar) -> RangeFn:
    """Return the range of the window of equal length that ends where a window begins."""
    if isinstance(window, Calendar):
        length = window.oldest - window.newest + 1
        oldest, newest = window.oldest + length, window.newest + length

        def periods(profile: ProfileFacts, as_of_us: int) -> Range:
            start_us = period_start(as_of_us, window.unit, oldest, window.zone)
            return Range(start_us, period_start(as_of_us, window.unit, newest - 1, window.zone))

        return periods
    span_us = window.span_us
    return lambda profile, as_of_us: Range(as_of_us - 2 * span_us + 1, as_of_us - span_us + 1)


def turns_of(window: Window) -> TurnsFn | None:
    """Return when a window changes by time alone; None = never."""
    match window:
        case Rolling(span_us):
            return lambda times, as_of_us: _later((t + span_us for t in times), as_of_us)
        case Calendar():
            return _calendar_turns(window, (window.newest, window.oldest + 1))
        case _:
            return None


def turns_of_both(window: Rolling | Calendar) -> TurnsFn:
    """Return when a window or the one before it changes by time alone."""
    if isinstance(window, Calendar):
        length = window.oldest - window.newest + 1
        edges = (window.newest, window.oldest + 1, window.oldest + 1 + length)
        return _calendar_turns(window, edges)
    span_us = window.span_us

    def turns(times: Iterable[int], as_of_us: int) -> Iterator[int]:
        known = tuple(times)
        return _later((t + n * span_us for t in known for n in (1, 2)), as_of_us)

    return turns


def _calendar_range(window: Calendar) -> RangeFn:
    unit, oldest, newest, zone = window.unit, window.oldest, window.newest, window.zone

    def periods(profile: ProfileFacts, as_of_us: int) -> Range:
        start_us = period_start(as_of_us, unit, oldest, zone)
        return Range(start_us, period_start(as_of_us, unit, newest - 1, zone))

    return periods


def _relative_range(window: Relative) -> RangeFn:
    anchors, within_us = accumulator_id(times_of(window.events)), window.within_us
    is_first, is_after = window.anchor is Anchor.FIRST, window.after

    def around(profile: ProfileFacts, as_of_us: int) -> Range:
        times = profile.accumulator(anchors)
        if times is None:
            return NOTHING
        at_us = times.first() if is_first else times.nth_most_recent(1)
        if is_after:
            return Range(at_us + 1, at_us + within_us + 1 if within_us else END_US)
        return Range(at_us - within_us if within_us else FIRST_US, at_us)

    return around


def _calendar_turns(window: Calendar, edges: tuple[int, ...]) -> TurnsFn:
    """`edges`: how many periods after its own an event enters or leaves; 0 = at once."""
    unit, zone = window.unit, window.zone
    later = tuple(edge for edge in edges if edge)

    def turns(times: Iterable[int], as_of_us: int) -> Iterator[int]:
        # An event of an earlier period has passed its last edge.
        earliest_us = period_start(as_of_us, unit, max(later) - 1, zone)
        known = tuple(t for t in times if t >= earliest_us)
        instants = (period_start(t, unit, -edge, zone) for t in known for edge in later)
        return _later(instants, as_of_us)

    return turns


def _later(instants: Iterable[int], as_of_us: int) -> Iterator[int]:
    return iter(sorted({instant for instant in instants if instant > as_of_us}))
