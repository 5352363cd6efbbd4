"""Every rpc is called by every kind of caller at both ports of a running system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from contract.protos.descriptors import rpcs
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.identity.v1.identity_service_pb2 import LookupProfilesRequest, WatchMergesResponse
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_READER, ROLE_SERVICE, ROLE_SOURCE
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, StreamEventsRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1 import event_pb2
from onefold.type.v1.token_pb2 import Token
from security.rpc_strangers import bearer, connections, open_call, outcome
from service_fixtures import HANG_S, MakeSettings, wait_until

from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.rpc.channel import open_channel
from services.kernel.errors import InvalidField

#: Who may call what: R the keys of readers, S of services, A of administrators, W write keys of
#: sources, I the other services. Reviewed by hand, on purpose: a new rpc needs a row.
ROLES = {
    "activation.v1.ActivationService": {
        **dict.fromkeys(("ListDestinations", "ListDeliveries", "CountDeliveries"), "RSA"),
        "ListTemplates": "RSA",
        "PreviewTemplate": "SA",
        "DefineDestination": "A",
        "GetMirror": "RSA",
        **dict.fromkeys(("DefineTemplate", "RetryDelivery", "ReconcileMirror"), "SA"),
    },
    "activation.v1.DashboardService": {
        **dict.fromkeys(("ListDashboards", "EvaluateTiles"), "RSA"),
        "DefineDashboard": "SA",
    },
    "activation.v1.DecisionService": {
        **dict.fromkeys(("ListSlots", "Decide", "Recommend"), "RSA"),
        **dict.fromkeys(("DefineSlot", "FitItems"), "SA"),
    },
    "activation.v1.DeskService": {
        **dict.fromkeys(("ListQueues", "ListTickets", "GetTicket"), "RSA"),
        **dict.fromkeys(("DefineQueue", "OpenTicket", "UpdateTicket"), "SA"),
    },
    "activation.v1.JourneyService": {
        **dict.fromkeys(("ListJourneys", "GetJourney", "GetContactPolicy"), "RSA"),
        **dict.fromkeys(("ListRuns", "GetRun", "WhyRun", "SummarizeJourney"), "RSA"),
        "GetJourneyResults": "RSA",
        **dict.fromkeys(("AuditRuns", "VerifyRuns", "ListRegrets"), "RSA"),
        **dict.fromkeys(("TryJourney", "BacktestJourney"), "RSA"),
        **dict.fromkeys(("DefineJourney", "EnterJourney"), "SA"),
        **dict.fromkeys(("SetJourneyFlow", "SetDestinationFlow"), "SA"),
        "ListCouponPools": "RSA",
        **dict.fromkeys(("DefineCouponPool", "LoadCouponCodes"), "SA"),
        "DefineContactPolicy": "A",
    },
    "activation.v1.ReceiptService": dict.fromkeys(
        ("TakeReceipt", "TakeEngagement", "Unsubscribe"), "I"
    ),
    "audit.v1.AuditService": {"ListAuditEntries": "A"},
    "identity.v1.IdentityService": {
        **dict.fromkeys(("GetGraph", "ExplainMatch", "ListHeld", "ListMatches"), "RSA"),
        **dict.fromkeys(("GetPolicy", "PreviewPolicy", "WatchMerges"), "RSA"),
        **dict.fromkeys(("LookupProfiles", "ListIdentifiers"), "RSAI"),
        **dict.fromkeys(("DefinePolicy", "RequestErasure"), "A"),
        **dict.fromkeys(("RecordDecision", "AssessMatches"), "SA"),
        **dict.fromkeys(("ReadOutbox", "ReadAssignments", "ReadRebuildPages"), "I"),
    },
    "ingest.v1.AdminService": {
        **dict.fromkeys(("DefineSource", "IssueKey", "RotateKey", "DisableKey", "ListKeys"), "A"),
        **dict.fromkeys(("ListRefusedCalls", "ListErasures", "DefineFieldClasses"), "A"),
        "GetFieldClasses": "RSA",
        "ListSources": "RSA",
        "GetCaller": "RSA",
        **dict.fromkeys(("RecordKeyUses", "CreateWorkspace"), "I"),
    },
    "ingest.v1.IngestService": {
        **dict.fromkeys(("IngestEvents", "StreamEvents"), "W"),
        **dict.fromkeys(("ListDuplicates", "ListQuarantined", "ReleaseQuarantined"), "SA"),
        "WatchEvents": "RSA",
    },
    "log.v1.LogService": {
        **dict.fromkeys(("Append", "Read", "ReadLeaves"), "I"),
        **dict.fromkeys(("GetHead", "TickClock"), "AI"),
    },
    "profile.v1.ProfileService": {
        **dict.fromkeys(("GetProfile", "BatchGetProfiles", "PreviewRule"), "RSAI"),
        **dict.fromkeys(("GetSettings", "GetAccount", "ListTimeline"), "RSAI"),
        **dict.fromkeys(("ListProfiles", "ListAccounts"), "RSA"),
        **dict.fromkeys(("SearchProfiles", "TranslateRule"), "RSA"),
        **dict.fromkeys(("ExplainRule", "ExplainMembership"), "RSA"),
        **dict.fromkeys(("PreviewProfiles", "ListTags", "CountTraits", "WatchProfiles"), "RSA"),
        **dict.fromkeys(("DefineTag", "DefineSettings", "CorrectTrait", "RecordScores"), "SA"),
        "FitTag": "SA",
        **dict.fromkeys(("ReadOutbox", "ReadEvaluations", "EvaluateRules"), "I"),
        **dict.fromkeys(("MatchEvents", "EvaluatePast"), "I"),
    },
    "projection.v1.ProjectionService": {
        **dict.fromkeys(("GetStatus", "GetDigest", "AwaitToken"), "RSAI"),
        **dict.fromkeys(("Rebuild", "GetAccessDifferences"), "I"),
        **dict.fromkeys(("ListFailedFacts", "RetryFailedFacts"), "I"),
    },
    "segment.v1.SegmentService": {
        "ListSegments": "RSAI",
        "ListMembers": "RSAI",
        "ListMemberships": "RSAI",
        **dict.fromkeys(("PreviewMemberships", "WatchMemberships"), "RSA"),
        **dict.fromkeys(("ComputeSet", "OverlapSegments", "ListSnapshots"), "RSA"),
        "PreviewSegment": "RSA",
        **dict.fromkeys(("DefineSegment", "CreateSnapshot", "RemoveSnapshot"), "SA"),
        **dict.fromkeys(("Judge", "ReadOutbox"), "I"),
    },
}
#: The services that clients of other systems call.
PUBLIC = {
    "activation.v1.ActivationService": "activation",
    "activation.v1.DecisionService": "activation",
    "activation.v1.DashboardService": "activation",
    "activation.v1.DeskService": "activation",
    "activation.v1.JourneyService": "activation",
    "identity.v1.IdentityService": "identity",
    "ingest.v1.IngestService": "ingest",
    "profile.v1.ProfileService": "profile",
    "segment.v1.SegmentService": "segment",
}
#: The services that operators and the services themselves call, and which processes serve them.
INTERNAL = {
    **{name: (process,) for name, process in PUBLIC.items()},
    "activation.v1.ReceiptService": ("activation",),
    "audit.v1.AuditService": ("ingest", "identity", "profile", "segment", "activation"),
    "ingest.v1.AdminService": ("ingest",),
    "log.v1.LogService": ("ingest",),
    "projection.v1.ProjectionService": ("identity", "profile", "segment", "activation"),
}
#: No message of any method: a caller who is admitted learns just that, and nothing is done.
NO_MESSAGE = b"\xff"
_INGEST = "/onefold.ingest.v1.IngestService"
_WATCH_MERGES = "/onefold.identity.v1.IdentityService/WatchMerges"
_WATCH_MEMBERSHIPS = "/onefold.segment.v1.SegmentService/WatchMemberships"
ADMITTED = (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
NOT_SERVED = (grpc.StatusCode.UNIMPLEMENTED, "")
FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")


def _refused(reason: str) -> tuple[grpc.StatusCode, str]:
    return grpc.StatusCode.UNAUTHENTICATED, reason


class Caller(NamedTuple):
    """A kind of caller."""

    key: str | None
    #: Its letter in ROLES; empty = none.
    role: str = ""
    #: The reason for which its key is refused; empty = it is accepted.
    reason: str = ""


@pytest.fixture
async def system(
    make_settings: MakeSettings, internal_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WholeSystem]:
    # Thousands of refused calls from one address are slowed down otherwise.
    monkeypatch.setenv("ONEFOLD_REFUSED_CALLS_PER_S", "0")
    async with whole_system(make_settings, internal_key, tmp_path) as running:
        yield running


async def _issue(system: WholeSystem, role: Any, **fields: Any) -> admin_pb.IssueKeyResponse:
    request = admin_pb.IssueKeyRequest(role=role, title="a key of the matrix", **fields)
    return await system.admin.admin.IssueKey(request)


async def _callers(system: WholeSystem, internal_key: str) -> dict[str, Caller]:
    """Return the callers of each kind, whose keys every service knows."""
    created = await system.internal.admin.CreateWorkspace(
        admin_pb.CreateWorkspaceRequest(workspace_id="another")
    )
    source = await _issue(system, ROLE_SOURCE, source_id="web")
    disabled = await _issue(system, ROLE_SERVICE)
    expired = await _issue(system, ROLE_SERVICE, lifetime_us=1_000_000)
    callers = {
        "without a key": Caller(None, reason="KEY_MISSING"),
        "empty": Caller("", reason="KEY_MISSING"),
        "unknown": Caller("ofk_admin_unknown", reason="KEY_UNKNOWN"),
        "disabled": Caller(disabled.key, reason="KEY_DISABLED"),
        "expired": Caller(expired.key, reason="KEY_EXPIRED"),
        "source": Caller(source.key, "W"),
        "reader": Caller((await _issue(system, ROLE_READER)).key, "R"),
        "service": Caller((await _issue(system, ROLE_SERVICE)).key, "S"),
        "admin": Caller(system.admin.endpoints.key, "A"),
        "admin of another workspace": Caller(created.admin_key, "A"),
        "another service": Caller(internal_key, "I"),
    }
    await system.admin.admin.DisableKey(admin_pb.DisableKeyRequest(key_id=disabled.key_id))
    await system.drain()
    return callers


def _expected(service: str, rpc: str, caller: Caller, *, public: bool) -> Any:
    roles = ROLES[service][rpc]
    if public:
        roles = roles.replace("I", "")
        if service not in PUBLIC or not roles:
            return NOT_SERVED
        if caller.role == "I":
            return _refused("KEY_UNKNOWN")
    if caller.reason:
        return _refused(caller.reason)
    return ADMITTED if caller.role in roles else FORBIDDEN


def _cells(system: WholeSystem) -> Iterator[tuple[str, str, str, bool]]:
    """Yield (address, service, rpc, whether the port is public), of every rpc at every port."""
    for method in rpcs():
        service = method.containing_service.full_name.removeprefix("onefold.")
        for process in INTERNAL[service]:
            yield system.admin.endpoints.grpc[process], service, method.name, False
        # What is not for clients is called at the public port of every service.
        places = [PUBLIC[service]] if service in PUBLIC else PUBLIC.values()
        for process in places:
            yield system.public_urls[process], service, method.name, True


def test_matrix_has_a_row_for_every_rpc_and_no_other() -> None:
    found: dict[str, set[str]] = {}
    for method in rpcs():
        service = method.containing_service.full_name.removeprefix("onefold.")
        found.setdefault(service, set()).add(method.name)
    assert found == {service: set(row) for service, row in ROLES.items()}
    assert ROLES.keys() == INTERNAL.keys()


async def test_every_rpc_admits_exactly_its_callers_at_each_port(
    system: WholeSystem, internal_key: str
) -> None:
    callers = await _callers(system, internal_key)
    wrong = []
    addresses = {address for address, *_ in _cells(system)}
    channels = {each: grpc.aio.insecure_channel(each) for each in addresses}
    async with asyncio.timeout(HANG_S):
        await wait_until(lambda: _is_expired(channels, system, callers["expired"]))
        for address, service, rpc, public in _cells(system):
            for name, caller in callers.items():
                call = channels[address].unary_stream(f"/onefold.{service}/{rpc}")
                # The claimed workspace counts for the key of the services only.
                metadata = [*bearer(caller.key), (WORKSPACE_KEY, "another")]
                found = await outcome(call(NO_MESSAGE, metadata=metadata))
                expected = _expected(service, rpc, caller, public=public)
                if found != expected:
                    port = "public" if public else "internal"
                    wrong.append(f"{rpc} of {service}, {port}, {name}: {found}, not {expected}")
    await asyncio.gather(*(channel.close() for channel in channels.values()))
    assert not wrong, "\n".join(wrong)


async def _is_expired(channels: Any, system: WholeSystem, caller: Caller) -> bool:
    channel = channels[system.public_urls["identity"]]
    call = channel.unary_unary("/onefold.identity.v1.IdentityService/ListHeld")
    return await outcome(call(NO_MESSAGE, metadata=bearer(caller.key))) == _refused("KEY_EXPIRED")


async def test_public_ports_hand_out_sealed_tokens_and_end_the_streams_of_a_disabled_key(
    system: WholeSystem,
) -> None:
    source = await _issue(system, ROLE_SOURCE, source_id="web")
    service = await _issue(system, ROLE_SERVICE)
    await system.drain()
    token = await _read_own_write(system, source.key, service.key)
    await _foreign_and_plain_tokens_are_refused(system, service.key, token)
    urls = system.public_urls
    async with (
        connections(urls["ingest"], 1) as [ingest],
        connections(urls["identity"], 1) as [identity],
        connections(urls["segment"], 1) as [segment],
        asyncio.timeout(HANG_S),
    ):
        stream = open_call(ingest, f"{_INGEST}/StreamEvents", bearer(source.key))
        await stream.write(StreamEventsRequest(events=[_event("s-1")]).SerializeToString())
        assert await stream.read() is not grpc.aio.EOF
        members = segment.unary_stream(_WATCH_MEMBERSHIPS)(b"", metadata=bearer(service.key))
        merges = identity.unary_stream(_WATCH_MERGES)(b"", metadata=bearer(service.key))
        progress = WatchMergesResponse.FromString(await merges.read())
        assert progress.token.sealed
        assert not progress.token.offsets
        for key in (source, service):
            await system.admin.admin.DisableKey(admin_pb.DisableKeyRequest(key_id=key.key_id))
        # What has arrived is read before the end is seen.
        for call in (stream, members, merges):
            with suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert await outcome(call) == _refused("KEY_DISABLED")


def _event(message_id: str) -> event_pb2.Event:
    return event_pb2.Event(
        type=event_pb2.EVENT_TYPE_TRACK,
        name="bought",
        message_id=message_id,
        identifiers=[identifier("user_id:u-1")],
    )


async def _read_own_write(system: WholeSystem, source_key: str, service_key: str) -> Token:
    """Send an event and read it with the token of the response; return that token."""
    async with open_channel(system.public_urls["ingest"], source_key) as channel:
        request = IngestEventsRequest(events=[_event("m-1")])
        written = await IngestServiceStub(channel).IngestEvents(request)
    assert written.token.sealed
    assert not written.token.offsets
    for urls in (system.public_urls, system.admin.endpoints.grpc):
        async with open_channel(urls["identity"], service_key) as channel:
            lookup = LookupProfilesRequest(
                identifiers=[identifier("user_id:u-1")], at_least=written.token
            )
            found = await IdentityServiceStub(channel).LookupProfiles(lookup)
        assert all(found.profile_ids)
        assert bool(found.token.sealed) == (urls is system.public_urls)
    return written.token


async def _foreign_and_plain_tokens_are_refused(
    system: WholeSystem, service_key: str, token: Token
) -> None:
    request = admin_pb.CreateWorkspaceRequest(workspace_id="another")
    other = await system.internal.admin.CreateWorkspace(request)
    await system.drain()
    forged = [
        (other.admin_key, token),
        (service_key, Token(offsets=[1, 1])),
        (service_key, Token(sealed=token.sealed[:-1])),
    ]
    for key, each in forged:
        async with open_channel(system.public_urls["identity"], key) as channel:
            with pytest.raises(InvalidField, match="at_least"):
                await IdentityServiceStub(channel).LookupProfiles(
                    LookupProfilesRequest(at_least=each)
                )
