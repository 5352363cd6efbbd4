"""Checks who may call which rpc: the rights in the protos, and the roles that have them."""

from __future__ import annotations

import pytest
from contract.protos.descriptors import rpcs
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from onefold.type.v1 import options_pb2

from services.chassis.access.principal import Role
from services.chassis.access.rights import RIGHTS, roles_of

#: What each role may change.
CHANGES = {
    Role.SOURCE: {"IngestEvents", "StreamEvents"},
    Role.READER: set(),
    Role.SERVICE: {
        *("DefineTag", "DefineSettings", "DefineSegment", "CorrectTrait", "RecordScores", "FitTag"),
        *("RecordDecision", "AssessMatches", "ReleaseQuarantined", "RetryDelivery"),
        *("DefineTemplate", "DefineSlot", "FitItems", "ReconcileMirror", "DefineDashboard"),
        *("CreateSnapshot", "RemoveSnapshot"),
        *("DefineJourney", "EnterJourney", "SetJourneyFlow", "SetDestinationFlow"),
        *("DefineCouponPool", "LoadCouponCodes", "DefineQueue", "OpenTicket", "UpdateTicket"),
    },
    Role.ADMIN: {
        *("DefineTag", "DefineSettings", "DefineSegment", "CorrectTrait", "RecordScores", "FitTag"),
        *("RecordDecision", "AssessMatches", "ReleaseQuarantined", "RetryDelivery"),
        *("DefineTemplate", "DefineSlot", "FitItems", "ReconcileMirror", "DefineDashboard"),
        *("CreateSnapshot", "RemoveSnapshot"),
        *("DefineJourney", "EnterJourney", "SetJourneyFlow", "SetDestinationFlow"),
        *("DefineCouponPool", "LoadCouponCodes", "DefineQueue", "OpenTicket", "UpdateTicket"),
        *("DefineFieldClasses", "DefineSource", "IssueKey", "RotateKey", "DisableKey"),
        *("DefinePolicy", "DefineDestination", "DefineContactPolicy", "TickClock"),
        "RequestErasure",
    },
    Role.INTERNAL: {
        "Append",
        "TickClock",
        "CreateWorkspace",
        "RecordKeyUses",
        "Rebuild",
        "RetryFailedFacts",
        "TakeReceipt",
        "TakeEngagement",
        "Unsubscribe",
    },
}
#: What may be read only by some of the roles that read, besides what only services read.
RESTRICTED_READS = {
    "ListQuarantined": {Role.SERVICE, Role.ADMIN},
    "ListDuplicates": {Role.SERVICE, Role.ADMIN},
    "ListKeys": {Role.ADMIN},
    "ListRefusedCalls": {Role.ADMIN},
    "ListErasures": {Role.ADMIN},
    "ListAuditEntries": {Role.ADMIN},
    "PreviewTemplate": {Role.SERVICE, Role.ADMIN},
    "GetHead": {Role.ADMIN, Role.INTERNAL},
}
READERS = {Role.READER, Role.SERVICE, Role.ADMIN}


def is_read(rpc: MethodDescriptor) -> bool:
    return rpc.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS


def test_every_rpc_names_a_right() -> None:
    for rpc in rpcs():
        assert rpc.GetOptions().Extensions[options_pb2.rights], rpc.full_name
        assert roles_of(rpc), rpc.full_name


def test_every_role_has_rights_and_no_right_is_unspecified() -> None:
    assert RIGHTS.keys() == set(Role)
    given = frozenset().union(*RIGHTS.values())
    assert given == set(options_pb2.Right.values()) - {options_pb2.RIGHT_UNSPECIFIED}


@pytest.mark.parametrize("role", list(Role))
def test_role_may_change_exactly_what_is_listed(role: Role) -> None:
    changes = {rpc.name for rpc in rpcs() if not is_read(rpc) and role in roles_of(rpc)}
    assert changes == CHANGES[role]


def test_reads_are_open_to_all_who_read_or_listed_as_restricted() -> None:
    for rpc in filter(is_read, rpcs()):
        roles = roles_of(rpc)
        if rpc.name in RESTRICTED_READS:
            assert roles == RESTRICTED_READS[rpc.name], rpc.full_name
        elif roles != {Role.INTERNAL}:
            assert roles - {Role.INTERNAL} == READERS, rpc.full_name


def test_no_message_that_a_reader_gets_has_a_secret_or_raw_bytes() -> None:
    """The key's hash and secret, and the bytes of rejected events, are no answer to a reader."""
    forbidden = {"key", "key_hash", "raw", "admin_key"}
    for rpc in rpcs():
        if Role.READER in roles_of(rpc):
            names = {field.name for field in rpc.output_type.fields}
            assert not names & forbidden, rpc.full_name


def test_the_internal_key_has_none_of_the_rights_of_a_key() -> None:
    others = frozenset().union(*(RIGHTS[role] for role in Role if role is not Role.INTERNAL))
    assert not RIGHTS[Role.INTERNAL] & others
