"""Lookups of keys share their statements, and floods of unknown keys have a few statements only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from service_fixtures import HANG_S

from services.chassis.access import lookups
from services.chassis.access.lookups import BatchedLookups
from services.kernel.errors import RateLimited, StoreUnavailable


class Table:
    """A table of keys that notes its statements, and can hold them."""

    def __init__(self, *keys: bytes) -> None:
        self.keys = {key: key.decode() for key in keys}
        self.statements: list[list[bytes]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.down = False

    async def load(self, keys: Sequence[bytes]) -> Mapping[bytes, str]:
        self.statements.append(list(keys))
        await self.open.wait()
        if self.down:
            raise StoreUnavailable("down")
        return {key: self.keys[key] for key in keys if key in self.keys}


async def test_lookups_during_a_statement_share_the_next() -> None:
    table = Table(b"a", b"b")
    lookups_ = BatchedLookups(table.load, pause_s=0)
    table.open.clear()
    first = asyncio.ensure_future(lookups_.load(b"a"))
    await asyncio.sleep(0)
    rest = [asyncio.ensure_future(lookups_.load(key)) for key in (b"b", b"x", b"b", b"a")]
    await asyncio.sleep(0)
    table.open.set()
    assert await first == "a"
    assert await asyncio.gather(*rest) == ["b", None, "b", "a"]
    assert table.statements == [[b"a"], [b"b", b"x", b"a"]]


async def test_unknown_keys_cost_few_statements() -> None:
    table = Table(b"honest")
    lookups_ = BatchedLookups(table.load, pause_s=0.01)
    keys = [b"%d" % number for number in range(2_000)]

    async def stranger(own: list[bytes]) -> None:
        for key in own:
            assert await lookups_.load(key) is None

    await asyncio.gather(*(stranger(keys[n::200]) for n in range(200)), lookups_.load(b"honest"))
    # The 200 strangers wait for each other, so each statement has a key of nearly all of them.
    assert len(table.statements) < 40


async def test_key_that_was_found_before_waits_for_no_pause() -> None:
    table = Table(b"honest")
    now = 0.0
    lookups_ = BatchedLookups(table.load, pause_s=60, clock=lambda: now)
    assert await lookups_.load(b"honest") == "honest"
    assert await lookups_.load(b"x") is None
    stranger = asyncio.ensure_future(lookups_.load(b"y"))
    async with asyncio.timeout(HANG_S):
        assert await lookups_.load(b"honest") == "honest"
    await asyncio.wait({stranger}, timeout=0.05)
    assert table.statements == [[b"honest"], [b"x"], [b"honest"]]
    stranger.cancel()


async def test_lookup_of_a_cancelled_caller_does_not_hold_up_the_others() -> None:
    table = Table(b"a", b"b")
    lookups_ = BatchedLookups(table.load, pause_s=0)
    table.open.clear()
    first, second = (asyncio.ensure_future(lookups_.load(key)) for key in (b"a", b"b"))
    await asyncio.sleep(0)
    first.cancel()
    table.open.set()
    assert await second == "b"


async def test_failed_statement_fails_its_lookups_and_the_next_succeeds() -> None:
    table = Table(b"a")
    table.down = True
    lookups_ = BatchedLookups(table.load, pause_s=0)
    results = await asyncio.gather(
        *(lookups_.load(key) for key in (b"a", b"b", b"c")), return_exceptions=True
    )
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert len(table.statements) <= 2
    table.down = False
    assert await lookups_.load(b"a") == "a"


async def test_lookups_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_WAITING", 3)
    monkeypatch.setattr(lookups, "MAX_BATCH", 2)
    table = Table()
    lookups_ = BatchedLookups(table.load, pause_s=0)
    table.open.clear()
    waiting = [asyncio.ensure_future(lookups_.load(b"%d" % n)) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await lookups_.load(b"one more")
    table.open.set()
    assert await asyncio.gather(*waiting) == [None] * 3
    assert all(len(statement) <= 2 for statement in table.statements)
