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
from integration.console.people import event, send
from integration.console.places import FILTERED, SIDEWAYS, Places, open_places
from integration.console.running_console import Console
from playwright.async_api import Browser, CDPSession, Page, expect
from service_fixtures import wait_until

from services.kernel.time import SECOND_US

ROOT = Path(__file__).resolve().parents[3]
TEXTS = {
    language: ROOT / "services" / "console" / "web" / "src" / f"texts.{language}.ts"
    for language in ("en", "zh")
}
#: The texts and words of the console in Chinese, each up to what it is about. What people have
#: named in the tests is left out, and so is the button of the other language.
_NAMED = ("买家", "客服", "到店", "全部", "退款", "换货", "中文")
_CHINESE = [
    part
    for file in (TEXTS["zh"], TEXTS["zh"].with_name("words.ts"))
    for text in re.findall(r': "([^"]+)"', file.read_text("utf-8"))
    for part in re.findall(r"[一-鿿]{2,}", text)[:1]
    if not any(part in each or each in part for each in _NAMED)
]
#: The cells of cards whose text begins where their title is.
OVERLAID = """
    () => [...document.querySelectorAll("main td[data-title]")]
        .filter((cell) => cell.dataset.title && cell.offsetParent)
        .filter((cell) => parseFloat(getComputedStyle(cell).paddingInlineStart)
            < parseFloat(getComputedStyle(cell, "::before").width))
        .map((cell) => `${cell.dataset.title}: ${cell.innerText}`)
"""
#: Whether a page is as wide as a telephone, and whether nothing moves or fades.
FITS = "document.documentElement.scrollWidth <= innerWidth"
IS_STILL = "document.getAnimations().length == 0"
#: Whether all colours are those of a dark screen, or of a light one, and none is fading.
IS_DARK = f"matchMedia('(prefers-color-scheme: dark)').matches && {IS_STILL}"
IS_LIGHT = f"!matchMedia('(prefers-color-scheme: dark)').matches && {IS_STILL}"
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
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 5 * STATES)]
#: Screens of which a colleague sees another part, or what changes by itself.
_PRIVACY = ("privacy", "privacy?tab=audit&reads=1", "privacy?tab=fields")
DIFFERING = ("", "sources", "events", *_PRIVACY)
#: Processor time of a page as a multiple of that of a loop that is known.
MOST_WORK = 12.0
LOOP = "() => { let x = 1; for (let i = 0; i < 4e7; i++) x = (x * 31 + i) | 0; return x }"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(console: Console) -> Places:
    return await open_places(console)


async def test_every_screen_is_accessible_fits_and_calls_no_other_host(
    watched: Watched, places: Places
) -> None:
    """Each screen is shown in Chinese and then, without a reload, in English."""
    page = watched.page
    # A button that a late response enables has its colour at once, not while axe reads it.
    await page.emulate_media(reduced_motion="reduce", color_scheme="light")
    await watched.end_motion()
    await watched.open("")
    keys = re.findall(r"^  (\w*[a-z](?:[A-Z]|_)\w+):", TEXTS["en"].read_text("utf-8"), re.MULTILINE)
    for screen in [*places.all(), *FILTERED]:
        await watched.go(screen)
        await loaded(page)
        for language, other in (("zh", "English"), ("en", "中文")):
            place = f"{screen or 'home'} in {language}"
            text = await page.locator("body").inner_text()
            assert "[object" not in text, place
            # The audit shows the names of fields, some of which are keys of texts as well.
            if "tab=audit" not in screen:
                words = set(re.findall(r"\w+", text))
                assert not words.intersection(keys), f"{place} shows the key of a text"
            left = [each for each in _CHINESE if each in text] if language == "en" else []
            assert not left, f"{place}: texts are in Chinese"
            await _check_widths(page, place)
            if screen not in FILTERED:
                await _check_colours(watched, place)
            await watched.press(other)
            await expect(page.locator("html")).to_have_attribute(
                "lang", re.compile("^en" if language == "zh" else "^zh")
            )


