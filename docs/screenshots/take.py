"""Takes the screenshots of the console: `python docs/screenshots/take.py LINK [FOLDER]`.

LINK is a login link of a system with the data of the demo, as `./onefold demo --keep` prints it.
It needs the packages of requirements-test.lock, and chromium.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page, async_playwright

SEGMENT = "high-intent-trial"
#: The pictures by the paths of their screens; a person is a member of the segment of the demo.
SCREENS = {
    "home": "",
    "profiles": "profiles?q=li",
    "profile": "profiles/{person}",
    "known": "profiles/{person}/known",
    "identity": "identity",
    "graph": "identity/{person}",
    "segments": f"segments?overlap={SEGMENT}",
    "segment": f"segments/{SEGMENT}",
    "builder": f"segments/{SEGMENT}/edit",
    "tags": "tags",
    "journeys": "journeys",
    "journey": "journeys/high-intent",
    "offers": "offers",
    "tickets": "tickets",
    "quarantine": "quarantine",
    "destinations": "destinations",
    "deliveries": "deliveries",
    "sources": "sources",
    "events": "events",
    "definitions": f"definitions/segment/{SEGMENT}",
}
#: The width of a desk and of a telephone, and the height of both.
WIDTHS, HEIGHT = (1280, 390), 900
_SHOWN_MS = 1_500


async def take(link: str, folder: Path) -> None:
    """Write a picture of each screen in each width."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = await launched.new_context(locale="zh-CN", timezone_id="Asia/Shanghai")
        page = await context.new_page()
        await page.goto(link)
        await page.get_by_role("heading", level=2).wait_for()
        base = f"{urlsplit(link).scheme}://{urlsplit(link).netloc}"
        person = await _a_member(context, base)
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": HEIGHT})
            for name, path in SCREENS.items():
                await page.goto(f"{base}/console/{path.format(person=person)}")
                await _picture(page, folder / f"{name}-{width}.jpg", width)
        await launched.close()


async def _a_member(context: BrowserContext, base: str) -> str:
    """Return the profile id of a member of the segment."""
    response = await context.request.post(
        f"{base}/api/segment/ListMembers",
        data={"segment_id": SEGMENT, "page_size": 1},
        headers={"sec-fetch-site": "same-origin"},
    )
    found: str = (await response.json())["members"][0]["profile_id"]
    return found


async def _picture(page: Page, file: Path, width: int) -> None:
    await page.get_by_role("heading", level=2).wait_for()
    await page.wait_for_timeout(_SHOWN_MS)
    await page.locator(".ant-skeleton, [aria-busy=true]").first.wait_for(state="hidden")
    shown = await page.evaluate("document.documentElement.scrollWidth")
    if shown > width:
        print(f"{file.name} is {shown} pixels wide", file=sys.stderr)
    await page.screenshot(path=file, type="jpeg", quality=55)


if __name__ == "__main__":
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parent
    asyncio.run(take(sys.argv[1], target))
