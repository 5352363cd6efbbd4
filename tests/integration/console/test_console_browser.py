"""Tests the console in a real browser, before five running services, mostly by keyboard."""

from __future__ import annotations

import asyncio
import json
import random
import re

import pytest
from integration.console.conftest import HANG_MS, Hook, Watched
from integration.console.people import BOUGHT, NAME, event, send
from integration.console.running_console import Console
from integration.whole.whole_system import identifier
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest, ListTimelineRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsRequest
from onefold.type.v1 import event_pb2
from playwright.async_api import Browser, Locator, Route, expect
from service_fixtures import wait_until

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.time import DAY_US

pytestmark = pytest.mark.slow
#: The random people of a test.
PEOPLE = 20
#: The instants as of which some of them are compared.
INSTANTS = 5


async def test_login_link_works_once_and_a_copied_cookie_ends_with_the_session(
    browser: Browser, console: Console
) -> None:
    context = await browser.new_context(locale="zh-CN")
    context.set_default_timeout(HANG_MS)
    page = await context.new_page()
    watched = Watched(page, console, Hook())
    link = await watched.link()
    await page.goto(link)
    await expect(page.get_by_role("heading", name="概览")).to_be_visible()
    assert "#" not in page.url, "the key of the link is in the history"
    await watched.press("English")
    cookies = await context.cookies()
    await watched.press("Log out")
    await expect(watched.button("Log in")).to_be_visible()
    copied = "; ".join(f"{each['name']}={each['value']}" for each in cookies)
    headers = {"cookie": copied, "sec-fetch-site": "same-origin"}
    url = f"{console.url}/api/ingest/GetCaller"

    async def is_refused() -> bool:
        async with console.http.post(url, json={}, headers=headers) as response:
            return response.status == 401

    await wait_until(is_refused)
    await page.goto(link)
    await page.reload()
    await expect(page.get_by_text("This link has been used")).to_be_visible()
    await context.close()


@pytest.mark.parametrize("text", ["LI@EXAMPLE.CN", "李", "lilei", "user_id:u1"])
async def test_person_is_found_by_any_identifier_and_by_name(watched: Watched, text: str) -> None:
    page = watched.page
    await watched.open("profiles")
    await page.get_by_role("searchbox", name="查找").focus()
    await page.keyboard.insert_text(text)
    await page.keyboard.press("Enter")
    # Markup of a source is shown as text.
    await expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    await expect(page.get_by_role("cell", name="email:li@example.cn")).to_be_visible()
    await expect(page.get_by_role("cell", name="北京")).to_be_visible()


async def test_profile_shows_what_a_key_of_another_role_reads(watched: Watched) -> None:
    page, service = watched.page, watched.console.system.service
    for who in ("user_id:u1", "user_id:u2"):
        read = GetProfileRequest(identifier=identifier(who))
        profile = (await service.profile.GetProfile(read)).profile
        lines = (
            await service.profile.ListTimeline(ListTimelineRequest(identifier=identifier(who)))
        ).entries
        await watched.open(f"profiles/{profile.profile_id}")
        traits = page.locator(".ant-card", has_text="标准值").last
        for trait in profile.traits:
            row = traits.get_by_role("row", name=trait.name)
            await expect(row).to_contain_text(json.loads(trait.value))
            await expect(row).to_contain_text(trait.fact_id[:8])
        for each in profile.identifiers:
            cell = page.get_by_role("cell", name=f"{each.namespace}:{each.value}")
            await expect(cell.first).to_be_visible()
        await expect(page.locator(".ant-timeline-item")).to_have_count(len(lines))


async def test_random_people_are_shown_as_a_key_of_another_role_reads_them(
    watched: Watched,
) -> None:
    page, chosen, console = watched.page, random.Random(2), watched.console
    now_us = await console.system.now_us()
    events = [_random_event(chosen, number, now_us) for number in range(4 * PEOPLE)]
    await send(console, *events)
    service = console.system.service.profile
    await watched.open("profiles")
    for number in range(PEOPLE):
        [profile_id] = await console.system.profiles(f"user_id:random-{number}")
        profile = (await service.GetProfile(GetProfileRequest(profile_id=profile_id))).profile
        read = ListTimelineRequest(profile_id=profile_id, page_size=100)
        entries = (await service.ListTimeline(read)).entries
        await watched.go(f"profiles/{profile_id}")
        texts = [f"{each.namespace}:{each.value}" for each in profile.identifiers]
        for trait in profile.traits:
            value = json.loads(trait.value)
            texts += [trait.name, value if isinstance(value, str) else trait.value.decode()]
        texts += [each.name for each in entries if each.name]
        await expect(
            page.get_by_role("cell", name=f"user_id:random-{number}").first
        ).to_be_visible()
        for each in entries:
            await expect(page.locator(f"[id=fact-{each.fact_id}]")).to_be_visible()
        await expect(page.locator(".ant-timeline-item")).to_have_count(len(entries))
        shown = await page.locator("main").inner_text()
        assert not [text for text in texts if text not in shown], shown
    rows = page.locator(".ant-card", has_text="标准值").last.locator("tr.ant-table-row")
    for number in range(INSTANTS):
        [profile_id] = await console.system.profiles(f"user_id:random-{number}")
        as_of_us = events[number + 2 * PEOPLE].occurred_at_us
        read = GetProfileRequest(profile_id=profile_id, as_of_us=as_of_us)
        profile = (await service.GetProfile(read)).profile
        await watched.go(f"profiles/{profile_id}?as_of={as_of_us}")
        expected = [(trait.name, trait.fact_id[:8]) for trait in profile.traits]
        await wait_until(lambda: _has_rows(rows, expected))  # noqa: B023  # it is awaited here


