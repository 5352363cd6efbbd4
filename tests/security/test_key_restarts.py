"""What becomes of keys while ingest is away, and where it starts with another admin key."""

from __future__ import annotations

import secrets
import time
from typing import Any

import asyncpg
import msgspec
import nats
from integration.ingest.ingest_endpoints import make_call
from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from service_fixtures import MakeSettings, wait_until

from services.chassis.rpc.channel import open_channel
from services.ingest.service import Ingest, serve
from services.ingest.settings import IngestSettings
from services.kernel.errors import NotAllowed


async def admin_calls(service: Ingest, key: str) -> str:
    """Return the reason for which an administrator's call is refused; empty = it is accepted."""
    async with open_channel(f"127.0.0.1:{service.internal_grpc_port}", key) as channel:
        try:
            await AdminServiceStub(channel).ListKeys(pb.ListKeysRequest())
        except NotAllowed as error:
            return error.reason
    return ""


async def keys_without_expiry(service: Ingest, key: str) -> int:
    async with open_channel(f"127.0.0.1:{service.internal_grpc_port}", key) as channel:
        response = await AdminServiceStub(channel).ListKeys(pb.ListKeysRequest())
    return sum(not each.key.expires_at_us for each in response.keys)


async def test_another_admin_key_in_the_settings_replaces_the_previous_one(
    make_settings: MakeSettings,
) -> None:
    first, second, third = (secrets.token_urlsafe(32) for _ in range(3))

    async def started(key: str, **fields: Any) -> dict[str, str]:
        settings = make_settings(IngestSettings, admin_key=key, **fields)
        async with serve(settings) as service:
            return {each: await admin_calls(service, each) for each in (first, second, third)}

    assert await started(first) == {first: "", second: "KEY_UNKNOWN", third: "KEY_UNKNOWN"}
    overlapping = {first: "", second: "", third: "KEY_UNKNOWN"}
    assert await started(second) == overlapping
    # A replica that still has the previous settings changes nothing, also with another overlap.
    assert await started(first, admin_key_overlap_s=0) == overlapping
    at_once = {first: "", second: "KEY_EXPIRED", third: ""}
    assert await started(third, admin_key_overlap_s=0) == at_once
    assert await started(second, admin_key_overlap_s=0) == at_once
    async with serve(make_settings(IngestSettings, admin_key=third)) as service:
        assert await keys_without_expiry(service, third) == 1


async def publish(url: str, key: str, *, message_id: str) -> None:
    """Publish an event, and wait until JetStream has stored it."""
    connection = await nats.connect(url)
    try:
        await connection.jetstream().publish(
            "onefold.in.default.site",
            msgspec.json.encode({"batch": [make_call(messageId=message_id)]}),
            headers={"Authorization": f"Bearer {key}"},
        )
    finally:
        await connection.close()


async def issue_key(
    settings: IngestSettings, admin_key: str, lifetime_us: int
) -> pb.IssueKeyResponse:
    """Run ingest until it has issued a key of a source."""
    async with serve(settings) as service:
        await service.nats.open.wait()
        address = f"127.0.0.1:{service.internal_grpc_port}"
        async with open_channel(address, admin_key) as channel:
            stub = AdminServiceStub(channel)
            source = SourceDefined(source_id="site")
            await stub.DefineSource(pb.DefineSourceRequest(source=source))
            issue = pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="site", lifetime_us=lifetime_us)
            return await stub.IssueKey(issue)  # type: ignore[no-any-return]  # the stub has no types


async def test_stored_message_outlives_its_key_and_a_later_one_does_not(
    make_settings: MakeSettings,
) -> None:
    admin_key = secrets.token_urlsafe(32)
    settings = make_settings(IngestSettings, admin_key=admin_key)
    url = settings.nats_url.get_secret_value()
    # On a busy machine a short life may be over before the message is stored.
    for lifetime_us in (4_000_000, 20_000_000, 60_000_000):
        issued = await issue_key(settings, admin_key, lifetime_us)
        await publish(url, issued.key, message_id="in-time")
        if time.time() * 1e6 < issued.expires_at_us:
            break
    await wait_until(lambda: time.time() * 1e6 > issued.expires_at_us)
    await publish(url, issued.key, message_id="too-late")
    async with serve(settings):
        await wait_until(lambda: _is_empty(url))
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        payloads = await connection.fetch("SELECT payload FROM ingest.fact")
    finally:
        await connection.close()
    texts = b"".join(row["payload"] for row in payloads)
    assert (b"in-time" in texts, b"too-late" in texts) == (True, False)


async def _is_empty(url: str) -> bool:
    connection = await nats.connect(url)
    try:
        return not (await connection.jetstream().stream_info("ONEFOLD_IN")).state.messages
    finally:
        await connection.close()
