"""Tests which policies, decisions and assessments are accepted, and the errors of the others."""

from __future__ import annotations

from typing import Any

import pytest
from onefold.identity.v1 import identity_facts_pb2 as pb
from onefold.identity.v1.identity_service_pb2 import RecordDecisionRequest
from onefold.type.v1.identifier_pb2 import Identifier

from services.identity.codec import decisions as codec
from services.identity.codec.policy import policy_fact, policy_from_proto, policy_to_proto
from services.identity.codec.policy import validate_policy as validate
from services.identity.codec.requests import Caller
from services.identity.domain.evidence import DecisionKind
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import FactId, WorkspaceId, hash_id
from tests.index_key import INDEX_KEY

CALLER = Caller(WorkspaceId("school"), "CN", "key_1", INDEX_KEY)
USER = Identifier(namespace="user_id", value="u-1")
PHONE = Identifier(namespace="phone", value="138 0000 0000")


def policy(**fields: Any) -> pb.IdentityPolicy:
    return pb.IdentityPolicy(**fields)


def phone_policy(**fields: Any) -> pb.IdentityPolicy:
    return policy(namespaces=[{"namespace": "phone"} | fields])


def canonical(message: pb.IdentityPolicy) -> bytes:
    """Return the payload of the fact that defines a policy."""
    return policy_fact(CALLER.workspace_id, validate(message, "CN"), "key_1").payload


def test_validate_policies_with_the_same_content_are_equal() -> None:
    one = phone_policy(limit=5)
    one.blocked.add(pattern="b*")
    one.blocked.add(namespace="email", pattern="a@*")
    one.blocked.add(pattern="b*")
    one.ignored.extend(
        [pb.EVIDENCE_KIND_CO_OBSERVED, pb.EVIDENCE_KIND_STATED, pb.EVIDENCE_KIND_CO_OBSERVED]
    )
    other = phone_policy(limit=5, match_mode=pb.MATCH_MODE_ALWAYS)
    other.blocked.add(namespace="email", pattern="a@*")
    other.blocked.add(pattern="b*")
    other.ignored.extend([pb.EVIDENCE_KIND_STATED, pb.EVIDENCE_KIND_CO_OBSERVED])
    assert canonical(one) == canonical(other)
    assert one.namespaces[0].match_mode == pb.MATCH_MODE_UNSPECIFIED, "the request is unchanged"


def test_validate_order_of_namespaces_is_content() -> None:
    names = [{"namespace": "email"}, {"namespace": "phone"}]
    assert canonical(policy(namespaces=names)) != canonical(policy(namespaces=names[::-1]))


def test_policy_round_trip_is_unchanged() -> None:
    message = phone_policy(limit=2, shared_after=3, recycled_after_days=4, match_mode=2)
    message.blocked.add(namespace="email", pattern="a@*")
    message.ignored.append(pb.EVIDENCE_KIND_STATED)
    for most in (0, 5):
        message.claimed_devices = most
        assert policy_to_proto(policy_from_proto(message, 7)) == message