async def _has_rows(rows: Locator, expected: list[tuple[str, str]]) -> bool:
    """Return whether the rows of a table are of these traits, and of these facts."""
    texts = await rows.all_inner_texts()
    pairs = zip(texts, expected, strict=False)
    return len(texts) == len(expected) and all(
        text.startswith(name) and fact in text for text, (name, fact) in pairs
    )


def _random_event(chosen: random.Random, number: int, now_us: int) -> event_pb2.Event:
    """Return an event of one of the random people: a trait, or something that it did."""
    who, at_us = f"user_id:random-{number % PEOPLE}", now_us - chosen.randint(1, 2 * DAY_US)
    if chosen.random() < 0.5:
        values = ["上海", "O'Neil & <b>", 'say "hi"', 7, 2.5, True, "", ["a", "b"], None]
        name = chosen.choice(["city", "note", "level", "名称"])
        traits = json.dumps({name: chosen.choice(values)}, ensure_ascii=False).encode()
        return event("identify", who, f"email:r{number}@example.cn", traits=traits, at_us=at_us)
    name = chosen.choice(["seen", "listened", "看过"])
    return event(name, who, properties=b'{"n": 1}', at_us=at_us)


async def test_reason_of_a_membership_leads_to_its_fact_in_the_timeline(watched: Watched) -> None:
    page = watched.page
    await watched.open("profiles?q=lilei")
    await watched.press("为什么？")
    await expect(page.get_by_text("bought 次数").first).to_be_visible()
    fact = page.locator(".ant-drawer a[href*='#fact-']").first
    await fact.press("Enter")
    await expect(page.locator("[aria-current]")).to_contain_text("A产品")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    # Another person with the address sees the same.
    await page.reload()
    await expect(page.locator("[aria-current]")).to_contain_text("A产品")


async def test_as_of_shows_the_person_of_a_day_before(watched: Watched) -> None:
    page = watched.page
    await watched.open("profiles?q=lilei")
    await expect(page.get_by_text("A产品")).to_be_visible()
    segments = page.locator(".ant-card", has_text="所属人群")
    await expect(segments.get_by_text("在人群中", exact=True)).to_be_visible()
    await watched.press("一天前")
    await expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    await expect(segments.get_by_text("不在人群中", exact=True)).to_be_visible()
    await expect(page.get_by_text("A产品")).to_have_count(0)
    slider = page.get_by_role("slider", name="截至")
    value = int(await slider.get_attribute("aria-valuenow") or 0)
    await slider.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(slider).to_have_attribute("aria-valuenow", str(value - 1))
    await expect(page).to_have_url(re.compile(rf"as_of={(value - 1) * 3_600_000_000}"))


async def test_size_of_a_segment_is_shown_of_now_alone(watched: Watched) -> None:
    page = watched.page
    await watched.open("segments/buyers")
    await expect(page.get_by_text(re.compile("^人数: [1-9]"))).to_be_visible()
    await watched.press("一天前")
    await expect(page.get_by_text("那时没有客户在该人群中")).to_be_visible()
    await expect(page.get_by_text(re.compile("^人数: "))).to_have_count(0)


