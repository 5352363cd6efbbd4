"""Keys follow their roles at every service of a running system."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import grpc
import pytest
from contract.protos.descriptors import rpcs
from google.protobuf.descriptor_pb2 import MethodOptions
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.activation.v1.activation_service_pb2 import DefineDestinationRequest
from onefold.audit.v1.audit_service_pb2 import AuditEntry, ListAuditEntriesRequest
from onefold.identity.v1.identity_service_pb2 import DefinePolicyRequest, LookupProfilesRequest
from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_READER, ROLE_SERVICE
from onefold.ingest.v1.ingest_service_pb2 import WatchEventsRequest, WatchEventsResponse
from onefold.profile.v1.profile_service_pb2 import (
    CorrectTraitRequest,
    GetProfileRequest,
    ListProfilesRequest,
    ListTagsRequest,
    SearchProfilesRequest,
)
from onefold.projection.v1.projection_service_pb2 import GetStatusRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest
from onefold.type.v1.options_pb2 import (
    FIELD_CLASS_NONE,
    FIELD_CLASS_PERSONAL,
    FIELD_CLASS_SENSITIVE,
)
from onefold.type.v1.token_pb2 import Token
from security.masked_reads import CARD, EMAIL, PHONE, SEGMENT, USER, leaks, plant, sweep
from service_fixtures import MakeSettings, wait_until

from services import SERVICES
from services.chassis.access import uses
from services.chassis.access.principal import Role
from services.chassis.access.rights import roles_of
from services.chassis.audit.log import chain_of
from services.chassis.codec.rules import rule_to_proto
from services.chassis.rpc.errors import from_rpc
from services.chassis.runtime.http_server import HttpServer
from services.cli.commands.audit import verify_chain
from services.cli.commands.exports import export_segment
from services.client.client import PROJECTIONS, ApiEndpoints, Client
from services.console.gateway.methods import client_methods
from services.console.gateway.requests import GatewayLimits
from services.console.gateway.service_calls import ServiceCalls
from services.console.service import gateway_app
from services.kernel.errors import NotAllowed, OnefoldError
from services.kernel.rules.forms.json_form import parse_rule

#: The services that serve the rpcs of a package, where that is not the service of its name.
SERVED_BY = {"log": ("ingest",), "projection": PROJECTIONS, "audit": SERVICES}


@pytest.fixture
async def system(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WholeSystem]:
    monkeypatch.setattr(uses, "INTERVAL_S", 0.1)
    async with whole_system(make_settings, internal_key, tmp_path) as running:
        yield running


async def key_of(system: WholeSystem, role: Any) -> tuple[str, str]:
    """Return a new key of a role, and its id."""
    issued = await system.admin.admin.IssueKey(pb.IssueKeyRequest(role=role))
    return issued.key, issued.key_id


async def refusal(address: str, path: str, key: str) -> str:
    """Call a method with an empty request, and return the reason for which it is refused."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_stream(path)
        try:
            async for _ in call(b"", metadata=(("authorization", f"Bearer {key}"),), timeout=20):
                pass
        except grpc.aio.AioRpcError as error:
            return from_rpc(error).reason
    return ""


async def test_keys_follow_their_roles_in_a_running_system(
    system: WholeSystem, tmp_path: Path
) -> None:
    """One system for all of it, because its start takes longer than the calls."""
    reader, _ = await key_of(system, ROLE_READER)
    marketer, marketer_id = await key_of(system, ROLE_SERVICE)
    endpoints = system.admin.endpoints.grpc
    async with (
        Client(ApiEndpoints(grpc=endpoints, key=reader)) as reading,
        Client(ApiEndpoints(grpc=endpoints, key=marketer)) as marketing,
    ):
        for client, service in product((reading, marketing), system.names):
            await wait_until(partial(_is_accepted, client, service))
        await _check_reader(system, reader)
        # The token of an endpoint for clients is sealed, as the gateway needs it.
        async with Client(ApiEndpoints(grpc=system.public_urls, key=reader)) as client:
            begin = (await client.profile.ListProfiles(ListProfilesRequest())).token
        await _check_masks(system, reader, marketer)
        await _check_gateway(system, reader, marketer, begin)
        await _check_export(reading, marketing, tmp_path / "members.csv")
        await _check_unmasking(system, reader, marketer)
        await _check_marketer(marketing)
        with pytest.raises(OnefoldError):
            await marketing.profile.CorrectTrait(
                CorrectTraitRequest(profile_id="0f" * 16, correction={"trait": "x"})
            )
        await wait_until(partial(_is_audited, system, marketer_id))
        await _check_audit(system, marketer_id)
    await _check_refusals(system, marketer_id)
    for request in (ListProfilesRequest(), ListTagsRequest()):
        name = type(request).__name__.removesuffix("Request")
        with pytest.raises(NotAllowed):  # the internal key reads no profile that no service reads
            await getattr(system.internal.profile, name)(request)
    await _check_uses(system)


