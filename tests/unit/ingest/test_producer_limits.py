"""The rates of keys, and of addresses that use a public key."""

from __future__ import annotations

import pytest

from services.ingest.domain.events import Producer
from services.ingest.domain.producer_limits import ProducerLimits, Rates, Sent
from services.kernel.errors import RateLimited
from services.kernel.rate_limit import UNLIMITED, RateLimit

KEY = Producer("shop", "web", "key_1", "http", "CN")
OTHER = Producer("shop", "app", "key_2", "nats", "CN")


def limits_of(key: float, address: float, size: float = 0) -> ProducerLimits:
    """Return limits with these bursts of events, which refill at one a second."""
    sizes = RateLimit(1, size) if size else UNLIMITED
    return ProducerLimits(
        public=Rates(RateLimit(1, key), sizes),
        public_address=Rates(RateLimit(1, address), UNLIMITED),
        server=Rates(UNLIMITED, UNLIMITED),
    )


def granted(limits: ProducerLimits, producer: Producer, events: int, **sent: object) -> bool:
    size, address = sent.get("size", 1), sent.get("address", "a")
    now, is_public = sent.get("now", 0.0), sent.get("is_public", True)
    batch = Sent(size, address)  # type: ignore[arg-type]
    try:
        limits.take(producer, events, batch, now, is_public=is_public)  # type: ignore[arg-type]
    except RateLimited:
        return False
    return True


def test_one_address_leaves_the_rest_of_a_public_key_to_others() -> None:
    limits = limits_of(key=100, address=30)
    assert [granted(limits, KEY, 10, address="a") for _ in range(4)] == [True] * 3 + [False]
    assert [granted(limits, KEY, 10, address="b") for _ in range(4)] == [True] * 3 + [False]
    assert granted(limits, KEY, 10, address="c")


def test_addresses_together_have_no_more_than_their_key() -> None:
    limits = limits_of(key=50, address=30)
    assert sum(granted(limits, KEY, 10, address=str(n)) for n in range(20)) == 5
    assert granted(limits, OTHER, 10)


def test_refused_batch_counts_nowhere() -> None:
    limits = limits_of(key=100, address=30, size=10)
    assert granted(limits, KEY, 20, size=8)
    assert not granted(limits, KEY, 10, size=8)
    assert granted(limits, KEY, 10, size=2)


def test_batch_above_the_burst_counts_as_the_burst() -> None:
    limits = limits_of(key=10, address=10)
    assert granted(limits, KEY, 1_000)
    assert not granted(limits, KEY, 1)
    assert granted(limits, KEY, 1_000, now=10.0)


def test_key_of_another_source_has_its_own_rate_and_no_addresses() -> None:
    limits = limits_of(key=1, address=1)
    assert all(granted(limits, KEY, 1_000, size=10**9, is_public=False) for _ in range(50))


def test_refusal_states_when_to_send_again() -> None:
    limits = limits_of(key=10, address=10)
    limits.take(KEY, 10, Sent(1, "a"), 0.0, is_public=True)
    with pytest.raises(RateLimited) as caught:
        limits.check(KEY, "a", 0.25, is_public=True)
    assert caught.value.retry_after == pytest.approx(0.75)
    assert caught.value.reason == "RATE_LIMITED"
    limits.check(KEY, "a", 1.0, is_public=True)
