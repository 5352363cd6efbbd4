"""A key of Onefold inside of what clients send is stored nowhere, whatever the endpoint."""

from __future__ import annotations

import base64
import gzip
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, make_call, make_event, run_ingest
from onefold.ingest.v1.ingest_service_pb2 import (
    IngestEventsRequest,
    ReleaseQuarantinedRequest,
    StreamEventsRequest,
)
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from service_fixtures import OpenNatsServer, wait_until

from services.chassis.access.keys import identify_key, issue_key
from services.chassis.access.principal import Role
from services.devstack.postgres import PostgresServer

#: The tables of ingest that store what clients send.
TABLES = ("ingest.fact", "ingest.quarantine")
#: Sends an event, or a rejected one, that holds a key and a mark.
Send = Callable[[IngestEndpoints, str, str], Awaitable[object]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    async with run_ingest(postgres_server, nats_server, tmp_path_factory.mktemp("b")) as running:
        yield running


async def rows_with(ingest: IngestEndpoints, text: str) -> list[str]:
    """Return the rows, as text with decoded bytes, that hold a text in any form of TABLES."""
    conn = await asyncpg.connect(ingest.settings.postgres_dsn.get_secret_value())
    try:
        found = []
        for table in TABLES:
            for row in await conn.fetch(f"SELECT * FROM {table}"):
                values = [
                    v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in row
                ]
                if any(text in value for value in values):
                    found.append(" ".join(values))
        return found
    finally:
        await conn.close()


def call_with(key: str, mark: str, **changes: Any) -> dict[str, Any]:
    return make_call(
        event=f"{mark} {key}",
        messageId=f"{key}-1",
        userId=f"user {key}",
        properties={"note": [{"key": key}], key: 1},
        context={"page": {"url": f"https://shop.example/?key={key}"}},
        **changes,
    )


def escaped(key: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if n % 3 == 0 else c for n, c in enumerate(key))


def event_with(key: str, mark: str) -> Any:
    event = make_event(name=f"{mark} {key}", message_id=f"{key}-1", channel=key)
    event.identifiers.add(namespace="anonymous_id", value=key)
    event.properties = json.dumps({"note": key}).encode()
    event.context = f'{{"note":"{escaped(key)}"}}'.encode()
    return event


async def by_http(ingest: IngestEndpoints, key: str, mark: str) -> object:
    return await ingest.post("/v1/track", call_with(key, mark))


async def by_http_escaped(ingest: IngestEndpoints, key: str, mark: str) -> object:
    text = json.dumps({"batch": [call_with(key, mark)]}).replace(key, escaped(key))
    assert key not in text
    return await ingest.post("/v1/batch", gzip.compress(text.encode()))


async def by_http_with_shared_context(ingest: IngestEndpoints, key: str, mark: str) -> object:
    body = {"batch": [make_call(event=mark)], "context": {"note": key}}
    return await ingest.post("/v1/batch", body)


async def by_http_rejected(ingest: IngestEndpoints, key: str, mark: str) -> object:
    return await ingest.post("/v1/track", call_with(key, mark) | {"userId": None})


async def by_http_no_event(ingest: IngestEndpoints, key: str, mark: str) -> object:
    return await ingest.post("/v1/batch", f'{{"batch": "{mark} {key}"}}'.encode())


async def by_http_no_json(ingest: IngestEndpoints, key: str, mark: str) -> object:
    return await ingest.post("/v1/batch", f"{mark} {key} \xff".encode("latin-1"))


async def by_http_corrupt(ingest: IngestEndpoints, key: str, mark: str) -> object:
    # Random text, so that the key lies in a block that is complete.
    text = base64.b64encode(uuid.uuid4().bytes * 900).decode()
    body = gzip.compress(f'{{"batch": ["{mark} {key}", "{text}'.encode() * 3)[:-9]
    return await ingest.post("/v1/batch", body)


async def by_grpc(ingest: IngestEndpoints, key: str, mark: str) -> object:
    return await ingest.ingest(event_with(key, mark))


async def by_grpc_from_a_file(ingest: IngestEndpoints, key: str, mark: str) -> object:
    request = IngestEventsRequest(events=[event_with(key, mark)])
    async with ingest.channel() as channel:
        metadata = [("onefold-endpoint", "file")]
        return await IngestServiceStub(channel).IngestEvents(request, metadata=metadata)


async def by_grpc_rejected(ingest: IngestEndpoints, key: str, mark: str) -> object:
    event = event_with(key, mark)
    del event.identifiers[:]
    return await ingest.ingest(event)


async def by_stream(ingest: IngestEndpoints, key: str, mark: str) -> object:
    async def requests() -> AsyncIterator[StreamEventsRequest]:
        yield StreamEventsRequest(events=[event_with(key, mark)])

    async with ingest.channel() as channel:
        return [response async for response in IngestServiceStub(channel).StreamEvents(requests())]


async def by_release(ingest: IngestEndpoints, key: str, mark: str) -> object:
    _, rejected = await ingest.post("/v1/track", make_call(userId=None))
    request = ReleaseQuarantinedRequest(
        quarantine_id=rejected["rejections"][0]["quarantineId"], event=event_with(key, mark)
    )
    async with ingest.channel(ingest.admin_key) as channel:
        return await IngestServiceStub(channel).ReleaseQuarantined(request)


async def publish(ingest: IngestEndpoints, data: bytes, **headers: str) -> None:
    all_headers = {"Authorization": f"Bearer {ingest.key}", **headers}
    subject = "onefold.in.default.site"
    await ingest.nats.jetstream().publish(subject, data, headers=all_headers)


async def by_nats(ingest: IngestEndpoints, key: str, mark: str) -> object:
    return await publish(ingest, gzip.compress(json.dumps(call_with(key, mark)).encode()))


async def by_nats_with_its_id(ingest: IngestEndpoints, key: str, mark: str) -> object:
    call = call_with(key, mark) | {"messageId": None}
    return await publish(ingest, json.dumps(call).encode(), **{"Nats-Msg-Id": f"{mark} {key}"})


async def by_nats_protobuf(ingest: IngestEndpoints, key: str, mark: str) -> object:
    data = IngestEventsRequest(events=[event_with(key, mark)]).SerializeToString()
    return await publish(ingest, data, **{"Content-Type": "application/protobuf"})


async def by_nats_no_event(ingest: IngestEndpoints, key: str, mark: str) -> object:
    return await publish(ingest, gzip.compress(f'["{mark} {key}"]'.encode()))


SENDERS: dict[str, Send] = {name[3:]: send for name, send in globals().items() if name[:3] == "by_"}


@pytest.mark.parametrize("name", SENDERS)
async def test_key_inside_of_an_event_is_stored_as_its_id(
    ingest: IngestEndpoints, name: str
) -> None:
    key, mark = issue_key(Role.ADMIN).key, uuid.uuid4().hex
    await SENDERS[name](ingest, key, mark)
    [row] = await wait_until(lambda: rows_with(ingest, mark))
    assert identify_key(key).key_id in row
    for spelled in (key, escaped(key), key[10:]):
        assert not await rows_with(ingest, spelled)


async def test_key_in_a_body_authenticates_and_is_not_stored(ingest: IngestEndpoints) -> None:
    mark = uuid.uuid4().hex
    for changes in ({}, {"userId": None}):
        body = make_call(event=mark, writeKey=ingest.key, properties={"k": ingest.key}, **changes)
        async with ingest.http.post(ingest.url("/v1/track"), json=body) as response:
            assert response.status in (200, 400)
    assert len(await rows_with(ingest, mark)) == 2
    assert not await rows_with(ingest, ingest.key)
