"""Tests in a real browser what each role may see and do, and how sessions begin and end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from integration.console.conftest import HANG_MS, Hook, Watched, loaded, logged_in
from integration.console.places import FILTERED, SIDEWAYS, Places, open_places
from integration.console.running_console import METHODS, Console
from playwright.async_api import Browser, Response, expect
from security.masked_reads import CARD, EMAIL, PHONE, PLANTED, SEGMENT, plant
from service_fixtures import wait_until

from services.chassis.access.principal import Role
from services.chassis.access.rights import roles_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
WRONG_KEYS = 1_000
#: The values of the planted person that a reader must not get.
SECRETS = (*PLANTED, EMAIL, PHONE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(console: Console) -> Places:
    return await open_places(console)


async def test_reader_gets_no_personal_value_in_any_way_that_a_colleague_gets_it(
    browser: Browser, console: Console, places: Places
) -> None:
    person = await plant(console.system)
    everywhere = [*places.all(), *FILTERED]
    assert not _ways_of_secrets(
        await _everything(browser, console, places.reader_key, person, everywhere)
    )
    # The same ways show them to a colleague, but for what is sensitive.
    found = await _everything(browser, console, places.colleague_key, person, ["profiles"])
    ways = {"network", "page", "print", "clipboard", "file", "explanation"}
    assert _ways_of_secrets(found) == ways
    assert not any(CARD in text for text in found.values())


async def _everything(
    browser: Browser, console: Console, key: str, person: str, screens: Sequence[str]
) -> dict[str, str]:
    """Return what a key gets through the console, by the way in which it gets it."""
    network: list[str] = []

    async def keep(response: Response) -> None:
        if "/api/" in response.url:
            network.append(await response.text())

    waiting: set[asyncio.Task[None]] = set()
    texts: dict[str, str] = dict.fromkeys(("page", "explanation"), "")
    async with logged_in(browser, console, key, locale="zh-CN") as (context, shown):
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = shown.page
        page.on("response", lambda each: waiting.add(asyncio.create_task(keep(each))))
        own = (f"profiles/{person}", f"profiles/{person}/known", f"identity/{person}")
        await shown.open("")
        for screen in (*screens, *own):
            # A stream of live events has no end.
            if screen != "events":
                await shown.go(screen)
                await loaded(page)
                texts["page"] += await page.content()
        await shown.open(own[0])
        await loaded(page)
        of_planted = page.locator(f'tr:has(a[href$="/segments/{SEGMENT}"])')
        await shown.press_button(of_planted.get_by_role("button", name="为什么？"))
        await expect(page.get_by_role("dialog")).to_be_visible()
        await loaded(page)
        await expect(page.get_by_role("dialog").locator(".ant-tree")).to_be_visible()
        texts["explanation"] = await page.get_by_role("dialog").inner_text()
        await shown.open(own[1])
        await loaded(page)
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.press("ControlOrMeta+c")
        texts["clipboard"] = await page.evaluate("navigator.clipboard.readText()")
        await page.emulate_media(media="print")
        texts["print"] = await page.locator("body").inner_text()
        await page.emulate_media(media="screen")
        async with page.expect_download() as saving:
            await shown.press("全部导出为文件")
        file = Path(await (await saving.value).path())
        texts["file"] = await asyncio.to_thread(file.read_text, "utf-8")
        await asyncio.gather(*waiting, return_exceptions=True)
    return {**texts, "network": "\n".join(network)}


def _ways_of_secrets(texts: dict[str, str]) -> set[str]:
    return {way for way, text in texts.items() if any(secret in text for secret in SECRETS)}


@pytest.mark.parametrize("role", [Role.READER, Role.SERVICE], ids=["reader", "service"])
async def test_session_may_call_what_its_role_may_and_nothing_else(
    browser: Browser, console: Console, places: Places, role: Role
) -> None:
    key = places.reader_key if role is Role.READER else places.colleague_key
    wrong = []
    async with logged_in(browser, console, key) as (context, shown):
        for method in METHODS.methods:
            if method.takes_stream or method.gives_stream:
                continue
            pool: Any = method.request.DESCRIPTOR.file.pool
            rpc = pool.FindMethodByName(method.path[1:].replace("/", "."))
            url = f"{console.url}/api/{method.service}/{method.name}"
            response = await context.request.post(url, data={}, headers=SAME_ORIGIN)
            if (response.status == 403) == (role in roles_of(rpc)):
                wrong.append(f"{method.name}: {response.status}")
        # What is refused is not offered.
        await shown.open("sources")
        await loaded(shown.page)
        for name in ("签发密钥", "Issue a key"):
            assert not await shown.button(name).count(), name
        await shown.open(f"profiles/{places.person}")
        await loaded(shown.page)
        for name in ("删除该客户", "Erase this person"):
            assert not await shown.button(name).count(), name
        reveals = shown.page.get_by_role("button", name=re.compile("显示敏感信息|Show sensitive"))
        assert await reveals.count() == (role is Role.SERVICE)
        if role is Role.READER:
            await shown.open(f"tickets/{places.ticket}")
            await loaded(shown.page)
            for name in ("已答复", "解决", "分配", "Answered", "Resolve", "Assign"):
                assert not await shown.button(name).count(), name
    assert not wrong, "\n".join(wrong)


async def test_sensitive_value_is_shown_for_a_reason_that_the_audit_keeps_and_hidden_again(
    watched: Watched,
) -> None:
    page, console = watched.page, watched.console
    person = await plant(console.system)
    await page.clock.install()
    await watched.open(f"profiles/{person}")
    await expect(page.get_by_role("row", name="id_card").first).to_contain_text("***")
    assert CARD not in await page.content()
    await watched.press("显示敏感信息")
    await expect(watched.button("显示")).to_be_disabled()
    await watched.enter("原因", "客户要求核对")
    await watched.press("显示")
    await expect(page.get_by_text(CARD).first).to_be_visible()
    _, listed = await console.plain("profile", "ListAuditEntries", {"profile_id": person})
    assert "客户要求核对" in {each["reason"] for each in listed["entries"]}
    # They are hidden after some minutes, and by the button.
    await page.clock.fast_forward(300_001)
    await expect(page.get_by_text(CARD)).to_have_count(0)
    await watched.press("显示敏感信息")
    await watched.enter("原因", "再次核对")
    await watched.press("显示")
    await expect(page.get_by_text(CARD).first).to_be_visible()
    await watched.press("隐藏敏感信息")
    await expect(page.get_by_text(CARD)).to_have_count(0)
    assert "核对" not in page.url


async def test_person_is_erased_by_buttons_and_the_certificate_is_saved(watched: Watched) -> None:
    page, console = watched.page, watched.console
    await console.system.send("seen", "user_id:to-erase")
    await console.system.drain()
    [person] = await console.system.profiles("user_id:to-erase")
    await watched.open(f"profiles/{person}")
    await watched.press("删除该客户")
    await watched.enter("法律依据", "PIPL 47")
    await watched.press("预览")
    await expect(page.get_by_text("user_id:to-erase")).to_be_visible()
    await watched.press("删除")
    await page.locator(".ant-popconfirm").get_by_role("button").last.press("Enter")
    await expect(page.get_by_role("button", name="下载删除证明")).to_be_visible()
    assert not await page.evaluate(SIDEWAYS), "the table of erasures is wider than the page"
    async with page.expect_download() as saving:
        await watched.press("下载删除证明")
    file = Path(await (await saving.value).path())
    certificate = await asyncio.to_thread(file.read_text, "utf-8")
    assert "PIPL 47" in certificate
    assert "to-erase" not in certificate


async def test_session_is_not_fixed_and_ends_when_its_key_is_disabled(
    browser: Browser, console: Console, places: Places
) -> None:
    _, issued = await console.plain("ingest", "IssueKey", {"role": "ROLE_ADMIN", "title": "left"})
    await console.system.drain()
    async with (
        logged_in(browser, console, places.reader_key) as (fixing, _),
        logged_in(browser, console, issued["key"], locale="zh-CN") as (context, shown),
    ):
        # A cookie that another person has planted before the login counts no more afterwards.
        planted = (await fixing.cookies())[0]
        await context.add_cookies([planted])
        url = f"{console.url}/console/session"
        begun = await context.request.post(url, data={"key": issued["key"]}, headers=SAME_ORIGIN)
        assert begun.ok
        [cookie] = await context.cookies()
        assert cookie["value"] != planted["value"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        caller = f"{console.url}/api/ingest/GetCaller"
        answer = await (await fixing.request.post(caller, data={}, headers=SAME_ORIGIN)).json()
        assert answer["role"] == "ROLE_READER"
        await shown.open("tags")
        await loaded(shown.page)
        # It ends in this browser when it is disabled in another one.
        disabled, _ = await console.plain("ingest", "DisableKey", {"key_id": issued["key_id"]})
        assert disabled == 200

        async def is_refused() -> bool:
            response = await context.request.post(caller, data={}, headers=SAME_ORIGIN)
            return response.status == 401

        await wait_until(is_refused)
        await shown.go("segments")
        await expect(shown.page.get_by_text("会话已结束")).to_be_visible()
        await expect(shown.page.get_by_label("密钥")).to_be_visible()


async def test_many_wrong_keys_are_refused_alike_and_lock_no_one_out(
    browser: Browser, console: Console
) -> None:
    url = f"{console.url}/console/session"
    found: dict[int, set[str]] = {}

    async def knock(number: int) -> None:
        # Half of the keys have the form of issued ones.
        key = f"ofk_admin_{number:032x}" if number % 2 else f"password-{number}"
        async with http.post(url, json={"key": key}, headers=SAME_ORIGIN) as response:
            error = (await response.json())["error"]
            found.setdefault(response.status, set()).add(f"{error['code']} {error['message']}")

    # A connection for each: that of a stranger may be closed while it waits for the next request.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        for start in range(0, WRONG_KEYS, 50):
            await asyncio.gather(*map(knock, range(start, start + 50)))
    assert found.keys() <= {401, 429}
    # Nothing in an answer tells the keys apart.
    assert all(len(texts) == 1 for texts in found.values()), found
    context = await browser.new_context()
    context.set_default_timeout(HANG_MS)
    shown = Watched(await context.new_page(), console, Hook())
    body = {"key": console.system.admin.endpoints.key}

    async def is_let_in() -> bool:
        response = await context.request.post(url, data=body, headers=SAME_ORIGIN)
        return bool(response.ok)

    await wait_until(is_let_in)
    await shown.open("")
    await expect(shown.page.get_by_role("heading", level=2)).to_be_visible()
    await context.close()
