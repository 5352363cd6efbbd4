"""Tests in a real browser that nothing which a person enters is lost, and what an edit does."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from integration.console.conftest import Watched
from integration.console.people import BOUGHT, event, send
from integration.console.places import Places, open_places
from integration.console.running_console import Console
from onefold.activation.v1 import dashboard_service_pb2 as pb
from onefold.activation.v1.activation_facts_pb2 import DeliveryState
from onefold.activation.v1.activation_service_pb2 import ListDeliveriesRequest
from onefold.activation.v1.contact_policy_pb2 import (
    CONSENT_NEED_GRANTED,
    CONSENT_NEED_NOTHING,
    ContactPolicy,
    PurposePolicy,
)
from onefold.activation.v1.dashboards_pb2 import TILE_CHART_BARS, TILE_DATA_MEMBERS, Dashboard, Tile
from onefold.activation.v1.desk_service_pb2 import TICKET_STATE_OPEN, ListTicketsRequest
from onefold.activation.v1.journey_service_pb2 import DefineContactPolicyRequest, ListRunsRequest
from onefold.identity.v1.identity_service_pb2 import DefinePolicyRequest, GetPolicyRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest
from playwright.async_api import Locator, Route, expect
from service_fixtures import wait_until

from services.chassis.codec.rules import rule_to_proto
from services.cli.commands.packs import apply_pack, defined_pack
from services.cli.definitions import pack_forms, read_pack
from services.kernel.errors import Conflict, InvalidField, NotFound
from services.kernel.rules.forms.json_form import parse_rule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
#: Longer than an editor waits until it looks for another version, milliseconds.
LOOK_MS = 11_000
FAILED = {"error": {"code": "internal", "message": "broken"}}
#: The screens that read something.
FAILING = (
    *("tags", "profiles", "identity", "segments", "journeys", "offers", "quarantine"),
    *("destinations", "deliveries", "sources", "events", "definitions/tag", "dashboards"),
)
DASHBOARD: dict[str, Any] = {
    "id": "overview",
    "title": "总览",
    "tiles": [
        {"id": "buyers", "data": "members", "of": ["buyers", "gone"], "chart": "numbers"},
        {"id": "hooks", "data": "deliveries", "chart": "bars"},
        {"id": "runs", "data": "journeys", "of": ["arrival"], "days": 7, "chart": "table"},
        {"id": "open", "data": "tickets", "of": ["help"], "chart": "bars"},
    ],
}
_numbers = count()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(console: Console) -> Places:
    return await open_places(console)


async def fail(route: Route) -> None:
    """Answer a call with an error of its service."""
    await route.fulfill(status=500, content_type="application/json", body=json.dumps(FAILED))


class Editing:
    """A definition that one person edits in the browser and another one over gRPC."""

    def __init__(self, watched: Watched, path: str, label: str) -> None:
        self.watched = watched
        self.number = next(_numbers)
        self.path = path.format(number=self.number)
        self.field: Locator = watched.page.get_by_label(label, exact=True)

    async def change(self, text: str) -> None:
        """Define another version."""
        admin = self.watched.console.system.admin
        if self.path == "identity":
            found = await admin.identity.GetPolicy(GetPolicyRequest())
            found.policy.claimed_devices = 900 + next(_numbers)
            await admin.identity.DefinePolicy(DefinePolicyRequest(policy=found.policy))
        else:
            rule = rule_to_proto(parse_rule(BOUGHT))
            made = SegmentDefined(segment_id=f"kept-{self.number}", title=text, rule=rule)
            await admin.segment.DefineSegment(DefineSegmentRequest(segment=made))
        await self.watched.console.system.drain()

    async def enter(self, title: str) -> str:
        """Enter a change into the field, and return what the field then has."""
        text = await self.field.input_value()
        changed = text.replace("first", title) if "first" in text else text + "\n"
        await self.field.focus()
        await self.watched.page.keyboard.press("ControlOrMeta+a")
        await self.watched.page.keyboard.insert_text(changed)
        return changed


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("definitions/segment/kept-{number}", "定义"),
        ("segments/kept-{number}/edit", "标题"),
        ("identity", "身份策略"),
    ],
    ids=["definition", "segment", "policy"],
)
async def test_what_is_entered_outlives_a_failure_another_version_and_a_reload(
    watched: Watched, path: str, label: str
) -> None:
    page = watched.page
    editing = Editing(watched, path, label)
    await editing.change("first")
    await page.clock.install()
    await watched.open(editing.path)
    await expect(editing.field).to_have_value(re.compile("first|{"))
    entered = await editing.enter("mine")
    await expect(page.get_by_text("您输入的内容尚未保存")).to_be_visible()

    await page.route(re.compile("/api/(segment/List|identity/Get)"), fail)
    await page.clock.fast_forward(LOOK_MS)
    await expect(page.get_by_text("显示的内容可能已过时").first).to_be_visible()
    await expect(editing.field).to_have_value(entered)
    await page.unroute_all()
    await editing.change("theirs")
    await page.clock.fast_forward(LOOK_MS)
    await expect(page.get_by_text("期间有人修改了它")).to_be_visible()
    await expect(editing.field).to_have_value(entered)
    await page.reload()
    await expect(page.get_by_text("期间有人修改了它")).to_be_visible()
    await expect(editing.field).to_have_value(entered)
    await watched.press("保留我的修改")
    await expect(page.get_by_text("您输入的内容尚未保存")).to_be_visible()
    await expect(editing.field).to_have_value(entered)
    await watched.press("放弃修改")
    await expect(editing.field).not_to_have_value(entered)
    await page.reload()
    await expect(editing.field).not_to_have_value(entered)


async def test_new_definition_with_an_id_in_use_overwrites_nothing(watched: Watched) -> None:
    page = watched.page
    await watched.open("definitions/segment/new")
    await watched.enter(
        "定义", "segment_id: buyers\ntitle: 别的\nrule:\n  count: {event: bought, at_least: 5}\n"
    )
    await watched.press("比较差异")
    await expect(page.get_by_text("该 ID 已被使用")).to_be_visible()
    await expect(watched.button("应用")).to_be_disabled()
    await watched.press("退出")
    await expect(page.get_by_label("密钥")).to_be_visible()
    drafts = "Object.keys(sessionStorage).filter((key) => key.includes('draft')).length"
    assert await page.evaluate(drafts) == 0, "the next person at the browser can read the draft"


async def test_journey_is_edited_as_yaml_with_what_becomes_of_its_people(watched: Watched) -> None:
    page = watched.page
    await watched.open("definitions/journey/new")
    await watched.enter(
        "定义",
        "journey_id: welcome\n"
        "title: 欢迎\n"
        "entry:\n"
        "  by: {event: {events: {names: [bought]}}}\n"
        "  condition: {rule: {rule: {count: {event: bought, at_least: 1}}}}\n"
        "steps:\n"
        "  - wait: {id: later, span_us: 86400000000}\n",
    )
    await watched.press("比较差异")
    await expect(page.locator("pre")).to_contain_text("+ journey_id: welcome")
    await watched.press("应用")
    await page.get_by_role("link", name="welcome").press("Enter")
    # What is not set is left out, and a rule has the form of packs.
    await expect(page.get_by_label("定义")).to_have_value(re.compile("at_least: 1"))
    text = await page.get_by_label("定义").input_value()
    assert "UNSPECIFIED" not in text
    assert "hold_out_ppm" not in text
    await watched.press("比较差异")
    await expect(page.get_by_text("没有变化")).to_be_visible()
    await watched.enter("定义", text.replace("id: later", "id: sooner"))
    await watched.press("比较差异")
    await expect(page.locator("pre")).to_contain_text("sooner")


async def test_page_of_an_older_build_is_loaded_again_by_itself_once_with_its_draft(
    watched: Watched,
) -> None:
    page, requested = watched.page, 0

    async def gone(route: Route) -> None:
        nonlocal requested
        requested += 1
        await (route.fulfill(status=404) if requested == 1 else route.continue_())

    await page.route(re.compile("/assets/tags-"), gone)
    await watched.open("definitions/segment/new")
    await watched.enter("定义", "segment_id: draft\n")
    await page.get_by_role("link", name="标签与阶段").press("Enter")
    await expect(page.get_by_role("heading", name="标签与阶段")).to_be_visible()
    assert requested == 2
    # What was entered before is there.
    await watched.open("definitions/segment/new")
    await expect(page.get_by_label("定义")).to_have_value("segment_id: draft\n")
    await watched.press("放弃修改")


async def test_consents_of_a_person_say_which_messages_they_allow(watched: Watched) -> None:
    page, admin = watched.page, watched.console.system.admin
    policy = ContactPolicy(
        purposes={
            "marketing": PurposePolicy(consent=CONSENT_NEED_GRANTED),
            "orders": PurposePolicy(consent=CONSENT_NEED_NOTHING),
        }
    )
    await admin.journeys.DefineContactPolicy(DefineContactPolicyRequest(policy=policy))
    answer = b'{"purpose": "marketing", "granted": true}'
    await send(watched.console, event("consent_changed", "user_id:u2", properties=answer))
    for who, may_be_sent in (("u1", "不可发送"), ("u2", "可以发送")):
        [profile] = await watched.console.system.profiles(f"user_id:{who}")
        await watched.open(f"profiles/{profile}")
        row = page.get_by_role("row", name="marketing")
        await expect(row).to_contain_text(may_be_sent)
        await expect(page.get_by_role("row", name="orders")).to_contain_text("可以发送")


async def test_coupon_pools_and_slots_are_listed_and_added(watched: Watched) -> None:
    page = watched.page
    await watched.open("definitions/coupons/new")
    await watched.enter("定义", "pool_id: spring\ntitle: 春季券\nprefix: SPR-\n")
    await watched.press("比较差异")
    await watched.press("应用")
    await expect(page.get_by_role("link", name="spring")).to_be_visible()
    await watched.open("offers")
    row = page.get_by_role("row", name="春季券")
    await expect(row).to_contain_text("自动生成")
    await expect(page.get_by_text("还没有资源位")).to_be_visible()


async def test_calls_are_made_while_many_tabs_show_live_events(watched: Watched) -> None:
    """Ten tabs show events and entries; a call is made in each of them."""
    page = watched.page
    tabs = [await page.context.new_page() for _ in range(10)]
    for number, tab in enumerate(tabs):
        screen = "segments/buyers" if number % 2 else "events"
        await tab.goto(f"{watched.console.url}/console/{screen}")
        waiting = "打开此页以来" if number % 2 else "等待事件"
        await expect(tab.get_by_text(waiting)).to_be_visible()
    await expect(tabs[-1].get_by_text("其他标签页正在实时显示")).to_be_visible()
    live = [await tab.get_by_text("实时", exact=True).count() for tab in tabs]
    assert sum(live) == 2
    for tab in [*tabs, page]:
        shown = Watched(tab, watched.console, watched.hook)
        await (shown.open if tab is page else shown.go)("tags")
        await expect(tab.get_by_role("heading", name="标签与阶段")).to_be_visible()
        await expect(tab.locator(".ant-skeleton")).to_have_count(0)


async def test_no_screen_shows_nothing_as_if_it_were_so_where_its_calls_fail(
    watched: Watched,
) -> None:
    page = watched.page
    [who] = await watched.console.system.profiles("user_id:u1")
    await watched.open("")
    await expect(page.get_by_role("heading", name="概览")).to_be_visible()
    await page.route(re.compile("/api/"), fail)
    for screen in (*FAILING, f"profiles/{who}", f"identity/{who}", "segments/buyers"):
        await watched.go(screen)
        await expect(page.locator(".ant-alert-error").first).to_be_visible()
        for nothing in (".ant-empty-description", ".ant-statistic"):
            assert not await page.locator(nothing).count(), f"{screen}: {nothing}"


async def test_figures_of_a_dashboard_are_those_that_are_listed_with_another_key(
    console: Console, places: Places, tmp_path: Path
) -> None:
    system = console.system
    file = tmp_path / "pack.yaml"
    file.write_text(json.dumps({"dashboards": [DASHBOARD]}), "utf-8")
    await apply_pack(system.admin, read_pack(file, {}))
    assert pack_forms(await defined_pack(system.admin))["dashboards"][-1] == DASHBOARD
    await system.deliveries("hook")
    # By the key of a reader over HTTP, and by lists with the key of a service.
    status, answer = await console.plain(
        "activation", "EvaluateTiles", {"dashboard_id": "overview"}, places.reader_key
    )
    assert status == 200, answer
    found = {
        tile["tile_id"]: {(f["subject_id"], f["name"]): f["value"] for f in tile["figures"]}
        for tile in answer["tiles"]
    }
    assert [tile["unknown_ids"] for tile in answer["tiles"]] == [["gone"], [], [], []]
    members = await system.members("buyers")
    assert found["buyers"] == {("buyers", "members"): len(members)}
    assert members
    activation, desk = system.service.activation, system.service.desk
    listed = (await activation.ListDeliveries(ListDeliveriesRequest(page_size=1000))).deliveries
    states = Counter(
        (each.destination_id, DeliveryState.Name(each.state).rpartition("_")[2].lower())
        for each in listed
    )
    assert found["hooks"] == states
    assert states
    runs = (await system.service.journeys.ListRuns(ListRunsRequest(journey_id="arrival"))).runs
    assert found["runs"]["arrival", "runs"] == len(runs) > 0
    request = ListTicketsRequest(queue_id="help", state=TICKET_STATE_OPEN)
    assert found["open"]["help", "open"] == len((await desk.ListTickets(request)).tickets) > 0
    # One more member is counted as of a state of the log that includes the event.
    await send(console, event("bought", "user_id:u7"))
    tile = Tile(tile_id="t", data=TILE_DATA_MEMBERS, subject_ids=["buyers"], chart=TILE_CHART_BARS)
    evaluated = await system.service.dashboards.EvaluateTiles(
        pb.EvaluateTilesRequest(tiles=[tile], at_least=await system.drain())
    )
    assert [f.value for f in evaluated.tiles[0].figures] == [len(members) + 1]


async def test_dashboard_with_a_mistake_or_an_old_etag_is_refused(console: Console) -> None:
    api = console.system.admin.dashboards
    tile = Tile(tile_id="t", data=TILE_DATA_MEMBERS, chart=TILE_CHART_BARS)
    with pytest.raises(InvalidField, match="counts nothing"):
        await api.EvaluateTiles(pb.EvaluateTilesRequest(tiles=[tile]))
    with pytest.raises(InvalidField, match="name a dashboard"):
        await api.EvaluateTiles(pb.EvaluateTilesRequest())
    with pytest.raises(NotFound):
        await api.EvaluateTiles(pb.EvaluateTilesRequest(dashboard_id="none"))
    first = pb.DefineDashboardRequest(dashboard=Dashboard(dashboard_id="d", title="1"), etag="0")
    defined = await api.DefineDashboard(first)
    first.dashboard.title = "2"
    with pytest.raises(Conflict):
        await api.DefineDashboard(first)
    first.etag = defined.etag
    assert (await api.DefineDashboard(first)).dashboard.version == 2


async def test_dashboard_is_built_by_keyboard_and_by_drag_and_shown_to_another_person(
    watched: Watched, places: Places
) -> None:
    page, system = watched.page, watched.console.system
    await watched.open("dashboards/new")
    await watched.enter("ID", "mine")
    await watched.enter("标题", "我的看板")
    for _ in range(2):
        await watched.press("添加卡片")
    first, second = (page.get_by_role("region", name=f"tile-{n}") for n in (1, 2))
    await expect(first.get_by_text("请选择此卡片的统计对象。")).to_be_visible()
    await expect(watched.button("保存")).to_be_disabled()
    members = first.get_by_role("combobox", name="统计对象")
    await members.focus()
    await page.keyboard.type("买家")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    count = len(await system.members("buyers"))
    await expect(first.locator(".ant-statistic-content")).to_have_text(str(count))
    await second.get_by_label("卡片标题").fill("工单")
    second = page.get_by_role("region", name="工单")
    await second.get_by_role("combobox", name="统计内容").focus()
    await page.keyboard.press("Enter")
    for _ in range(3):
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(second.get_by_role("link", name="处理中")).to_be_visible()
    order = page.locator("main section[aria-label]")

    async def names() -> list[str | None]:
        return [await each.get_attribute("aria-label") for each in await order.all()]

    assert await names() == ["tile-1", "工单"]
    await watched.press("后移: tile-1")
    assert await names() == ["工单", "tile-1"]
    # What is entered outlives a reload.
    await page.reload()
    await expect(page.get_by_role("region", name="工单")).to_be_visible()
    await first.locator(".ant-card-head").drag_to(second.locator(".ant-card-head"))
    await wait_until(lambda: _is(names, ["tile-1", "工单"]))
    await watched.check_accessibility("dashboards/new")
    await watched.press("保存")
    await expect(page.get_by_role("heading", name="我的看板")).to_be_visible()
    await page.wait_for_url("**/dashboards/mine")
    [saved] = [
        each.dashboard
        for each in (
            await system.service.dashboards.ListDashboards(pb.ListDashboardsRequest())
        ).dashboards
        if each.dashboard.dashboard_id == "mine"
    ]
    assert [tile.title for tile in saved.tiles] == ["", "工单"]
    await watched.open("dashboards")
    await page.get_by_role("link", name="我的看板").press("Enter")
    await expect(first.locator(".ant-statistic-content")).to_have_text(str(count))
    await first.get_by_role("link", name="买家").press("Enter")
    await page.wait_for_url("**/segments/buyers")


async def _is(names: Any, expected: list[str]) -> bool:
    return bool(await names() == expected)
