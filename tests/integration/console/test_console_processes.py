"""Tests in a real browser before a system of processes, one of which is killed; and its past.

The system is fresh: it is also fed the first part alone of what another system has, and shows what
the other one shows as of then.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from integration.console.conftest import Watched, loaded, logged_in
from integration.console.people import BOUGHT, event, send
from integration.console.running_console import Console
from integration.whole.whole_system import WholeSystem
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.profile.v1.profile_service_pb2 import DefineTagRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest
from onefold.type.v1 import event_pb2
from playwright.async_api import Browser, Locator, Page, expect
from service_fixtures import wait_until

from services import SERVICES
from services.chassis.codec.rules import rule_to_proto
from services.client.client import ApiEndpoints, Client
from services.devstack.stack import Stack
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.time import HOUR_US, MINUTE_US
from tests.index_key import INDEX_KEY_TEXT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("forked_services"),
]
SETTINGS = {
    "ONEFOLD_CLOCK_ADVANCE": "allowed",
    "ONEFOLD_TICK_INTERVAL_S": "0.5",
    # The ids of two systems are equal only if they are derived with one key.
    "ONEFOLD_INDEX_KEY": INDEX_KEY_TEXT,
}
#: The people whose past is compared, and the hours of each part of their events.
PEOPLE, HOURS = 3, 5
TAG = TagDefined(
    tag_id="often",
    title="常买",
    rule=rule_to_proto(parse_rule({"count": {"event": "bought", "at_least": 2}})),
)
SEGMENT = SegmentDefined(segment_id="buyers", title="买家", rule=rule_to_proto(parse_rule(BOUGHT)))
#: The texts of the cards of a person that are of an instant, by title: of each row the cells before
#: that of the buttons. What is of now alone, since when a person is in a segment, is left out.
PAST = """
    () => {
        const cards = [...document.querySelectorAll("main .ant-card")];
        const of = (title) =>
            cards.find((each) => each.querySelector(".ant-card-head-title")?.innerText === title);
        const rows = (title, cells) =>
            [...(of(title)?.querySelectorAll(".ant-table-row") ?? [])].map((row) =>
                [...row.cells].slice(0, cells).map((cell) => cell.innerText));
        const events = of("时间线")?.querySelectorAll(".ant-timeline-item") ?? [];
        const summary = cards.find((each) => each.querySelector(".ant-descriptions"));
        return {
            name: document.querySelector("main h2").innerText,
            identifiers: rows("标识", 2),
            traits: rows("属性", 5),
            consents: rows("授权", 2),
            segments: rows("所属人群", 2),
            summary: summary?.innerText,
            events: [...events].map((each) => each.innerText),
        };
    }
