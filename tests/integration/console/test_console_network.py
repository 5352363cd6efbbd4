"""Tests in a real browser over a slow network and with calls that fail at random."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from integration.console.conftest import Watched, loaded
from integration.console.people import BOUGHT, event, send
from integration.console.places import Places, open_places
from integration.console.running_console import Console, FailingCalls
from onefold.activation.v1.dashboard_service_pb2 import ListDashboardsRequest
from onefold.identity.v1.identity_service_pb2 import GetPolicyRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsRequest
from playwright.async_api import Locator, expect
from service_fixtures import wait_until

from services.chassis.codec.rules import rule_to_proto
from services.kernel.rules.forms.json_form import parse_rule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
#: A network of the third generation: milliseconds until a response begins, and bytes a second.
LATENCY_MS, BYTES_PER_S = 400, 50_000
#: The share of calls that are answered with 503.
SHARE = 0.05
#: Whether each screen and each form is tried; otherwise some are.
IS_DEEP = bool(os.environ.get("ONEFOLD_TEST_CONSOLE_NETWORK"))
FEW_SCREENS = ("profiles/{person}", "segments/buyers", "dashboards/all", "journeys/arrival")
#: The most times that a button is pressed until its call succeeds.
MOST_TRIES = 8
#: The calls that save what is entered.
SAVING = {"DefineSegment", "DefinePolicy", "DefineDashboard", "ReleaseQuarantined"}
#: What an error says that names what to do.
REMEDY = re.compile("重试|请")
#: Notes each figure that is 0 at any time, by its name, and each error.
NOTES = """
    window.noted = { zeros: new Set(), errors: new Set() };
    window.pending = 0;
    window.quietSince = 0;
    const called = window.fetch;
    window.fetch = (path, ...rest) => {
        const is_stream = String(path).includes("/Watch");
        const count = (by) => {
            if (!is_stream) window.pending += by;
            window.quietSince = performance.now();
        };
        count(1);
        return called(path, ...rest).finally(() => count(-1));
    };
    window.zeros = () => {
        const found = new Set();
        for (const each of document.querySelectorAll("main .ant-statistic"))
            if (each.querySelector(".ant-statistic-content").innerText.trim() === "0")
                found.add(each.querySelector(".ant-statistic-title").innerText);
        for (const cell of document.querySelectorAll("main td[data-title]"))
            if (cell.innerText.trim() === "0")
                found.add(`${cell.parentNode.dataset.rowKey} ${cell.dataset.title}`);
        for (const each of document.querySelectorAll("main p, main .ant-tag, main td div"))
            if (/: 0$/.test(each.innerText.trim())) found.add(each.innerText);
        return found;
    };
    window.note = () => {
        for (const each of window.zeros()) window.noted.zeros.add(each);
        for (const each of document.querySelectorAll(".ant-alert-error, .ant-alert-warning"))
            window.noted.errors.add(each.innerText);
    };
    new MutationObserver(window.note).observe(
        document, { subtree: true, childList: true, characterData: true });
"""
#: Whether no call has been under way for a while.
QUIET = "window.pending === 0 && performance.now() - window.quietSince > 700"
NOTED = """
    () => {
        const now = window.zeros();
        const { zeros, errors } = window.noted;
        return { untrue: [...zeros].filter((each) => !now.has(each)), errors: [...errors] };
    }
