"""Tests unchanged Node clients: each event that they send is stored exactly once."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from contract.clients.flaky_edge import losing_responses
from onefold.type.v1.event_pb2 import EventType
from service_fixtures import OpenNatsServer, wait_until

from services.devstack.nats_config import ClientId

ROOT = Path(__file__).resolve().parents[3]


def kinds(found: list[Any]) -> list[str]:
    return sorted(EventType.Name(e.type).removeprefix("EVENT_TYPE_") for _, e in found)


@pytest.mark.parametrize("script", ["send_segment.mjs", "send_rudder.mjs"])
@pytest.mark.parametrize("lost", [0, 2], ids=["responses arrive", "responses are lost"])
async def test_client_of_the_specification_stores_each_call_once(
    endpoints: Any, node_clients: Any, script: str, lost: int
) -> None:
    marker = uuid.uuid4().hex
    async with losing_responses(endpoints.url(""), first=lost) as edge:
        output = await node_clients.run(script, url=edge.url, key=endpoints.key, marker=marker)
    assert output == {"failures": []}
    assert {status for _, status in edge.forwarded} == {200}
    found = await endpoints.facts_with(marker)
    twice = ["GROUP"]  # a fact for the person and one for the account
    assert kinds(found) == ["ALIAS", "GROUP", *twice, "IDENTIFY", "PAGE", "SCREEN", "TRACK"]


async def test_jitsu_client_stores_each_call_once(endpoints: Any, node_clients: Any) -> None:
    marker = uuid.uuid4().hex
    output = await node_clients.run(
        "send_jitsu.mjs", url=endpoints.url(""), key=endpoints.key, marker=marker
    )
    assert output == {"failures": []}
    assert kinds(await endpoints.facts_with(marker)) == ["IDENTIFY", "PAGE", "TRACK"]


async def test_grpc_client_stores_each_event_once(endpoints: Any, node_clients: Any) -> None:
    marker = uuid.uuid4().hex
    output = await node_clients.run(
        "send_grpc.mjs",
        address=f"127.0.0.1:{endpoints.service.grpc_port}",
        key=endpoints.key,
        marker=marker,
        protos=str(ROOT / "protos"),
    )
    first, again, unknown_key = output["first"], output["again"], output["unknown_key"]
    assert (first["accepted"], again.get("accepted", 0), again["duplicates"]) == (2, 0, 2)
    [rejection] = first["rejections"]
    assert rejection["reason"] == "ERROR_REASON_NO_IDENTIFIER"
    assert rejection["field"] == "events[2].identifiers"
    assert unknown_key["code"] == 16, "UNAUTHENTICATED"
    assert {e.name for _, e in await endpoints.facts_with(marker)} == {"one", "two"}
    assert len(await endpoints.facts_with(marker)) == 2


async def test_nats_client_stores_each_event_once(
    endpoints: Any, node_clients: Any, nats_server: OpenNatsServer
) -> None:
    marker, publisher = uuid.uuid4().hex, ClientId("default", "site")
    await wait_until(lambda: endpoints.service.nats.open.is_set())
    output = await node_clients.run(
        "send_nats.mjs",
        url=await nats_server.client_url(publisher),
        inboxPrefix=publisher.inbox_prefix,
        key=endpoints.key,
        marker=marker,
        subject=publisher.subject,
    )
    assert [ack["duplicate"] for ack in output["acks"]] == [False, True, False, False]

    async def drained() -> bool:
        info = await endpoints.nats.jetstream().stream_info("ONEFOLD_IN")
        return info.state.messages == 0

    await wait_until(drained)
    found = await endpoints.facts_with(marker)
    assert sorted(e.message_id for _, e in found) == [f"{marker}-1", f"{marker}-2"]
