"""Tests unchanged clients for browsers, in a browser: each call is stored once, as it was made."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from contract.clients.browser import find_browser, open_page
from onefold.type.v1.event_pb2 import Event, EventType
from service_fixtures import HANG_S, wait_until

#: A group call is a fact for the person and one for the account. Jitsu has no alias here.
CALLS = ["ALIAS", "GROUP", "GROUP", "IDENTIFY", "PAGE", "TRACK"]


@pytest.fixture(scope="session")
def browser() -> str:
    found = find_browser()
    if found is None:
        pytest.skip("no Chromium is on the path, and ONEFOLD_TEST_BROWSER names none")
    return found


def kind(event: Event) -> str:
    return EventType.Name(event.type).removeprefix("EVENT_TYPE_")


def check_values(events: list[Event], marker: str) -> None:
    by_kind = {kind(event): event for event in sorted(events, key=lambda e: len(e.identifiers))}
    person = {("user_id", f"user-{marker}"), ("anonymous_id", f"anon-{marker}")}
    for name, event in by_kind.items():
        assert person <= {(one.namespace, one.value) for one in event.identifiers}, name
        assert event.channel == "web", name
        visited = json.loads(event.context)["page"]
        assert visited["title"] == "课程", name
        assert "/pages/" in visited["url"], name
        assert visited["referrer"].endswith("/start"), name
        # The clock of the browser is the one of this machine.
        assert abs(event.occurred_at_us / 1e6 - time.time()) < HANG_S, name
    identify, track, page = by_kind["IDENTIFY"], by_kind["TRACK"], by_kind["PAGE"]
    assert json.loads(identify.traits) == {"email": f"{marker}@example.cn", "name": "李雷"}
    assert ("email", f"{marker}@example.cn") in {
        (i.namespace, i.value) for i in identify.identifiers
    }
    assert track.name == "Course Viewed"
    assert json.loads(track.properties) == {"marker": marker, "price": 199}
    shown = json.loads(page.properties)
    assert (shown["name"], shown["title"], shown["marker"]) == ("Home", "课程", marker)
    assert by_kind["GROUP"].group_id == "school-7"
    assert json.loads(by_kind["GROUP"].traits) == {"marker": marker}


@pytest.mark.parametrize(
    ("page", "leaves", "calls"),
    [
        pytest.param("segment.html", "", CALLS, id="segment"),
        pytest.param("segment.html", "yes", CALLS, id="segment, the visitor leaves before a batch"),
        pytest.param("rudder.html", "", CALLS, id="rudder"),
        pytest.param("rudder.html", "yes", CALLS, id="rudder, the visitor leaves before a beacon"),
        pytest.param("jitsu.html", "", CALLS[1:], id="jitsu"),
    ],
)
async def test_browser_client_stores_each_call_once_with_its_values(
    endpoints: Any, node_clients: Any, browser: str, page: str, leaves: str, calls: list[str]
) -> None:
    marker = uuid.uuid4().hex
    arguments = {"url": endpoints.url(""), "key": endpoints.key, "marker": marker, "leaves": leaves}
    events: list[Event] = []

    async def are_stored() -> bool:
        events[:] = [event for _, event in await endpoints.facts_with(marker)]
        assert not opened.reports
        return len(events) >= len(calls)

    async with open_page(browser, node_clients.packages, page, **arguments) as opened:
        await wait_until(are_stored)
    assert sorted(map(kind, events)) == calls
    check_values(events, marker)
