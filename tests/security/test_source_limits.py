"""What a source may not send is refused, and an event has the trust that its source had, at every
endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from integration.ingest.ingest_endpoints import IngestEndpoints, make_call, make_event, run_ingest
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, ReleaseQuarantinedRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub
from onefold.type.v1 import errors_pb2
from onefold.type.v1 import source_trust_pb2 as trust_pb
from service_fixtures import OpenNatsServer

from services.devstack.postgres import PostgresServer
from services.kernel.time import DAY_US, to_rfc3339

PUBLIC = trust_pb.SOURCE_TRUST_PUBLIC
SERVER = trust_pb.SOURCE_TRUST_SERVER
RECORD = trust_pb.SOURCE_TRUST_SYSTEM_OF_RECORD


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ingest(
    postgres_server: PostgresServer,
    nats_server: OpenNatsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[IngestEndpoints]:
    async with run_ingest(postgres_server, nats_server, tmp_path_factory.mktemp("t")) as running:
        yield running


async def define(ingest: IngestEndpoints, source_id: str, **fields: Any) -> str:
    """Define a source and issue a key of it."""
    async with ingest.channel(ingest.admin_key) as channel:
        stub = AdminServiceStub(channel)
        source = SourceDefined(source_id=source_id, **fields)
        await stub.DefineSource(admin_pb.DefineSourceRequest(source=source))
        request = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id=source_id)
        return str((await stub.IssueKey(request)).key)


async def codes(ingest: IngestEndpoints, key: str, *calls: dict[str, Any]) -> list[str]:
    """Send calls over HTTP; return the codes of the rejections."""
    _, body = await ingest.post("/v1/batch", {"batch": list(calls)}, key=key)
    return [rejection["code"] for rejection in body["rejections"]]


async def test_public_source_payment_dated_2001_is_refused_into_quarantine(
    ingest: IngestEndpoints,
) -> None:
    key = await define(ingest, "shop-page")
    paid = make_call(
        event="Order Paid", properties={"amount": 1e9}, timestamp="2001-01-01T00:00:00Z"
    )
    _, body = await ingest.post("/v1/track", paid, key=key)
    [rejection] = body["rejections"]
    assert rejection["code"] == "EVENT_TOO_OLD"
    entry = await ingest.quarantined(rejection["quarantineId"])
    assert entry.reason == errors_pb2.ERROR_REASON_EVENT_TOO_OLD
    queued = make_call(timestamp=to_rfc3339(ingest.service.event_log.clock.now_us() - 20 * DAY_US))
    assert await codes(ingest, key, queued) == []


async def test_public_source_event_beyond_its_limits_is_refused_at_every_endpoint(
    ingest: IngestEndpoints,
) -> None:
    limits = {
        "allowed_event_names": ["Viewed"],
        "allowed_namespaces": ["anonymous_id", "user_id"],
        "allowed_traits": ["city"],
    }
    key = await define(ingest, "limited", trust=PUBLIC, **limits)
    viewed = make_call(event="Viewed")
    refused = {
        "EVENT_NAME_NOT_ALLOWED": make_call(event="Order Paid"),
        "NAMESPACE_NOT_ALLOWED": make_call(
            event="Viewed", context={"externalIds": [{"type": "member_id", "id": "7"}]}
        ),
        "TRAIT_NOT_ALLOWED": make_call(type="identify", traits={"city": "x", "vip": True}),
    }
    assert await codes(ingest, key, viewed, *refused.values()) == list(refused)
    async with ingest.channel(key) as channel:
        request = IngestEventsRequest(events=[make_event(name="Order Paid")])
        [rejection] = (await IngestServiceStub(channel).IngestEvents(request)).rejections
    assert rejection.reason == errors_pb2.ERROR_REASON_EVENT_NAME_NOT_ALLOWED
    message = json.dumps({"batch": [refused["TRAIT_NOT_ALLOWED"]]}).encode()
    answer = await ingest.nats.request(
        "onefold.request.default.limited", message, headers={"Authorization": f"Bearer {key}"}
    )
    assert json.loads(answer.data)["rejections"][0]["code"] == "TRAIT_NOT_ALLOWED"


async def test_public_source_group_event_is_refused_by_default(ingest: IngestEndpoints) -> None:
    key = await define(ingest, "page")
    group = make_call(type="group", groupId="acme", traits={"plan": "enterprise"})
    assert await codes(ingest, key, group) == ["NAMESPACE_NOT_ALLOWED"]


async def test_quarantined_event_of_a_source_is_released_once_its_limits_allow_it(
    ingest: IngestEndpoints,
) -> None:
    key = await define(ingest, "late", allowed_event_names=["Viewed"])
    _, body = await ingest.post("/v1/track", make_call(event="Bought"), key=key)
    request = ReleaseQuarantinedRequest(quarantine_id=body["rejections"][0]["quarantineId"])
    async with ingest.channel(ingest.admin_key) as channel:
        stub = IngestServiceStub(channel)
        again = (await stub.ReleaseQuarantined(request)).result
        assert [r.reason for r in again.rejections] == [
            errors_pb2.ERROR_REASON_EVENT_NAME_NOT_ALLOWED
        ]
        await define(ingest, "late", allowed_event_names=["Viewed", "Bought"])
        assert (await stub.ReleaseQuarantined(request)).result.accepted == 1


async def test_trust_that_a_client_states_is_replaced_by_that_of_its_source(
    ingest: IngestEndpoints,
) -> None:
    keys = {
        trust: await define(ingest, f"trust-{trust}", trust=trust) for trust in (PUBLIC, RECORD)
    }
    for trust, key in keys.items():
        forged = make_event(trust=RECORD if trust == PUBLIC else PUBLIC)
        async with ingest.channel(key) as channel:
            await IngestServiceStub(channel).IngestEvents(IngestEventsRequest(events=[forged]))
        [(_, event)] = await ingest.facts(forged.message_id)
        assert event.trust == trust


async def test_repeat_of_an_event_stays_a_duplicate_after_its_source_changes(
    ingest: IngestEndpoints,
) -> None:
    key = await define(ingest, "changing", trust=PUBLIC)
    call, event = make_call(), make_event()
    group = make_call(type="group", groupId="acme")
    await define(ingest, "changing", trust=SERVER)
    for trust, expected in ((SERVER, (3, 0)), (PUBLIC, (0, 2)), (RECORD, (0, 3))):
        await define(ingest, "changing", trust=trust)
        async with ingest.channel(key) as channel:
            request = IngestEventsRequest(events=[event])
            sent = await IngestServiceStub(channel).IngestEvents(request)
        _, body = await ingest.post("/v1/batch", {"batch": [call, group]}, key=key)
        counts = (sent.accepted + body["accepted"], sent.duplicates + body["duplicates"])
        assert counts == expected, trust
        assert "MESSAGE_ID_REUSED" not in {r["code"] for r in body["rejections"]}
    [(_, logged)] = await ingest.facts(event.message_id)
    assert logged.trust == SERVER


async def test_age_of_a_quarantined_event_is_that_of_its_arrival(ingest: IngestEndpoints) -> None:
    key = await define(ingest, "slow", allowed_event_names=["Viewed"])
    bought = make_call(
        event="Bought", timestamp=to_rfc3339(ingest.service.event_log.clock.now_us())
    )
    _, body = await ingest.post("/v1/track", bought, key=key)
    await define(ingest, "slow")
    request = ReleaseQuarantinedRequest(quarantine_id=body["rejections"][0]["quarantineId"])
    async with ingest.channel(ingest.admin_key) as channel:
        await LogServiceStub(channel).TickClock(TickClockRequest(advance_us=60 * DAY_US))
        assert (await IngestServiceStub(channel).ReleaseQuarantined(request)).result.accepted == 1
    assert await codes(ingest, key, bought | {"messageId": "late"}) == ["EVENT_TOO_OLD"]
