"""Limits the rates at which keys, and addresses with keys of public sources, send events."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from services.ingest.domain.events import Producer
from services.kernel.errors import RateLimited
from services.kernel.rate_limit import RateLimit, RateLimiter


class Sent(NamedTuple):
    """The size and the origin of a batch."""

    size_bytes: int
    #: The group of addresses of the sender; empty = not known.
    address: str = ""


class Rates(NamedTuple):
    """What one sender may send."""

    events: RateLimit
    #: Bytes of decompressed bodies.
    size: RateLimit


_Limiter: TypeAlias = RateLimiter[tuple[str, str]]


class ProducerLimits:
    """Grants or refuses batches.

    A key of a public source is known to everybody, so besides the key each address that uses it
    has a rate of its own: one address cannot use up what all others have.
    """

    def __init__(self, *, public: Rates, public_address: Rates, server: Rates) -> None:
        self._public = _limiters(public)
        self._public_address = _limiters(public_address)
        self._server = _limiters(server)

    def check(self, producer: Producer, address: str, now: float, *, is_public: bool) -> None:
        """Raise RateLimited where a producer may not send a single event now."""
        _refuse(self._delay(self._costs(producer, 1, Sent(1, address), is_public), now))

    def take(
        self, producer: Producer, events: int, sent: Sent, now: float, *, is_public: bool
    ) -> None:
        """Count a batch, or raise RateLimited and count nothing.

        `now`: any clock that never goes back, seconds. A batch that is larger than a burst counts
        as the burst.
        """
        costs = self._costs(producer, events, sent, is_public)
        _refuse(self._delay(costs, now))
        for limiter, sender, cost in costs:
            limiter.take(sender, cost, now)

    def _delay(self, costs: list[_Cost], now: float) -> float:
        return max((limiter.delay(sender, cost, now) for limiter, sender, cost in costs), default=0)

    def _costs(self, producer: Producer, events: int, sent: Sent, is_public: bool) -> list[_Cost]:
        """Return the limiters of a batch, with the name of its sender and its cost in each."""
        units = (events, sent.size_bytes)
        sender = (producer.key_id, "")
        limiters = self._public if is_public else self._server
        costs = [(limiter, sender, min(units[unit], most)) for unit, limiter, most in limiters]
        if is_public and sent.address:
            sender = (producer.key_id, sent.address)
            costs += [
                (limiter, sender, min(units[unit], most))
                for unit, limiter, most in self._public_address
            ]
        return costs


_Cost: TypeAlias = tuple[_Limiter, tuple[str, str], float]


def _limiters(rates: Rates) -> list[tuple[int, _Limiter, float]]:
    """Return the limiters of rates that have a limit: 0 for events, 1 for bytes, and the burst."""
    return [
        (unit, RateLimiter(limit), limit.burst)
        for unit, limit in enumerate((rates.events, rates.size))
        if limit.per_s
    ]


def _refuse(delay: float) -> None:
    if delay > 0:
        raise RateLimited(
            "this key, or this address with it, sends faster than its limit: send it again"
            f" after {math.ceil(delay)} s, or raise the limit in the settings of ingest",
            retry_after=delay,
        )