async def test_segment_is_built_by_keyboard_and_equals_its_rule(watched: Watched) -> None:
    page = watched.page
    await watched.open("segments")
    await watched.press("新建人群")
    await watched.enter("ID", "not-beijing")
    await watched.enter("标题", "外地买家")
    await watched.enter("事件 1.1", "bought")
    await watched.press("其中… 1.1")
    await watched.enter("事件属性 1.1 1", "product")
    await watched.enter("值 1.1 1", "A产品")
    await watched.press("添加分组 1")
    await watched.choose("关系 1.2", "任一满足")
    await watched.choose("条件类型 1.2.1", "属性")
    await watched.enter("属性 1.2.1", "city")
    await page.keyboard.press("Escape")
    await watched.enter("值 1.2.1", "北京")
    await watched.press("添加条件 1.2")
    await watched.choose("条件类型 1.2.2", "规则文本")
    await watched.enter("规则文本 1.2.2", "最近7天内 viewed 次数 ≥ 2")
    await page.keyboard.press("Enter")
    form = {
        "all": [
            {"count": {"event": "bought", "where": {"product": "A产品"}, "at_least": 1}},
            {
                "any": [
                    {"trait": {"name": "city", "eq": "北京"}},
                    {"count": {"event": "viewed", "within": "7d", "at_least": 2}},
                ]
            },
        ]
    }
    preview = page.locator(".ant-card", has_text="预览")
    await expect(preview.locator(".ant-statistic-content")).to_have_text("1")
    await expect(preview.get_by_role("link", name=NAME)).to_be_visible()
    text = page.get_by_role("textbox", name="规则文本", exact=True)
    await expect(text).to_have_value(re.compile("viewed"))
    await watched.press("保存")
    await expect(page.get_by_role("heading", name="外地买家")).to_be_visible()
    listed = await watched.console.system.admin.segment.ListSegments(ListSegmentsRequest())
    rules = {each.segment.segment_id: each.segment.rule for each in listed.segments}
    assert rule_from_proto(rules["not-beijing"]) == parse_rule(form)
    # The text is edited, and the groups follow.
    await watched.open("segments/not-beijing/edit")
    await expect(text).to_have_value(re.compile("viewed"))
    await watched.enter("规则文本", "bought 次数 ≥ 5")
    await watched.press("读取文本")
    await expect(page.get_by_label("值 1", exact=True)).to_have_value("5")
    await expect(preview.get_by_text("将离开").first).to_be_visible()


async def test_edit_of_a_segment_that_was_changed_meanwhile_is_not_lost(watched: Watched) -> None:
    page = watched.page
    admin = watched.console.system.admin.segment
    rule = rule_to_proto(parse_rule(BOUGHT))
    made = SegmentDefined(segment_id="shared", title="a", rule=rule)
    await admin.DefineSegment(DefineSegmentRequest(segment=made))
    await watched.open("segments/shared/edit")
    await watched.enter("标题", "mine")
    await expect(page.locator(".ant-statistic-content").first).to_be_visible()
    made.title = "theirs"
    await admin.DefineSegment(DefineSegmentRequest(segment=made))
    await watched.press("保存")
    await expect(page.get_by_text("期间有人修改了它")).to_be_visible()
    await expect(page.get_by_label("标题", exact=True)).to_have_value("mine")


async def test_two_linked_people_are_separated_and_both_are_shown(watched: Watched) -> None:
    page, system = watched.page, watched.console.system
    await send(watched.console, event("seen", "user_id:u3"), event("seen", "user_id:u4"))
    [one] = await system.profiles("user_id:u3")

    async def decide(reason: str) -> None:
        await watched.enter("原因", reason)
        await watched.press("记录")
        await expect(page.get_by_role("dialog")).to_have_count(0)

    await watched.open(f"identity/{one}")
    await page.get_by_role("checkbox", name="user_id:u3").press("Space")
    await watched.enter("另一标识，如 email:a@example.cn", "user_id:u4")
    await watched.press("合并")
    await decide("同一位客户")
    assert len(set(await system.profiles("user_id:u3", "user_id:u4"))) == 1
    await expect(page.get_by_role("checkbox", name="user_id:u4")).to_be_visible()
    for name in ("user_id:u3", "user_id:u4"):
        box = page.get_by_role("checkbox", name=name)
        # A selection ends when the decision about it is shown.
        await expect(box).not_to_be_checked()
        await box.press("Space")
        await expect(box).to_be_checked()
    await watched.press("分开这两个标识")
    await decide("兄弟二人")
    assert len(set(await system.profiles("user_id:u3", "user_id:u4"))) == 2
    decisions = page.locator(".ant-card", has_text="人工决定")
    await expect(decisions.get_by_text("兄弟二人")).to_be_visible()
    await decisions.get_by_role("button", name="撤销").press("Enter")
    await decide("误会")
    await expect(page.get_by_text("兄弟二人")).to_have_count(0)


