"""Corrections by people and scores of models are facts that profile folds, shows and rebuilds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import START_US, SourceEvent
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded, TagDefined, TraitCorrected
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.chassis.codec.rules import rule_to_proto
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.trust import Party, SourceTrust

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
ANN, DEVICE = Identifier("user_id", "ann"), Identifier("anonymous_id", "d-1")
BY_ANN = {"identifier": IdentifierMessage(namespace="user_id", value="ann")}
BY_DEVICE = {"identifier": IdentifierMessage(namespace="anonymous_id", value="d-1")}
BY_STRANGER = {"identifier": IdentifierMessage(namespace="user_id", value="nobody")}


def event(
    number: int,
    *who: Identifier,
    source: str = "crm",
    party: Party = Party.FIRST,
    touch: bytes = b"",
    **more: Any,
) -> Fact:
    """Return an event as ingest stores it."""
    sent = SourceEvent(who, START_US + number, number, **more)
    fact = sent.fact()
    message: Any = Event.FromString(fact.payload)
    message.party, message.touch = party, touch
    fact.payload, fact.source_id = message.SerializeToString(), source
    return fact


def stated(number: int, *who: Identifier, **more: Any) -> Fact:
    return event(number, *who, type="identify", **more)


EVENTS = [
    stated(1, ANN, traits={"city": "Berlin", "age": 30}, trust=SourceTrust.SYSTEM_OF_RECORD),
    stated(2, ANN, traits={"city": "sold", "job": "x"}, party=Party.THIRD, source="vendor"),
    event(3, DEVICE, touch=b'{"click_id":"7","click_id_type":"gclid","source":"ads"}'),
    event(4, ANN, DEVICE, touch=b'{"medium":"mail","source":"letter"}'),
]


async def get(stack: ProfileStack, **by: Any) -> pb.Profile:
    request = pb.GetProfileRequest(**(by or BY_ANN), at_least=stack.token)
    return (await stack.profile.GetProfile(request)).profile


async def correct(stack: ProfileStack, **fields: Any) -> pb.CorrectTraitResponse:
    by = fields.pop("by", BY_ANN)
    correction = TraitCorrected(trait="city", reason="typing error", **fields)
    response = await stack.profile.CorrectTrait(pb.CorrectTraitRequest(**by, correction=correction))
    stack.token = response.token
    assert isinstance(response, pb.CorrectTraitResponse)
    return response


def score_of(score: float, as_of_us: int, by: Any = BY_ANN, model: str = "churn") -> pb.PersonScore:
    recorded = ScoreRecorded(model_id=model, model_version="7", score=score, as_of_us=as_of_us)
    return pb.PersonScore(**by, score=recorded)


async def record(stack: ProfileStack, *scores: pb.PersonScore) -> pb.RecordScoresResponse:
    response = await stack.profile.RecordScores(pb.RecordScoresRequest(scores=scores))
    stack.token = response.token
    assert isinstance(response, pb.RecordScoresResponse)
    return response


def shown(profile: pb.Profile) -> dict[str, tuple[bytes, str, int]]:
    return {t.name: (t.value, t.source_id, t.party) for t in profile.traits}


async def check_timeline(stack: ProfileStack, author: str) -> None:
    timeline = await stack.profile.ListTimeline(pb.ListTimelineRequest(**BY_ANN))
    kinds = [entry.kind.rpartition(".")[2] for entry in timeline.entries]
    assert kinds.count("TraitCorrected") == 4
    assert kinds.count("ScoreRecorded") == 3
    assert kinds.count("Event") == len(EVENTS)
    [last, *_] = [e for e in timeline.entries if e.HasField("correction")]
    assert (last.correction.trait, last.correction.value) == ("city", b'"Bonn"')
    assert last.actor == author


async def test_profile_shows_sources_parties_touches_corrections_and_scores_also_when_rebuilt(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        await stack.append(EVENTS)
        await stack.tick()
        before = await get(stack)
        assert shown(before) == {
            "age": (b"30", "crm", 1),
            "city": (b'"Berlin"', "crm", 1),
            "job": (b'"x"', "vendor", 3),
        }
        assert (before.first_touch.source, before.first_touch.click_id) == ("ads", "7")
        assert (before.last_touch.source, before.last_touch.medium) == ("letter", "mail")

        # A correction wins, once; the statements of the sources stay.
        assert (await correct(stack, value=b'"Bonn"')).changed
        assert not (await correct(stack, value=b' "Bonn"')).changed
        corrected = await get(stack)
        [city] = [trait for trait in corrected.traits if trait.name == "city"]
        assert (city.value, city.correction.reason) == (b'"Bonn"', "typing error")
        assert city.correction.actor.startswith("key_")
        assert corrected.event_count == before.event_count

        # It stays with the identifier that was named, and the last one counts for the profile.
        by_id = {"profile_id": corrected.profile_id}
        assert (await correct(stack, by=BY_DEVICE, value=b'"Kiel"')).changed
        assert shown(await get(stack, **by_id))["city"][0] == b'"Kiel"'
        assert (await correct(stack, by=by_id, withdrawn=True)).changed
        assert shown(await get(stack)) == shown(before)
        with pytest.raises(NotFound):
            await correct(stack, withdrawn=True)
        assert (await correct(stack, value=b'"Bonn"')).changed, "again, after it was withdrawn"

        # Scores: the last one by its own time counts, and a repeat is a duplicate.
        scores = (score_of(0.9, START_US + 9), score_of(0.2, START_US + 5, BY_DEVICE))
        response = await record(stack, *scores)
        assert (response.recorded, response.duplicates) == (2, 0)
        response = await record(stack, *scores, score_of(1.0, START_US, model="buy"))
        assert (response.recorded, response.duplicates) == (1, 2)
        found = await get(stack)
        assert [(p.model_id, p.score, p.model_version) for p in found.predictions] == [
            ("buy", 1.0, "7"),
            ("churn", 0.9, "7"),
        ]

        await check_timeline(stack, city.correction.actor)
        await stack.tick()
        for options in ({"shards": 5}, {"switch_over": True}):
            response = await stack.rebuild(**options)
            assert response.rebuilt_digests == response.live_digests, response.differing_rows
        assert response.switched
        assert await get(stack) == found


async def test_rules_read_touches_corrections_and_bands_of_scores(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        await stack.append(EVENTS)
        await stack.tick()
        rules = {
            "from_ads": {"trait": {"name": "first_touch.source", "eq": "ads"}},
            "corrected": {"trait": {"name": "city", "eq": "Bonn"}},
            "of_the_crm": {"trait": {"name": "city", "from": "crm", "exists": True}},
            "bought_job": {"trait": {"name": "job", "party": "third", "exists": True}},
            "own_job": {"trait": {"name": "job", "party": ["first", "second"], "exists": True}},
        }
        for tag_id, form in rules.items():
            tag = TagDefined(tag_id=tag_id, rule=rule_to_proto(parse_rule(form)))
            stack.token = (await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))).token
        bands = [
            {"value": value, "rule": {"trait": {"name": "score.churn", "at_least": least}}}
            for value, least in (("high", 0.8), ("low", 0.0))
        ]
        values: Any = [
            {"value": b["value"], "rule": rule_to_proto(parse_rule(b["rule"]))} for b in bands
        ]
        tag = TagDefined(tag_id="churn", values=values)
        stack.token = (await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))).token

        async def tags() -> dict[str, str]:
            await stack.reach()
            return {tag.tag_id: tag.value for tag in (await get(stack)).tags}

        assert await tags() == {"from_ads": "", "of_the_crm": "", "bought_job": ""}
        await correct(stack, value=b'"Bonn"')
        await record(stack, score_of(0.3, START_US + 1))
        assert await tags() == {"from_ads": "", "corrected": "", "bought_job": "", "churn": "low"}
        await record(stack, score_of(0.85, START_US + 2))
        await correct(stack, withdrawn=True)
        assert await tags() == {"from_ads": "", "of_the_crm": "", "bought_job": "", "churn": "high"}
        rule = rule_to_proto(parse_rule(rules["of_the_crm"]))
        request = pb.ExplainRuleRequest(**BY_ANN, rule=rule, at_least=stack.token)
        [predicate] = (await stack.profile.ExplainRule(request)).predicates
        assert (predicate.holds, predicate.source_id) == (True, "crm")


async def test_strangers_and_accounts_are_neither_corrected_nor_scored(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        joined = SourceEvent((ANN,), START_US, 1, "", "group", group_id="acme")
        await stack.ingest([joined])
        account = {"identifier": IdentifierMessage(namespace="account_id", value="acme")}
        now_us = START_US
        for by in (BY_STRANGER, account):
            with pytest.raises(NotFound):
                await correct(stack, by=by, value=b'"Bonn"')
            with pytest.raises(InvalidField) as error:
                await record(stack, score_of(0.5, now_us), score_of(0.5, now_us, by))
            assert error.value.field == "scores[1]"
        with pytest.raises(InvalidField) as error:
            await record(stack, score_of(0.5, 2**62))
        assert error.value.field == "scores[0].score.as_of_us"
        assert not (await get(stack)).predictions, "all of a batch is recorded, or none"


async def test_person_of_another_workspace_is_neither_corrected_nor_scored(
    open_stack: OpenStack,
) -> None:
    async with open_stack(workspace_id="another") as stack:
        await stack.append(EVENTS)  # of the workspace `school`
        await stack.tick()
        with pytest.raises(NotFound):
            await correct(stack, value=b'"Bonn"')
        with pytest.raises(InvalidField):
            await record(stack, score_of(0.5, START_US))