"""


@dataclass
class Network:
    """A slow network between a page and the console, over which some calls fail."""

    watched: Watched
    failing: FailingCalls

    async def begin(self) -> None:
        """Make the network slow, once the page is loaded."""
        page = self.watched.page
        session = await page.context.new_cdp_session(page)
        await session.send("Network.enable")
        conditions = {
            "offline": False,
            "latency": LATENCY_MS,
            "downloadThroughput": BYTES_PER_S,
            "uploadThroughput": BYTES_PER_S,
        }
        await session.send("Network.emulateNetworkConditions", conditions)
        self.failing.share = SHARE

    async def press(self, button: str, done: Locator) -> None:
        """Press a button until `done` is shown; each failure before says what to do."""
        for _ in range(MOST_TRIES):
            failed = self.failing.failed
            await self.watched.press(button)
            await wait_until(lambda: self._has_ended(done, failed))  # noqa: B023  # awaited here
            if await done.count():
                return
        raise AssertionError(f"{button} has failed {MOST_TRIES} times")

    async def _has_ended(self, done: Locator, failed: int) -> bool:
        """Return whether `done` is shown, or a failure after `failed` others."""
        if await done.count():
            return True
        errors = await self.watched.page.locator(".ant-alert-error").all_inner_texts()
        assert all(map(REMEDY.search, errors)), errors
        return bool(errors) and self.failing.failed > failed


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(console: Console) -> Places:
    return await open_places(console)


@pytest_asyncio.fixture(loop_scope="session")
async def network(watched: Watched) -> AsyncIterator[Network]:
    await watched.page.add_init_script(NOTES)
    await watched.open("")
    await expect(watched.page.get_by_role("heading", name="概览")).to_be_visible()
    failing = watched.console.failing
    assert failing
    network = Network(watched, failing)
    await network.begin()
    yield network
    failing.share = 0.0
    failing.names.clear()


async def test_slow_and_failing_network_shows_no_0_that_is_none_and_errors_say_what_to_do(
    watched: Watched, network: Network, places: Places
) -> None:
    few = [each.format(person=places.person) for each in FEW_SCREENS]
    for screen in places.all() if IS_DEEP else few:
        await watched.open(screen)
        await loaded(watched.page)
        # A page without a sign that it is loading is not loaded for that.
        await wait_until(lambda: watched.page.evaluate(QUIET))
        found = await watched.page.evaluate(NOTED)
        assert not found["untrue"], f"{screen}: a figure was 0 until it was loaded"
        for error in found["errors"]:
            assert REMEDY.search(error), f"{screen}: {error}"
    assert network.failing.failed


@dataclass
class Form:
    """The forms that keep what is entered: each is filled in, loaded again, and saved."""

    watched: Watched
    network: Network

    @property
    def admin(self) -> Any:
        return self.watched.console.system.admin

    async def title(self) -> str:
        listed = await self.admin.segment.ListSegments(ListSegmentsRequest())
        titles = {each.segment.segment_id: each.segment.title for each in listed.segments}
        return titles["entered"]

    async def builder(self) -> None:
        field = self.watched.page.get_by_label("标题", exact=True)
        await self.enter("segments/entered/edit", field, "mine")
        await self.network.press("保存", self.watched.button("编辑"))
        assert await self.title() == "mine"

    async def unread_rule(self) -> None:
        page = self.watched.page
        field = page.get_by_role("textbox", name="规则文本", exact=True)
        await self.enter("segments/entered/edit", field, "bought 次数 ≥ 7")
        await self.network.press("读取文本", page.get_by_label("值 1", exact=True))
        await expect(page.get_by_label("值 1", exact=True)).to_have_value("7")
        await self.watched.press("放弃修改")

    async def definition(self) -> None:
        page = self.watched.page
        field = page.get_by_label("定义", exact=True)
        text = "segment_id: entered\ntitle: ours\nrule:\n  count: {event: bought, at_least: 3}\n"
        await self.enter("definitions/segment/entered", field, text)
        await self.network.press("比较差异", page.locator("pre"))
        await self.network.press("应用", page.get_by_role("link", name="entered"))
        assert await self.title() == "ours"

    async def policy(self) -> None:
        page = self.watched.page
        field = page.get_by_label("身份策略", exact=True)
        await self.watched.open("identity")
        await expect(field).to_have_value(re.compile("claimed_devices"))
        text = re.sub(
            r'"claimed_devices": \d+', '"claimed_devices": 771', await field.input_value()
        )
        await self.enter("identity", field, text)
        await self.network.press("预览", page.get_by_text("采用该策略后"))
        await self.network.press("应用", page.get_by_text("已保存"))
        found = await self.admin.identity.GetPolicy(GetPolicyRequest())
        assert found.policy.claimed_devices == 771

    async def dashboard(self) -> None:
        page = self.watched.page
        field = page.get_by_label("标题", exact=True)
        await self.enter("dashboards/all?edit=1", field, "看板二")
        await self.network.press("保存", self.watched.button("编辑"))
        found = await self.admin.dashboards.ListDashboards(ListDashboardsRequest())
        assert "看板二" in [each.dashboard.title for each in found.dashboards]

    async def repair(self) -> None:
        page = self.watched.page
        text = (
            '{"type": "EVENT_TYPE_TRACK", "name": "bought", "message_id": "slow",'
            ' "identifiers": [{"namespace": "user_id", "value": "slow"}]}'
        )
        field = page.get_by_label("收到的原始事件。修改后放行。")

        async def open_repair() -> None:
            await page.get_by_role("button", name="修复", exact=True).first.press("Enter")

        assert await send(self.watched.console, event("bought")) == 1
        await self.enter("quarantine", field, text, open_repair)
        await self.network.press("放行", page.get_by_text("没有被隔离的事件"))
        await self.watched.console.system.drain()
        assert await self.watched.console.system.profiles("user_id:slow")

    async def enter(
        self,
        path: str,
        field: Locator,
        text: str,
        reach: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Enter a text, and load the page again while the services are away: it is still there."""
        page = self.watched.page
        await self.watched.open(path)
        if reach:
            await reach()
        await expect(field).not_to_have_value("")
        await field.focus()
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.insert_text(text)
        self.network.failing.share = 1.0
        await page.reload()
        await expect(page.get_by_text("有服务没有响应")).to_be_visible()
        assert not await page.get_by_label("密钥").count(), "a key is asked for"
        self.network.failing.share = SHARE
        await self.watched.press("重试")
        if reach:
            await reach()
        await expect(field).to_have_value(text)


FORMS = (
    *(Form.builder, Form.repair, Form.unread_rule, Form.definition, Form.policy),
    Form.dashboard,
)


@pytest.mark.parametrize("fill_in", FORMS if IS_DEEP else FORMS[:2])
async def test_what_is_entered_outlives_a_slow_and_failing_network_and_is_saved(
    watched: Watched, network: Network, places: Places, fill_in: Callable[[Form], Awaitable[None]]
) -> None:
    """The first call of each kind that saves something fails as well."""
    rule = rule_to_proto(parse_rule(BOUGHT))
    made = SegmentDefined(segment_id="entered", title="before", rule=rule)
    await watched.console.system.admin.segment.DefineSegment(DefineSegmentRequest(segment=made))
    await watched.console.system.drain()
    network.failing.names |= {
        "DefineSegment",
        "DefinePolicy",
        "DefineDashboard",
        "ReleaseQuarantined",
    }
    await fill_in(Form(watched, network))
