"""What the doors of identity take, what they refuse, and what they say to do instead."""

from __future__ import annotations

from typing import Any

import pytest
from onefold.identity.v1 import identity_facts_pb2 as pb
from onefold.identity.v1.identity_service_pb2 import LinkRequest
from onefold.type.v1.identifier_pb2 import Identifier

from services.identity.codec import decisions as wire
from services.identity.codec.policy import validate_policy
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import FactId, WorkspaceId, hash_id

ASKER = wire.Caller(WorkspaceId("school"), "CN", "key_1")
USER = Identifier(namespace="user_id", value="u-1")
PHONE = Identifier(namespace="phone", value="138 0000 0000")


def policy(**fields: Any) -> pb.IdentityPolicy:
    return pb.IdentityPolicy(**fields)


def phone_policy(**fields: Any) -> pb.IdentityPolicy:
    return policy(namespaces=[{"namespace": "phone"} | fields])


def test_policies_that_say_the_same_are_kept_the_same() -> None:
    told = phone_policy(limit=5)
    told.blocked.add(pattern="b*")
    told.blocked.add(namespace="email", pattern="a@*")
    told.blocked.add(pattern="b*")
    told.ignored.extend(
        [pb.EVIDENCE_KIND_CO_OBSERVED, pb.EVIDENCE_KIND_STATED, pb.EVIDENCE_KIND_CO_OBSERVED]
    )
    again = phone_policy(limit=5, match_mode=pb.MATCH_MODE_ALWAYS)
    again.blocked.add(namespace="email", pattern="a@*")
    again.blocked.add(pattern="b*")
    again.ignored.extend([pb.EVIDENCE_KIND_STATED, pb.EVIDENCE_KIND_CO_OBSERVED])
    assert validate_policy(told, "CN") == validate_policy(again, "CN")
    assert told.namespaces[0].match_mode == pb.MATCH_MODE_UNSPECIFIED, (
        "what was asked is left as it was"
    )


def test_the_order_of_namespaces_is_part_of_a_policy() -> None:
    names = [{"namespace": "email"}, {"namespace": "phone"}]
    one, other = policy(namespaces=names), policy(namespaces=names[::-1])
    assert validate_policy(one, "CN") != validate_policy(other, "CN")


