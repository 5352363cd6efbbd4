"""Tests in a real browser of what people do: tickets, journeys, rules, repairs, what is known."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
import pytest_asyncio
from integration.console.conftest import Watched
from integration.console.drawn_rules import TAG_ID, draw, random_form
from integration.console.people import NAME, event, send
from integration.console.places import Places, open_places
from integration.console.running_console import Console
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.profile.v1.profile_service_pb2 import DefineTagRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsRequest
from playwright.async_api import Page, expect
from service_fixtures import wait_until

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.rules.forms.json_form import parse_rule

#: How many random rules are drawn; a deep run has 500.
RULES = int(os.environ.get("ONEFOLD_TEST_CONSOLE_RULES", "3"))
#: How many of them one page draws.
AT_ONCE = 10
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(console: Console) -> Places:
    return await open_places(console)


async def test_ticket_is_opened_answered_and_resolved_and_its_history_is_shown(
    watched: Watched, places: Places
) -> None:
    page = watched.page
    await watched.open(f"profiles/{places.person}")
    tickets = page.locator(".ant-card", has_text="新建工单").last
    await watched.choose("队列", "客服")
    await watched.enter("工单内容", "换货 <i>")
    await watched.press("新建工单")
    await tickets.get_by_role("link", name="换货 <i>").press("Enter")
    await expect(page.get_by_role("heading", name="换货 <i>")).to_be_visible()
    await watched.press("已答复")
    await expect(page.get_by_text("已答复").nth(1)).to_be_visible()
    await watched.enter("坐席", "zhao")
    await watched.press("分配")
    await expect(page.get_by_text("agent_id: zhao")).to_be_visible()
    await watched.press("解决")
    await expect(watched.button("重新打开")).to_be_visible()
    await watched.open("tickets?state=TICKET_STATE_RESOLVED")
    row = page.get_by_role("row", name="换货 <i>")
    await expect(row).to_contain_text("zhao")
    await expect(row).to_contain_text("客服")
    await expect(row.get_by_role("cell", name="工单", exact=True)).to_be_visible()
    await expect(row).to_contain_text(NAME)
    await watched.choose("状态", "处理中")
    await expect(row).to_have_count(0)
    await page.get_by_text("看板", exact=True).click()
    column = page.locator(".ant-card", has_text="已解决").last
    await expect(column.get_by_role("link", name="换货 <i>")).to_be_visible()


async def test_journey_is_played_over_the_past_and_nothing_is_sent(
    watched: Watched, places: Places
) -> None:
    page = watched.page
    before = watched.hook.received
    await watched.open("journeys/arrival")
    await expect(page.get_by_role("button", name="进入 事件")).to_be_visible()
    await expect(page.get_by_role("button", name="等待 later 1天")).to_be_visible()
    await watched.press("开始演算")
    played = page.locator(".ant-card", has_text="只演算不发送").last
    await expect(played.get_by_role("status")).to_contain_text("已演算")
    waiting = played.get_by_role("row", name="later")
    await expect(waiting).to_contain_text("1")
    await expect(waiting.get_by_role("link", name=NAME)).to_be_visible()
    await played.get_by_text("回测", exact=True).click()
    await watched.press("开始演算")
    await expect(played.get_by_role("status")).to_contain_text("已演算")
    # One that is edited is played before it is applied.
    await watched.open("definitions/journey/arrival")
    text = await page.get_by_label("定义").input_value()
    await watched.enter("定义", text.replace("id: later", "id: sooner"))
    await watched.press("开始演算")
    await expect(page.get_by_role("row", name="sooner")).to_contain_text("1")
    # The run of the person, on the page of the person.
    await watched.open(f"profiles/{places.person}")
    runs = page.locator(".ant-card", has_text="参与记录").last
    await expect(runs.get_by_role("link", name="到店")).to_be_visible()
    assert watched.hook.received == before


async def test_what_is_known_of_a_person_is_shown_with_reasons_and_saved_whole(
    watched: Watched, places: Places
) -> None:
    page, console = watched.page, watched.console
    rule = rule_to_proto(parse_rule({"count": {"event": "arrived", "at_least": 1}}))
    tag = TagDefined(tag_id="came", title="来过", rule=rule)
    await console.system.admin.profile.DefineTag(DefineTagRequest(tag=tag))

    async def has_tag() -> bool:
        person = {"profile_id": places.person}
        _, found = await console.plain("profile", "GetProfile", person)
        return bool(found["profile"].get("tags"))

    await wait_until(has_tag)
    await watched.open("profiles")
    await expect(page.get_by_role("row", name="来过").first).to_be_visible()
    await watched.open(f"profiles/{places.person}")
    await expect(page.get_by_text("标签 来过")).to_be_visible()
    await watched.press("已知信息与依据")
    await expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    await expect(page.get_by_text("city 为 北京")).to_contain_text("web")
    reasons = page.locator(".ant-card", has_text="buyers:")
    await expect(reasons).to_contain_text("= 1")
    await expect(page.get_by_text("发往 hook，原因 buyers")).to_be_visible()
    # On a dark screen the letters are bright, and on paper they are dark.
    for media, is_bright in (("screen", True), ("print", False)):
        await page.emulate_media(media=media, color_scheme="dark")
        await wait_until(lambda: _has_letters(page, is_bright))  # noqa: B023  # it is awaited here
    await page.emulate_media(media="screen", color_scheme="light")
    async with page.expect_download() as saving:
        await watched.press("全部导出为文件")
    saved = json.loads(Path(await (await saving.value).path()).read_text("utf-8"))
    of = {"profile_id": places.person}
    for service, name, member in (
        ("profile", "GetProfile", "profile"),
        ("identity", "ListIdentifiers", "identifiers"),
        ("activation", "ListDeliveries", "deliveries"),
    ):
        _, answer = await console.plain(service, name, of)
        assert saved[member] == answer[member], name
    _, answer = await console.plain("profile", "ListTimeline", {**of, "page_size": 1_000})
    assert saved["timeline"] == answer["entries"]
    assert [each["ticket"]["title"] for each in saved["tickets"]][-1] == "退款 <b>"
    assert [each["segment_id"] for each in saved["segments"]] == ["buyers"]


async def _has_letters(page: Page, is_bright: bool) -> bool:
    """Return whether the letters of a heading are bright, or dark."""
    red: int = await page.get_by_role("heading", name=NAME).evaluate(
        "each => Number(/[0-9]+/.exec(getComputedStyle(each).color)[0])"
    )
    return (red > 127) == is_bright


async def test_many_refused_events_are_repaired_together_and_have_their_own_times(
    watched: Watched,
) -> None:
    page, console, count = watched.page, watched.console, 50
    now = await console.system.now_us()
    times = [now - (n + 1) * 60_000_000 for n in range(count)]
    wrong = [event("came", "user_id:many", at_us=at) for at in times]
    for each in wrong:
        each.name = ""
    assert await send(console, *wrong) == count
    await watched.open("quarantine")
    await expect(page.get_by_role("row", name="修复")).to_have_count(count)
    await page.get_by_role("checkbox", name="全部").press("Space")
    await watched.press(f"一起修复 {count} 条")
    await watched.enter(
        "对每个事件的修改（JSON）：写出的成员替换事件中的成员，null 表示删除。", '{"name": "came"}'
    )
    await expect(page.locator(".ant-modal pre")).to_contain_text('"came"')
    await watched.press("放行")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_text("没有被隔离的事件")).to_be_visible()
    await console.system.drain()
    [who] = await console.system.profiles("user_id:many")
    _, found = await console.plain("profile", "ListTimeline", {"profile_id": who, "page_size": 99})
    assert [each["occurred_at_us"] for each in found["entries"]] == times


async def test_preview_of_an_edit_names_those_who_enter_and_leave(watched: Watched) -> None:
    page, system = watched.page, watched.console.system
    counted = ({"name": "甲"}, {"name": "乙"}, {"name": "丙"})
    for number, traits in enumerate(counted, 1):
        who = f"user_id:edit{number}"
        named = json.dumps(traits, ensure_ascii=False).encode()
        await send(watched.console, event("identify", who, traits=named))
        await send(watched.console, *(event("tried", who) for _ in range(number)))
    bounds = ({"at_least": 1}, {"at_most": 2})
    form = {"all": [{"count": {"event": "tried", **bound}} for bound in bounds]}
    segment = SegmentDefined(
        segment_id="edited", title="试过", rule=rule_to_proto(parse_rule(form))
    )
    await system.admin.segment.DefineSegment(DefineSegmentRequest(segment=segment))
    await system.drain()
    first, second, third = await system.profiles(*(f"user_id:edit{n}" for n in (1, 2, 3)))
    await wait_until(lambda: _are_members(watched, {first, second}))
    await watched.open("segments/edited/edit")
    await watched.enter("规则文本", "tried 次数 ≥ 2")
    await watched.press("读取文本")
    preview = page.locator(".ant-card", has_text="预览")
    for title, name in (("将进入", "丙"), ("将离开", "甲")):
        named = preview.locator("strong", has_text=title).locator("xpath=following::ul[1]")
        await expect(named.get_by_role("link")).to_have_text([name])
    await watched.press("保存")
    await expect(page.get_by_role("heading", name="试过")).to_be_visible()
    await wait_until(lambda: _are_members(watched, {second, third}))


async def _are_members(watched: Watched, profiles: set[str]) -> bool:
    return await watched.console.system.members("edited") == profiles


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tag(console: Console) -> None:
    """Define the tag that drawn rules name."""
    rule = rule_to_proto(parse_rule({"trait": {"name": "t1", "exists": True}}))
    made = TagDefined(tag_id=TAG_ID, title="画", rule=rule)
    await console.system.admin.profile.DefineTag(DefineTagRequest(tag=made))
    await console.system.drain()


@pytest.mark.parametrize("first", range(0, RULES, AT_ONCE))
async def test_random_rule_is_drawn_by_keyboard_and_read_back_the_same(
    watched: Watched, tag: None, first: int
) -> None:
    await watched.open("segments")
    for seed in range(first, min(first + AT_ONCE, RULES)):
        await _check_rule(watched, seed)


async def _check_rule(watched: Watched, seed: int) -> None:
    """Draw the rule of a seed, save it, and compare it with what is read in other ways."""
    form = {"all": [random_form(random.Random(seed), 2) for _ in range(2)]}
    await watched.go("segments/new")
    await watched.enter("ID", f"drawn-{seed}")
    await watched.enter("标题", f"画 {seed}")
    await draw(watched, form, "1")
    await watched.press("保存")
    await expect(watched.page.get_by_role("heading", name=f"画 {seed}")).to_be_visible()
    listed = await watched.console.system.admin.segment.ListSegments(ListSegmentsRequest())
    rules = {each.segment.segment_id: each.segment.rule for each in listed.segments}
    assert rule_from_proto(rules[f"drawn-{seed}"]) == parse_rule(form), form
    status, written = await watched.console.plain("profile", "TranslateRule", {"json": form})
    assert status == 200
    status, read = await watched.console.plain(
        "profile", "TranslateRule", {"text": written["text_chinese"]}
    )
    assert (status, read.get("rule")) == (200, written["rule"]), form
    # The page counts as many people as another call does.
    await wait_until(lambda: _is_live(watched.console, f"drawn-{seed}"))
    members = await watched.console.system.members(f"drawn-{seed}")
    definition = {"segment_id": "", "rule": written["rule"]}
    status, counted = await watched.console.plain(
        "segment", "PreviewSegment", {"segment": definition}
    )
    assert (status, counted["members"][0]["size"]["value"]) == (200, len(members)), form


async def _is_live(console: Console, segment_id: str) -> bool:
    listed = await console.system.admin.segment.ListSegments(ListSegmentsRequest())
    return any(each.live for each in listed.segments if each.segment.segment_id == segment_id)


async def test_person_that_another_user_links_changes_on_the_open_page(
    watched: Watched, places: Places
) -> None:
    page, console = watched.page, watched.console
    await send(console, event("seen", "user_id:live1"), event("seen", "user_id:live2"))
    [one] = await console.system.profiles("user_id:live1")
    await watched.open(f"identity/{one}")
    await expect(page.get_by_role("checkbox", name="user_id:live1")).to_be_visible()
    before = await page.locator("main").aria_snapshot()
    body = {
        "decision": "DECISION_LINK",
        "a": {"namespace": "user_id", "value": "live1"},
        "b": {"namespace": "user_id", "value": "live2"},
        "reason": "同一人",
    }
    status, answer = await console.plain("identity", "RecordDecision", body)
    assert status == 200, answer
    await expect(page.get_by_role("checkbox", name="user_id:live2")).to_be_visible()
    # It is undone on another page, and the open one shows what it showed before.
    body["decision"] = "DECISION_WITHDRAW"
    status, answer = await console.plain("identity", "RecordDecision", body)
    assert status == 200, answer
    await expect(page.get_by_role("checkbox", name="user_id:live2")).to_have_count(0)
    assert await page.locator("main").aria_snapshot() == before


async def test_journey_is_read_by_keyboard_alone(watched: Watched, places: Places) -> None:
    page = watched.page
    await watched.open("journeys/arrival")
    canvas = page.get_by_role("group", name="旅程").first
    await canvas.focus()
    chosen = canvas.locator("[aria-pressed=true]")
    steps = canvas.get_by_role("button")
    await expect(steps.filter(has_text="later")).to_be_visible()
    for index in range(await steps.count()):
        await page.keyboard.press("Tab")
        await expect(steps.nth(index)).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(steps.nth(index)).to_have_attribute("aria-pressed", "true")
        await expect(chosen).to_have_count(1)
