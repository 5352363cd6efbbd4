"""Tests decisions, held edges, explanations and matches through the API."""

from __future__ import annotations

from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, identifier
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token

from services.kernel.errors import InvalidField, NotAllowed, NotFound, OnefoldError, TooLarge

LI, WANG, PHONE = "user_id:li", "user_id:wang", "phone:13800000001"
LINK, SEPARATE = facts_pb.DECISION_LINK, facts_pb.DECISION_SEPARATE
WITHDRAW = facts_pb.DECISION_WITHDRAW


def pair(a: str, b: str) -> dict[str, Identifier]:
    return {"a": identifier(a), "b": identifier(b)}


async def decide(
    system: WholeSystem, decision: facts_pb.Decision, a: str, b: str, reason: str = "she called"
) -> Token:
    """Record a decision and wait until identity has folded it."""
    request = pb.RecordDecisionRequest(**pair(a, b), decision=decision, reason=reason)
    response = await system.service.identity.RecordDecision(request)
    await system.drain()
    return response.token


async def explain(system: WholeSystem, a: str, b: str, **fields: Any) -> pb.ExplainMatchResponse:
    request = pb.ExplainMatchRequest(**pair(a, b), **fields)
    return await system.service.identity.ExplainMatch(request)


async def list_held(system: WholeSystem, **fields: Any) -> pb.ListHeldResponse:
    return await system.service.identity.ListHeld(pb.ListHeldRequest(**fields))


async def decisions_in_the_log(system: WholeSystem) -> list[tuple[int, str, str]]:
    """Return decision, reason and actor of each of the workspace, shard by shard in order."""
    head = await system.internal.log.GetHead(log_pb.GetHeadRequest())
    found = []
    for shard, end in enumerate(head.token.offsets):
        kinds = [facts_pb.LinkDecided.DESCRIPTOR.full_name]
        request = log_pb.ReadRequest(shard=shard, end_offset=end, kinds=kinds)
        async for response in system.internal.log.Read(request):
            for fact in response.batch.facts:
                if fact.workspace_id != system.workspace_id:
                    continue
                message = facts_pb.LinkDecided.FromString(fact.payload)
                found.append((int(message.decision), message.reason, fact.actor))
    return found


async def test_link_separate_and_link_again_merges_splits_and_merges(system: WholeSystem) -> None:
    await system.send("seen", LI)
    await system.send("seen", WANG)
    await system.drain()
    apart = await system.profiles(LI, WANG)
    assert apart[0] != apart[1]

    await decide(system, LINK, LI, WANG)
    one, other = await system.profiles(LI, WANG)
    assert one == other
    response = await explain(system, LI, WANG)
    (edge,) = response.path
    assert response.same
    assert (edge.kind, edge.reason) == (facts_pb.EVIDENCE_KIND_DECIDED, "she called")
    assert edge.actor.startswith("key_")
    graph = await system.service.identity.GetGraph(pb.GetGraphRequest(profile_id=one))
    assert [each.identifier.value for each in graph.identifiers] == ["li", "wang"]
    assert [each.edge.kind for each in graph.edges] == [facts_pb.EVIDENCE_KIND_DECIDED]
    (decision,) = graph.decisions
    assert (decision.decision, decision.reason) == (LINK, "she called")
    assert (decision.a.value, decision.b.value) in (("li", "wang"), ("wang", "li"))

    await decide(system, SEPARATE, WANG, LI, "it was her brother")
    assert await system.profiles(LI, WANG) == apart
    await decide(system, LINK, LI, WANG)
    one, other = await system.profiles(LI, WANG)
    assert one == other
    decisions = await decisions_in_the_log(system)
    assert [decision for decision, _, _ in decisions] == [1, 2, 1]
    assert len({actor for _, _, actor in decisions}) == 1


async def test_record_decision_that_counts_already_adds_no_fact(system: WholeSystem) -> None:
    await system.send("seen", LI, PHONE)
    for _ in range(3):
        await decide(system, SEPARATE, LI, PHONE)
    await decide(system, SEPARATE, PHONE, LI)
    assert len(await decisions_in_the_log(system)) == 1
    await decide(system, SEPARATE, LI, PHONE, "another reason")
    ((_, reason, _),) = await decisions_in_the_log(system)
    assert reason == "she called", "a decision that counts already is not recorded again"