async def _check_widths(page: Page, place: str) -> None:
    """Check a screen of a desk, of a telephone, and at twice the size of its letters."""
    assert not await page.evaluate(CLIPPED), f"{place}: a button is too narrow"
    assert not await page.evaluate(SIDEWAYS), f"{place}: a table is wider than the page"
    for width in (390, 640):
        await page.set_viewport_size({"width": width, "height": 844})
        await wait_until(lambda: page.evaluate(FITS))
        assert not await page.evaluate(OVERLAID), f"{place}: a cell of a card is over its title"
        await wait_until(lambda: _has_narrow_tables(page))
    await page.set_viewport_size({"width": 1280, "height": 900})


async def _has_narrow_tables(page: Page) -> bool:
    return not await page.evaluate(SIDEWAYS)


async def _check_colours(watched: Watched, place: str) -> None:
    """Check all with light colours, and with dark ones what depends on colours."""
    await wait_until(lambda: watched.page.evaluate(IS_STILL))
    await watched.check_accessibility(place)
    await watched.page.emulate_media(color_scheme="dark")
    await wait_until(lambda: watched.page.evaluate(IS_DARK))
    await watched.check_contrast(f"{place} in the dark")
    await watched.page.emulate_media(color_scheme="light")
    await wait_until(lambda: watched.page.evaluate(IS_LIGHT))


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


#: People enough for several pages of a list.
PEOPLE = 120


async def test_back_and_forward_restore_the_scroll_and_the_selection(watched: Watched) -> None:
    page, console = watched.page, watched.console
    await send(console, *(event("seen", f"user_id:listed-{n}") for n in range(PEOPLE)))
    wrong = [event("", f"user_id:listed-{n}") for n in range(2)]
    assert await send(console, *wrong) == len(wrong)
    await watched.open("profiles")
    await watched.press("加载更多")
    rows = page.locator("main .ant-table-row")
    await expect(rows).to_have_count(100)
    person = rows.nth(60).get_by_role("link").first
    await person.focus()
    far = await page.evaluate("scrollY")
    assert far > 0
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("slider", name="截至")).to_be_visible()
    assert await page.evaluate("scrollY") == 0
    await page.go_back()
    await expect(rows).to_have_count(100)
    await wait_until(lambda: page.evaluate(f"scrollY == {far}"))
    await page.go_forward()
    await loaded(page)
    assert "/profiles/" in page.url

    # What is selected comes back as well, also after the page was loaded again.
    await watched.open("quarantine")
    box = rows.get_by_role("checkbox").first
    await box.press("Space")
    await expect(watched.button("一起修复 1 条")).to_be_enabled()
    await page.get_by_role("link", name="触达", exact=True).press("Enter")
    await expect(page.get_by_role("heading", name="触达")).to_be_visible()
    await page.go_back()
    await expect(box).to_be_checked()
    await expect(watched.button("一起修复 1 条")).to_be_enabled()
    await page.reload()
    await expect(box).to_be_checked()


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
            await _check_filter_of_instants(reader, key, zone)


#: Writes an instant as a field for instants does.
LOCAL = """
    ([us, zone]) => new Date(us / 1000).toLocaleString("sv-SE",
        { dateStyle: "short", timeStyle: "medium", timeZone: zone })
"""


async def _check_filter_of_instants(reader: Watched, key: str, zone: str) -> None:
    """Enter instants of the zone into a filter: the rows are those that the API selects."""
    page, console = reader.page, reader.console
    rows = page.locator("main .ant-table-row")
    _, all_ = await console.plain("activation", "ListDeliveries", {}, key)
    [newest, *_] = [each["created_at_us"] for each in all_["deliveries"]]
    field = page.get_by_label("Since", exact=True)
    for since_us in (newest // SECOND_US * SECOND_US, (newest // SECOND_US + 1) * SECOND_US):
        await reader.open("deliveries")
        await expect(rows).to_have_count(len(all_["deliveries"]))
        text = await page.evaluate(LOCAL, [since_us, zone])
        await field.fill(text)
        await field.press("Enter")
        await expect(page).to_have_url(re.compile(f"since={since_us}$"))
        _, found = await console.plain("activation", "ListDeliveries", {"since_us": since_us}, key)
        await expect(rows).to_have_count(len(found.get("deliveries", [])))
        # An address with the instant shows it in the zone of the browser.
        await reader.open(f"deliveries?since={since_us}")
        await expect(field).to_have_value(text)
        await reader.open(f"segments/buyers?as_of={since_us}")
        await expect(page.get_by_label("As of", exact=True)).to_have_value(text)


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
