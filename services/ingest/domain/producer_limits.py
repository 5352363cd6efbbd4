"""Limits the rates at which keys, and addresses with keys of public sources, send events."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

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


class _Limiters:
    """The rates of many senders."""

    def __init__(self, rates: Rates) -> None:
        self.events: RateLimiter[tuple[str, str]] = RateLimiter(rates.events)
        self.size: RateLimiter[tuple[str, str]] = RateLimiter(rates.size)


class ProducerLimits:
    """Grants or refuses batches.

    A key of a public source is known to everybody, so besides the key each address that uses it
    has a rate of its own: one address cannot use up what all others have.
    """

    def __init__(self, *, public: Rates, public_address: Rates, server: Rates) -> None:
        self._public = _Limiters(public)
        self._public_address = _Limiters(public_address)
        self._server = _Limiters(server)

    def check(self, producer: Producer, address: str, now: float, *, is_public: bool) -> None:
        """Raise RateLimited where a producer may not send a single event now."""
        self._delay(producer, 1, Sent(1, address), now, is_public)

    def take(
        self, producer: Producer, events: int, sent: Sent, now: float, *, is_public: bool
    ) -> None:
        """Count a batch, or raise RateLimited and count nothing.

        `now`: any clock that never goes back, seconds. A batch that is larger than a burst counts
        as the burst.
        """
        self._delay(producer, events, sent, now, is_public)
        for limiter, sender, cost in self._costs(producer, events, sent, is_public):
            limiter.take(sender, cost, now)

    def _delay(
        self, producer: Producer, events: int, sent: Sent, now: float, is_public: bool
    ) -> None:
        delay = max(
            limiter.delay(sender, cost, now)
            for limiter, sender, cost in self._costs(producer, events, sent, is_public)
        )
        if delay > 0:
            raise RateLimited(
                "this key, or this address with it, sends faster than its limit: send it again"
                f" after {math.ceil(delay)} s, or raise the limit in the settings of ingest",
                retry_after=delay,
            )

    def _costs(
        self, producer: Producer, events: int, sent: Sent, is_public: bool
    ) -> Iterator[tuple[RateLimiter[tuple[str, str]], tuple[str, str], float]]:
        """Yield the limiters of a batch, with the name of its sender and its cost in each."""
        limiters = [(self._public if is_public else self._server, "")]
        if is_public and sent.address:
            limiters.append((self._public_address, sent.address))
        for each, address in limiters:
            sender = (producer.key_id, address)
            for limiter, cost in ((each.events, events), (each.size, sent.size_bytes)):
                yield limiter, sender, min(cost, limiter.limit.burst)
