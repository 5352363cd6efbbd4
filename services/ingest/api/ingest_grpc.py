"""The gRPC doors of ingest: events, and the administration of sources and keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceServicer
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer

from services.chassis.access.keys import issue_key
from services.chassis.access.principal import Principal, Role, principal, workspace_id
from services.chassis.rpc.server import Allowed
from services.ingest.codec.events import (
    EventOffer,
    key_message,
    offer_of,
    page_message,
    read_cursor,
    read_id,
    source_message,
    source_of,
    taken_message,
    token_message,
)
from services.ingest.commands.admin import Administration
from services.ingest.commands.intake import Intake, Sender, check_size
from services.ingest.domain.definitions import KeyDefinition, WorkspaceDefinition
from services.ingest.metrics import EventCounts
from services.ingest.ports import Quarantine
from services.kernel.errors import InvalidField

_EVENTS, _ADMIN = "/onefold.ingest.v1.IngestService/", "/onefold.ingest.v1.AdminService/"
_SENDERS = frozenset({Role.SOURCE})
_KEEPERS = frozenset({Role.SERVICE, Role.ADMIN})
_ADMINS = frozenset({Role.ADMIN})

ALLOWED: Allowed = {
    f"{_EVENTS}IngestEvents": _SENDERS,
    f"{_EVENTS}StreamEvents": _SENDERS,
    f"{_EVENTS}ListQuarantined": _KEEPERS,
    f"{_EVENTS}ReleaseQuarantined": _KEEPERS,
    f"{_ADMIN}DefineSource": _KEEPERS,
    f"{_ADMIN}ListSources": _KEEPERS,
    f"{_ADMIN}IssueKey": _ADMINS,
    f"{_ADMIN}DisableKey": _ADMINS,
    f"{_ADMIN}ListKeys": _ADMINS,
    f"{_ADMIN}CreateWorkspace": frozenset({Role.INTERNAL}),
}

_KEY_ROLES = frozenset({Role.SOURCE, Role.SERVICE, Role.ADMIN})
#: Metadata by which an importer tells that its events come from a file.
DOOR_KEY = "onefold-door"
_PAGE, _MAX_PAGE = 50, 1_000


def sender_of(caller: Principal, door: str) -> Sender:
    """Who hands events in."""
    return Sender(caller.workspace_id, caller.source_id, caller.key_id, door, caller.region)


class IngestRpc(IngestServiceServicer):
    """Events over gRPC."""

    def __init__(self, intake: Intake, quarantine: Quarantine, counts: EventCounts) -> None:
        self._intake = intake
        self._quarantine = quarantine
        self._counts = counts

    async def IngestEvents(
        self, request: ingest_pb.IngestEventsRequest, context: Any
    ) -> ingest_pb.IngestEventsResponse:
        """Take a batch."""
        return await self._take(request.events, sender_of(principal(), _door(context)))

    async def StreamEvents(
        self, request_iterator: AsyncIterator[ingest_pb.StreamEventsRequest], context: Any
    ) -> AsyncIterator[ingest_pb.StreamEventsResponse]:
        """Take batches one after another."""
        sender = sender_of(principal(), _door(context))
        async for request in request_iterator:
            result = await self._take(request.events, sender)
            yield ingest_pb.StreamEventsResponse(result=result)

    async def _take(self, events: Any, sender: Sender) -> ingest_pb.IngestEventsResponse:
        check_size(len(events))
        taken = await self._intake.take(sender, [EventOffer(event) for event in events])
        self._counts.taken(sender.door, taken)
        return taken_message(taken)

    async def ListQuarantined(
        self, request: ingest_pb.ListQuarantinedRequest, context: Any
    ) -> ingest_pb.ListQuarantinedResponse:
        """List what was refused."""
        size = min(request.page_size or _PAGE, _MAX_PAGE)
        before = read_cursor(request.page_token)
        entries = await self._quarantine.page(
            workspace_id(), before, size + 1, released=request.include_released
        )
        return page_message(entries, size)

    async def ReleaseQuarantined(
        self, request: ingest_pb.ReleaseQuarantinedRequest, context: Any
    ) -> ingest_pb.ReleaseQuarantinedResponse:
        """Release one refused event."""
        quarantine_id = read_id("quarantine_id", request.quarantine_id)
        entry = await self._intake.find(workspace_id(), quarantine_id)
        offer = EventOffer(request.event) if request.HasField("event") else offer_of(entry)
        by = principal()
        sender = Sender(by.workspace_id, entry.source_id, by.key_id, entry.door, by.region)
        taken = await self._intake.release(entry, offer, sender)
        return ingest_pb.ReleaseQuarantinedResponse(result=taken_message(taken))


def _door(context: Any) -> str:
    metadata = dict(context.invocation_metadata() or ())
    return "file" if metadata.get(DOOR_KEY) == "file" else "grpc"


class AdminRpc(AdminServiceServicer):
    """Sources and keys over gRPC."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    async def DefineSource(
        self, request: admin_pb.DefineSourceRequest, context: Any
    ) -> admin_pb.DefineSourceResponse:
        """Define a source."""
        wanted = source_of(workspace_id(), request.source)
        defined = await self._administration.define_source(
            wanted, principal().key_id, dry_run=request.dry_run
        )
        return admin_pb.DefineSourceResponse(
            source=source_message(defined.source),
            changed=defined.changed,
            token=token_message(defined.token),
        )

    async def ListSources(
        self, request: admin_pb.ListSourcesRequest, context: Any
    ) -> admin_pb.ListSourcesResponse:
        """List the sources."""
        sources = await self._administration.sources(workspace_id())
        return admin_pb.ListSourcesResponse(sources=map(source_message, sources))

    async def IssueKey(
        self, request: admin_pb.IssueKeyRequest, context: Any
    ) -> admin_pb.IssueKeyResponse:
        """Issue a key."""
        role = _role(request)
        issued = issue_key(role)
        key = KeyDefinition(
            *(workspace_id(), issued.key_id, issued.key_hash, role),
            *(request.source_id, request.title),
        )
        token = await self._administration.issue_key(key, principal().key_id)
        return admin_pb.IssueKeyResponse(
            key=issued.key, key_id=issued.key_id, token=token_message(token)
        )

    async def DisableKey(
        self, request: admin_pb.DisableKeyRequest, context: Any
    ) -> admin_pb.DisableKeyResponse:
        """Disable a key."""
        token = await self._administration.disable_key(
            workspace_id(), request.key_id, principal().key_id
        )
        return admin_pb.DisableKeyResponse(token=token_message(token))

    async def ListKeys(
        self, request: admin_pb.ListKeysRequest, context: Any
    ) -> admin_pb.ListKeysResponse:
        """List the keys."""
        keys = await self._administration.keys(workspace_id())
        return admin_pb.ListKeysResponse(keys=map(key_message, keys))

    async def CreateWorkspace(
        self, request: admin_pb.CreateWorkspaceRequest, context: Any
    ) -> admin_pb.CreateWorkspaceResponse:
        """Make a workspace."""
        issued = issue_key(Role.ADMIN)
        made = await self._administration.create_workspace(
            WorkspaceDefinition(
                request.workspace_id, request.title, request.default_region.upper()
            ),
            KeyDefinition(
                *(request.workspace_id, issued.key_id, issued.key_hash, Role.ADMIN),
                title="the first admin key",
            ),
            principal().key_id,
        )
        if made is None:
            return admin_pb.CreateWorkspaceResponse()
        return admin_pb.CreateWorkspaceResponse(admin_key=issued.key, token=token_message(made))


def _role(request: admin_pb.IssueKeyRequest) -> Role:
    number = int(request.role)
    if number not in _KEY_ROLES:
        raise InvalidField("say which role the key has", field="role")
    if (number == Role.SOURCE) != bool(request.source_id):
        raise InvalidField("the key of a source names its source, others none", field="source_id")
    return Role(number)