@pytest.mark.parametrize(
    ("told", "field", "do"),
    [
        (policy(namespaces=[{}]), "namespaces[0].namespace", "1 to 64 characters"),
        (policy(namespaces=[{"namespace": "E-Mail"}]), "namespaces[0].namespace", "a-z, 0-9"),
        (
            policy(namespaces=[{"namespace": "phone"}, {"namespace": "phone", "limit": 2}]),
            "namespaces[1].namespace",
            "phone is there twice; say all of it once",
        ),
        (phone_policy(limit=2_000_000), "namespaces[0].limit", "0 = there is none"),
        (phone_policy(shared_after=2**31), "namespaces[0].shared_after", "at most 1000000"),
        (phone_policy(recycled_after_days=40_000), "namespaces[0].recycled_after_days", "36500"),
        (phone_policy(match_mode=9), "namespaces[0].match_mode", "MATCH_MODE_ALWAYS"),
        (policy(namespaces=[{"namespace": f"n{n}"} for n in range(201)]), "namespaces", "200"),
        (policy(blocked=[{}]), "blocked[0].pattern", "* stands for any characters"),
        (policy(blocked=[{"pattern": "**"}]), "blocked[0].pattern", "this blocks everybody"),
        (policy(blocked=[{"pattern": "a\n"}]), "blocked[0].pattern", "can be printed"),
        (policy(blocked=[{"pattern": "x" * 513}]), "blocked[0].pattern", "at most 512"),
        (
            policy(blocked=[{"namespace": "phone", "pattern": "13800000000"}]),
            "blocked[0].pattern",
            "not the standard form",
        ),
        (
            policy(blocked=[{"namespace": "E", "pattern": "x"}]),
            "blocked[0].namespace",
            "a-z, 0-9",
        ),
        (policy(blocked=[{"pattern": str(n)} for n in range(1_001)]), "blocked", "1000"),
        (policy(ignored=[pb.EVIDENCE_KIND_DECIDED]), "ignored[0]", "withdraw it"),
        (policy(ignored=[pb.EVIDENCE_KIND_CO_OBSERVED, 0]), "ignored[1]", "no strength"),
        (policy(ignored=[17]), "ignored[0]", "no strength"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_field(
    told: pb.IdentityPolicy, field: str, do: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        validate_policy(told, "CN")
    assert refused.value.field == f"policy.{field}"
    assert do in refused.value.message


def test_a_pair_is_the_same_in_either_order_and_in_any_form() -> None:
    dressed = Identifier(namespace="phone", value="+86 138-0000-0000")
    one = wire.pair(LinkRequest(a=USER, b=PHONE), ASKER)
    other = wire.pair(LinkRequest(a=dressed, b=USER), ASKER)
    assert one == other
    assert one.ids[0] < one.ids[1]


@pytest.mark.parametrize(
    ("request_", "field", "do"),
    [
        (LinkRequest(b=PHONE), "a", "a is required"),
        (LinkRequest(a=USER), "b", "b is required"),
        (LinkRequest(a=USER, b=Identifier(namespace="E", value="x")), "b", "a-z"),
        (LinkRequest(a=USER, b=Identifier(namespace="phone", value="12")), "b", "names nobody"),
        (LinkRequest(a=USER, b=Identifier(namespace="user_id", value="null")), "b", "nobody"),
        (LinkRequest(a=USER, b=USER), "b", "the same identifier; name two"),
        (
            LinkRequest(a=PHONE, b=Identifier(namespace="phone", value="+8613800000000")),
            "b",
            "the same identifier",
        ),
    ],
)
def test_who_is_meant_must_be_told(request_: Any, field: str, do: str) -> None:
    with pytest.raises(InvalidField) as refused:
        wire.pair(request_, ASKER)
    assert refused.value.field == field
    assert do in refused.value.message


@pytest.mark.parametrize(
    ("told", "do"), [("", "say why"), ("  \n", "say why"), ("x" * 501, "500"), ("a\0b", "NUL")]
)
def test_a_decision_has_a_reason(told: str, do: str) -> None:
    assert wire.reason(" 她打过电话 ") == "她打过电话"
    with pytest.raises(InvalidField, match=do) as refused:
        wire.reason(told)
    assert refused.value.field == "reason"


@pytest.mark.parametrize("told", [0, 4, 99])
def test_a_decision_is_one_of_three(told: int) -> None:
    with pytest.raises(InvalidField, match="DECISION_LINK"):
        wire.decision(told)


def test_saying_it_again_is_one_fact_and_coming_back_to_it_another() -> None:
    pair = wire.pair(LinkRequest(a=USER, b=PHONE), ASKER)

    def fact(decision: Any, before: FactId | None = None, reason: str = "r") -> Any:
        return wire.fact_about(pair, wire.decision_message(pair, decision, reason), ASKER, before)

    link = fact(pb.DECISION_LINK)
    assert link == fact(pb.DECISION_LINK)
    assert (link.actor, link.leaf_id, link.workspace_id) == ("key_1", pair.ids[0], "school")
    separate = fact(pb.DECISION_SEPARATE, FactId(link.fact_id))
    again = fact(pb.DECISION_LINK, FactId(separate.fact_id))
    other_reason = fact(pb.DECISION_LINK, reason="another")
    assert len({f.fact_id for f in (link, separate, again, other_reason)}) == 4


def match(**fields: Any) -> pb.MatchAssessed:
    told: dict[str, Any] = {
        "a": USER,
        "b": PHONE,
        "assessment": pb.ASSESSMENT_ACCEPTED,
        "probability": 0.9,
        "model_version": "people-1",
        "purposes": ["analytics"],
    }
    return pb.MatchAssessed(**(told | fields))


def test_a_judgement_is_kept_in_standard_form() -> None:
    pair, kept = wire.assessment(match(purposes=["b", "a", "b"]), ASKER, "matches[0].")
    assert list(kept.purposes) == ["a", "b"]
    assert {kept.a.value, kept.b.value} == {"u-1", "+8613800000000"}
    assert (kept.a.value, kept.b.value) == (pair.a.value, pair.b.value)


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
        ({"assessment": pb.ASSESSMENT_REJECTED}, "purposes"),
        ({"weights": [{"comparison": ""}]}, "weights"),
        ({"weights": [{"comparison": "name", "log2_bayes_factor": float("inf")}]}, "weights"),
    ],
)
def test_a_wrong_judgement_is_refused_with_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        wire.assessment(match(**fields), ASKER, "matches[3].")
    assert refused.value.field == f"matches[3].{field}"


def test_judgements_come_in_bounded_numbers() -> None:
    with pytest.raises(InvalidField):
        wire.check_matches([])
    with pytest.raises(TooLarge):
        wire.check_matches([match()] * 1_001)
    wire.check_matches([match()] * 1_000)


def test_workspaces_have_different_facts() -> None:
    other = ASKER._replace(workspace_id=WorkspaceId(hash_id("x").hex()))
    pairs = [wire.pair(LinkRequest(a=USER, b=PHONE), asker) for asker in (ASKER, other)]
    assert pairs[0].ids != pairs[1].ids
