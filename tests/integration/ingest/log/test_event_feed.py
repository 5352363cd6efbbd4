"""Tests the feed of new events: whose it shows, which, and that it leaves out what is too much."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest
from integration.ingest.log.conftest import Logs, make_fact
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event

from services.ingest.log import event_feed
from services.ingest.log.event_feed import EventFeed
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

SHOP = WorkspaceId("shop")


def event(name: str, **changes: Any) -> Any:
    payload = Event(type=EVENT_TYPE_TRACK, name=name).SerializeToString()
    return make_fact(None, payload=payload, **changes)


async def test_feed_has_new_events_of_the_workspace_by_source_and_name(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "INTERVAL_S", 0.01)
    log = await logs.replica()
    await log.append([event("before")])
    feed = EventFeed(log)
    all_events = feed.watch(SHOP, [], [])
    of_app, bought = feed.watch(SHOP, ["app"], []), feed.watch(SHOP, [], ["bought"])
    async with aclosing(all_events), aclosing(of_app), aclosing(bought):
        for one in (all_events, of_app, bought):
            assert not (await anext(one)).events
        await log.append(
            [
                event("viewed"),
                event("bought", source_id="app"),
                event("secret", workspace_id="other"),
                make_fact(None, kind="onefold.log.v1.Other"),
            ]
        )
        found = []
        for one in (all_events, of_app, bought):
            page = await anext(one)
            assert not page.has_skipped
            found.append(sorted(each.name for _, each in page.events))
        assert found == [["bought", "viewed"], ["bought"], ["bought"]]
        assert not (await anext(all_events)).events, "each event is shown once"


async def test_feed_goes_on_where_another_one_ended(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "INTERVAL_S", 0.01)
    log = await logs.replica()
    feed = EventFeed(log)
    async with aclosing(feed.watch(SHOP, [], [])) as pages:
        await anext(pages)
        await log.append([event("shown")])
        shown = await anext(pages)
    await log.append([event("missed"), event("missed")])
    async with aclosing(feed.watch(SHOP, [], [], shown.token)) as pages:
        assert (await anext(pages)).token == shown.token
        page = await anext(pages)
        assert [each.name for _, each in page.events] == ["missed", "missed"]
        assert not page.has_skipped
    beyond = Token(tuple(offset + 9 for offset in page.token.offsets))
    async with aclosing(feed.watch(SHOP, [], [], beyond)) as pages:
        assert (await anext(pages)).token == page.token, "a token of another log shows nothing"


async def test_feed_leaves_out_what_is_too_much_and_says_so(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "INTERVAL_S", 0.01)
    monkeypatch.setattr(event_feed, "SHOWN", 3)
    monkeypatch.setattr(event_feed, "MOST_FEEDS", 1)
    log = await logs.replica()
    feed = EventFeed(log)
    async with aclosing(feed.watch(SHOP, [], [])) as pages:
        await anext(pages)
        await log.append([event("viewed") for _ in range(40)])
        page = await anext(pages)
        assert (len(page.events), page.has_skipped) == (3, True)
        with pytest.raises(TooLarge, match="watch events already"):
            await anext(feed.watch(SHOP, [], []))
    with pytest.raises(InvalidField, match="at most 50"):
        await anext(feed.watch(SHOP, [], ["n"] * 51))
    async with aclosing(feed.watch(SHOP, [], [])) as again:
        assert not (await anext(again)).events, "a feed that has ended makes room"
