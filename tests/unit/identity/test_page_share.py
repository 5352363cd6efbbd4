"""Tests how a rebuild passes the pages of the log on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from onefold.log.v1.log_pb2 import FactBatch

from services.identity.rebuild.page_share import MAX_PAGES, PageShare
from tests.service_fixtures import wait_until


def page(number: int) -> FactBatch:
    return FactBatch(first_offset=number)


async def collect(pages: AsyncIterator[bytes]) -> list[int]:
    return [FactBatch.FromString(raw).first_offset async for raw in pages]


async def test_page_share_passes_every_page_to_each_follower_in_order() -> None:
    share, count = PageShare(), 3 * MAX_PAGES
    following = [asyncio.create_task(collect(share.follow())) for _ in range(2)]
    await asyncio.sleep(0)
    async with share.sharing() as put:
        for number in range(count):
            await put(page(number))
    assert await asyncio.gather(*following) == [list(range(count))] * 2


async def test_page_share_rebuild_waits_for_a_follower_that_comes_later() -> None:
    share = PageShare()

    async def rebuild() -> None:
        async with share.sharing() as put:
            await put(page(7))

    rebuilding = asyncio.create_task(rebuild())
    await asyncio.sleep(0)
    assert await collect(share.follow()) == [7]
    await rebuilding


async def test_page_share_rebuild_without_a_follower_goes_ahead() -> None:
    async with PageShare(wait_s=0.001).sharing() as put:
        await put(page(1))


async def test_page_share_follower_without_a_rebuild_gets_nothing_and_takes_no_part_later() -> None:
    share = PageShare(wait_s=0.001)
    assert await collect(share.follow()) == []
    async with share.sharing() as put:
        for number in range(2 * MAX_PAGES):
            await put(page(number))


async def test_page_share_follower_is_a_bounded_number_of_pages_behind() -> None:
    share, passed = PageShare(), list[int]()
    async with aclosing(share.follow()) as pages:
        first = asyncio.ensure_future(anext(pages))
        await asyncio.sleep(0)

        async def rebuild() -> None:
            async with share.sharing() as put:
                for number in range(3 * MAX_PAGES):
                    await put(page(number))
                    passed.append(number)

        rebuilding = asyncio.create_task(rebuild())
        await first
        await wait_until(lambda: len(passed) >= MAX_PAGES)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(passed) <= MAX_PAGES + 1
    # The follower has gone: the rebuild is not held up.
    await rebuilding
    assert len(passed) == 3 * MAX_PAGES


async def test_page_share_rebuild_that_fails_ends_the_pages() -> None:
    share = PageShare()
    following = asyncio.create_task(collect(share.follow()))
    await asyncio.sleep(0)
    try:
        async with share.sharing() as put:
            await put(page(1))
            raise RuntimeError("the rebuild fails")
    except RuntimeError:
        assert await following == [1]
