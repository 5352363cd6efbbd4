"""Which calls are entries of the audit, and what the entries have."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from contract.protos.descriptors import rpcs
from google.protobuf.descriptor_pb2 import MethodOptions
from onefold.ingest.v1.admin_service_pb2 import DisableKeyRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest

from services.chassis.access.personal_data import Disclosure
from services.chassis.access.principal import Principal, Role
from services.chassis.access.rights import RIGHTS, lens_of, roles_of
from services.chassis.audit import log
from services.chassis.audit.recorder import AuditedCall, MethodAudit
from services.kernel.audit_chain import AuditEntry
from services.kernel.errors import NotFound, StoreUnavailable
from services.kernel.ids import WorkspaceId
from services.kernel.masking import FieldClass

GET = "/onefold.profile.v1.ProfileService/GetProfile"
DEFINE = "/onefold.segment.v1.SegmentService/DefineSegment"
DISABLE = "/onefold.ingest.v1.AdminService/DisableKey"
PROFILE = "0f" * 16


class Entries:
    """An audit that collects its entries."""

    def __init__(self) -> None:
        self.added: list[tuple[str, AuditEntry, bool]] = []

    async def add(
        self, workspace_id: str, entry: AuditEntry, *, durably: bool, is_act: bool
    ) -> None:
        assert not is_act or durably
        self.added.append((workspace_id, entry, durably))


def call(request: Any, role: Role = Role.ADMIN, reason: str = "") -> AuditedCall:
    caller = Principal(WorkspaceId("shop"), role, "key_1")
    return AuditedCall(caller, request, lens_of(caller, reason), reason)


def audited(method: str) -> tuple[MethodAudit, Entries]:
    entries = Entries()
    return MethodAudit(method, entries), entries  # type: ignore[arg-type]


def test_every_rpc_by_which_a_key_changes_something_is_an_act() -> None:
    for rpc in rpcs():
        is_read = rpc.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        changes = not is_read and bool(roles_of(rpc) & {Role.SERVICE, Role.ADMIN})
        method = f"/{rpc.containing_service.full_name}/{rpc.name}"
        assert MethodAudit(method, None).is_act == changes, method


async def test_act_is_stored_before_its_response_with_what_it_was_about() -> None:
    audit, entries = audited(DEFINE)
    request = DefineSegmentRequest(segment={"segment_id": "vip", "title": "personal words"})
    await audit.record(call(request), Disclosure())
    [(workspace_id, entry, durably)] = entries.added
    assert (workspace_id, entry.target, entry.outcome, durably) == (
        *("shop", "segment_id:vip", "OK", True),
    )
    assert entry.visible == 0


async def test_dry_run_is_no_entry() -> None:
    audit, entries = audited(DEFINE)
    await audit.record(call(DefineSegmentRequest(dry_run=True)), Disclosure())
    assert entries.added == []


async def test_act_that_fails_is_an_entry_without_the_text_of_its_caller() -> None:
    audit, entries = audited(DISABLE)

    async def fail() -> None:
        raise NotFound("there is none")

    with pytest.raises(NotFound):
        await audit.watch(call(DisableKeyRequest(key_id="li@example.cn")), fail())
    [(_, entry, durably)] = entries.added
    assert (entry.outcome, entry.target, durably) == ("NOT_FOUND", "", True)


async def test_act_whose_caller_leaves_is_an_entry_because_it_may_be_done() -> None:
    audit, entries = audited(DEFINE)
    request = DefineSegmentRequest(segment={"segment_id": "vip"})
    acting = asyncio.ensure_future(audit.watch(call(request), asyncio.Event().wait()))
    await asyncio.sleep(0)
    acting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acting
    [(_, entry, durably)] = entries.added
    assert (entry.outcome, entry.target, durably) == ("CANCELLED", "", True)


async def test_read_with_a_reason_is_refused_while_too_many_entries_wait_and_an_act_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "MAX_WAITING", 1)
    audit = log.AuditLog(cast(Any, None), cast(Any, None), "profile")
    entry = AuditEntry(1, "key_1", 4, "/s/M", "OK")
    await audit.add("shop", entry, durably=False)
    reading = asyncio.ensure_future(audit.add("shop", entry, durably=True))
    acting = asyncio.ensure_future(audit.add("shop", entry, durably=True, is_act=True))
    await asyncio.sleep(0)
    assert isinstance(reading.exception(), StoreUnavailable)
    assert not acting.done()
    acting.cancel()


async def test_read_of_a_person_is_an_entry_beside_the_call() -> None:
    audit, entries = audited(GET)
    disclosure = Disclosure()
    disclosure.add("phone")
    disclosure.add_profile("0e" * 16)
    await audit.record(call(GetProfileRequest(profile_id=PROFILE), Role.READER), disclosure)
    [(_, entry, durably)] = entries.added
    assert entry.profile_ids == bytes.fromhex("0e" * 16 + PROFILE)
    assert (entry.names, entry.value_count, entry.visible) == (("phone",), 1, FieldClass.NONE)
    assert not durably


async def test_name_that_postgresql_cannot_store_is_shortened() -> None:
    audit, entries = audited(GET)
    disclosure = Disclosure()
    disclosure.add("a\0b" + "c" * 600)
    await audit.record(call(GetProfileRequest()), disclosure)
    [(_, entry, _)] = entries.added
    assert entry.names == ("ab" + "c" * 510,)


async def test_read_with_a_reason_is_stored_before_its_response() -> None:
    audit, entries = audited(GET)
    disclosure = Disclosure()
    disclosure.add("id_card")
    await audit.record(call(GetProfileRequest(), reason="the person calls"), disclosure)
    [(_, entry, durably)] = entries.added
    assert (entry.reason, entry.visible, durably) == (
        *("the person calls", FieldClass.SENSITIVE, True),
    )


@pytest.mark.parametrize("role", [Role.READER, Role.INTERNAL])
async def test_read_without_personal_data_and_call_of_a_service_are_no_entries(role: Role) -> None:
    audit, entries = audited(GET)
    disclosure = Disclosure()
    if role is Role.INTERNAL:
        disclosure.add("phone")
    await audit.record(call(GetProfileRequest(), role), disclosure)
    assert entries.added == []


def test_only_keys_of_clients_have_rights_that_are_audited() -> None:
    assert RIGHTS[Role.INTERNAL].isdisjoint(RIGHTS[Role.ADMIN])