async def _check_reader(system: WholeSystem, key: str) -> None:
    """A reader changes nothing, at any service, and reads no rejected event and no key."""
    tried = 0
    for rpc in rpcs():
        is_read = rpc.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        if is_read and Role.READER in roles_of(rpc):
            continue
        package = rpc.containing_service.full_name.split(".")[1]
        path = f"/{rpc.containing_service.full_name}/{rpc.name}"
        for service in SERVED_BY.get(package, (package,)):
            address = system.admin.endpoints.grpc[service]
            assert await refusal(address, path, key) == "NOT_ALLOWED", path
            tried += 1
    assert tried >= 30


async def _check_masks(system: WholeSystem, reader: str, back_end: str) -> None:
    """A reader learns no planted value from any rpc; a back end sees all but sensitive values."""
    profile_id = await plant(system)
    assert not leaks(await sweep(system, reader, profile_id))
    seen = await sweep(system, back_end, profile_id)
    assert len(seen) > 50
    assert {
        *("GetProfile", "BatchGetProfiles", "ListProfiles", "SearchProfiles", "ListTimeline"),
        *("ListIdentifiers", "GetGraph", "ListAccounts", "ExplainMembership", "ListSegments"),
    } <= leaks(seen)
    assert not [name for name, text in seen.items() if CARD in text]
    await _check_digits_that_a_mask_leaves_open(system, reader, back_end, profile_id)


async def _check_digits_that_a_mask_leaves_open(
    system: WholeSystem, reader: str, back_end: str, profile_id: str
) -> None:
    """A reader cannot try the numbers that a mask stands for; a back end may look them up."""
    numbers = [f"{PHONE[:-8]}{n:04}{PHONE[-4:]}" for n in range(1_000, 2_000)]
    assert PHONE in numbers
    lookup = LookupProfilesRequest(identifiers=[identifier(f"phone:{each}") for each in numbers])
    async with (
        Client(ApiEndpoints(grpc=system.admin.endpoints.grpc, key=reader)) as reading,
        Client(ApiEndpoints(grpc=system.admin.endpoints.grpc, key=back_end)) as calling,
    ):
        with pytest.raises(NotAllowed, match="profile ids"):
            await reading.identity.LookupProfiles(lookup)
        found = (await calling.identity.LookupProfiles(lookup)).profile_ids
        assert found[numbers.index(PHONE)] == profile_id
        for text in (PHONE, f"phone:{PHONE}", EMAIL, USER):
            search = SearchProfilesRequest(text=text)
            for client in (reading, calling):
                [one] = (await client.profile.SearchProfiles(search)).profiles
                assert one.profile_id == profile_id
        [by_id] = (
            await reading.profile.SearchProfiles(SearchProfilesRequest(text=profile_id))
        ).profiles
        assert by_id.profile_id == profile_id


async def _check_gateway(system: WholeSystem, reader: str, back_end: str, begin: Token) -> None:
    """What a reader gets over HTTP has no planted value, in any protocol; a back end gets them."""
    async with AsyncExitStack() as scope:
        channels = {
            name: await scope.enter_async_context(grpc.aio.insecure_channel(address))
            for name, address in system.internal.endpoints.grpc.items()
        }
        app = gateway_app(client_methods(), ServiceCalls(channels), GatewayLimits())
        server = HttpServer(app, host="127.0.0.1", port=0)
        await scope.enter_async_context(server.serving())
        url = f"http://127.0.0.1:{server.port}"
        session = await scope.enter_async_context(aiohttp.ClientSession(url))
        assert not leaks(await _over_http(session, reader, begin))
        found = await _over_http(session, back_end, begin)
        assert leaks(found) == {"plain", "connect", "stream"}
        assert not [name for name, text in found.items() if CARD in text]


