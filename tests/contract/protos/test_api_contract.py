"""Checks the API contract: field options, idempotency of rpcs, etags of definitions."""

from __future__ import annotations

import re

import pytest
from contract.protos.descriptors import fields, messages, option, rpcs
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from onefold.type.v1 import options_pb2

#: `bytes` fields without a format, with the reason.
BINARY = {
    "onefold.activation.v1.SealedSecret.ciphertext": "encrypted, and in facts only",
    "onefold.activation.v1.SealedSecret.nonce": "random, and in facts only",
    "onefold.identity.v1.FactsAttributed.fact_batch": "a serialised message",
    "onefold.identity.v1.ReadRebuildPagesResponse.fact_batch": "a serialised message",
    "onefold.identity.v1.FactsAttributed.profile_ids": "packed ids, 16 bytes per fact",
    "onefold.activation.v1.TakeReceiptRequest.body": "any bytes, as they were received",
    "onefold.activation.v1.TakeReceiptResponse.body": "what the provider expects",
    "onefold.ingest.v1.Quarantined.raw": "any bytes, as they were received",
    "onefold.internal.v1.EventIdentifiers.identifiers": "serialised messages",
    "onefold.log.v1.Fact.payload": "a serialised message",
    "onefold.type.v1.StreamPosition.sealed": "encrypted",
    "onefold.type.v1.Token.sealed": "encrypted",
}

#: Id fields of service messages that stay `bytes`, with the reason.
BINARY_IDS_IN_REQUESTS = {
    "onefold.log.v1.ReadLeavesRequest.leaf_ids": "internal and hot: no conversion per id",
    "onefold.segment.v1.JudgeQuestion.profile_id": "internal and hot: no conversion per id",
    "onefold.profile.v1.MatchedPerson.profile_id": "internal: a replay reads all persons",
    "onefold.profile.v1.MatchedPerson.leaf_ids": "internal: a replay reads all persons",
    "onefold.profile.v1.PastQuestion.leaf_ids": "internal: a replay asks of many persons",
}

READ_VERBS = (
    *("Match", "Try"),
    *(
        "Audit",
        "Await",
        "Backtest",
        "BatchGet",
        "Compute",
        "Count",
        "Decide",
        "Evaluate",
        "Explain",
        "Get",
        "Judge",
        "List",
        "Recommend",
    ),
    "Lookup",
    *("Overlap", "Preview", "Read", "Search", "Summarize", "Translate", "Verify"),
    *("Watch", "Why"),
)
WRITES = {
    "onefold.activation.v1.ActivationService": {
        *("DefineDestination", "DefineTemplate", "ReconcileMirror", "RetryDelivery")
    },
    "onefold.activation.v1.DashboardService": {"DefineDashboard"},
    "onefold.activation.v1.DecisionService": {"DefineSlot", "FitItems"},
    "onefold.activation.v1.DeskService": {"DefineQueue", "OpenTicket", "UpdateTicket"},
    "onefold.activation.v1.JourneyService": {
        *("DefineContactPolicy", "DefineJourney", "EnterJourney"),
        *("SetDestinationFlow", "SetJourneyFlow", "DefineCouponPool", "LoadCouponCodes"),
    },
    "onefold.activation.v1.ReceiptService": {"TakeEngagement", "TakeReceipt", "Unsubscribe"},
    "onefold.identity.v1.IdentityService": {
        *("AssessMatches", "DefinePolicy", "RecordDecision", "RequestErasure")
    },
    "onefold.ingest.v1.AdminService": {
        *(
            "CreateWorkspace",
            "DefineFieldClasses",
            "DefineSource",
            "DisableKey",
            "IssueKey",
            "RecordKeyUses",
            "RotateKey",
        )
    },
    "onefold.ingest.v1.IngestService": {"IngestEvents", "ReleaseQuarantined", "StreamEvents"},
    "onefold.log.v1.LogService": {"Append", "TickClock"},
    "onefold.profile.v1.ProfileService": {
        *("CorrectTrait", "DefineSettings", "DefineTag", "FitTag", "RecordScores")
    },
    "onefold.projection.v1.ProjectionService": {"Rebuild", "RetryFailedFacts"},
    "onefold.segment.v1.SegmentService": {"CreateSnapshot", "DefineSegment", "RemoveSnapshot"},
}

