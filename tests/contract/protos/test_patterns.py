"""Checks that services accept exactly the strings that the patterns of the contract allow."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from contract.protos.descriptors import fields, option
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st
from onefold.type.v1 import options_pb2
from phonenumbers import SUPPORTED_REGIONS
from properties import examples

from services.activation.domain.model import Destination, Trigger
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.system_channels import NatsSubject, NdjsonFile, Webhook
from services.activation.domain.validation import check_destination
from services.chassis.access.keys import issue_key
from services.chassis.access.principal import Role
from services.ingest.domain.definitions import check_id
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import validation_error
from services.kernel.ids import WorkspaceId, from_hex

HEX_ID = "[0-9a-fA-F]{32}"
SLUG = "[a-z0-9][a-z0-9_-]{0,62}"
NAMESPACE = "[a-z0-9_.]{1,64}"
KEY_ID = "key_[0-9a-f]{16}"
REGION = "[A-Z]{2}"

#: The pattern of string fields by their name, in every message of the contract.
BY_NAME = {
    "workspace_id": SLUG,
    "backfilled_workspace_id": SLUG,
    "namespace": NAMESPACE,
    "allowed_namespaces": NAMESPACE,
    "held_namespace": NAMESPACE,
    "key_id": KEY_ID,
    "model_id": SLUG,
    "default_region": REGION,
} | dict.fromkeys(
    (
        *("fact_id", "fact_ids", "released_fact_id", "effect_id", "identifier_id", "coupon_id"),
        *("run_id", "leaf_id", "ticket_id"),
        *("identifier_ids", "other_identifier_ids"),
        "leaving_profile_ids",
        "entering_profile_ids",
        "removed_fact_ids",
        "cited_fact_ids",
        *("leaf_ids", "other_identifier_ids", "profile_id", "profile_ids", "member_profile_ids"),
        *("profile_id_a", "profile_id_b", "before_profile_id", "after_profile_id"),
    ),
    HEX_ID,
)
#: Patterns of single fields.
SUBJECT = "onefold.activation.v1.NatsSubject.subject"
FILE = "onefold.activation.v1.NdjsonFile.name"
SECRET = "onefold.activation.v1.Webhook.secret"
BY_FIELD = {
    SUBJECT: r"[^\s.*>]+(\.[^\s.*>]+)*",
    FILE: "[A-Za-z0-9][A-Za-z0-9._-]{0,127}",
    "onefold.profile.v1.ProfileUpdate.merged_into": HEX_ID,
    "onefold.identity.v1.RequestErasureResponse.request_id": HEX_ID,
    "onefold.ingest.v1.ListErasuresRequest.request_id": HEX_ID,
    "onefold.ingest.v1.ErasureSummary.request_id": HEX_ID,
    SECRET: "whsec_[A-Za-z0-9+/]{32,86}={0,2}",
}
#: Facts record the source as any text: facts of services have none.
UNCHECKED = {"onefold.log.v1.Fact.source_id"}

TEXTS = st.text(max_size=80) | st.text("aZ09_-.:* >\n", max_size=80)


def pattern_of(field: FieldDescriptor) -> str:
    return str(option(field, options_pb2.pattern))


def test_fields_of_one_name_have_one_pattern() -> None:
    strings = [f for f in fields() if f.type == FieldDescriptor.TYPE_STRING]
    for field in strings:
        expected = BY_FIELD.get(field.full_name) or BY_NAME.get(field.name, "")
        if field.name in ("source_id", "source_ids") and field.full_name not in UNCHECKED:
            expected = SLUG
        assert pattern_of(field) == expected, field.full_name


def accepts(check: Callable[[], object]) -> bool:
    with suppress(InvalidField, ValueError):
        check()
        return True
    return False


@pytest.mark.parametrize(
    ("pattern", "is_accepted"),
    [
        (HEX_ID, lambda text: accepts(lambda: from_hex(text))),
        (SLUG, lambda text: accepts(lambda: check_id("workspace_id", text))),
        (NAMESPACE, lambda text: validation_error(text, "value") is None),
    ],
    ids=["hex id", "slug", "namespace"],
)
def test_a_service_accepts_a_text_exactly_if_it_matches_the_pattern(
    pattern: str, is_accepted: Callable[[str], bool]
) -> None:
    @examples(200)
    @given(text=st.from_regex(pattern, fullmatch=True) | TEXTS)
    def compare(text: str) -> None:
        assert is_accepted(text) == (re.fullmatch(pattern, text) is not None)

    compare()


def test_issued_keys_have_ids_that_match_the_pattern() -> None:
    assert re.fullmatch(KEY_ID, issue_key(Role.ADMIN).key_id)


def test_every_supported_region_matches_the_pattern() -> None:
    assert all(re.fullmatch(REGION, region) for region in SUPPORTED_REGIONS)


def is_allowed(channel: Webhook | NatsSubject | NdjsonFile) -> bool:
    destination = Destination(
        workspace_id=WorkspaceId("school"),
        destination_id="coupon",
        version=1,
        title="",
        channel=channel,
        segment_ids=("trial",),
        triggers=frozenset({Trigger.ENTERED}),
        content=b"{}",
        traits=(),
    )
    return accepts(lambda: check_destination(destination, AllowedSubjects()))


@examples(200)
@given(name=st.from_regex(BY_FIELD[FILE], fullmatch=True) | TEXTS)
def test_a_file_name_is_accepted_exactly_if_it_matches_the_pattern(name: str) -> None:
    matches = re.fullmatch(BY_FIELD[FILE], name) is not None
    assert is_allowed(NdjsonFile(name)) == matches


@examples(200)
@given(subject=st.from_regex(BY_FIELD[SUBJECT], fullmatch=True) | TEXTS)
def test_an_accepted_subject_matches_the_pattern(subject: str) -> None:
    for own in (subject, f"onefold.out.school.{subject}"):
        if is_allowed(NatsSubject(own)):
            assert re.fullmatch(BY_FIELD[SUBJECT], own)


@examples(100)
@given(raw=st.binary(max_size=80))
def test_an_accepted_secret_matches_the_pattern(raw: bytes) -> None:
    secret = "whsec_" + base64.b64encode(raw).decode()
    matches = re.fullmatch(BY_FIELD[SECRET], secret) is not None
    assert is_allowed(Webhook("https://x.example/in", secret)) <= matches
    assert (24 <= len(raw) <= 64) <= matches
