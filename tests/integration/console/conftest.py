"""Fixtures: one running console and one browser for the tests of a file, and no longer.

Services that outlived their file would take messages of the tests that follow, and their time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from axe_playwright_python.async_playwright import Axe
from contract.clients.browser import find_browser
from integration.console.people import begin
from integration.console.running_console import Console, running_console
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    async_playwright,
    expect,
)
from service_fixtures import MakeSettings

from services.activation.settings import ActivationSettings
from services.cli.commands.console import login_link
from services.client.client import ApiEndpoints, Client

HANG_MS = 60_000
#: Options of a box.
_MOST_OPTIONS = 40
#: The links outside of the menu that are known by their colour alone; one may frame a button.
_LINKS_WITHOUT_LINE = """
    () => [...document.querySelectorAll("a[href]")]
        .filter((link) => !link.closest("nav") && !link.querySelector("button"))
        .filter((link) => getComputedStyle(link).textDecorationLine !== "underline")
        .map((link) => link.outerHTML.slice(0, 200))
"""
#: What the component library violates: it measures a scrollbar with a style that has no nonce.
_KNOWN = "Applying inline style violates"


@dataclass
class Hook:
    """A receiver of webhooks, which refuses some of them."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: int = 0

    async def receive(self, _request: web.Request) -> web.Response:
        self.received += 1
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@dataclass
class Watched:
    """A page of a console, and what went wrong while it was used."""

    page: Page
    console: Console
    hook: Hook
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

    async def go(self, path: str) -> None:
        """Show a screen without loading the page again, as its links do."""
        address = f"{self.console.url}/console/{path}"
        script = (
            "to => { history.pushState(null, '', to);"
            " dispatchEvent(new PopStateEvent('popstate')) }"
        )
        await self.page.evaluate(script, address)

    async def link(self) -> str:
        """Return a link that logs in once."""
        own = self.console.system.admin.endpoints
        endpoints = ApiEndpoints(grpc=own.grpc, key=own.key, calls_url=self.console.url)
        async with Client(endpoints) as client:
            return await login_link(client)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def press(self, name: str) -> None:
        """Press a button with the keyboard, as soon as it is enabled."""
        await self.press_button(self.button(name))

    async def press_button(self, button: Locator) -> None:
        await expect(button).to_be_enabled()
        await button.focus()
        await expect(button).to_be_focused()
        await self.page.keyboard.press("Enter")

    async def choose(self, box: str, option: str) -> None:
        """Choose an option of a box with the keyboard."""
        await self.page.get_by_role("combobox", name=box, exact=True).focus()
        await self.page.keyboard.press("ArrowDown")
        active = self.page.locator(".ant-select-dropdown:visible .ant-select-item-option-active")
        await expect(active.first).to_be_visible()
        for _ in range(_MOST_OPTIONS):
            if (await active.first.inner_text()).strip() == option:
                break
            await self.page.keyboard.press("ArrowDown")
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator(".ant-select-dropdown:visible")).to_have_count(0)

    async def enter(self, name: str, text: str) -> None:
        """Enter a text into a field with the keyboard."""
        await self.page.get_by_label(name, exact=True).focus()
        await self.page.keyboard.press("ControlOrMeta+a")
        await self.page.keyboard.insert_text(text)

    async def end_motion(self) -> None:
        """Let all that moves or fades end at once, so that no colour is one in between."""
        session = await self.page.context.new_cdp_session(self.page)
        await session.send("Animation.enable")
        await session.send("Animation.setPlaybackRate", {"playbackRate": 1_000.0})

    async def check_accessibility(self, place: str) -> None:
        """Note each serious fault that axe finds on the open page, and links without a line."""
        await self._run_axe(place)
        for html in await self.page.evaluate(_LINKS_WITHOUT_LINE):
            self.faults.append(f"{place}: a link has no line: {html}")

    async def check_contrast(self, place: str) -> None:
        """Note each text of the open page that has too little contrast."""
        await self._run_axe(place, runOnly=["color-contrast", "link-in-text-block"])

    async def _run_axe(self, place: str, **options: Any) -> None:
        options["resultTypes"] = ["violations"]
        found = await Axe().run(self.page, options=options)
        for each in found.response["violations"]:
            if each["impact"] in ("serious", "critical"):
                html = [node["html"][:200] for node in each["nodes"]]
                self.faults.append(f"{place}: {each['id']} {html}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    app = web.Application()
    app.router.add_post("/", made.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    await runner.cleanup()


@pytest.fixture(scope="module")
def console_settings(module_settings: MakeSettings, hook: Hook) -> MakeSettings:
    """Settings of services that may send to the receiver."""

    def make(kind: Any, **fields: Any) -> Any:
        if kind is ActivationSettings:
            fields["private_targets"] = hook.url.split("/")[2]
        return module_settings(kind, **fields)

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def console(
    console_settings: MakeSettings, internal_key: str, module_folder: Path, hook: Hook
) -> AsyncIterator[Console]:
    """Run the console with some people; their destination refuses its first webhook."""
    async with running_console(console_settings, internal_key, module_folder) as running:
        hook.statuses = [400]
        await begin(running, hook.url)
        yield running


@pytest.fixture(scope="module")
def browser_path() -> str:
    found = find_browser()
    if found is None:
        pytest.skip("there is no browser: install chromium, or name one in ONEFOLD_TEST_BROWSER")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(browser_path: str) -> AsyncIterator[Browser]:
    expect.set_options(timeout=HANG_MS)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=browser_path,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield launched
        await launched.close()


@pytest.fixture(params=["zh-CN"])
def locale(request: pytest.FixtureRequest) -> str:
    """The language of the browser; a test may name others."""
    found: str = request.param
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def watched(
    browser: Browser, console: Console, hook: Hook, locale: str
) -> AsyncIterator[Watched]:
    """A page that is logged in; its faults fail the test."""
    context = await browser.new_context(locale=locale, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(HANG_MS)
    shown = Watched(await context.new_page(), console, hook)
    shown.watch()
    body = {"key": console.system.admin.endpoints.key}
    headers = {"sec-fetch-site": "same-origin"}
    url = f"{console.url}/console/session"
    response = await context.request.post(url, data=body, headers=headers)
    assert response.ok
    yield shown
    await context.close()
    assert not shown.faults, "\n".join(shown.faults)


@asynccontextmanager
async def logged_in(
    browser: Browser, console: Console, key: str, **settings: Any
) -> AsyncIterator[tuple[BrowserContext, Watched]]:
    """Open a browser of another person, whose faults fail the test."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, **settings)
    context.set_default_timeout(HANG_MS)
    url = f"{console.url}/console/session"
    headers = {"sec-fetch-site": "same-origin"}
    response = await context.request.post(url, data={"key": key}, headers=headers)
    assert response.ok
    shown = Watched(await context.new_page(), console, Hook())
    shown.watch()
    yield context, shown
    await context.close()
    assert not shown.faults, "\n".join(shown.faults)


async def loaded(page: Page) -> None:
    """Wait until a screen shows what it has loaded."""
    await expect(page.get_by_role("heading").nth(1)).to_be_visible()
    await expect(page.locator(".ant-skeleton, [aria-busy=true]")).to_have_count(0)