def test_policy_that_says_nothing_of_claims_has_the_default_limit() -> None:
    assert policy_from_proto(pb.IdentityPolicy(), 1).claimed_devices == 1_000
    with pytest.raises(InvalidField, match="at most 1000000"):
        validate(pb.IdentityPolicy(claimed_devices=1_000_001), "CN")


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        (policy(namespaces=[{}]), "namespaces[0].namespace", "1 to 64 characters"),
        (policy(namespaces=[{"namespace": "E-Mail"}]), "namespaces[0].namespace", "a-z, 0-9"),
        (
            policy(namespaces=[{"namespace": "phone"}, {"namespace": "phone", "limit": 2}]),
            "namespaces[1].namespace",
            "phone is listed twice; list it once",
        ),
        (phone_policy(limit=2_000_000), "namespaces[0].limit", "0 = no limit"),
        (phone_policy(shared_after=2**31), "namespaces[0].shared_after", "at most 1000000"),
        (phone_policy(recycled_after_days=40_000), "namespaces[0].recycled_after_days", "36500"),
        (phone_policy(match_mode=9), "namespaces[0].match_mode", "MATCH_MODE_ALWAYS"),
        (policy(namespaces=[{"namespace": f"n{n}"} for n in range(201)]), "namespaces", "200"),
        (policy(blocked=[{}]), "blocked[0].pattern", "* matches any characters"),
        (policy(blocked=[{"pattern": "**"}]), "blocked[0].pattern", "blocks every identifier"),
        (policy(blocked=[{"pattern": "a\n"}]), "blocked[0].pattern", "all of them printable"),
        (policy(blocked=[{"pattern": "x" * 513}]), "blocked[0].pattern", "at most 512"),
        (
            policy(blocked=[{"namespace": "phone", "pattern": "13800000000"}]),
            "blocked[0].pattern",
            "send the canonical form",
        ),
        (policy(blocked=[{"namespace": "E", "pattern": "x"}]), "blocked[0].namespace", "a-z, 0-9"),
        (policy(blocked=[{"pattern": str(n)} for n in range(1_001)]), "blocked", "1000"),
        (policy(ignored=[pb.EVIDENCE_KIND_DECIDED]), "ignored[0]", "withdraw them"),
        (policy(ignored=[pb.EVIDENCE_KIND_CO_OBSERVED, 0]), "ignored[1]", "EVIDENCE_KIND_STATED"),
        (policy(ignored=[17]), "ignored[0]", "EVIDENCE_KIND_STATED"),
    ],
)
def test_validate_invalid_policy_names_the_field(
    message: pb.IdentityPolicy, field: str, text: str
) -> None:
    with pytest.raises(InvalidField) as error:
        validate(message, "CN")
    assert error.value.field == f"policy.{field}"
    assert text in error.value.message


def test_decode_pair_any_order_and_spelling_gives_the_same() -> None:
    spelled = Identifier(namespace="phone", value="+86 138-0000-0000")
    one = codec.decode_pair(RecordDecisionRequest(a=USER, b=PHONE), CALLER)
    other = codec.decode_pair(RecordDecisionRequest(a=spelled, b=USER), CALLER)
    assert one == other
    assert one.ids.a < one.ids.b


@pytest.mark.parametrize(
    ("request_", "field", "text"),
    [
        (RecordDecisionRequest(b=PHONE), "a", "a is required"),
        (RecordDecisionRequest(a=USER), "b", "b is required"),
        (RecordDecisionRequest(a=USER, b=Identifier(namespace="E", value="x")), "b", "a-z"),
        (
            RecordDecisionRequest(a=USER, b=Identifier(namespace="phone", value="12")),
            "b",
            "invalid or a placeholder",
        ),
        (
            RecordDecisionRequest(a=USER, b=Identifier(namespace="user_id", value="null")),
            "b",
            "placeholder",
        ),
        (RecordDecisionRequest(a=USER, b=USER), "b", "the same identifier; send two"),
        (
            RecordDecisionRequest(a=PHONE, b=Identifier(namespace="phone", value="+8613800000000")),
            "b",
            "the same identifier",
        ),
    ],
)
def test_decode_invalid_pair_names_the_field(
    request_: RecordDecisionRequest, field: str, text: str
) -> None:
    with pytest.raises(InvalidField) as error:
        codec.decode_pair(request_, CALLER)
    assert error.value.field == field
    assert text in error.value.message


@pytest.mark.parametrize(
    ("reason", "text"),
    [("", "required"), ("  \n", "required"), ("x" * 501, "500"), ("a\0b", "NUL")],
)
def test_decode_invalid_reason_is_rejected(reason: str, text: str) -> None:
    assert codec.decode_reason(" 她打过电话 ") == "她打过电话"
    with pytest.raises(InvalidField, match=text) as error:
        codec.decode_reason(reason)
    assert error.value.field == "reason"