async def test_refused_event_is_repaired_and_released(watched: Watched) -> None:
    page = watched.page
    assert await send(watched.console, event("bought")) == 1
    await watched.open("quarantine")
    await page.get_by_role("button", name="修复", exact=True).first.press("Enter")
    await watched.enter(
        "收到的原始事件。修改后放行。",
        '{"type": "EVENT_TYPE_TRACK", "name": "bought", "message_id": "repaired",'
        ' "identifiers": [{"namespace": "user_id", "value": "u9"}]}',
    )
    await watched.press("放行")
    await expect(page.get_by_text("没有被隔离的事件")).to_be_visible()
    await watched.console.system.drain()
    [released] = await watched.console.system.profiles("user_id:u9")
    assert released in await watched.console.system.members("buyers")


async def test_dead_delivery_is_sent_again(watched: Watched) -> None:
    page = watched.page
    await watched.open("deliveries?state=DELIVERY_STATE_DEAD")
    dead = page.get_by_role("row", name="HTTP 400")
    await expect(dead).to_be_visible()
    await watched.console.system.drain()
    before = watched.hook.received
    await dead.get_by_role("button", name="重新发送").press("Enter")
    await expect(dead).to_have_count(0)
    await wait_until(lambda: watched.hook.received > before)
    [who] = await watched.console.system.profiles("user_id:u1")
    await watched.open(f"profiles/{who}")
    messages = page.locator(".ant-card", has_text="消息")
    await expect(messages.get_by_text("已送达")).to_be_visible()


async def test_definition_is_compared_and_applied_as_yaml(watched: Watched) -> None:
    page = watched.page
    await watched.open("definitions/segment/new")
    await watched.enter(
        "定义", "segment_id: vip\ntitle: 贵宾\nrule:\n  count: {event: bought, at_least: 5}\n"
    )
    await watched.press("比较差异")
    await expect(page.locator("pre")).to_contain_text("+ segment_id: vip")
    await watched.press("应用")
    await expect(page.get_by_role("link", name="vip")).to_be_visible()
    await page.get_by_role("link", name="vip").press("Enter")
    await expect(page.get_by_label("定义")).to_have_value(re.compile("at_least: 5"))
    await watched.press("比较差异")
    await expect(page.get_by_text("没有变化")).to_be_visible()
    await watched.enter("定义", "segment_id: vip\nrule:\n  cuont: {event: bought}\n")
    await watched.press("比较差异")
    await expect(page.locator(".ant-alert-error")).to_contain_text("cuont")


async def test_button_keeps_its_name_while_and_after_its_call_runs(watched: Watched) -> None:
    page, held = watched.page, asyncio.Event()

    async def answer(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/api/segment/DefineSegment", answer)
    await watched.open("definitions/segment/buyers")
    await watched.press("比较差异")
    await expect(page.locator(".ant-btn-loading")).to_have_accessible_name("比较差异")
    held.set()
    await expect(page.get_by_text("没有变化")).to_be_visible()
    # The icon goes when the call ends, not when a transition does.
    assert await page.locator(".ant-btn-loading-icon, .anticon-loading").count() == 0


async def test_live_events_are_shown_as_they_arrive_by_their_filters(watched: Watched) -> None:
    page = watched.page
    await watched.open("events?name=wanted")
    await expect(page.get_by_text("等待事件")).to_be_visible()

    async def is_shown() -> bool:
        await send(watched.console, event("wanted", "user_id:u5"), event("other", "user_id:u5"))
        return await page.get_by_text("wanted").count() > 1

    await wait_until(is_shown)
    assert not await page.get_by_role("cell", name="other").count()
    await watched.press("暂停")
    await expect(watched.button("继续")).to_be_visible()
    # What comes meanwhile is shown once afterwards, and so is what comes then.
    await send(watched.console, event("wanted", "user_id:meanwhile"))
    await watched.press("继续")
    await expect(page.get_by_role("link", name="user_id:meanwhile")).to_be_visible()
    await send(watched.console, event("wanted", "user_id:later"))
    await expect(page.get_by_role("link", name="user_id:later")).to_be_visible()
    assert await page.get_by_role("link", name="user_id:meanwhile").count() == 1


async def test_key_is_shown_once_and_disabled(watched: Watched) -> None:
    page = watched.page
    await watched.open("sources")
    await watched.choose("角色", "只读")
    await watched.enter("标题", "报表")
    await watched.press("签发密钥")
    key = (await page.get_by_text(re.compile("^ofk_reader_")).inner_text()).strip()
    status, _ = await watched.console.plain("profile", "ListTags", {}, key)
    assert status == 200
    row = page.get_by_role("row", name="报表")
    await row.get_by_role("button", name="停用").press("Enter")
    await page.locator(".ant-popconfirm").get_by_role("button").last.press("Enter")
    await expect(row.get_by_text("已停用")).to_be_visible()

    async def is_refused() -> bool:
        return (await watched.console.plain("profile", "ListTags", {}, key))[0] == 401

    await wait_until(is_refused)