#: Messages that return a definition to the caller, which can send its etag back.
DEFINITIONS_READ = (
    "onefold.activation.v1.CouponPoolSummary",
    "onefold.activation.v1.DashboardSummary",
    "onefold.activation.v1.DestinationSummary",
    "onefold.activation.v1.GetContactPolicyResponse",
    "onefold.activation.v1.GetJourneyResponse",
    "onefold.activation.v1.JourneySummary",
    "onefold.activation.v1.QueueSummary",
    "onefold.activation.v1.SlotSummary",
    "onefold.activation.v1.TemplateSummary",
    "onefold.identity.v1.GetPolicyResponse",
    "onefold.ingest.v1.SourceSummary",
    "onefold.profile.v1.TagSummary",
    "onefold.segment.v1.SegmentSummary",
)


def test_every_bytes_field_has_a_format_or_is_listed_as_binary() -> None:
    unmarked = {
        field.full_name
        for field in fields()
        if field.type == FieldDescriptor.TYPE_BYTES and not option(field, options_pb2.bytes_format)
    }
    assert unmarked == BINARY.keys()


def test_only_bytes_fields_have_a_format() -> None:
    for field in fields():
        if option(field, options_pb2.bytes_format):
            assert field.type == FieldDescriptor.TYPE_BYTES, field.full_name


def test_ids_are_text_in_service_messages_and_bytes_in_facts_and_streams() -> None:
    wrong = {
        field.full_name
        for field in fields()
        if field.name.endswith(("profile_id", "fact_id", "leaf_id", "_ids"))
        and field.type == FieldDescriptor.TYPE_BYTES
        and field.file.name.endswith("_service.proto")
    }
    assert wrong == BINARY_IDS_IN_REQUESTS.keys()


def test_patterns_and_lengths_are_given_only_to_strings_and_compile() -> None:
    for field in fields():
        pattern = option(field, options_pb2.pattern)
        if pattern or option(field, options_pb2.max_length):
            assert field.type == FieldDescriptor.TYPE_STRING, field.full_name
            re.compile(pattern)


def test_every_rpc_is_marked_as_free_of_side_effects_or_listed_as_a_write() -> None:
    unmarked: dict[str, set[str]] = {}
    for rpc in rpcs():
        if rpc.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS:
            unmarked.setdefault(rpc.containing_service.full_name, set()).add(rpc.name)
    assert unmarked == WRITES


def test_an_rpc_is_a_read_exactly_if_its_name_starts_with_a_read_verb() -> None:
    for rpc in rpcs():
        is_read = rpc.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        assert is_read == rpc.name.startswith(tuple(READ_VERBS)), rpc.full_name


def test_every_rpc_has_a_request_and_a_response_of_its_own() -> None:
    for rpc in rpcs():
        assert rpc.input_type.name == f"{rpc.name}Request"
        assert rpc.output_type.name == f"{rpc.name}Response"


def definitions() -> list[Descriptor]:
    named = [m for m in messages() if re.fullmatch(r"Define\w+(Request|Response)", m.name)]
    assert len(named) == 28, "fourteen kinds of definitions"
    return named


@pytest.mark.parametrize("message", definitions(), ids=lambda message: message.name)
def test_every_define_request_and_response_has_an_etag(message: Descriptor) -> None:
    assert message.fields_by_name["etag"].type == FieldDescriptor.TYPE_STRING


@pytest.mark.parametrize("message", definitions(), ids=lambda message: message.name)
def test_every_define_request_has_a_dry_run_and_every_response_has_changed(
    message: Descriptor,
) -> None:
    name = "dry_run" if message.name.endswith("Request") else "changed"
    assert message.fields_by_name[name].type == FieldDescriptor.TYPE_BOOL


@pytest.mark.parametrize("name", DEFINITIONS_READ)
def test_every_definition_that_is_read_has_an_etag(name: str) -> None:
    (message,) = [m for m in messages() if m.full_name == name]
    assert message.fields_by_name["etag"].type == FieldDescriptor.TYPE_STRING


def test_paged_rpcs_have_a_size_a_token_and_a_next_token() -> None:
    for rpc in rpcs():
        if "page_token" in rpc.input_type.fields_by_name:
            assert "page_size" in rpc.input_type.fields_by_name, rpc.full_name
            assert "next_page_token" in rpc.output_type.fields_by_name, rpc.full_name
