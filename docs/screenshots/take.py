"""Takes the screenshots of the console: `python docs/screenshots/take.py LINK [FOLDER]`.

LINK is a login link of a system with the data of the demo, as `./onefold demo --keep` prints it.
Some tickets of people are opened first, as the people of the demo have none but their tasks. It
needs the packages of requirements-test.lock, and chromium.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page, async_playwright

SEGMENT = "high-intent-trial"
QUEUE = "course-advisers"
#: What the tickets of the pictures are about.
TICKETS = ("想换到周末班", "发票抬头写错了", "试听课的回放在哪里")
#: The pictures by the paths of their screens; a person is a member of the segment of the demo.
SCREENS = {
    "home": "",
    "dashboards": "dashboards",
    "dashboard": "dashboards/school",
    "dashboard-edit": "dashboards/school?edit=1",
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
    "board": "tickets?view=board",
    "ticket": "tickets/{ticket}",
    "quarantine": "quarantine",
    "destinations": "destinations",
    "deliveries": "deliveries",
    "privacy": "privacy",
    "audit": "privacy?tab=audit&reads=1",
    "fields": "privacy?tab=fields",
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
        person, *others = await _members(context, base)
        ticket = await _open_tickets(context, base, [person, *others])
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": HEIGHT})
            for name, path in SCREENS.items():
                await page.goto(f"{base}/console/{path.format(person=person, ticket=ticket)}")
                await _picture(page, folder / f"{name}-{width}.jpg", width)
        await launched.close()


async def _members(context: BrowserContext, base: str) -> list[str]:
    """Return the members of the segment; first those with the most identifiers."""
    listed = await _call(context, base, "segment/ListMembers", {"segment_id": SEGMENT})
    request = {"profile_ids": [each["profile_id"] for each in listed["members"]], "brief": True}
    found = (await _call(context, base, "profile/BatchGetProfiles", request))["profiles"]
    found.sort(key=lambda profile: -profile["identifier_count"])
    return [profile["profile_id"] for profile in found]


async def _open_tickets(context: BrowserContext, base: str, people: list[str]) -> str:
    """Open a ticket of each person, and answer the first one; return its id."""
    opened: list[str] = []
    for profile_id, title in zip(people, TICKETS, strict=False):
        found = await _call(context, base, "profile/GetProfile", {"profile_id": profile_id})
        ticket = {
            "identifiers": found["profile"]["identifiers"][:1],
            "queue_id": QUEUE,
            "title": title,
            "channel": "phone",
            "request_id": f"picture-{profile_id}",
        }
        opened.append((await _call(context, base, "activation/OpenTicket", ticket))["ticket_id"])
    changes: list[dict[str, Any]] = [{"assign": {"agent_id": "王老师"}}, {"answer": {}}]
    for number, part in enumerate(changes):
        change = {"ticket_id": opened[0], "request_id": f"picture-{number}", **part}
        await _call(context, base, "activation/UpdateTicket", change)
    return opened[0]


async def _call(context: BrowserContext, base: str, method: str, request: Any) -> Any:
    headers = {"sec-fetch-site": "same-origin"}
    response = await context.request.post(f"{base}/api/{method}", data=request, headers=headers)
    if not response.ok:
        raise SystemExit(f"{method}: {await response.text()}")
    return await response.json()


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