async def _over_http(session: aiohttp.ClientSession, key: str, begin: Token) -> dict[str, str]:
    """Return what a key gets of the planted person by each protocol of the gateway."""
    named = identifier(f"user_id:{USER}")
    headers = {"authorization": f"Bearer {key}"}
    found: dict[str, str] = {}
    plain = {"identifier": {"namespace": named.namespace, "value": named.value}}
    async with session.post("/api/profile/GetProfile", json=plain, headers=headers) as response:
        found["plain"] = await response.text()
    path, sent = "/connect/profile/onefold.profile.v1.ProfileService", "application/proto"
    async with session.post(
        f"{path}/GetProfile",
        data=GetProfileRequest(identifier=named).SerializeToString(),
        headers=headers | {"content-type": sent},
    ) as response:
        found["connect"] = repr(await response.read())
    body = WatchEventsRequest(after=begin).SerializeToString()
    async with session.post(
        "/connect/ingest/onefold.ingest.v1.IngestService/WatchEvents",
        data=struct.pack(">BI", 0, len(body)) + body,
        headers=headers | {"content-type": "application/connect+proto"},
    ) as response:
        while "events" not in found.get("stream", ""):
            flags, size = struct.unpack(">BI", await response.content.readexactly(5))
            part = await response.content.readexactly(size)
            assert flags == 0, part
            found["stream"] = f"{WatchEventsResponse.FromString(part)} {part!r}"
    return found


async def _check_export(reading: Client, calling: Client, file: Path) -> None:
    """A file that the command line writes has the masks of its key."""
    columns = ["user_id", "email", "phone"], ["name", "id_card", "home"]
    for client, is_masked in ((reading, True), (calling, False)):
        assert (await export_segment(client, SEGMENT, file, *columns)).members == 1
        assert bool(leaks({"file": file.read_text("utf-8-sig")})) != is_masked
        assert CARD not in file.read_text("utf-8-sig")


async def _check_audit(system: WholeSystem, marketer_id: str) -> None:
    """Acts and reads of people are entries, with who did it and how it ended; chains are whole."""
    found: dict[str, list[AuditEntry]] = {}
    for service in SERVICES:
        verifier = await verify_chain(system.admin, service, chain_of(service, "default"))
        assert verifier.problems == []
        request = ListAuditEntriesRequest(page_size=1_000)
        listed = await system.admin.audit(service).ListAuditEntries(request)
        for entry in listed.entries:
            found.setdefault(entry.method.rpartition("/")[2], []).append(entry)
    [profile_id] = await system.profiles(f"user_id:{USER}")
    reads = [each for each in found["GetProfile"] if not each.reason]
    own = [each for each in reads if each.key_id == marketer_id]
    assert own
    for entry in own:
        # Beside the person there is the account.
        assert (entry.profile_ids[0], entry.outcome) == (profile_id, "OK")
        assert (entry.role, entry.visible) == (ROLE_SERVICE, FIELD_CLASS_PERSONAL)
        assert {"phone", "email", "name", "id_card"} <= set(entry.names)
    [defined] = [each for each in found["DefineSegment"] if each.key_id == marketer_id]
    assert (defined.outcome, defined.target) == ("OK", "segment_id:buyers")
    refused = [each for each in found["CorrectTrait"] if each.outcome != "OK"]
    assert refused
    assert {each.visible for each in found["ListTimeline"]} == {
        FIELD_CLASS_NONE,
        FIELD_CLASS_PERSONAL,
    }
    assert "IngestEvents" not in found
    assert "ListKeys" not in found


