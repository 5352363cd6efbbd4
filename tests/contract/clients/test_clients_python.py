"""Tests the unchanged official Python clients: each event is stored exactly once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from contract.clients.flaky_edge import losing_responses
from onefold.type.v1.event_pb2 import EventType


def send_with_segment(url: str, key: str, marker: str) -> list[str]:
    """Send the six calls with segment-analytics-python; return its failures."""
    from segment.analytics.client import Client

    failures: list[str] = []
    client = Client(
        key,
        host=url,
        on_error=lambda error, items: failures.append(repr(error)),
        upload_size=3,
        upload_interval=0.05,
        gzip=marker.endswith("z"),
        max_retries=4,
    )
    _six_calls(client, marker)
    client.flush()
    client.join()
    return failures


def send_with_rudder(url: str, key: str, marker: str) -> list[str]:
    """Send the six calls with rudder-sdk-python; return its failures."""
    from rudderstack.analytics.client import Client

    failures: list[str] = []
    client = Client(
        key,
        host=url,
        on_error=lambda error, items: failures.append(repr(error)),
        upload_size=3,
        upload_interval=0.05,
        gzip=True,
        max_retries=4,
    )
    _six_calls(client, marker)
    client.flush()
    client.join()
    return failures


def _six_calls(client: Any, marker: str) -> None:
    user = f"user-{marker}"
    client.identify(user, {"email": f"{marker}@example.cn", "name": "李雷", "marker": marker})
    client.track(user, "Course Viewed", {"marker": marker, "price": 199.5})
    client.page(user, "site", "Home", {"marker": marker})
    client.screen(user, "app", "Main", {"marker": marker})
    client.group(user, "school-7", {"marker": marker})
    client.alias(f"anon-{marker}", user)


SENDERS = {
    "segment": (send_with_segment, ""),
    "segment packed": (send_with_segment, "z"),
    "rudder": (send_with_rudder, ""),
}


@pytest.mark.parametrize("name", SENDERS)
@pytest.mark.parametrize("lost", [0, 2], ids=["responses arrive", "responses are lost"])
async def test_python_client_stores_each_of_the_six_calls_once(
    endpoints: Any, name: str, lost: int
) -> None:
    send: Callable[[str, str, str], list[str]] = SENDERS[name][0]
    marker = uuid.uuid4().hex + SENDERS[name][1]
    async with losing_responses(endpoints.url(""), first=lost) as edge:
        failures = await asyncio.to_thread(send, edge.url, endpoints.key, marker)
    assert failures == []
    assert {status for _, status in edge.forwarded} == {200}
    assert len(edge.forwarded) >= 2 + lost
    events = [event for _, event in await endpoints.facts_with(marker)]
    assert sorted(EventType.Name(e.type).removeprefix("EVENT_TYPE_") for e in events) == [
        # The group event has a fact for the person and one for the account.
        *("ALIAS", "GROUP", "GROUP", "IDENTIFY", "PAGE", "SCREEN", "TRACK")
    ]
    by_type = {e.type: e for e in events}
    identifiers = {
        (i.namespace, i.value) for i in by_type[EventType.Value("EVENT_TYPE_IDENTIFY")].identifiers
    }
    assert identifiers >= {("user_id", f"user-{marker}"), ("email", f"{marker}@example.cn")}
    assert all(e.channel == "web" for e in events)


@pytest.mark.parametrize("name", ["segment", "rudder"])
async def test_python_client_reports_a_wrong_key(endpoints: Any, name: str) -> None:
    marker = uuid.uuid4().hex
    failures = await asyncio.to_thread(SENDERS[name][0], endpoints.url(""), "wrong", marker)
    assert failures
    assert not await endpoints.facts_with(marker)
