"""Tests phone numbers at the endpoints, and the region of a workspace."""

from __future__ import annotations

from typing import Any

import pytest
from integration.ingest.ingest_endpoints import make_source
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, ReleaseQuarantinedRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import Event

from services.chassis.rpc.channel import open_channel
from services.ingest.domain.definitions import WorkspaceDefinition
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.normalize import expected_format
from tests.index_key import INDEX_KEY


def with_identifiers(event: Event, *identifiers: tuple[str, str]) -> Event:
    del event.identifiers[:]
    for namespace, value in identifiers:
        event.identifiers.add(namespace=namespace, value=value)
    return event


async def test_event_with_only_an_invalid_number_is_refused_and_can_be_repaired(
    endpoints: Any, make_event: Any
) -> None:
    event = with_identifiers(make_event(), ("phone", "138 0000 000"))
    [rejection] = (await endpoints.ingest(event)).rejections
    assert rejection.reason == ErrorReason.ERROR_REASON_NO_IDENTIFIER
    assert f"phone needs {expected_format('phone', 'CN')}" in rejection.message
    assert "0000" not in rejection.message
    repaired = with_identifiers(
        Event.FromString(event.SerializeToString()), ("phone", "138 0000 0007")
    )
    async with endpoints.channel(endpoints.admin_key) as peer:
        request = ReleaseQuarantinedRequest(quarantine_id=rejection.quarantine_id, event=repaired)
        result = (await IngestServiceStub(peer).ReleaseQuarantined(request)).result
    assert result.accepted == 1
    [(row, _)] = await endpoints.facts(event.message_id)
    assert row["leaf_id"] == Identifier("phone", "+8613800000007").id_in("default", INDEX_KEY)


async def test_invalid_number_beside_a_valid_identifier_is_stored_without_effect(
    endpoints: Any, make_event: Any
) -> None:
    event = with_identifiers(make_event(), ("phone", "138 0000 000"), ("user_id", "li"))
    assert (await endpoints.ingest(event)).accepted == 1
    [(row, logged)] = await endpoints.facts(event.message_id)
    assert row["leaf_id"] == Identifier("user_id", "li").id_in("default", INDEX_KEY)
    assert logged.identifiers[0].value == "138 0000 000"


async def test_invalid_number_in_the_traits_of_an_identify_is_only_a_trait(
    endpoints: Any, make_call: Any
) -> None:
    call = make_call(type="identify", userId="lei", traits={"phone": "none", "email": "x"})
    assert (await endpoints.post("/v1/identify", call))[1]["accepted"] == 1


async def create(endpoints: Any, workspace_id: str, region: str) -> str:
    request = admin_pb.CreateWorkspaceRequest(workspace_id=workspace_id, default_region=region)
    async with endpoints.channel(endpoints.settings.internal_key.get_secret_value()) as peer:
        return str((await AdminServiceStub(peer).CreateWorkspace(request)).admin_key)


async def test_each_endpoint_reads_numbers_in_the_region_of_the_workspace(
    endpoints: Any, make_event: Any, make_call: Any
) -> None:
    key = await make_source(endpoints.service, await create(endpoints, "west", "us"), "site", "web")
    expected = Identifier("phone", "+16502530000").id_in("west", INDEX_KEY)
    event = with_identifiers(make_event(), ("phone", "(650) 253-0000"))
    async with open_channel(f"127.0.0.1:{endpoints.service.internal_grpc_port}", key) as peer:
        request = IngestEventsRequest(events=[event])
        assert (await IngestServiceStub(peer).IngestEvents(request)).accepted == 1
    call = make_call(context={"externalIds": [{"type": "phone", "id": "650.253.0000"}]})
    del call["userId"]
    assert (await endpoints.post("/v1/track", call, key=key))[1]["accepted"] == 1
    for message_id in (event.message_id, call["messageId"]):
        [(row, _)] = await endpoints.facts(message_id)
        assert row["leaf_id"] == expected


async def test_region_of_a_workspace_cannot_change(endpoints: Any) -> None:
    assert await create(endpoints, "east", "HK")
    assert not await create(endpoints, "east", "")
    assert not await create(endpoints, "east", "HK")
    for workspace_id, region in (("east", "CN"), ("default", "US")):
        with pytest.raises(InvalidField, match="the leaves of its log depend on it") as caught:
            await create(endpoints, workspace_id, region)
        assert caught.value.field == "default_region"
    with pytest.raises(InvalidField, match="ISO 3166"):
        await create(endpoints, "north", "Narnia")


async def test_start_with_another_region_is_refused(endpoints: Any) -> None:
    administration = endpoints.service.administration
    for region in ("", "CN"):
        await administration.ensure_workspace(WorkspaceDefinition("default", default_region=region))
    with pytest.raises(InvalidField, match="create another workspace"):
        await administration.ensure_workspace(WorkspaceDefinition("default", default_region="US"))