@pytest.mark.parametrize("number", [0, 4, 99])
def test_decode_unknown_decision_is_rejected(number: int) -> None:
    with pytest.raises(InvalidField, match="DECISION_LINK"):
        codec.decode_decision(number)


def test_decision_repeated_at_once_has_the_same_id_and_a_later_one_another() -> None:
    pair = codec.decode_pair(RecordDecisionRequest(a=USER, b=PHONE), CALLER)

    def fact(kind: DecisionKind, before: FactId | None = None, reason: str = "r") -> Any:
        return codec.pair_fact(pair, codec.decision_to_proto(pair, kind, reason), CALLER, before)

    link = fact(DecisionKind.LINK)
    assert link == fact(DecisionKind.LINK)
    assert (link.actor, link.leaf_id, link.workspace_id) == ("key_1", pair.ids[0], "school")
    separate = fact(DecisionKind.SEPARATE, FactId(link.fact_id))
    later_link = fact(DecisionKind.LINK, FactId(separate.fact_id))
    other_reason = fact(DecisionKind.LINK, reason="another")
    assert len({f.fact_id for f in (link, separate, later_link, other_reason)}) == 4


def match(**fields: Any) -> pb.MatchAssessed:
    defaults: dict[str, Any] = {
        "a": USER,
        "b": PHONE,
        "assessment": pb.ASSESSMENT_ACCEPTED,
        "probability": 0.9,
        "model_version": "people-1",
        "purposes": ["analytics"],
    }
    return pb.MatchAssessed(**(defaults | fields))


def test_decode_assessment_is_canonical() -> None:
    pair, message = codec.decode_assessment(match(purposes=["b", "a", "b"]), CALLER, "matches[0].")
    assert list(message.purposes) == ["a", "b"]
    assert {message.a.value, message.b.value} == {"u-1", "+8613800000000"}
    assert (message.a.value, message.b.value) == (pair.a.value, pair.b.value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"b": USER}, "b"),
        ({"assessment": 0}, "assessment"),
        ({"assessment": 8}, "assessment"),
        ({"probability": 1.01}, "probability"),
        ({"probability": float("nan")}, "probability"),
        ({"model_version": ""}, "model_version"),
        ({"purposes": []}, "purposes"),
        ({"purposes": ["x" * 129]}, "purposes"),
        ({"purposes": [f"p{n}" for n in range(21)]}, "purposes"),
        ({"assessment": pb.ASSESSMENT_REJECTED}, "purposes"),
        ({"weights": [{"comparison": ""}]}, "weights"),
        ({"weights": [{"comparison": "name"}] * 101}, "weights"),
        ({"weights": [{"comparison": "name", "log2_bayes_factor": float("inf")}]}, "weights"),
    ],
)
def test_decode_invalid_assessment_names_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as error:
        codec.decode_assessment(match(**fields), CALLER, "matches[3].")
    assert error.value.field == f"matches[3].{field}"


def test_decode_assessments_number_is_bounded() -> None:
    with pytest.raises(InvalidField, match="required"):
        codec.decode_assessments([], CALLER)
    users = [Identifier(namespace="user_id", value=f"u-{n}") for n in range(1_001)]
    matches = [match(a=user) for user in users]
    with pytest.raises(TooLarge):
        codec.decode_assessments(matches, CALLER)
    assert len(codec.decode_assessments(matches[:1_000], CALLER)) == 1_000


def test_decode_assessments_of_one_pair_twice_is_rejected() -> None:
    with pytest.raises(InvalidField, match="assessed twice") as error:
        codec.decode_assessments([match(), match(probability=0.5)], CALLER)
    assert error.value.field == "matches[1]"


def test_decode_pair_in_another_workspace_has_other_ids() -> None:
    other = CALLER._replace(workspace_id=WorkspaceId(hash_id("x").hex()))
    request = RecordDecisionRequest(a=USER, b=PHONE)
    pairs = [codec.decode_pair(request, caller) for caller in (CALLER, other)]
    assert pairs[0].ids != pairs[1].ids
