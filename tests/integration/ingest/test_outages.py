"""PostgreSQL away: an error that asks to try again. NATS away: business as usual."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, make_source

from services.chassis.testing import QUICK, wait_until
from services.devstack.nats import NatsServer
from services.devstack.postgres import PostgresServer
from services.ingest.service import serve
from services.ingest.settings import IngestSettings
from services.kernel.errors import StoreUnavailable


@pytest_asyncio.fixture(loop_scope="session")
async def postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(tmp_path / "engines", settings=QUICK) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def bus(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path / "engines") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def own(postgres: PostgresServer, bus: NatsServer, tmp_path: Path) -> AsyncIterator[IngestEndpoints]:
    """An ingest whose engines this test may take away."""
    settings = IngestSettings(
        postgres_dsn=postgres.dsn,
        nats_url=bus.url,
        internal_key=secrets.token_urlsafe(32),
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


async def post(own: IngestEndpoints, call: Any) -> tuple[int, dict[str, str], Any]:
    headers = {"Authorization": f"Bearer {own.key}"}
    async with own.http.post(own.url("/v1/track"), json=call, headers=headers) as answer:
        return answer.status, dict(answer.headers), await answer.json()


async def test_postgres_away(
    own: IngestEndpoints, postgres: PostgresServer, make_event: Any, make_call: Any
) -> None:
    event, call, letter = make_event(), make_call(), make_call()
    await own.ingest(make_event())
    await postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                await own.ingest(event)
            assert caught.value.retry_after > 0
            status, headers, answer = await post(own, call)
            assert (status, answer["success"]) == (503, False)
            assert answer["code"] == "STORE_UNAVAILABLE"
            assert int(headers["Retry-After"]) >= 1
        bearer = {"Authorization": f"Bearer {own.key}"}
        await own.nats.jetstream().publish(
            "onefold.in.default.site", json.dumps(letter).encode(), headers=bearer
        )
    finally:
        await postgres.start()

    async def taken() -> bool:
        try:
            await own.ingest(event)
        except StoreUnavailable:
            return False
        return True

    await wait_until(taken)
    assert (await post(own, call))[0] == 200
    await wait_until(lambda: own.facts(letter["messageId"]))
    for message_id in (event.message_id, call["messageId"], letter["messageId"]):
        assert len(await own.facts(message_id)) == 1


async def test_nats_away(own: IngestEndpoints, bus: NatsServer, make_event: Any, make_call: Any) -> None:
    await bus.stop()
    event, call = make_event(), make_call()
    assert (await own.ingest(event)).accepted == 1
    assert (await post(own, call))[2]["accepted"] == 1
    await bus.start()
    await wait_until(lambda: own.service.nats.open.is_set())

    async def relayed() -> bool:
        """Both facts are on the bus, though they were committed while it was away."""
        seen = b""
        for shard in range(own.settings.shards):
            try:
                message = await own.nats.jetstream().get_last_msg(
                    "ONEFOLD_LOG", f"onefold.log.{shard}"
                )
            except Exception:
                continue
            seen += message.data or b""
        return event.message_id.encode() in seen or call["messageId"].encode() in seen

    await wait_until(relayed)


async def test_jetstream_wiped(own: IngestEndpoints, make_call: Any) -> None:
    """The door makes its stream again."""
    jetstream = own.nats.jetstream()
    await asyncio.wait_for(own.service.nats.open.wait(), 20)
    await jetstream.delete_stream("ONEFOLD_IN")
    call = make_call()

    async def published() -> bool:
        bearer = {"Authorization": f"Bearer {own.key}"}
        try:
            await jetstream.publish(
                "onefold.in.default.site", json.dumps(call).encode(), headers=bearer
            )
        except nats.errors.Error:
            return False
        return True

    await wait_until(published)
    await wait_until(lambda: own.facts(call["messageId"]))


async def test_nats_publishers(own: IngestEndpoints, make_event: Any, make_call: Any) -> None:
    """JSON and protobuf, one and many, with and without ids, and what is turned away."""
    from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest

    await asyncio.wait_for(own.service.nats.open.wait(), 20)
    jetstream = own.nats.jetstream()
    bearer = {"Authorization": f"Bearer {own.key}"}

    async def publish(subject: str, body: bytes, **headers: str) -> None:
        sent = {**bearer, **{k.replace("_", "-"): v for k, v in headers.items()}}
        await jetstream.publish(f"onefold.in.{subject}", body, headers=sent)

    one, two, three = make_call(), make_call(messageId=None), make_event()
    lent = str(uuid.uuid4())
    await publish("default.site", json.dumps(one).encode())
    await publish("default.site", json.dumps({"batch": [one, one]}).encode())
    await publish("default.site", json.dumps(two).encode(), Nats_Msg_Id=lent)
    await publish(
        "default.site",
        IngestEventsRequest(events=[three]).SerializeToString(),
        Content_Type="application/protobuf",
    )
    for message_id in (one["messageId"], lent, three.message_id):
        await wait_until(lambda m=message_id: own.facts(m))
        assert len(await own.facts(message_id)) == 1

    stray = make_call()
    await publish("default.elsewhere", json.dumps(stray).encode())
    await publish("other.site", json.dumps(stray).encode())
    await publish("default.site", json.dumps(stray).encode(), Authorization="Bearer wrong")

    async def all_done() -> bool:
        return (await jetstream.stream_info("ONEFOLD_IN")).state.messages == 0

    await wait_until(all_done)
    assert not await own.facts(stray["messageId"])


async def test_nats_requests(own: IngestEndpoints, make_call: Any) -> None:
    """A request is answered with its outcome, after the commit."""
    await asyncio.wait_for(own.service.nats.open.wait(), 20)
    bearer = {"Authorization": f"Bearer {own.key}"}

    async def ask(body: bytes, **headers: str) -> Any:
        answer = await own.nats.request(
            "onefold.request.default.site", body, timeout=20, headers={**bearer, **headers}
        )
        return json.loads(answer.data)

    call = make_call()
    body = json.dumps({"batch": [call, make_call(userId=None)]}).encode()
    told = await ask(body)
    assert (told["success"], told["accepted"]) == (True, 1)
    assert told["rejections"][0]["code"] == "NO_IDENTIFIER"
    assert len(await own.facts(call["messageId"])) == 1
    assert (await ask(body))["duplicates"] == 1
    assert (await ask(b"{"))["code"] == "JSON_INVALID"
    assert (await ask(b"\xff\xff", **{"Content-Type": "application/x-protobuf"}))["code"] == (
        "NOT_AN_EVENT"
    )
    assert (await ask(body, Authorization="Bearer wrong"))["code"] == "KEY_UNKNOWN"