"""


@dataclass
class Processes:
    """A system whose services are processes, and its console."""

    stack: Stack
    console: Console

    def kill(self, service: str) -> None:
        """Kill a service; the system starts it again."""
        os.kill(self.stack.services[service].pid, signal.SIGKILL)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def processes(
    forked_services: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Processes]:
    folder: Path = tmp_path_factory.mktemp("processes")
    async with AsyncExitStack() as scope:
        stack = await scope.enter_async_context(Stack(folder, settings=SETTINGS, console=True))
        addresses = {name: stack.address(name) for name in SERVICES}

        async def open_client(key: str) -> Client:
            endpoints = ApiEndpoints(grpc=addresses, key=key, events_url=stack.events_url)
            return await scope.enter_async_context(Client(endpoints))

        internal = await open_client(stack.internal_key)
        bare = WholeSystem(
            *(internal, internal, internal, internal),
            names=SERVICES,
            public_urls=addresses,
            open_client=open_client,
        )
        system = await bare.of_workspace("default", stack.admin_key)
        http = await scope.enter_async_context(aiohttp.ClientSession())
        await system.admin.segment.DefineSegment(DefineSegmentRequest(segment=SEGMENT))
        yield Processes(stack, Console(system, stack.console_url, http))


async def test_past_of_people_is_what_a_fresh_system_shows_that_has_their_first_events_alone(
    watched: Watched, browser: Browser, processes: Processes
) -> None:
    """The instant is chosen with the slider."""
    whole, fresh = watched.console, processes.console
    for each in (whole, fresh):
        await each.system.admin.profile.DefineTag(DefineTagRequest(tag=TAG))
        await each.system.drain()
    now_us = await whole.system.now_us()
    begin_us = now_us - now_us % HOUR_US - 40 * HOUR_US
    chosen = random.Random(3)
    first = [e for n in range(PEOPLE) for e in _events(chosen, n, begin_us)]
    later = [e for n in range(PEOPLE) for e in _events(chosen, n, begin_us + HOURS * HOUR_US)]
    later += [_link(n, begin_us + (2 * HOURS) * HOUR_US) for n in range(PEOPLE)]
    await send(whole, *first)
    await send(whole, *later)
    await send(fresh, *first)
    key = fresh.system.admin.endpoints.key
    async with logged_in(browser, fresh, key, locale="zh-CN") as (_, other):
        for number in range(PEOPLE):
            [person] = await whole.system.profiles(f"user_id:past-{number}")
            [then] = await fresh.system.profiles(f"user_id:past-{number}")
            await other.open(f"profiles/{then}")
            await loaded(other.page)
            expected = await other.page.evaluate(PAST)
            assert expected["events"]
            await watched.open(f"profiles/{person}")
            await loaded(watched.page)
            assert await watched.page.evaluate(PAST) != expected
            await _slide(watched.page, begin_us // HOUR_US + HOURS)
            await loaded(watched.page)
            with suppress(TimeoutError):
                await wait_until(lambda: _shows(watched.page, expected))  # noqa: B023  # awaited here
            assert await watched.page.evaluate(PAST) == expected


async def _slide(page: Page, hour: int) -> None:
    """Choose an instant of the slider with the keyboard; it begins with the first event."""
    slider = page.get_by_role("slider", name="截至")
    await slider.focus()
    await page.keyboard.press("Home")
    while int(await slider.get_attribute("aria-valuenow") or 0) < hour:
        value = int(await slider.get_attribute("aria-valuenow") or 0)
        await page.keyboard.press("ArrowRight")
        await expect(slider).to_have_attribute("aria-valuenow", str(value + 1))
    await expect(page).to_have_url(re.compile(f"as_of={hour * HOUR_US}"))


async def _shows(page: Page, expected: dict[str, Any]) -> bool:
    return bool(await page.evaluate(PAST) == expected)


def _events(chosen: random.Random, number: int, begin_us: int) -> list[event_pb2.Event]:
    """Return what a person and its other device do within some hours."""
    made = []
    for hour in range(HOURS):
        who = [f"user_id:past-{number}"] if hour != 1 else [f"anonymous_id:past-{number}"]
        at_us = begin_us + hour * HOUR_US + chosen.randint(1, 59) * MINUTE_US
        kind = (
            chosen.choice(["identify", "bought", "看过", "consent_changed"]) if hour else "identify"
        )
        fields: dict[str, bytes] = {}
        if kind == "identify":
            value = chosen.choice(["北京", "上海", 7, True, ["a"]])
            traits = {"name": f"客户{number}", chosen.choice(["city", "level"]): value}
            fields["traits"] = json.dumps(traits, ensure_ascii=False).encode()
        elif kind == "consent_changed":
            answer = {"purpose": "news", "granted": chosen.random() < 0.5}
            fields["properties"] = json.dumps(answer).encode()
        made.append(event(kind, *who, at_us=at_us, **fields))
    return made


def _link(number: int, at_us: int) -> event_pb2.Event:
    """Return the event that shows that the device is of the person."""
    return event("bought", f"user_id:past-{number}", f"anonymous_id:past-{number}", at_us=at_us)


async def test_live_view_goes_on_without_a_gap_after_its_service_was_killed(
    browser: Browser, processes: Processes
) -> None:
    console = processes.console
    key = console.system.admin.endpoints.key
    expected: Counter[str] = Counter()
    async with logged_in(browser, console, key, locale="zh-CN") as (_, watched):
        await watched.open("segments/buyers")
        card = watched.page.locator(".ant-card", has_text="正在进入和离开")
        is_live = card.get_by_text("实时", exact=True)
        people = card.get_by_role("link")
        # Once before the first entry, and once after some.
        for number in range(2):
            await expect(is_live).to_be_visible()
            processes.kill("segment")
            await expect(card.locator(".ant-alert-error")).to_contain_text("有服务没有响应")
            await expect(card.locator(".ant-alert-error")).to_contain_text("从中断处继续")
            for buyer in range(3):
                name = f"user_id:killed-{number}-{buyer}"
                await console.system.send("bought", name)
                expected[name] += 1
            await expect(is_live).to_be_visible()
            await expect(card.locator(".ant-alert-error")).to_have_count(0)
            name = f"user_id:alive-{number}"
            await console.system.send("bought", name)
            expected[name] += 1
            await wait_until(lambda: _are_named(people, expected))


async def _are_named(people: Locator, expected: Counter[str]) -> bool:
    return Counter(await people.all_inner_texts()) == expected
