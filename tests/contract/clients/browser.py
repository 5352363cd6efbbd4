"""Opens a page of this folder in a headless browser, from a web server of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from aiohttp import web

PAGES = Path(__file__).parent / "pages"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: No other machine is reached, by name or in the background.
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--no-proxy-server"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
STOP_S = 10
#: A page with a link, so that the next one has a referrer.
START = "<script>location.href = decodeURIComponent(location.hash.slice(1))</script>"


@dataclass
class OpenPage:
    """A page that is open, and what its script has reported."""

    reports: list[str] = field(default_factory=list)


def find_browser() -> str | None:
    """Return the browser of ONEFOLD_TEST_BROWSER, or one on the path; None if there is none."""
    named = os.environ.get("ONEFOLD_TEST_BROWSER")
    return next(filter(None, map(shutil.which, (named, *BROWSERS) if named else BROWSERS)), None)


@asynccontextmanager
async def open_page(
    browser: str, packages: Path, page: str, **arguments: str
) -> AsyncIterator[OpenPage]:
    """Open a page with arguments in its query, from /start; its script reports errors to /report.

    `packages` is the folder node_modules, which the pages load their clients from.
    """
    opened = OpenPage()

    async def report(request: web.Request) -> web.Response:
        opened.reports.append(await request.text())
        return web.Response()

    async def start(_request: web.Request) -> web.Response:
        return web.Response(text=START, content_type="text/html")

    app = web.Application()
    app.router.add_get("/start", start)
    app.router.add_post("/report", report)
    app.router.add_static("/packages", packages)
    app.router.add_static("/pages", PAGES)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target = f"/pages/{page}?{urlencode(arguments)}"
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/start#{quote(target, safe='')}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(browser, *_OPTIONS, f"--user-data-dir={profile}", url),
            env={**os.environ, "HOME": profile},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield opened
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
            await runner.cleanup()