async def test_separation_holds_against_all_evidence_until_it_is_withdrawn(
    system: WholeSystem,
) -> None:
    await system.send("alias", LI, WANG)
    await system.drain()
    one, other = await system.profiles(LI, WANG)
    assert one == other
    await decide(system, SEPARATE, LI, WANG, "two persons")
    await system.send("alias", LI, WANG)
    await system.send("seen", LI, PHONE)
    await system.send("seen", WANG, PHONE)
    await system.drain()
    one, other = await system.profiles(LI, WANG)
    assert one != other

    reasons = {held.edge.held_reason for held in (await list_held(system)).held}
    assert pb.HELD_REASON_SEPARATED in reasons
    response = await explain(system, LI, WANG)
    assert not response.same
    assert pb.HELD_REASON_SEPARATED in {edge.held_reason for edge in response.path}

    await decide(system, WITHDRAW, LI, WANG)
    one, other = await system.profiles(LI, WANG)
    assert one == other


async def test_decision_about_unknown_identifiers_applies_when_they_are_seen(
    system: WholeSystem,
) -> None:
    await decide(system, SEPARATE, LI, WANG)
    await decide(system, LINK, LI, "email:li@example.cn")
    await system.send("alias", LI, WANG)
    await system.send("seen", "email:li@example.cn")
    await system.drain()
    li, wang, mail = await system.profiles(LI, WANG, "email:li@example.cn")
    assert li == mail != wang


async def test_withdraw_without_a_decision_is_not_found(system: WholeSystem) -> None:
    await system.send("alias", LI, WANG)
    with pytest.raises(NotFound, match="no decision"):
        await decide(system, WITHDRAW, LI, WANG)
    await decide(system, LINK, LI, WANG)
    await decide(system, WITHDRAW, LI, WANG)
    await decide(system, WITHDRAW, LI, WANG)  # a repeated withdrawal is no error
    assert len(await decisions_in_the_log(system)) == 2


INVALID: list[tuple[Any, str, str]] = [
    ({"b": identifier(WANG), "reason": "r"}, "a", "required"),
    (pair(LI, LI) | {"reason": "r"}, "b", "same identifier"),
    (pair("phone:13800000001", "phone:+86 138 0000 0001") | {"reason": "r"}, "b", "same"),
    (pair(LI, "phone:12") | {"reason": "r"}, "b", "invalid or a placeholder"),
    (pair(LI, "e mail:x") | {"reason": "r"}, "b", "a-z"),
    (pair(LI, WANG), "reason", "required"),
    (pair(LI, WANG) | {"reason": "x" * 501}, "reason", "at most 500"),
]


async def test_invalid_decision_is_rejected_with_its_field(system: WholeSystem) -> None:
    identity = system.service.identity
    for fields, field, text in INVALID:
        for decision in (LINK, SEPARATE, WITHDRAW):
            with pytest.raises(InvalidField, match=text) as error:
                await identity.RecordDecision(pb.RecordDecisionRequest(**fields, decision=decision))
            assert error.value.field == field
    for number in (0, 7):
        request = pb.RecordDecisionRequest(**pair(LI, WANG), reason="r", decision=number)  # type: ignore[arg-type]
        with pytest.raises(InvalidField, match="DECISION_LINK") as error:
            await identity.RecordDecision(request)
        assert error.value.field == "decision"
    for fields, field, _ in INVALID[:5]:
        ends = {name: fields[name] for name in ("a", "b") if name in fields}
        with pytest.raises(InvalidField) as error:
            await identity.ExplainMatch(pb.ExplainMatchRequest(**ends))
        assert error.value.field == field
    assert await decisions_in_the_log(system) == []


async def test_source_key_may_not_read_or_decide(system: WholeSystem) -> None:
    identity = system.source.identity
    requests = {
        "ExplainMatch": pb.ExplainMatchRequest(**pair(LI, WANG)),
        "RecordDecision": pb.RecordDecisionRequest(**pair(LI, WANG), decision=LINK, reason="r"),
        "ListHeld": pb.ListHeldRequest(),
        "GetPolicy": pb.GetPolicyRequest(),
        "DefinePolicy": pb.DefinePolicyRequest(),
        "AssessMatches": pb.AssessMatchesRequest(),
        "ListMatches": pb.ListMatchesRequest(),
    }
    for method, request in requests.items():
        with pytest.raises(NotAllowed):
            await getattr(identity, method)(request)
    streams = {"PreviewPolicy": pb.PreviewPolicyRequest(), "WatchMerges": pb.WatchMergesRequest()}
    for method, request in streams.items():
        with pytest.raises(NotAllowed):
            [_ async for _ in getattr(identity, method)(request, timeout=10.0)]


async def test_list_held_in_pages_returns_every_edge_once(system: WholeSystem) -> None:
    users = [f"user_id:p{n}" for n in range(7)]
    for user in users:
        await system.send("seen", user, PHONE)
    for user in users[1:]:
        await decide(system, SEPARATE, users[0], user)
    every = (await list_held(system, page_size=100)).held
    found, token = [], ""
    while True:
        response = await list_held(system, page_size=2, page_token=token)
        assert len(response.held) <= 2
        found += response.held
        token = response.next_page_token
        if not token:
            break
    assert len(found) >= 3
    assert found == list(every)
    assert all(held.profile_id_a != held.profile_id_b for held in found)
    assert (await list_held(system, reason=pb.HELD_REASON_BLOCKED)).held == []
    for fields in ({"page_size": 1_001}, {"page_token": "?"}, {"reason": 99}):
        with pytest.raises(InvalidField) as error:
            await list_held(system, **fields)
        assert error.value.field == next(iter(fields))