async def _check_unmasking(system: WholeSystem, reader: str, back_end: str) -> None:
    """A reason shows what is sensitive to those who may unmask, and is in the audit."""
    request = GetProfileRequest(identifier=identifier(f"user_id:{USER}"))
    reason = (("onefold-unmask-reason", quote("客户来电")),)
    async with (
        Client(ApiEndpoints(grpc=system.admin.endpoints.grpc, key=reader)) as reading,
        Client(ApiEndpoints(grpc=system.admin.endpoints.grpc, key=back_end)) as calling,
    ):
        with pytest.raises(NotAllowed):
            await reading.profile.GetProfile(request, metadata=reason)
        shown = await calling.profile.GetProfile(request, metadata=reason)
    assert CARD in {
        json.loads(each.value) for each in shown.profile.traits if each.name == "id_card"
    }
    # An entry with a reason is stored before the response.
    listed = await system.admin.audit("profile").ListAuditEntries(
        ListAuditEntriesRequest(profile_id=shown.profile.profile_id, reads_only=True)
    )
    assert listed.entries[0].reason == "客户来电"
    assert listed.entries[0].visible == FIELD_CLASS_SENSITIVE


async def _check_marketer(client: Client) -> None:
    """The key of a back end defines segments, and none of what decides about data."""
    await client.profile.ListTags(ListTagsRequest())
    rule = rule_to_proto(parse_rule({"count": {"event": "bought", "at_least": 1}}))
    segment = SegmentDefined(segment_id="buyers", title="t", rule=rule)
    defined = await client.segment.DefineSegment(DefineSegmentRequest(segment=segment))
    assert defined.changed
    for call in (
        client.admin.DefineSource(pb.DefineSourceRequest()),
        client.identity.DefinePolicy(DefinePolicyRequest()),
        client.activation.DefineDestination(DefineDestinationRequest()),
        client.admin.IssueKey(pb.IssueKeyRequest()),
    ):
        with pytest.raises(NotAllowed):
            await call


async def _check_refusals(system: WholeSystem, key_id: str) -> None:
    """What a key was refused is in the log, whichever service has refused it, each once a day."""
    methods = {
        *("ingest.v1.AdminService/DefineSource", "ingest.v1.AdminService/IssueKey"),
        "identity.v1.IdentityService/DefinePolicy",
        "activation.v1.ActivationService/DefineDestination",
    }

    async def refused() -> list[str]:
        request = pb.ListRefusedCallsRequest(page_size=1_000)
        response = await system.admin.admin.ListRefusedCalls(request)
        assert all(each.recorded_at_us and each.fact_id for each in response.calls)
        return [each.call.method for each in response.calls if each.call.key_id == key_id]

    async def are_recorded() -> bool:
        return len(await refused()) == len(methods)

    await wait_until(are_recorded)
    assert set(await refused()) == {f"/onefold.{method}" for method in methods}


async def _check_uses(system: WholeSystem) -> None:
    """A key that one service has accepted is listed with the day, whichever service it was."""
    today = datetime.now(UTC).date().isoformat()
    for service in system.names:
        key, key_id = await key_of(system, ROLE_READER)
        assert await _last_used(system, key_id) == ""
        async with Client(ApiEndpoints(grpc=system.admin.endpoints.grpc, key=key)) as client:
            await wait_until(partial(_is_accepted, client, service))
        await wait_until(partial(_last_used, system, key_id))
        assert await _last_used(system, key_id) >= today


async def _is_audited(system: WholeSystem, key_id: str) -> bool:
    """Return whether what a key has read is written, which happens beside its calls."""
    request = ListAuditEntriesRequest(page_size=1_000, key_id=key_id)
    listed = [await system.admin.audit(each).ListAuditEntries(request) for each in SERVICES]
    methods = {each.method.rpartition("/")[2] for page in listed for each in page.entries}
    return {"GetProfile", "ListTimeline", "ListIdentifiers", "CorrectTrait"} <= methods


async def _is_accepted(client: Client, service: str) -> bool:
    try:
        if service == "ingest":
            await client.admin.ListSources(pb.ListSourcesRequest())
        else:
            await client.projection(service).GetStatus(GetStatusRequest())
    except NotAllowed:
        return False
    return True


async def _last_used(system: WholeSystem, key_id: str) -> str:
    response = await system.admin.admin.ListKeys(pb.ListKeysRequest())
    [found] = [each for each in response.keys if each.key.key_id == key_id]
    return found.last_used_on
