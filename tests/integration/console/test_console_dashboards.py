"""Tests dashboards in a real browser, and their figures beside what other calls list and count."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from integration.console.conftest import Watched
from integration.console.people import event, send
from integration.console.places import Places, open_places
from integration.console.running_console import Console
from onefold.activation.v1 import dashboard_service_pb2 as pb
from onefold.activation.v1.activation_facts_pb2 import DeliveryState
from onefold.activation.v1.activation_service_pb2 import ListDeliveriesRequest
from onefold.activation.v1.dashboards_pb2 import TILE_CHART_BARS, TILE_DATA_MEMBERS, Dashboard, Tile
from onefold.activation.v1.desk_service_pb2 import TICKET_STATE_OPEN, ListTicketsRequest
from onefold.activation.v1.journey_service_pb2 import ListRunsRequest
from playwright.async_api import expect
from service_fixtures import wait_until

from services.cli.commands.packs import apply_pack, defined_pack
from services.cli.definitions import pack_forms, read_pack
from services.kernel.errors import Conflict, InvalidField, NotFound

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FORM: dict[str, Any] = {
    "id": "overview",
    "title": "总览",
    "tiles": [
        {"id": "buyers", "data": "members", "of": ["buyers", "gone"], "chart": "numbers"},
        {"id": "hooks", "data": "deliveries", "chart": "bars"},
        {"id": "runs", "data": "journeys", "of": ["arrival"], "days": 7, "chart": "table"},
        {"id": "open", "data": "tickets", "of": ["help"], "chart": "bars"},
    ],
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(console: Console) -> Places:
    return await open_places(console)


async def test_figures_of_a_dashboard_are_those_that_are_listed_with_another_key(
    console: Console, places: Places, tmp_path: Path
) -> None:
    system = console.system
    file = tmp_path / "pack.yaml"
    file.write_text(json.dumps({"dashboards": [FORM]}), "utf-8")
    await apply_pack(system.admin, read_pack(file, {}))
    assert pack_forms(await defined_pack(system.admin))["dashboards"][-1] == FORM
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
