"""What people decide about two identifiers, through the door, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import MakeSettings

from services.kernel.errors import InvalidField, NotAllowed, NotFound, OnefoldError, TooLarge

OpenWhole = Callable[[], AbstractAsyncContextManager[WholeSystem]]
LI, WANG, PHONE = "user_id:li", "user_id:wang", "phone:13800000001"


@pytest.fixture
def open_whole(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenWhole:
    return lambda: whole_system(make_settings, internal_key, tmp_path, "ingest", "identity")


def pair(a: str, b: str) -> dict[str, Identifier]:
    return {"a": identifier(a), "b": identifier(b)}


async def decide(home: WholeSystem, word: str, a: str, b: str, reason: str = "she called") -> Any:
    """Decide, wait until identity knows, and give the token."""
    stub = home.service.identity
    if word == "withdraw":
        request: Any = pb.DecideRequest(
            **pair(a, b), decision=facts_pb.DECISION_WITHDRAW, reason=reason
        )
        answer = await stub.Decide(request)
    else:
        kind = {"link": pb.LinkRequest, "separate": pb.SeparateRequest}[word]
        method = {"link": stub.Link, "separate": stub.Separate}[word]
        answer = await method(kind(**pair(a, b), reason=reason))
    await home.drain()
    return answer.token


async def explain(home: WholeSystem, a: str, b: str, **fields: Any) -> Any:
    request = pb.ExplainMatchRequest(**pair(a, b), **fields)
    return await home.service.identity.ExplainMatch(request)


async def held(home: WholeSystem, **fields: Any) -> Any:
    request = pb.ListHeldRequest(**fields)
    return await home.service.identity.ListHeld(request)


async def decisions_in_the_log(home: WholeSystem) -> list[tuple[int, str, str]]:
    """Decision, reason and actor of each, shard by shard in order."""
    head = await home.internal.log.GetHead(log_pb.GetHeadRequest())
    found = []
    for shard, until in enumerate(head.token.offsets):
        kinds = [facts_pb.LinkDecided.DESCRIPTOR.full_name]
        request = log_pb.ReadRequest(shard=shard, end_offset=until, kinds=kinds)
        async for answer in home.internal.log.Read(request):
            for fact in answer.batch.facts:
                told = facts_pb.LinkDecided.FromString(fact.payload)
                found.append((told.decision, told.reason, fact.actor))
    return found


async def test_who_was_linked_is_separated_and_linked_again(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        await home.send("seen", LI)
        await home.send("seen", WANG)
        await home.drain()
        apart = await home.profiles(LI, WANG)
        assert apart[0] != apart[1]

        await decide(home, "link", LI, WANG)
        one, other = await home.profiles(LI, WANG)
        assert one == other
        answer = await explain(home, LI, WANG)
        (edge,) = answer.path
        assert answer.same
        assert (edge.strength, edge.reason) == (facts_pb.EVIDENCE_KIND_DECIDED, "she called")
        assert edge.actor.startswith("key_")

        await decide(home, "separate", WANG, LI, "it was her brother")
        assert await home.profiles(LI, WANG) == apart
        await decide(home, "link", LI, WANG)
        one, other = await home.profiles(LI, WANG)
        assert one == other
        told = await decisions_in_the_log(home)
        assert [d for d, _, _ in told] == [1, 2, 1]
        assert len({actor for _, _, actor in told}) == 1


async def test_saying_it_again_adds_no_fact(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        await home.send("seen", LI, PHONE)
        for _ in range(3):
            await decide(home, "separate", LI, PHONE)
        await decide(home, "separate", PHONE, LI)
        assert len(await decisions_in_the_log(home)) == 1
        await decide(home, "separate", LI, PHONE, "another reason")
        ((_, reason, _),) = await decisions_in_the_log(home)
        assert reason == "she called", "what holds already is not said again"


async def test_a_separation_holds_against_all_evidence_and_can_be_withdrawn(
    open_whole: OpenWhole,
) -> None:
    async with open_whole() as home:
        await home.send("alias", LI, WANG)
        await home.drain()
        one, other = await home.profiles(LI, WANG)
        assert one == other
        await decide(home, "separate", LI, WANG, "two people")
        await home.send("alias", LI, WANG)
        await home.send("seen", LI, PHONE)
        await home.send("seen", WANG, PHONE)
        await home.drain()
        one, other = await home.profiles(LI, WANG)
        assert one != other

        reasons = {h.edge.held for h in (await held(home)).held}
        assert pb.HELD_REASON_SEPARATED in reasons
        answer = await explain(home, LI, WANG)
        assert not answer.same
        assert pb.HELD_REASON_SEPARATED in {edge.held for edge in answer.path}

        await decide(home, "withdraw", LI, WANG)
        one, other = await home.profiles(LI, WANG)
        assert one == other


async def test_a_decision_waits_for_those_who_are_not_known_yet(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        await decide(home, "separate", LI, WANG)
        await decide(home, "link", LI, "email:li@example.cn")
        await home.send("alias", LI, WANG)
        await home.send("seen", "email:li@example.cn")
        await home.drain()
        li, wang, mail = await home.profiles(LI, WANG, "email:li@example.cn")
        assert li == mail != wang


async def test_there_must_be_something_to_take_back(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        await home.send("alias", LI, WANG)
        with pytest.raises(NotFound, match="nothing was decided"):
            await decide(home, "withdraw", LI, WANG)
        await decide(home, "link", LI, WANG)
        await decide(home, "withdraw", LI, WANG)
        await decide(home, "withdraw", LI, WANG)  # the same again is no error
        assert len(await decisions_in_the_log(home)) == 2


BAD: list[tuple[Any, str, str]] = [
    ({"b": identifier(WANG), "reason": "r"}, "a", "required"),
    (pair(LI, LI) | {"reason": "r"}, "b", "same identifier"),
    (pair("phone:13800000001", "phone:+86 138 0000 0001") | {"reason": "r"}, "b", "same"),
    (pair(LI, "phone:12") | {"reason": "r"}, "b", "names nobody"),
    (pair(LI, "e mail:x") | {"reason": "r"}, "b", "a-z"),
    (pair(LI, WANG), "reason", "say why"),
    (pair(LI, WANG) | {"reason": "x" * 501}, "reason", "at most 500"),
]


async def test_what_cannot_be_decided_is_refused_with_its_field(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        stub = home.service.identity
        link: Any = facts_pb.DECISION_LINK
        for fields, field, told in BAD:
            for method, request in (
                (stub.Link, pb.LinkRequest(**fields)),
                (stub.Separate, pb.SeparateRequest(**fields)),
                (stub.Decide, pb.DecideRequest(**fields, decision=link)),
            ):
                with pytest.raises(InvalidField, match=told) as refused:
                    await method(request)
                assert refused.value.field == field
        for decision in (0, 7):
            request = pb.DecideRequest(**pair(LI, WANG), reason="r", decision=decision)  # type: ignore[arg-type]
            with pytest.raises(InvalidField, match="DECISION_LINK") as refused:
                await stub.Decide(request)
            assert refused.value.field == "decision"
        for fields, field, _ in BAD[:5]:
            ends = {name: fields[name] for name in ("a", "b") if name in fields}
            with pytest.raises(InvalidField) as refused:
                await stub.ExplainMatch(pb.ExplainMatchRequest(**ends))
            assert refused.value.field == field
        assert await decisions_in_the_log(home) == []


async def test_a_source_may_not_look_or_decide(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        stub = home.source.identity
        requests = {
            "ExplainMatch": pb.ExplainMatchRequest(**pair(LI, WANG)),
            "Link": pb.LinkRequest(**pair(LI, WANG), reason="r"),
            "Separate": pb.SeparateRequest(**pair(LI, WANG), reason="r"),
            "Decide": pb.DecideRequest(),
            "ListHeld": pb.ListHeldRequest(),
            "GetPolicy": pb.GetPolicyRequest(),
            "DefinePolicy": pb.DefinePolicyRequest(),
            "AssessMatches": pb.AssessMatchesRequest(),
            "ListMatches": pb.ListMatchesRequest(),
        }
        for method, request in requests.items():
            with pytest.raises(NotAllowed):
                await home.source.call(getattr(stub, method), request)
        streams = {
            "PreviewPolicy": pb.PreviewPolicyRequest(),
            "WatchMerges": pb.WatchMergesRequest(),
        }
        for method, request in streams.items():
            with pytest.raises(NotAllowed):
                [_ async for _ in home.source.stream(getattr(stub, method), request, 10.0)]


async def test_what_is_held_is_listed_page_by_page(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        people = [f"user_id:p{n}" for n in range(7)]
        for person in people:
            await home.send("seen", person, PHONE)
        for person in people[1:]:
            await decide(home, "separate", people[0], person)
        whole_list = (await held(home, page_size=100)).held
        found, token = [], ""
        while True:
            answer = await held(home, page_size=2, page_token=token)
            assert len(answer.held) <= 2
            found += answer.held
            token = answer.next_page_token
            if not token:
                break
        assert len(found) >= 3
        assert found == list(whole_list)
        assert all(h.profile_id_a != h.profile_id_b for h in found)
        assert (await held(home, reason=pb.HELD_REASON_BLOCKED)).held == []
        for fields in ({"page_size": 1_001}, {"page_token": "?"}, {"reason": 99}):
            with pytest.raises(InvalidField) as refused:
                await held(home, **fields)
            assert refused.value.field == next(iter(fields))


async def test_why_they_were_one_is_told_as_of_then(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        await home.send("seen", LI, PHONE)
        before = await home.drain()
        await home.send("seen", PHONE, "anonymous_id:a-1")
        linked = await home.drain()
        await decide(home, "separate", LI, PHONE, "not hers")
        now = await explain(home, LI, "anonymous_id:a-1")
        assert not now.same
        then = await explain(home, LI, "anonymous_id:a-1", as_of=linked)
        assert then.same
        assert [e.b.value for e in then.path] == ["+8613800000001", "a-1"]
        assert [e.a.value for e in then.path] == ["li", "+8613800000001"]
        assert then.token == linked
        earlier = await explain(home, LI, "anonymous_id:a-1", as_of=before)
        assert (earlier.same, earlier.profile_id_b, list(earlier.path)) == (False, "", [])


async def test_strangers_are_explained_by_nothing(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        await home.send("seen", LI)
        await home.drain()
        answer = await explain(home, LI, "user_id:nobody")
        assert (answer.same, answer.profile_id_b, list(answer.path)) == (False, "", [])
        assert answer.profile_id_a == (await home.profiles(LI))[0]


def match(a: str, b: str, judgement: Any, **fields: Any) -> facts_pb.MatchAssessed:
    told: dict[str, Any] = {"probability": 0.97, "model_version": "people-1"} | fields
    return facts_pb.MatchAssessed(**pair(a, b), assessment=judgement, **told)


async def judge(home: WholeSystem, *matches: facts_pb.MatchAssessed) -> None:
    request = pb.AssessMatchesRequest(matches=matches)
    await home.service.identity.AssessMatches(request)
    await home.drain()


async def listed(home: WholeSystem, **fields: Any) -> list[tuple[str, str, int]]:
    request = pb.ListMatchesRequest(**fields)
    answer = await home.service.identity.ListMatches(request)
    return [(m.a.value, m.b.value, m.assessment) for m in answer.matches]


async def test_matches_are_used_for_their_purpose_and_change_nobody(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        mail, card = "email:li@example.cn", "member_id:77"
        for who in (LI, mail, card, WANG):
            await home.send("seen", who)
        await home.drain()
        plain = await home.profiles(LI, mail, card)
        accepted, review = facts_pb.ASSESSMENT_ACCEPTED, facts_pb.ASSESSMENT_TO_REVIEW
        await judge(
            home,
            match(LI, mail, accepted, purposes=["analytics"]),
            match(mail, card, review, probability=0.6),
            match(LI, WANG, accepted, purposes=["analytics"]),
        )
        assert await home.profiles(LI, mail, card) == plain
        assert await home.profiles(LI, mail, purpose="mail") == plain[:2]
        one, same, other = await home.profiles(LI, mail, card, purpose="analytics")
        assert one == same != other
        li, wang = await home.profiles(LI, WANG, purpose="analytics")
        assert li != wang, "never against a limit"
        assert len(await listed(home)) == 3
        (waits,) = await listed(home, judgement=review)
        assert {waits[0], waits[1]} == {"li@example.cn", "77"}

        await decide(home, "separate", LI, mail)
        one, other = await home.profiles(LI, mail, purpose="analytics")
        assert one != other, "never against a decision"
        await judge(home, match(LI, mail, facts_pb.ASSESSMENT_REJECTED))
        assert len(await listed(home, judgement=accepted)) == 1


async def test_wrong_judgements_are_refused_whole(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        good = match(LI, WANG, facts_pb.ASSESSMENT_TO_REVIEW)
        wrong: list[tuple[list[facts_pb.MatchAssessed], type[OnefoldError]]] = [
            ([], InvalidField),
            ([good] * 1_001, TooLarge),
            ([good, match(LI, LI, facts_pb.ASSESSMENT_TO_REVIEW)], InvalidField),
            ([good, match(LI, WANG, facts_pb.ASSESSMENT_ACCEPTED)], InvalidField),
        ]
        for matches, kind in wrong:
            with pytest.raises(kind):
                await judge(home, *matches)
        assert await listed(home) == []
