"""Tests in a real browser of every screen in turn: links, languages, widths, rights and budgets."""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from integration.console.conftest import Watched, loaded, logged_in
from integration.console.places import FILTERED, Places, open_places
from integration.console.running_console import Console
from playwright.async_api import Browser, CDPSession, Page, expect
from service_fixtures import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[3]
TEXTS = ROOT / "services" / "console" / "web" / "src" / "texts.en.ts"
#: Whether a page is as wide as a telephone, and whether nothing moves or fades.
FITS = "document.documentElement.scrollWidth <= innerWidth"
IS_STILL = "document.getAnimations().length == 0"
#: The buttons whose text is wider than they are.
CLIPPED = """
    () => [...document.querySelectorAll("button")]
        .filter((button) => button.scrollWidth > button.clientWidth + 1)
        .map((button) => button.innerText)
"""
ROWS = (
    "() => [...document.querySelectorAll('main .ant-table-row, main li')].map((e) => e.innerText)"
)
#: What a screen may take: bytes of the first and of a further one, compressed; elements; heap.
FIRST_BYTES, FURTHER_BYTES, MOST_ELEMENTS, MOST_HEAP = 500_000, 250_000, 2_500, 60_000_000
MOST_CALLS = 20
#: The filters of screens and their values.
FILTERS = {
    "profiles": {"q": ["user_id:u1", "李", "hanmeimei", "nobody"]},
    "deliveries": {
        "state": ["DELIVERY_STATE_DEAD", "DELIVERY_STATE_DELIVERED"],
        "destination": ["hook", "none"],
        "segment": ["buyers"],
    },
    "tickets": {
        "view": ["board"],
        "queue": ["help"],
        "agent": ["wang", "none"],
        "state": ["TICKET_STATE_OPEN", "TICKET_STATE_RESOLVED"],
        "late": ["1"],
    },
    "quarantine": {"released": ["1"]},
    "journeys": {"state": ["FLOW_OPEN", "FLOW_PAUSED"]},
    "journeys/arrival": {"runs": ["RUN_STATE_OPEN", "RUN_STATE_ENDED"]},
    "segments": {"overlap": ["buyers"]},
}
#: How many random states of screens are compared; a deep run has 200.
STATES = int(os.environ.get("ONEFOLD_TEST_CONSOLE_STATES", "5"))
#: Screens of which a colleague sees another part, or what changes by itself.
_PRIVACY = ("privacy", "privacy?tab=audit&reads=1", "privacy?tab=fields")
DIFFERING = ("", "sources", "events", *_PRIVACY)
#: Processor time of a page as a multiple of that of a loop that is known.
MOST_WORK = 12.0
LOOP = "() => { let x = 1; for (let i = 0; i < 4e7; i++) x = (x * 31 + i) | 0; return x }"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(console: Console) -> Places:
    return await open_places(console)


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"], indirect=True)
async def test_every_screen_is_accessible_fits_and_calls_no_other_host(
    watched: Watched, places: Places, locale: str
) -> None:
    page = watched.page
    is_chinese = locale == "zh-CN"
    # A button that a late response enables has its colour at once, not while axe reads it.
    await page.emulate_media(
        reduced_motion="reduce", color_scheme="light" if is_chinese else "dark"
    )
    await watched.open("")
    keys = re.findall(r"^  (\w*[a-z](?:[A-Z]|_)\w+):", TEXTS.read_text("utf-8"), re.MULTILINE)
    for screen in [*places.all(), *FILTERED]:
        await watched.go(screen)
        await loaded(page)
        place = f"{screen or 'home'} in {locale}"
        text = await page.locator("body").inner_text()
        assert "[object" not in text, place
        words = set(re.findall(r"\w+", text))
        # The audit shows the names of fields, some of which are keys of texts as well.
        if "tab=audit" not in screen:
            assert not words.intersection(keys), f"{place} shows the key of a text"
        assert not await page.evaluate(CLIPPED), f"{place}: a button is too narrow"
        await wait_until(lambda: page.evaluate(IS_STILL))
        if screen not in FILTERED:
            await watched.check_accessibility(place)
        # A telephone, and a screen at twice the size of its letters.
        for width in (390, 640):
            await page.set_viewport_size({"width": width, "height": 844})
            await wait_until(lambda: page.evaluate(FITS))
        await page.set_viewport_size({"width": 1280, "height": 900})
        if is_chinese and screen in ("tickets", "deliveries"):
            # The language changes without a reload, and so does what a screen shows.
            await watched.press("English")
            await expect(page.get_by_role("button", name="中文", exact=True)).to_be_visible()
            assert not re.search(r"[一-鿿]", await page.locator("header + main h2").inner_text())
            await watched.press("中文")


@dataclass
class Traffic:
    """The bytes and the calls of a page since the last `take`."""

    session: CDPSession
    bytes: float = 0.0
    calls: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.session.on("Network.loadingFinished", self._on_finished)
        self.session.on("Network.requestWillBeSent", self._on_request)

    def _on_finished(self, params: Any) -> None:
        self.bytes += params["encodedDataLength"]

    def _on_request(self, params: Any) -> None:
        if "/api/" in params["request"]["url"]:
            self.calls.append(params["request"]["url"].rpartition("/")[2])

    def take(self) -> tuple[float, list[str]]:
        found = self.bytes, self.calls
        self.bytes, self.calls = 0.0, []
        return found

    async def metrics(self) -> dict[str, float]:
        answer = await self.session.send("Performance.getMetrics")
        return {each["name"]: each["value"] for each in answer["metrics"]}


