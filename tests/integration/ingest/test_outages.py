"""Tests outages: without PostgreSQL calls fail and can be retried; without NATS they succeed."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, make_source
from service_fixtures import BUS_KEY, HANG_S, QUICK, OpenNatsServer, create_login, wait_until

from services.devstack.postgres import PostgresServer
from services.ingest.service import serve
from services.ingest.settings import IngestSettings
from services.kernel.errors import StoreUnavailable
from tests.index_key import INDEX_KEY_TEXT


@pytest_asyncio.fixture(loop_scope="session")
async def postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(tmp_path / "engines", settings=QUICK) as server:
        await create_login(server)
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def bus(tmp_path: Path) -> AsyncIterator[OpenNatsServer]:
    async with OpenNatsServer(tmp_path / "engines") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def endpoints(
    postgres: PostgresServer, bus: OpenNatsServer, tmp_path: Path
) -> AsyncIterator[IngestEndpoints]:
    """Run ingest on servers that the test may stop."""
    settings = IngestSettings(
        postgres_dsn=postgres.dsn,
        nats_url=bus.url,
        internal_key=secrets.token_urlsafe(32),
        bus_key=BUS_KEY,
        index_key=INDEX_KEY_TEXT,
        activation_url="127.0.0.1:1",
        data_dir=tmp_path,
        drain_s=1.0,
        definitions_poll_s=0.1,
        tick_interval_s=600,
    )
    client = await nats.connect(bus.url, max_reconnect_attempts=-1, reconnect_time_wait=1)
    async with serve(settings) as service, aiohttp.ClientSession() as http:
        admin_key = (tmp_path / "admin.key").read_text().strip()
        key = await make_source(service, admin_key, "site", "web")
        yield IngestEndpoints(service, settings, key, admin_key, http, client)
    await client.close()


async def post(endpoints: IngestEndpoints, call: Any) -> tuple[int, dict[str, str], Any]:
    headers = {"Authorization": f"Bearer {endpoints.key}"}
    async with endpoints.http.post(
        endpoints.url("/v1/track"), json=call, headers=headers
    ) as response:
        return response.status, dict(response.headers), await response.json()


async def test_calls_fail_while_postgres_is_down_and_succeed_after_its_return(
    endpoints: IngestEndpoints, postgres: PostgresServer, make_event: Any, make_call: Any
) -> None:
    event, call, published = make_event(), make_call(), make_call()
    await endpoints.ingest(make_event())
    await postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                await endpoints.ingest(event)
            assert caught.value.retry_after > 0
            status, headers, response = await post(endpoints, call)
            assert (status, response["success"]) == (503, False)
            assert response["code"] == "STORE_UNAVAILABLE"
            assert int(headers["Retry-After"]) >= 1
        bearer = {"Authorization": f"Bearer {endpoints.key}"}
        await endpoints.nats.jetstream().publish(
            "onefold.in.default.site", json.dumps(published).encode(), headers=bearer
        )
    finally:
        returned_us = time.time_ns() // 1000
        await postgres.start()

    async def taken() -> bool:
        try:
            await endpoints.ingest(event)
        except StoreUnavailable:
            return False
        return True

    await wait_until(taken)
    assert (await post(endpoints, call))[0] == 200
    await wait_until(lambda: endpoints.facts(published["messageId"]))
    for message_id in (event.message_id, call["messageId"], published["messageId"]):
        assert len(await endpoints.facts(message_id)) == 1
    [(row, _)] = await endpoints.facts(published["messageId"])
    assert row["occurred_at"] <= returned_us, "it took place when NATS received it"


async def test_calls_succeed_while_nats_is_down_and_are_relayed_after_its_return(
    endpoints: IngestEndpoints, bus: OpenNatsServer, make_event: Any, make_call: Any
) -> None:
    await bus.stop()
    event, call = make_event(), make_call()
    assert (await endpoints.ingest(event)).accepted == 1
    assert (await post(endpoints, call))[2]["accepted"] == 1
    await bus.start()
    await wait_until(lambda: endpoints.service.nats.open.is_set())

    async def relayed() -> bool:
        """Return whether a fact that was committed during the outage is published."""
        seen = b""
        for shard in range(endpoints.settings.shards):
            try:
                message = await endpoints.nats.jetstream().get_last_msg(
                    "ONEFOLD_LOG", f"onefold.log.{shard}"
                )
            except Exception:
                continue
            seen += message.data or b""
        return event.message_id.encode() in seen or call["messageId"].encode() in seen

    await wait_until(relayed)


async def test_deleted_stream_is_created_again(endpoints: IngestEndpoints, make_call: Any) -> None:
    """The endpoint creates its stream again."""
    jetstream = endpoints.nats.jetstream()
    await asyncio.wait_for(endpoints.service.nats.open.wait(), HANG_S)
    await jetstream.delete_stream("ONEFOLD_IN")
    call = make_call()

    async def published() -> bool:
        bearer = {"Authorization": f"Bearer {endpoints.key}"}
        try:
            await jetstream.publish(
                "onefold.in.default.site", json.dumps(call).encode(), headers=bearer
            )
        except nats.errors.Error:
            return False
        return True

    await wait_until(published)
    await wait_until(lambda: endpoints.facts(call["messageId"]))


async def test_published_events_are_stored_once_and_others_are_rejected(
    endpoints: IngestEndpoints, make_event: Any, make_call: Any
) -> None:
    """JSON and protobuf, single and batch, with and without ids, and rejected messages."""
    from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest

    await asyncio.wait_for(endpoints.service.nats.open.wait(), HANG_S)
    jetstream = endpoints.nats.jetstream()
    bearer = {"Authorization": f"Bearer {endpoints.key}"}

    async def publish(subject: str, body: bytes, **headers: str) -> None:
        sent = {**bearer, **{k.replace("_", "-"): v for k, v in headers.items()}}
        await jetstream.publish(f"onefold.in.{subject}", body, headers=sent)

    one, two, three = make_call(), make_call(messageId=None), make_event()
    default_id = str(uuid.uuid4())
    await publish("default.site", json.dumps(one).encode())
    await publish("default.site", json.dumps({"batch": [one, one]}).encode())
    await publish("default.site", json.dumps(two).encode(), Nats_Msg_Id=default_id)
    await publish(
        "default.site",
        IngestEventsRequest(events=[three]).SerializeToString(),
        Content_Type="application/protobuf",
    )
    for message_id in (one["messageId"], default_id, three.message_id):
        await wait_until(lambda m=message_id: endpoints.facts(m))
        assert len(await endpoints.facts(message_id)) == 1

    rejected = make_call()
    await publish("default.elsewhere", json.dumps(rejected).encode())
    await publish("other.site", json.dumps(rejected).encode())
    await publish("default.site", json.dumps(rejected).encode(), Authorization="Bearer wrong")

    async def all_done() -> bool:
        return (await jetstream.stream_info("ONEFOLD_IN")).state.messages == 0

    await wait_until(all_done)
    assert not await endpoints.facts(rejected["messageId"])


async def test_request_is_answered_with_its_result(
    endpoints: IngestEndpoints, make_call: Any
) -> None:
    """The response to a request is its result, after the commit."""
    await asyncio.wait_for(endpoints.service.nats.open.wait(), HANG_S)
    bearer = {"Authorization": f"Bearer {endpoints.key}"}

    async def request(body: bytes, **headers: str) -> Any:
        response = await endpoints.nats.request(
            "onefold.request.default.site", body, timeout=20, headers={**bearer, **headers}
        )
        return json.loads(response.data)

    call = make_call()
    body = json.dumps({"batch": [call, make_call(userId=None)]}).encode()
    response = await request(body)
    assert (response["success"], response["accepted"]) == (True, 1)
    assert response["rejections"][0]["code"] == "NO_IDENTIFIER"
    assert len(await endpoints.facts(call["messageId"])) == 1
    assert (await request(body))["duplicates"] == 1
    assert (await request(b"{"))["code"] == "JSON_INVALID"
    assert (await request(b"\xff\xff", **{"Content-Type": "application/x-protobuf"}))["code"] == (
        "NOT_AN_EVENT"
    )
    assert (await request(body, Authorization="Bearer wrong"))["code"] == "KEY_UNKNOWN"
