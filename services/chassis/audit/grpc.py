"""Serves onefold.audit.v1.AuditService, which every service has."""

from __future__ import annotations

from typing import Any

from onefold.audit.v1 import audit_service_pb2 as pb
from onefold.audit.v1.audit_service_pb2_grpc import AuditServiceServicer

from services.chassis.access.principal import workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.audit.log import AuditFilter, AuditLog
from services.chassis.codec.fields import PageToken, page_size_of
from services.kernel.audit_chain import AuditEntry, ChainedEntry
from services.kernel.fold.id_sets import split_ids
from services.kernel.ids import parse_id, to_hex

#: The roles that may call; every service adds them to its own table.
ALLOWED = allowed_roles(pb.DESCRIPTOR.services_by_name["AuditService"])
_PAGE = PageToken("q")


class AuditRpc(AuditServiceServicer):
    """Implements AuditService."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Any
    ) -> pb.ListAuditEntriesResponse:
        workspace, size = workspace_id(), page_size_of(request)
        if request.from_number:
            found, head = await self._audit.entries_from(workspace, request.from_number, size)
            return pb.ListAuditEntriesResponse(
                entries=map(entry_to_proto, found), head_number=head.number, head_hash=head.hash
            )
        profile_id = parse_id(request.profile_id, "profile_id") if request.profile_id else b""
        chosen = AuditFilter(request.key_id, profile_id, request.reads_only)
        [before] = _PAGE.decode(request.page_token) or [0]
        found = await self._audit.entries_before(workspace, int(before), size + 1, chosen)
        response = pb.ListAuditEntriesResponse(entries=map(entry_to_proto, found[:size]))
        if len(found) > size:
            response.next_page_token = _PAGE.encode(found[size - 1].number)
        return response


def entry_to_proto(chained: ChainedEntry) -> pb.AuditEntry:
    """Return the message of an entry."""
    entry = chained.entry
    return pb.AuditEntry(
        number=chained.number,
        at_us=entry.at_us,
        key_id=entry.key_id,
        role=entry.role,  # type: ignore[arg-type]  # the numbers are those of the protos
        method=entry.method,
        outcome=entry.outcome,
        target=entry.target,
        profile_ids=map(to_hex, split_ids(entry.profile_ids)),
        names=entry.names,
        count=entry.value_count,
        visible=entry.visible,  # type: ignore[arg-type]  # the numbers are those of the protos
        reason=entry.reason,
        hash=chained.hash,
    )


def entry_from_proto(message: pb.AuditEntry) -> ChainedEntry:
    """Return the entry of a message, as its hash covers it."""
    entry = AuditEntry(
        at_us=message.at_us,
        key_id=message.key_id,
        role=message.role,
        method=message.method,
        outcome=message.outcome,
        target=message.target,
        profile_ids=b"".join(map(bytes.fromhex, message.profile_ids)),
        names=tuple(message.names),
        value_count=message.count,
        visible=message.visible,
        reason=message.reason,
    )
    return ChainedEntry(message.number, entry, message.hash)