async def test_address_shows_another_person_the_same_within_the_budget_of_a_screen(
    watched: Watched, browser: Browser, places: Places
) -> None:
    console = watched.console
    await watched.open("")
    async with logged_in(browser, console, places.colleague_key, locale="zh-CN") as (
        context,
        reader,
    ):
        session = await context.new_cdp_session(reader.page)
        traffic = Traffic(session)
        for domain in ("Network", "Performance"):
            await session.send(f"{domain}.enable")
        traffic.begin()
        before = (await traffic.metrics())["TaskDuration"]
        await reader.page.evaluate(LOOP)
        loop = (await traffic.metrics())["TaskDuration"] - before
        limit = FIRST_BYTES
        for screen in ["", *places.all()[1:], *FILTERED]:
            await reader.open(screen)
            await loaded(reader.page)
            sent, calls = traffic.take()
            await session.send("HeapProfiler.collectGarbage")
            found = await traffic.metrics()
            assert sent <= limit, f"{screen}: {sent} bytes"
            assert len(calls) <= MOST_CALLS, f"{screen}: {calls}"
            assert found["Nodes"] <= 4 * MOST_ELEMENTS, f"{screen}: {found['Nodes']} nodes"
            elements = await reader.page.evaluate("document.querySelectorAll('*').length")
            assert elements <= MOST_ELEMENTS, f"{screen}: {elements} elements"
            assert found["JSHeapUsedSize"] <= MOST_HEAP, f"{screen}: {found['JSHeapUsedSize']}"
            assert found["TaskDuration"] <= MOST_WORK * loop, f"{screen}: {found['TaskDuration']}"
            limit = FURTHER_BYTES
            await watched.go(screen)
            await loaded(watched.page)
            if screen not in DIFFERING:
                await wait_until(lambda: _show_the_same(watched.page, reader.page))
        chosen = random.Random(1)
        for state in (random_state(chosen) for _ in range(STATES)):
            await watched.go(state)
            await loaded(watched.page)
            await reader.open(state)
            await loaded(reader.page)
            await wait_until(lambda: _show_the_same(watched.page, reader.page))
        await reader.open(FILTERED[-2])
        await reader.go(FILTERED[-1])
        await loaded(reader.page)
        # Back and forward show the same again.
        await reader.page.go_back()
        await loaded(reader.page)
        assert reader.page.url.endswith(FILTERED[-2])


def random_state(chosen: random.Random) -> str:
    """Return the address of a screen with some of its filters."""
    screen = chosen.choice(sorted(FILTERS))
    filters = FILTERS[screen]
    names = chosen.sample(sorted(filters), chosen.randint(0, len(filters)))
    return f"{screen}?{urlencode({name: chosen.choice(filters[name]) for name in names})}"


async def _show_the_same(one: Page, other: Page) -> bool:
    found: bool = await one.evaluate(ROWS) == await other.evaluate(ROWS)
    return found


async def test_instants_are_those_of_the_api_in_the_zone_of_the_browser(
    browser: Browser, console: Console, places: Places
) -> None:
    key = places.reader_key
    _, answer = await console.plain(
        "profile", "ListTimeline", {"profile_id": places.person, "page_size": 50}, key
    )
    _, found = await console.plain("profile", "GetProfile", {"profile_id": places.person}, key)
    instants = {each["occurred_at_us"] for each in answer["entries"]}
    instants.add(found["profile"]["first_seen_us"])
    shown_as = """
        ([us, zone]) => new Date(us / 1000).toLocaleString("en-GB",
            { dateStyle: "medium", timeStyle: "medium", timeZone: zone })
    """
    for zone in ("America/New_York", "Australia/Lord_Howe"):
        own = {"locale": "en-GB", "timezone_id": zone}
        async with logged_in(browser, console, key, **own) as (_, reader):
            await reader.open(f"profiles/{places.person}")
            await loaded(reader.page)
            text = await reader.page.locator("main").inner_text()
            assert zone in text
            for us in instants:
                assert await reader.page.evaluate(shown_as, [us, zone]) in text


async def test_call_that_fails_for_a_moment_is_made_again_without_an_alert(
    watched: Watched, places: Places
) -> None:
    page, failed = watched.page, set[str]()
    body = '{"error": {"code": "unavailable", "message": "busy"}}'

    async def fail_once(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        if name in failed or name == "GetCaller":
            await route.continue_()
        else:
            failed.add(name)
            await route.fulfill(status=503, content_type="application/json", body=body)

    await page.route(re.compile("/api/"), fail_once)
    await watched.open(f"profiles/{places.person}")
    await loaded(page)
    assert len(failed) > 5
    assert not await page.locator(".ant-alert-error, .ant-alert-warning").count()
    await expect(page.get_by_text("user_id:u1").first).to_be_visible()
