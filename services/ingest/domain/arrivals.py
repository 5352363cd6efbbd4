"""Gives each event its own instant of arrival, so that a later statement wins over an earlier one.

An event without a time takes place when it arrives. Clients send many events in one batch, and the
clocks of clients show milliseconds: so the place of an event among the others decides where the
time does not.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.kernel.time import SECOND_US


class ArrivalClock:
    """Returns instants of arrival, each later than those before it."""

    def __init__(self) -> None:
        self._next_us = 0

    def take(self, now_us: int, count: int) -> range:
        """Return the instants of `count` events that arrive now, Unix microseconds, ascending."""
        first_us = self._next_us if now_us < self._next_us <= now_us + SECOND_US else now_us
        self._next_us = first_us + count
        return range(first_us, self._next_us)


def waited_arrivals(now_us: int, messages: Iterable[tuple[int, int]]) -> list[int]:
    """Return the instants of the events of messages that have waited, in their order.

    `messages`: for each one the microseconds that it has waited, and the number of its events.
    """
    instants: list[int] = []
    next_us = 0
    for waited_us, count in messages:
        first_us = max(now_us - max(waited_us, 0), next_us)
        next_us = first_us + count
        instants += range(first_us, next_us)
    return instants


class StatementOrder:
    """Separates the statements of a batch that have one instant, in their order."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def place(self, occurred_us: int) -> int:
        """Return the instant of the next statement: a microsecond after an equal one before it."""
        earlier = self._counts.get(occurred_us, 0)
        self._counts[occurred_us] = earlier + 1
        return occurred_us + earlier
