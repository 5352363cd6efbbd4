"""The guard masks responses, and refuses rules that read what their caller may not see."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from onefold.activation.v1.journey_service_pb2 import TryJourneyRequest
from onefold.identity.v1.identity_service_pb2 import (
    GetGraphResponse,
    PreviewPolicyRequest,
    RecordDecisionRequest,
)
from onefold.ingest.v1.ingest_service_pb2 import ReleaseQuarantinedRequest
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest, ListSegmentsResponse

from services.chassis.access.personal_data import PersonalFields
from services.chassis.access.principal import Principal, Role
from services.chassis.access.rights import lens_of
from services.chassis.codec.rules import rule_to_proto
from services.kernel.errors import InvalidField, NotAllowed
from services.kernel.ids import WorkspaceId
from services.kernel.masking import CLEAR, FieldClass, FieldClasses
from services.kernel.rules.forms.json_form import parse_rule

GET = PersonalFields.of("/onefold.profile.v1.ProfileService/GetProfile")
PREVIEW = PersonalFields.of("/onefold.profile.v1.ProfileService/PreviewRule")
EXPLAIN = PersonalFields.of("/onefold.profile.v1.ProfileService/ExplainRule")


def _orders(order_id: str, amount: str) -> dict[str, Any]:
    payments = {"event": "paid", "order_id": order_id, "amount": amount}
    return {"orders": {"definition": {"payments": payments}, "net_spend": {"gt": 3}}}


def _caller(role: Role, classes: FieldClasses = CLEAR.classes) -> Principal:
    return Principal(WorkspaceId("shop"), role, "key_1", field_classes=classes)


READER, BACK_END = lens_of(_caller(Role.READER)), lens_of(_caller(Role.SERVICE))


def _profile() -> pb.GetProfileResponse:
    traits = {"phone": "13812345678", "plan": "pro", "id_card": "A123"}
    return pb.GetProfileResponse(
        profile=pb.Profile(
            profile_id="0f" * 16,
            identifiers=[{"namespace": "phone", "value": "+8613812345678"}],
            traits=[{"name": n, "value": json.dumps(v).encode()} for n, v in traits.items()],
        )
    )


def _shown(response: pb.GetProfileResponse) -> tuple[str, dict[str, Any]]:
    profile = response.profile
    [identifier] = profile.identifiers
    return identifier.value, {each.name: json.loads(each.value) for each in profile.traits}


def test_reader_gets_personal_values_masked() -> None:
    response = _profile()
    GET.mask(response, READER)
    expected = {"phone": "138****5678", "plan": "pro", "id_card": "***"}
    assert _shown(response) == ("+86138****5678", expected)


def test_back_end_gets_personal_values_and_sensitive_ones_only_for_a_reason() -> None:
    response = _profile()
    GET.mask(response, BACK_END)
    assert _shown(response)[1] == {"phone": "13812345678", "plan": "pro", "id_card": "***"}
    response = _profile()
    GET.mask(response, lens_of(_caller(Role.SERVICE), "the person calls"))
    assert response == _profile()


def test_class_of_the_workspace_decides_what_a_reader_sees() -> None:
    classes = FieldClasses.of({"phone": FieldClass.NONE}, {"Plan": FieldClass.SENSITIVE})
    response = _profile()
    GET.mask(response, lens_of(_caller(Role.READER, classes)))
    value, traits = _shown(response)
    assert (value, traits["plan"]) == ("+8613812345678", "***")


@pytest.mark.parametrize(
    ("role", "reason", "error"),
    [
        (Role.READER, "the person calls", NotAllowed),
        (Role.SOURCE, "the person calls", NotAllowed),
        (Role.ADMIN, "x", InvalidField),
        (Role.ADMIN, "   ", InvalidField),
        (Role.ADMIN, "x" * 201, InvalidField),
        (Role.ADMIN, "two\nlines", InvalidField),
    ],
)
def test_unmasking_without_the_right_or_a_usable_reason_is_refused(
    role: Role, reason: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        lens_of(_caller(role), reason)


def test_disclosure_has_the_profiles_and_the_names_of_what_was_read() -> None:
    disclosure = GET.mask(_profile(), BACK_END)
    assert list(disclosure.profile_ids) == ["0f" * 16]
    assert disclosure.names == {"phone", "plan", "id_card"}
    assert disclosure.count == 4


def test_definition_in_a_response_is_masked_and_discloses_no_person() -> None:
    fields = PersonalFields.of("/onefold.segment.v1.SegmentService/ListSegments")
    rule = rule_to_proto(parse_rule({"trait": {"name": "phone", "eq": "13812345678"}}))
    response = ListSegmentsResponse(segments=[{"segment": {"rule": rule}}])
    assert fields.mask(response, READER).count == 0
    assert b"13812345678" not in response.SerializeToString()


def test_name_that_is_a_value_is_not_among_the_names_of_what_was_read() -> None:
    response = _profile()
    response.profile.traits[0].name = "li@example.cn"
    assert GET.mask(response, BACK_END).names == {"***", "plan", "id_card", "phone"}
    assert response.profile.traits[0].name == "li@example.cn"
    GET.mask(response, READER)
    assert response.profile.traits[0].name == "***"


def test_span_and_count_are_shown_to_a_reader() -> None:
    rule = rule_to_proto(parse_rule({"last_seen": {"event": "bought", "within": "30d"}}))
    request = pb.PreviewRuleRequest(rule=rule)
    PREVIEW.check_rules(request, READER)
    response = pb.ExplainRuleResponse(predicates=[{"actual": b"2592000000000", "is_span": True}])
    assert EXPLAIN.mask(response, READER).count == 1
    assert response.predicates[0].actual == b"2592000000000"
    fields = PersonalFields.of("/onefold.segment.v1.SegmentService/ListSegments")
    listed = ListSegmentsResponse(segments=[{"segment": {"rule": rule}}])
    fields.mask(listed, READER)
    assert listed.segments[0].segment.rule == rule


def test_person_without_personal_data_in_the_response_is_not_disclosed() -> None:
    fields = PersonalFields.of("/onefold.identity.v1.IdentityService/GetGraph")
    assert fields.mask(GetGraphResponse(), READER).count == 0


@pytest.mark.parametrize(
    "rule",
    [
        {"trait": {"name": "phone", "eq": "13812345678"}},
        {"trait": {"name": "phone", "exists": True}},
        {"not": {"trait": {"name": "favourite_teacher", "eq": "Zhang"}}},
        {"any": [{"all": [{"trait": {"name": "id_card", "exists": True}}]}]},
        {"count": {"event": "bought", "where": {"email": "a@example.com"}, "at_least": 1}},
        {"count": {"event": "bought", "where": {"note": "met Li"}, "at_least": 1}},
        {"date": {"trait": "joined", "years_since": {"at_least": 30}}},
        {"trait": {"name": "member_no", "clean": "number@1", "at_least": 3}},
        _orders("no", "member_no"),
        _orders("phone", "total"),
    ],
)
def test_rule_over_a_masked_field_is_refused_to_a_reader_and_not_to_a_back_end(
    rule: dict[str, Any],
) -> None:
    message = rule_to_proto(parse_rule(rule))
    for fields, request in (
        (PREVIEW, pb.PreviewRuleRequest(rule=message)),
        (EXPLAIN, pb.ExplainRuleRequest(rule=message)),
    ):
        with pytest.raises(NotAllowed, match="masked"):
            fields.check_rules(request, READER)
        fields.check_rules(request, BACK_END)


@pytest.mark.parametrize(
    "rule",
    [
        {"trait": {"name": "plan", "eq": "pro"}},
        {"trait": {"name": "seats", "at_least": 3}},
        {"count": {"event": "bought", "where": {"category": "shoes"}, "at_least": 1}},
        _orders("no", "total"),
    ],
)
def test_rule_over_open_fields_is_allowed_to_a_reader(rule: dict[str, Any]) -> None:
    request = pb.PreviewRuleRequest(rule=rule_to_proto(parse_rule(rule)))
    PREVIEW.check_rules(request, READER)


@pytest.mark.parametrize(
    ("entry", "is_refused"),
    [
        ({"by": {"date": {"trait": "birthday"}}}, True),
        ({"by": {"date": {"trait": "joined"}}}, True),
        ({"by": {"date": {"trait": "stage"}}}, False),
        ({"per": "receiver"}, True),
        ({"per": "receiver", "again_after_us": 0}, False),
    ],
)
def test_journey_that_would_tell_a_hidden_value_is_not_tried_for_a_reader(
    entry: dict[str, Any], is_refused: bool
) -> None:
    fields = PersonalFields.of("/onefold.activation.v1.JourneyService/TryJourney")
    request = TryJourneyRequest(journey={"entry": entry})
    fields.check_rules(request, BACK_END)
    with pytest.raises(NotAllowed) if is_refused else nullcontext():
        fields.check_rules(request, READER)


@pytest.mark.parametrize("namespace", ["phone", ""])
def test_policy_with_a_pattern_of_hidden_values_is_not_previewed_for_a_reader(
    namespace: str,
) -> None:
    fields = PersonalFields.of("/onefold.identity.v1.IdentityService/PreviewPolicy")
    blocked = [{"namespace": namespace, "pattern": "+86138*"}]
    with pytest.raises(NotAllowed) as refused:
        fields.check_rules(PreviewPolicyRequest(policy={"blocked": blocked}), READER)
    assert "138" not in str(refused.value)
    fields.check_rules(PreviewPolicyRequest(policy={"blocked": blocked}), BACK_END)
    fields.check_rules(PreviewPolicyRequest(policy={"claimed_devices": 3}), READER)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        (
            "segment.v1.SegmentService/DefineSegment",
            DefineSegmentRequest(
                segment={"rule": {"predicate": {"trait": {"name": "id_card"}, "value": b'"***"'}}}
            ),
        ),
        (
            "ingest.v1.IngestService/ReleaseQuarantined",
            ReleaseQuarantinedRequest(event={"traits": b'{"x": [{"id_card": "***"}]}'}),
        ),
        (
            "identity.v1.IdentityService/RecordDecision",
            RecordDecisionRequest(b={"namespace": "id_card", "value": "***"}),
        ),
    ],
    ids=["rule", "event", "identifier"],
)
def test_mask_that_would_replace_the_value_it_stands_for_is_refused_without_a_reason(
    method: str, request_: Any
) -> None:
    fields = PersonalFields.of(f"/onefold.{method}")
    with pytest.raises(InvalidField, match="hidden"):
        fields.check_masks(request_, BACK_END)
    fields.check_masks(request_, lens_of(_caller(Role.SERVICE), "it is three stars"))
    fields.check_masks(type(request_)(), BACK_END)


def test_explanation_hides_the_value_that_a_masked_trait_has() -> None:
    response = pb.ExplainRuleResponse(
        rule_text='trait phone = "13812345678"',
        predicates=[
            {"predicate": "trait salary ≥ 5", "actual": b"70000", "compares": "salary"},
            {"predicate": "count of order ≥ 1", "actual": b"3"},
        ],
        explanation={"root": {"children": [{"actual": b'"Li Na"', "compares": "nick"}]}},
    )
    EXPLAIN.mask(response, READER)
    assert response.rule_text == 'trait phone = "***"'
    assert [each.actual for each in response.predicates] == [b'"***"', b"3"]
    assert response.explanation.root.children[0].actual == b'"L***"'
