"""Publishers of NATS reach their own source only; their messages are neither taken nor doubled."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, make_call, make_source, run_ingest
from nats.aio.client import Client
from nats.aio.msg import Msg
from service_fixtures import HANG_S, OpenNatsServer, wait_until

from services.devstack.nats_config import ClientId
from services.devstack.postgres import PostgresServer

SITE, APP = ClientId("default", "site"), ClientId("default", "app")
STREAM, CONSUMER = "ONEFOLD_IN", "ingest"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    async with run_ingest(postgres_server, nats_server, tmp_path_factory.mktemp("i")) as running:
        await asyncio.wait_for(running.service.nats.open.wait(), HANG_S)
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def site(nats_server: OpenNatsServer) -> AsyncIterator[Client]:
    client = await connect(nats_server, SITE)
    yield client
    await client.close()


async def connect(server: OpenNatsServer, publisher: ClientId) -> Client:
    url = await server.client_url(publisher)
    return await nats.connect(url, inbox_prefix=publisher.inbox_prefix, error_cb=ignore)


async def ignore(_: Exception) -> None:
    """Ignore a refusal, which is part of these tests."""


async def publish(client: Client, ingest: IngestEndpoints, call: dict[str, Any], **to: str) -> None:
    headers = {"Authorization": f"Bearer {to.get('key', ingest.key)}"}
    body = json.dumps(call).encode()
    await client.jetstream().publish(to.get("subject", SITE.subject), body, headers=headers)


async def is_empty(ingest: IngestEndpoints) -> bool:
    return (await ingest.nats.jetstream().stream_info(STREAM)).state.messages == 0


async def test_publisher_with_its_credentials_stores_events_and_gets_results(
    ingest: IngestEndpoints, site: Client
) -> None:
    published, requested = make_call(), make_call()
    await publish(site, ingest, published)
    response = await site.request(
        f"onefold.request.{SITE.name}",
        json.dumps(requested).encode(),
        timeout=20,
        headers={"Authorization": f"Bearer {ingest.key}"},
    )
    assert json.loads(response.data)["accepted"] == 1
    await wait_until(lambda: is_empty(ingest))
    for call in (published, requested):
        assert len(await ingest.facts(call["messageId"])) == 1


async def test_key_of_another_source_is_refused_although_the_credentials_permit_the_subject(
    ingest: IngestEndpoints, site: Client
) -> None:
    key = await make_source(ingest.service, ingest.admin_key, "app", "app")
    call = make_call()
    await publish(site, ingest, call, key=key)
    await wait_until(lambda: is_empty(ingest))
    assert not await ingest.facts(call["messageId"])


async def test_subscriber_with_credentials_of_a_publisher_receives_no_message(
    ingest: IngestEndpoints, site: Client, nats_server: OpenNatsServer
) -> None:
    """Neither the messages of the stream nor their delivery to ingest."""
    received: list[Msg] = []

    async def receive(msg: Msg) -> None:
        received.append(msg)

    thief = await connect(nats_server, APP)
    subjects = ("onefold.in.>", "onefold.deliver.in", "_INBOX.>", "_INBOX.ingest.>", SITE.subject)
    for subject in (*subjects, "onefold.request.>", ">"):
        await thief.subscribe(subject, cb=receive)
        await thief.subscribe(subject, queue="ingest", cb=receive)
    await thief.subscribe(f"{APP.inbox_prefix}.>", cb=receive)
    # A pull, and a push consumer whose messages would go there.
    pull = json.dumps({"batch": 100}).encode()
    push = {"stream_name": STREAM, "config": {"deliver_subject": f"{APP.inbox_prefix}.stolen"}}
    inbox = f"{APP.inbox_prefix}.reply"
    for subject, body in (
        (f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}", pull),
        (f"$JS.API.CONSUMER.CREATE.{STREAM}", json.dumps(push).encode()),
        (f"$JS.API.STREAM.MSG.GET.{STREAM}", b'{"seq": 1}'),
    ):
        await thief.publish(subject, body, reply=inbox)
    await thief.flush()
    calls = [make_call() for _ in range(20)]
    for call in calls:
        await publish(site, ingest, call)
    await wait_until(lambda: is_empty(ingest))
    for call in calls:
        assert len(await ingest.facts(call["messageId"])) == 1
    await thief.flush()
    await thief.close()
    assert received == []


async def test_consumer_has_no_subject_that_messages_are_delivered_on(
    ingest: IngestEndpoints,
) -> None:
    info = await ingest.nats.jetstream().consumer_info(STREAM, CONSUMER)
    assert not info.config.deliver_subject
    assert not info.config.deliver_group


@pytest.mark.parametrize("batch", [False, True])
async def test_events_without_ids_are_stored_once_however_often_they_are_delivered(
    ingest: IngestEndpoints, site: Client, monkeypatch: pytest.MonkeyPatch, batch: bool
) -> None:
    """Ingest dies after the commit and before the acknowledgement."""
    users = [f"u-{uuid.uuid4()}" for _ in range(10)]
    calls = [make_call(userId=user, messageId=None) for user in users]

    async def lose(_: Msg) -> None:
        """Send no acknowledgement."""

    async def are_stored() -> bool:
        return all([await ingest.facts_with(user) for user in users])

    with monkeypatch.context() as crash:
        crash.setattr(Msg, "ack", lose)
        for call in [{"batch": calls}] if batch else calls:
            await publish(site, ingest, call)
        await wait_until(are_stored)
    assert not await is_empty(ingest)
    # Another consumer gets everything that was not acknowledged.
    await ingest.nats.jetstream().delete_consumer(STREAM, CONSUMER)
    await wait_until(lambda: is_empty(ingest))
    found = [event for user in users for _, event in await ingest.facts_with(user)]
    assert len(found) == len(users)
    assert len({event.message_id for event in found}) == len(users)


async def test_events_without_ids_are_not_confused_with_those_of_a_deleted_stream(
    ingest: IngestEndpoints, site: Client
) -> None:
    """The new stream counts its messages from 1 again."""
    users = [f"u-{uuid.uuid4()}" for _ in range(3)]
    for user in users:

        async def is_published(user: str = user) -> bool:
            try:
                await publish(site, ingest, make_call(userId=user, messageId=None))
            except nats.errors.Error:
                return False
            return True

        await ingest.nats.jetstream().delete_stream(STREAM)
        await wait_until(is_published)
        await wait_until(lambda user=user: ingest.facts_with(user))
    for user in users:
        assert len(await ingest.facts_with(user)) == 1


async def test_response_to_a_request_goes_to_an_inbox_only(ingest: IngestEndpoints) -> None:
    """A reply to another subject would be a message of ingest there."""
    seen: list[str] = []

    async def receive(msg: Msg) -> None:
        seen.append(msg.subject)

    # As a client of the services' own account, which permissions do not hold back.
    await ingest.nats.subscribe("onefold.log.*", cb=receive)
    headers = {"Authorization": f"Bearer {ingest.key}"}
    subject = f"onefold.request.{SITE.name}"
    for reply in ("onefold.log.77", "$JS.API.STREAM.PURGE.ONEFOLD_LOG"):
        await ingest.nats.publish(subject, b"{", reply=reply, headers=headers)
    await ingest.nats.request(subject, b"{", timeout=20, headers=headers)
    await ingest.nats.flush()
    assert "onefold.log.77" not in seen


async def test_message_with_the_id_of_another_source_is_stored(
    ingest: IngestEndpoints, site: Client, nats_server: OpenNatsServer
) -> None:
    """JetStream compares the ids of messages across all sources."""
    config = (await ingest.nats.jetstream().stream_info(STREAM)).config
    assert config.duplicate_window == 0.1
    stranger, call = await connect(nats_server, APP), make_call()
    await stranger.jetstream().publish(APP.subject, b"{}", headers={"Nats-Msg-Id": "order-1001"})
    headers = {"Authorization": f"Bearer {ingest.key}", "Nats-Msg-Id": "order-1001"}

    async def is_new() -> bool:
        acknowledged = await site.jetstream().publish(
            SITE.subject, json.dumps(call).encode(), headers=headers
        )
        return not acknowledged.duplicate

    await wait_until(is_new)
    await wait_until(lambda: is_empty(ingest))
    assert len(await ingest.facts(call["messageId"])) == 1
    await stranger.close()


async def test_response_to_a_request_has_no_header_of_the_request(
    ingest: IngestEndpoints, site: Client
) -> None:
    response = await site.request(
        f"onefold.request.{SITE.name}",
        json.dumps(make_call()).encode(),
        timeout=20,
        headers={"Authorization": f"Bearer {ingest.key}", "Other": "1"},
    )
    assert not {"Authorization", "Other"} & (response.headers or {}).keys()