async def test_explain_as_of_a_token_returns_the_path_of_then(system: WholeSystem) -> None:
    await system.send("seen", LI, PHONE)
    before = await system.drain()
    await system.send("seen", PHONE, "anonymous_id:a-1")
    linked = await system.drain()
    await decide(system, SEPARATE, LI, PHONE, "not hers")
    now = await explain(system, LI, "anonymous_id:a-1")
    assert not now.same
    past = await explain(system, LI, "anonymous_id:a-1", as_of=linked)
    assert past.same
    assert [edge.b.value for edge in past.path] == ["+8613800000001", "a-1"]
    assert [edge.a.value for edge in past.path] == ["li", "+8613800000001"]
    assert past.token == linked
    earlier = await explain(system, LI, "anonymous_id:a-1", as_of=before)
    assert (earlier.same, earlier.profile_id_b, list(earlier.path)) == (False, "", [])


async def test_explain_unknown_identifier_has_no_path(system: WholeSystem) -> None:
    await system.send("seen", LI)
    await system.drain()
    response = await explain(system, LI, "user_id:absent")
    assert (response.same, response.profile_id_b, list(response.path)) == (False, "", [])
    assert response.profile_id_a == (await system.profiles(LI))[0]


def match(a: str, b: str, assessment: facts_pb.Assessment, **fields: Any) -> facts_pb.MatchAssessed:
    defaults: dict[str, Any] = {"probability": 0.97, "model_version": "people-1"}
    return facts_pb.MatchAssessed(**pair(a, b), assessment=assessment, **(defaults | fields))


async def assess(system: WholeSystem, *matches: facts_pb.MatchAssessed) -> None:
    await system.service.identity.AssessMatches(pb.AssessMatchesRequest(matches=matches))
    await system.drain()


async def list_matches(system: WholeSystem, **fields: Any) -> list[tuple[str, str, int]]:
    response = await system.service.identity.ListMatches(pb.ListMatchesRequest(**fields))
    return [(one.a.value, one.b.value, int(one.assessment)) for one in response.matches]


async def test_accepted_match_joins_profiles_for_its_purpose_alone(system: WholeSystem) -> None:
    mail, card = "email:li@example.cn", "member_id:77"
    for name in (LI, mail, card, WANG):
        await system.send("seen", name)
    await system.drain()
    plain = await system.profiles(LI, mail, card)
    accepted, review = facts_pb.ASSESSMENT_ACCEPTED, facts_pb.ASSESSMENT_TO_REVIEW
    await assess(
        system,
        match(LI, mail, accepted, purposes=["analytics"]),
        match(mail, card, review, probability=0.6),
        match(LI, WANG, accepted, purposes=["analytics"]),
    )
    assert await system.profiles(LI, mail, card) == plain
    assert await system.profiles(LI, mail, purpose="mail") == plain[:2]
    one, same, other = await system.profiles(LI, mail, card, purpose="analytics")
    assert one == same != other
    li, wang = await system.profiles(LI, WANG, purpose="analytics")
    assert li != wang, "never against a limit"
    assert len(await list_matches(system)) == 3
    (to_review,) = await list_matches(system, assessment=review)
    assert {to_review[0], to_review[1]} == {"li@example.cn", "77"}

    await decide(system, SEPARATE, LI, mail)
    one, other = await system.profiles(LI, mail, purpose="analytics")
    assert one != other, "never against a decision"
    await assess(system, match(LI, mail, facts_pb.ASSESSMENT_REJECTED))
    assert len(await list_matches(system, assessment=accepted)) == 1


async def test_assess_matches_with_one_invalid_match_records_none(system: WholeSystem) -> None:
    valid = match(LI, WANG, facts_pb.ASSESSMENT_TO_REVIEW)
    invalid: list[tuple[list[facts_pb.MatchAssessed], type[OnefoldError]]] = [
        ([], InvalidField),
        ([valid] * 1_001, TooLarge),
        ([valid, match(LI, LI, facts_pb.ASSESSMENT_TO_REVIEW)], InvalidField),
        ([valid, match(LI, WANG, facts_pb.ASSESSMENT_ACCEPTED)], InvalidField),
    ]
    for matches, kind in invalid:
        with pytest.raises(kind):
            await assess(system, *matches)
    assert await list_matches(system) == []
