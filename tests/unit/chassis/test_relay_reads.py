"""When a relay reads the store: not while what follows is handed over to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from services.chassis.messaging import relay
from services.chassis.messaging.stream import OutboxMessage

#: Longer than any test runs.
NEVER_S = 3_600.0
#: A guard against a hang.
DEADLINE_S = 60.0


def outputs(first: int, count: int = 1) -> list[OutboxMessage]:
    """Return outputs of one sequence number each."""
    return [OutboxMessage(number, number + 1, b"x") for number in range(first, first + count)]


class Store:
    """Returns the given pages, one at each read, and nothing after them."""

    def __init__(self, *pages: list[OutboxMessage]) -> None:
        self.pages = list(pages)
        self.reads = 0
        self.while_reading: Callable[[], None] = lambda: None

    async def read(self, _shard: int, _first: int, _limit: int) -> list[OutboxMessage]:
        self.reads += 1
        await asyncio.sleep(0)
        self.while_reading()
        return self.pages.pop(0) if self.pages else []


def relay_of(store: Store) -> relay._ShardRelay:
    return relay._ShardRelay(cast(Any, None), "onefold.log", cast(Any, store), 0)


async def next_of(relaying: relay._ShardRelay, at: int) -> list[OutboxMessage]:
    async with asyncio.timeout(DEADLINE_S):
        return await relaying._next(at)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but hand-overs and notifications wake a relay."""
    for name in ("_GAP_S", "POLL_S", "_UNCOMMITTED_RETRY_S"):
        monkeypatch.setattr(relay, name, NEVER_S)


@pytest.mark.usefixtures("patient")
async def test_relay_that_has_read_the_newest_output_waits_for_the_next_one() -> None:
    store = Store(outputs(0), outputs(1), outputs(2))
    relaying = relay_of(store)
    assert await next_of(relaying, 0) == outputs(0)
    relaying.enqueue(outputs(0))  # it arrives later than it was read
    waiting = asyncio.ensure_future(next_of(relaying, 1))
    for _ in range(10):
        await asyncio.sleep(0)
    relaying.enqueue(outputs(1))
    assert await waiting == outputs(1)
    assert store.reads == 1


@pytest.mark.usefixtures("patient")
async def test_relay_that_lags_reads_on_until_it_has_the_newest_output() -> None:
    store = Store(outputs(0, 5), outputs(5, 5), outputs(10))
    relaying = relay_of(store)
    assert await next_of(relaying, 0) == outputs(0, 5)
    assert await next_of(relaying, 5) == outputs(5, 5)
    assert await next_of(relaying, 10) == outputs(10)
    assert store.reads == 3


async def test_output_that_is_never_handed_over_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "POLL_S", NEVER_S)
    store = Store(outputs(0), outputs(1))
    relaying = relay_of(store)
    assert await next_of(relaying, 0) == outputs(0)
    assert await next_of(relaying, 1) == outputs(1)


@pytest.mark.usefixtures("patient")
async def test_output_that_is_handed_over_during_a_read_is_taken_at_once() -> None:
    store = Store()
    relaying = relay_of(store)
    store.while_reading = lambda: relaying.enqueue(outputs(0))
    assert await next_of(relaying, 0) == outputs(0)


@pytest.mark.usefixtures("patient")
async def test_notification_during_a_read_leads_to_another_read() -> None:
    store = Store(outputs(0), outputs(1))
    relaying = relay_of(store)
    store.while_reading = lambda: relaying._on_notification(OutboxMessage(0, 2, b""))
    assert await next_of(relaying, 0) == outputs(0)
    assert await next_of(relaying, 1) == outputs(1)
