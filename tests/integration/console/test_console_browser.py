"""Tests the console in a real browser, before five running services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from contract.clients.browser import find_browser
from integration.console.running_console import Console, running_console
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest
from onefold.type.v1 import event_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from playwright.async_api import ConsoleMessage, Page, Request, async_playwright, expect
from service_fixtures import MakeSettings, wait_until

from services.chassis.codec.rules import rule_to_proto
from services.cli.commands.console import login_link
from services.client.client import ApiEndpoints, Client
from services.kernel.rules.forms.json_form import parse_rule

SCREENS = ("", "profiles", "segments", "tags", "quarantine", "deliveries", "sources")
HANG_MS = 30_000
#: What the component library violates: it measures a scrollbar with a style that has no nonce.
_KNOWN = "Applying inline style violates"
NAME = "李 <img src=x onerror=alert(1)>"


@dataclass
class Watched:
    """A page, and what went wrong while it was used."""

    page: Page
    console: Console
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._on_message)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._on_request)
        self.page.on("dialog", lambda _: self.faults.append("a script of an event ran"))

    def _on_message(self, message: ConsoleMessage) -> None:
        # A failed call is shown by the page, and by the browser as well.
        expected = _KNOWN in message.text or "Failed to load resource" in message.text
        if message.type == "error" and not expected:
            self.faults.append(message.text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.console.url, "data:")):
            self.faults.append(f"a request leaves the console: {request.url}")

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.console.url}/console/{path}")

    async def check_accessibility(self, place: str) -> None:
        """Note each serious fault that axe finds on the page that is open."""
        found = await Axe().run(self.page)
        for each in found.response["violations"]:
            if each["impact"] in ("serious", "critical"):
                html = [node["html"][:200] for node in each["nodes"]]
                self.faults.append(f"{place}: {each['id']} {html}")


@pytest.fixture
async def watched(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path
) -> AsyncIterator[Watched]:
    browser = find_browser()
    if browser is None:
        pytest.skip("there is no browser: install chromium, or name one in ONEFOLD_TEST_BROWSER")
    async with (
        running_console(make_settings, internal_key, tmp_path) as console,
        async_playwright() as playwright,
    ):
        launched = await playwright.chromium.launch(
            executable_path=browser,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        context = await launched.new_context(
            locale="zh-CN", viewport={"width": 1280, "height": 900}
        )
        context.set_default_timeout(HANG_MS)
        expect.set_options(timeout=HANG_MS)
        shown = Watched(await context.new_page(), console)
        shown.watch()
        yield shown
        await launched.close()


async def send_events(console: Console) -> None:
    """Send the events of one person, and an event that is refused."""
    events = [
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_IDENTIFY,
            message_id="m0",
            identifiers=[
                Identifier(namespace="user_id", value="u1"),
                Identifier(namespace="email", value="li@example.cn"),
            ],
            traits=f'{{"name": "{NAME}", "city": "北京"}}'.encode(),
        ),
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_TRACK,
            name="bought",
            message_id="m1",
            identifiers=[Identifier(namespace="user_id", value="u1")],
            properties='{"product": "A产品"}'.encode(),
        ),
        event_pb2.Event(type=event_pb2.EVENT_TYPE_TRACK, name="lost", message_id="m2"),
    ]
    request = IngestEventsRequest(events=events)
    answer = await console.system.source.ingest.IngestEvents(request)
    assert len(answer.rejections) == 1
    rule = rule_to_proto(parse_rule({"count": {"event": "bought", "at_least": 1}}))
    segment = SegmentDefined(segment_id="buyers", title="买家", rule=rule)
    await console.system.admin.segment.DefineSegment(DefineSegmentRequest(segment=segment))
    await console.system.drain()


async def log_in(watched: Watched) -> str:
    """Log in by a link, and return the link."""
    own = watched.console.system.admin.endpoints
    endpoints = ApiEndpoints(grpc=own.grpc, key=own.key, calls_url=watched.console.url)
    async with Client(endpoints) as client:
        link = await login_link(client)
    await watched.page.goto(link)
    await expect(watched.page.get_by_role("heading", name="概览")).to_be_visible()
    return link


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_marketer_finds_a_person_and_reads_why_and_repairs_an_event(watched: Watched) -> None:
    page = watched.page
    await send_events(watched.console)
    link = await log_in(watched)
    assert "#" not in page.url, "the key of the link is in the history"

    await watched.open("profiles")
    await page.get_by_role("searchbox").fill("LI@EXAMPLE.CN")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    await expect(page.get_by_role("cell", name="email:li@example.cn")).to_be_visible()
    await expect(page.get_by_role("cell", name="北京")).to_be_visible()
    await expect(page.get_by_text("A产品")).to_be_visible()

    await page.get_by_role("button", name="为什么？").click()
    await expect(page.get_by_text("bought 次数").first).to_be_visible()
    fact = page.locator(".ant-drawer a[href^='#fact-']").first
    assert (
        await page.locator(f"[id='{(await fact.get_attribute('href') or '#')[1:]}']").count() == 1
    )
    await page.keyboard.press("Escape")

    # Nothing was known a year ago.
    await page.goto(f"{page.url.split('?')[0]}?as_of=1600000000000000")
    await expect(page.get_by_role("alert")).to_be_visible()

    await watched.open("quarantine")
    await page.get_by_role("button", name="修复").click()
    text = page.get_by_role("textbox", name="收到的原始事件")
    await text.fill(
        '{"type": "EVENT_TYPE_TRACK", "name": "bought", "message_id": "m2",'
        ' "identifiers": [{"namespace": "user_id", "value": "u2"}]}'
    )
    await page.get_by_role("button", name="放行").click()
    await expect(page.get_by_text("没有被隔离的事件")).to_be_visible()
    await watched.console.system.drain()
    assert len(await watched.console.system.members("buyers")) == 2

    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()
    context = page.context
    cookies = await context.cookies()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    # A copy of the cookie is worth nothing after the session has ended.
    copied = "; ".join(f"{each['name']}={each['value']}" for each in cookies)
    headers = {"cookie": copied, "sec-fetch-site": "same-origin"}
    url = f"{watched.console.url}/api/ingest/GetCaller"

    async def is_refused() -> bool:
        async with watched.console.http.post(url, json={}, headers=headers) as response:
            return response.status == 401

    await wait_until(is_refused)
    await page.goto(link)
    await page.reload()
    await expect(page.get_by_text("This link has been used")).to_be_visible()
    assert not watched.faults, "\n".join(watched.faults)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_screen_in_both_languages_is_accessible_and_calls_no_other_host(
    watched: Watched,
) -> None:
    page = watched.page
    await send_events(watched.console)
    await log_in(watched)
    for language, button in (("zh", "English"), ("en", "中文")):
        for screen in SCREENS:
            await watched.open(screen)
            await expect(page.get_by_role("heading").nth(1)).to_be_visible()
            await page.wait_for_load_state("networkidle")
            assert not await page.get_by_text("[object").count()
            await watched.check_accessibility(f"{screen or 'home'} in {language}")
        await page.get_by_role("button", name=button).click()
    await page.set_viewport_size({"width": 390, "height": 844})
    for screen in SCREENS:
        await watched.open(screen)
        await page.wait_for_load_state("networkidle")
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{screen} is {width} pixels wide on a telephone"
    assert not watched.faults, "\n".join(watched.faults)
