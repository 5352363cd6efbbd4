"""Serves AdminService over gRPC: workspaces, sources and keys."""

from __future__ import annotations

from typing import Any

from onefold.ingest.v1 import admin_service_pb2 as pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceServicer

from services.chassis.access.keys import issue_key
from services.chassis.access.principal import Role, principal, workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.access.uses import KeyUse
from services.chassis.codec.fields import page_size_of, token_to_proto
from services.chassis.definitions import etag_of
from services.chassis.rpc.server import Allowed
from services.ingest.codec.definitions import (
    defined_to_proto,
    field_classes_to_proto,
    from_message,
    keys_to_proto,
    sources_to_proto,
    to_message,
)
from services.ingest.codec.erasure import erasures_to_proto
from services.ingest.codec.refused_calls import refused_calls_to_proto
from services.ingest.commands.admin import Administration, first_admin_key
from services.ingest.commands.erasure import ErasureCommands
from services.ingest.commands.keys import KeyCommands, now_us
from services.ingest.commands.refused_calls import RefusedCalls
from services.ingest.domain.definitions import (
    FieldClassesDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
)
from services.kernel.errors import InvalidField

#: The roles that a key can have.
_KEY_ROLES = frozenset(Role) - {Role.INTERNAL}

ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["AdminService"])


class AdminRpc(AdminServiceServicer):
    """Implements AdminService."""

    def __init__(
        self,
        administration: Administration,
        keys: KeyCommands,
        refused: RefusedCalls,
        erasures: ErasureCommands,
    ) -> None:
        self._administration = administration
        self._keys = keys
        self._refused = refused
        self._erasures = erasures

    async def DefineSource(
        self, request: pb.DefineSourceRequest, context: Any
    ) -> pb.DefineSourceResponse:
        source = from_message(SourceDefinition, workspace_id(), request.source)
        defined = await self._administration.define_source(
            source, principal().key_id, etag=request.etag, dry_run=request.dry_run
        )
        return defined_to_proto(defined)

    async def ListSources(
        self, request: pb.ListSourcesRequest, context: Any
    ) -> pb.ListSourcesResponse:
        return sources_to_proto(await self._administration.sources(workspace_id()))

    async def DefineFieldClasses(
        self, request: pb.DefineFieldClassesRequest, context: Any
    ) -> pb.DefineFieldClassesResponse:
        classes = from_message(FieldClassesDefinition, workspace_id(), request.classes)
        defined = await self._administration.define_field_classes(
            classes, principal().key_id, etag=request.etag, dry_run=request.dry_run
        )
        return field_classes_to_proto(defined)

    async def GetFieldClasses(
        self, request: pb.GetFieldClassesRequest, context: Any
    ) -> pb.GetFieldClassesResponse:
        classes = await self._administration.field_classes(workspace_id())
        if classes is None:
            return pb.GetFieldClassesResponse()
        return pb.GetFieldClassesResponse(
            classes=to_message(classes), etag=etag_of(classes.version)
        )

    async def IssueKey(self, request: pb.IssueKeyRequest, context: Any) -> pb.IssueKeyResponse:
        key = KeyDefinition(
            workspace_id(),
            key_id="",
            key_hash=b"",
            role=_key_role(request),
            source_id=request.source_id,
            title=request.title,
            allowed_origins=tuple(request.allowed_origins),
            allowed_addresses=tuple(request.allowed_addresses),
        )
        issued, key, token = await self._keys.issue(key, request.lifetime_us, principal().key_id)
        return pb.IssueKeyResponse(
            key=issued.key,
            key_id=issued.key_id,
            token=token_to_proto(token),
            expires_at_us=key.expires_at_us,
        )

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Any) -> pb.RotateKeyResponse:
        rotated = await self._keys.rotate(
            workspace_id(),
            request.key_id,
            overlap_us=request.overlap_us,
            lifetime_us=request.lifetime_us,
            actor=principal().key_id,
        )
        return pb.RotateKeyResponse(
            key=rotated.issued.key,
            key_id=rotated.issued.key_id,
            token=token_to_proto(rotated.token),
            expires_at_us=rotated.key.expires_at_us,
            replaced_expires_at_us=rotated.replaced.expires_at_us,
        )

    async def DisableKey(
        self, request: pb.DisableKeyRequest, context: Any
    ) -> pb.DisableKeyResponse:
        token = await self._keys.disable(workspace_id(), request.key_id, principal().key_id)
        return pb.DisableKeyResponse(token=token_to_proto(token))

    async def ListKeys(self, request: pb.ListKeysRequest, context: Any) -> pb.ListKeysResponse:
        return keys_to_proto(await self._keys.listed(workspace_id()))

    async def GetCaller(self, request: pb.GetCallerRequest, context: Any) -> pb.GetCallerResponse:
        caller = principal()
        return pb.GetCallerResponse(
            workspace_id=caller.workspace_id,
            role=caller.role.value,  # type: ignore[arg-type]  # the numbers are those of the protos
            key_id=caller.key_id,
        )

    async def ListRefusedCalls(
        self, request: pb.ListRefusedCallsRequest, context: Any
    ) -> pb.ListRefusedCallsResponse:
        calls = await self._refused.newest(workspace_id(), page_size_of(request))
        return refused_calls_to_proto(calls)

    async def ListErasures(
        self, request: pb.ListErasuresRequest, context: Any
    ) -> pb.ListErasuresResponse:
        size = page_size_of(request)
        found = await self._erasures.listed(workspace_id(), request.request_id, size)
        return erasures_to_proto(workspace_id(), found, self._erasures.index_key)

    async def RecordKeyUses(
        self, request: pb.RecordKeyUsesRequest, context: Any
    ) -> pb.RecordKeyUsesResponse:
        uses = [
            KeyUse(use.workspace_id, use.key_id, use.day, use.refused_method)
            for use in request.uses
        ]
        await self._keys.record_uses(uses)
        return pb.RecordKeyUsesResponse()

    async def CreateWorkspace(
        self, request: pb.CreateWorkspaceRequest, context: Any
    ) -> pb.CreateWorkspaceResponse:
        issued = issue_key(Role.ADMIN)
        workspace = WorkspaceDefinition(
            request.workspace_id, request.title, request.default_region.upper()
        )
        admin = first_admin_key(request.workspace_id, issued, now_us())
        token = await self._administration.create_workspace(workspace, admin, principal().key_id)
        if token is None:
            return pb.CreateWorkspaceResponse()
        return pb.CreateWorkspaceResponse(admin_key=issued.key, token=token_to_proto(token))


def _key_role(request: pb.IssueKeyRequest) -> Role:
    number = int(request.role)
    if number not in _KEY_ROLES:
        raise InvalidField(
            "choose the role of the key: source, reader, service or admin", field="role"
        )
    if (number == Role.SOURCE) != bool(request.source_id):
        raise InvalidField(
            "a key with the role of a source needs a source id; other keys have none",
            field="source_id",
        )
    return Role(number)
