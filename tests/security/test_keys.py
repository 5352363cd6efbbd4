"""A key does what its role says, as long and from where it is allowed, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, make_call, make_event, run_ingest
from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import (
    ROLE_ADMIN,
    ROLE_READER,
    ROLE_SOURCE,
    KeyDefined,
    SourceDefined,
)
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2 import AppendRequest, GetHeadRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from service_fixtures import OpenNatsServer

from services.chassis.access.keys import issue_key
from services.chassis.access.principal import Role
from services.devstack.postgres import PostgresServer
from services.kernel.errors import InvalidField, NotAllowed, OnefoldError
from services.kernel.ids import definition_fact_id
from services.kernel.time import HOUR_US

SHOP = "https://shop.example"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    async with run_ingest(postgres_server, nats_server, tmp_path_factory.mktemp("k")) as running:
        yield running


async def issue(ingest: IngestEndpoints, **fields: Any) -> pb.IssueKeyResponse:
    """Issue a key, by default one of the source `site`."""
    fields = {"role": ROLE_SOURCE, "source_id": "site", **fields}
    async with ingest.channel(ingest.admin_key) as channel:
        return await AdminServiceStub(channel).IssueKey(pb.IssueKeyRequest(**fields))


async def reason_over_grpc(ingest: IngestEndpoints, key: str) -> str:
    """Return the reason for which an event is refused; empty where it is accepted."""
    async with ingest.channel(key) as channel:
        try:
            request = IngestEventsRequest(events=[make_event()])
            await IngestServiceStub(channel).IngestEvents(request)
        except OnefoldError as error:
            return error.reason
    return ""


async def reason_over_http(ingest: IngestEndpoints, key: str, **headers: str) -> str:
    status, body = await ingest.post("/v1/track", make_call(), key=key, **headers)
    assert (status == 200) == ("code" not in body)
    return str(body.get("code", ""))


async def reason_over_nats(ingest: IngestEndpoints, key: str) -> str:
    message = msgspec.json.encode({"batch": [make_call()]})
    answer = await ingest.nats.request(
        "onefold.request.default.site",
        message,
        timeout=10,
        headers={"Authorization": f"Bearer {key}"},
    )
    return str(msgspec.json.decode(answer.data).get("code", ""))


async def reasons(ingest: IngestEndpoints, key: str, **headers: str) -> list[str]:
    """Return the reasons of HTTP (with headers), gRPC and NATS."""
    return [
        await reason_over_http(ingest, key, **headers),
        await reason_over_grpc(ingest, key),
        await reason_over_nats(ingest, key),
    ]


async def listed(ingest: IngestEndpoints, key_id: str) -> pb.KeySummary:
    async with ingest.channel(ingest.admin_key) as channel:
        response = await AdminServiceStub(channel).ListKeys(pb.ListKeysRequest())
    [found] = [each for each in response.keys if each.key.key_id == key_id]
    return found


async def test_key_with_its_defaults_is_accepted_at_every_endpoint(ingest: IngestEndpoints) -> None:
    issued = await issue(ingest)
    assert await reasons(ingest, issued.key) == ["", "", ""]
    found = await listed(ingest, issued.key_id)
    assert (found.state, found.key.expires_at_us) == (pb.KEY_STATE_ACTIVE, 0)
    assert found.key.created_at_us


async def test_expired_key_is_refused_at_every_endpoint(ingest: IngestEndpoints) -> None:
    issued = await issue(ingest, lifetime_us=1)
    assert await reasons(ingest, issued.key) == ["KEY_EXPIRED"] * 3
    assert (await listed(ingest, issued.key_id)).state == pb.KEY_STATE_EXPIRED


@pytest.mark.parametrize(
    "origin", ["https://SHOP.example:443", "https://shop.example.", "https://a.b.pages.example"]
)
async def test_key_for_web_pages_is_accepted_from_their_origins(
    ingest: IngestEndpoints, origin: str
) -> None:
    issued = await issue(ingest, allowed_origins=[SHOP, "https://*.pages.example"])
    assert await reason_over_http(ingest, issued.key, Origin=origin) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://attacker.example"},
        {"Origin": "https://pages.example"},
        {"Origin": f"{SHOP}.attacker.example"},
        {"Origin": "http://shop.example"},
        {"Origin": "https://*.pages.example"},
        {"Origin": f"https://attacker.example {SHOP}"},
        {"Referer": SHOP},
    ],
)
async def test_key_for_web_pages_is_refused_from_everywhere_else(
    ingest: IngestEndpoints, headers: dict[str, str]
) -> None:
    issued = await issue(ingest, allowed_origins=[SHOP, "https://*.pages.example"])
    assert await reasons(ingest, issued.key, **headers) == ["ORIGIN_NOT_ALLOWED"] * 3


async def test_key_in_the_body_is_restricted_as_one_in_a_header(ingest: IngestEndpoints) -> None:
    issued = await issue(ingest, allowed_origins=[SHOP])
    body = {"writeKey": issued.key, "batch": [make_call()]}
    for origin, status in ((SHOP, 200), ("https://attacker.example", 403)):
        headers = {"Origin": origin}
        async with ingest.http.post(ingest.url("/v1/batch"), json=body, headers=headers) as answer:
            assert answer.status == status


async def test_key_with_addresses_is_refused_from_others_and_where_none_is_known(
    ingest: IngestEndpoints,
) -> None:
    foreign = await issue(ingest, allowed_addresses=["192.0.2.0/24", "2001:db8::/32"])
    forged = {
        "X-Forwarded-For": "192.0.2.1",
        "Forwarded": "for=192.0.2.1",
        "X-Real-IP": "192.0.2.1",
    }
    assert await reasons(ingest, foreign.key, **forged) == ["ADDRESS_NOT_ALLOWED"] * 3
    own = await issue(ingest, allowed_addresses=["127.0.0.0/8", "::1"])
    assert await reasons(ingest, own.key) == ["", "", "ADDRESS_NOT_ALLOWED"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"allowed_origins": ["*"]}, "allowed_origins[0]"),
        ({"allowed_origins": [SHOP], "role": ROLE_READER, "source_id": ""}, "allowed_origins"),
        ({"allowed_addresses": ["shop.example"]}, "allowed_addresses[0]"),
        ({"lifetime_us": -1}, "lifetime_us"),
    ],
)
async def test_restriction_that_cannot_hold_is_refused_with_its_field(
    ingest: IngestEndpoints, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        await issue(ingest, **fields)
    assert caught.value.field == field


async def test_rotated_key_overlaps_with_its_successor_which_has_its_restrictions(
    ingest: IngestEndpoints,
) -> None:
    issued = await issue(ingest, title="page", allowed_origins=[SHOP], lifetime_us=24 * HOUR_US)
    async with ingest.channel(ingest.admin_key) as channel:
        request = pb.RotateKeyRequest(key_id=issued.key_id, overlap_us=HOUR_US)
        rotated = await AdminServiceStub(channel).RotateKey(request)
    for key in (issued.key, rotated.key):
        assert await reason_over_http(ingest, key, Origin=SHOP) == ""
        assert await reason_over_http(ingest, key) == "ORIGIN_NOT_ALLOWED"
    old, new = await listed(ingest, issued.key_id), await listed(ingest, rotated.key_id)
    assert old.key.expires_at_us == rotated.replaced_expires_at_us < issued.expires_at_us
    assert new.key.expires_at_us - new.key.created_at_us == 24 * HOUR_US
    assert (new.key.title, new.key.source_id) == ("page", "site")


async def test_key_that_is_rotated_without_an_overlap_is_refused_at_once(
    ingest: IngestEndpoints,
) -> None:
    issued = await issue(ingest)
    assert await reasons(ingest, issued.key) == ["", "", ""]
    async with ingest.channel(ingest.admin_key) as channel:
        stub = AdminServiceStub(channel)
        rotated = await stub.RotateKey(pb.RotateKeyRequest(key_id=issued.key_id))
        with pytest.raises(InvalidField):
            await stub.RotateKey(pb.RotateKeyRequest(key_id=issued.key_id))
    assert await reasons(ingest, issued.key) == ["KEY_EXPIRED"] * 3
    assert await reasons(ingest, rotated.key) == ["", "", ""]


async def test_internal_key_appends_no_key_source_or_event(ingest: IngestEndpoints) -> None:
    forged = issue_key(Role.ADMIN)
    key = KeyDefined(key_id=forged.key_id, key_hash=forged.key_hash, role=ROLE_ADMIN, version=1)
    messages = [key, SourceDefined(source_id="site", version=9), make_event()]
    internal = ingest.settings.internal_key.get_secret_value()
    async with ingest.channel(internal) as channel:
        stub = LogServiceStub(channel)
        before = await stub.GetHead(GetHeadRequest())
        for message in messages:
            kind = message.DESCRIPTOR.full_name
            fact = Fact(
                workspace_id="default",
                fact_id=definition_fact_id("default", kind, forged.key_id, 1),
                kind=kind,
                actor="ingest",
                payload=message.SerializeToString(),
            )
            with pytest.raises(NotAllowed):
                await stub.Append(AppendRequest(facts=[fact]))
        assert (await stub.GetHead(GetHeadRequest())).token == before.token
    assert await reason_over_grpc(ingest, forged.key) == "KEY_UNKNOWN"
