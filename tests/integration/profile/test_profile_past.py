"""Tests profiles and explanations of the past behind the real log and the real identity."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from integration.profile.profile_stack import ProfileStack
from laws.identity_model import ExpectedState, ModelDecision, ModelEvent, expected_state
from laws.profile_model import (
    RULES,
    START_US,
    WORKSPACE,
    SourceEvent,
    decision_fact,
    definition,
    related_objects,
)
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from oracle.rules_oracle import rule_holds

from services.chassis.codec.rules import rule_to_proto
from services.identity.domain.evidence import DecisionKind
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import ACCOUNT_ID, Identifier
from services.kernel.ids import IdentifierId
from services.kernel.rules.features import Related, Trait
from services.kernel.rules.model import All, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of, events_named, trait_is

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
ANN, USER = Identifier("anonymous_id", "a-1"), Identifier("user_id", "u-1")
BEN = Identifier("anonymous_id", "a-2")
VIEWED = count_of(events_named("viewed"), 0, Operator.GE, 2)
TAGS: dict[str, Rule] = {
    **{f"rule{number}": rule for number, rule in enumerate(RULES)},
    "scored": Predicate(Trait("score.m1"), Operator.GE, 1),
    "of two accounts": Predicate(Related("account"), Operator.GE, 2),
    "touched": Predicate(Trait("last_touch.source"), Operator.EQ, "a"),
}
SEGMENTS = {"often": VIEWED, "northern": trait_is("city", Operator.EQ, "北京市")}
#: Two accounts are found to be one, after most events.
LINK = ModelDecision(
    Identifier(ACCOUNT_ID, "g0"),
    Identifier(ACCOUNT_ID, "g1"),
    DecisionKind.LINK,
    START_US + 8 * DAY_US,
    1_000,
)
#: All identifiers of persons; some belong to one person.
POOL = [
    Identifier(namespace, f"n{n}")
    for n, namespace in enumerate(("user_id", "anonymous_id", "device_id") * 3)
]


def message_of(identifier: Identifier) -> IdentifierMessage:
    return IdentifierMessage(namespace=identifier.namespace, value=identifier.value)


async def define(stack: ProfileStack, tag_id: str, rule: Rule, **more: object) -> int:
    tag = facts_pb.TagDefined(tag_id=tag_id, title="t", rule=rule_to_proto(rule), **more)
    response = await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))
    stack.token = response.token
    return int(response.tag.version)


async def get(stack: ProfileStack, identifier: Identifier, **as_of: object) -> pb.Profile:
    request = pb.GetProfileRequest(identifier=message_of(identifier), at_least=stack.token, **as_of)
    return (await stack.profile.GetProfile(request)).profile


async def list_facts(stack: ProfileStack, identifier: Identifier, **fields: object) -> list[str]:
    """Return the ids of the facts of a timeline, newest first."""
    request = pb.ListTimelineRequest(identifier=message_of(identifier), **fields)
    response = await stack.profile.ListTimeline(request)
    return [entry.fact_id for entry in response.entries]


async def get_all(
    stack: ProfileStack, identifiers: Sequence[Identifier], **as_of: object
) -> dict[Identifier, pb.Profile | None]:
    """Return the profile of each identifier; None for one that was not seen."""
    found: dict[Identifier, pb.Profile | None] = {}
    for identifier in identifiers:
        try:
            found[identifier] = await get(stack, identifier, **as_of)
        except NotFound:
            found[identifier] = None
    return found


async def explain(
    stack: ProfileStack, identifier: Identifier, segment_id: str, **as_of: object
) -> pb.ExplainMembershipResponse:
    request = pb.ExplainMembershipRequest(
        identifier=message_of(identifier), segment_id=segment_id, at_least=stack.token, **as_of
    )
    response = await stack.profile.ExplainMembership(request)
    assert isinstance(response, pb.ExplainMembershipResponse)
    return response


def make_events(rng: random.Random, number: int) -> list[SourceEvent]:
    """Return facts of every kind at different instants about few people, in no order of time."""
    hours = rng.sample(range(10 * 24), number)
    events = [make_event(rng, START_US + hours[n] * HOUR_US, n) for n in range(number)]
    events[0] = replace(events[0], type="identify", identifiers=(POOL[0],), group_id="")
    # What people and models say is about identifiers that were seen before.
    for n, event in enumerate(events):
        if event.is_record:
            seen = [other.identifiers[0] for other in events[:n] if not other.is_record]
            events[n] = replace(event, identifiers=(rng.choice([*seen, POOL[0]]),))
    return events


def make_event(rng: random.Random, at_us: int, number: int) -> SourceEvent:
    """Return an event, a correction or a score."""
    names = tuple(rng.sample(POOL, rng.choice([1, 1, 2])))
    kinds = (*("track",) * 3, "identify", "page", *("group",) * 4, "correction", "score")
    type_, city = rng.choice(kinds), rng.choice(["北京市", "上海市"])
    made = SourceEvent(names, at_us, number, "", type_, trust=SourceTrust.SERVER)
    touch = {"source": rng.choice("ab")} if rng.random() < 0.2 else {}
    match type_:
        case "correction":
            return replace(made, name="city", properties=rng.choice(({"value": city}, {})))
        case "score":
            return replace(made, name="m1", properties={"score": rng.choice((0.5, 1.5))})
        case "group":
            group = rng.choice(("g0", "g0", "g1", "g1", "course:c0", "course:c1"))
            traits = {"city": city}
            domains = (Identifier("account_domain", "d.example"),) if rng.random() < 0.3 else ()
            return replace(made, traits=traits, group_id=group, group_identifiers=domains)
        case "identify":
            return replace(made, traits={"city": city, "age": rng.randrange(3)}, touch=touch)
        case "track" if rng.random() < 0.2:
            answer = {"purpose": "mail", "granted": rng.random() < 0.5}
            return replace(made, name="consent_changed", properties=answer)
        case "track":
            own = {"course": rng.choice("abc"), "price": rng.randrange(3)}
            name = rng.choice(["viewed", "bought", "trial"])
            return replace(made, name=name, properties=own, touch=touch)
        case _:
            return made


def check_profiles(
    found: dict[Identifier, pb.Profile | None],
    known: Sequence[SourceEvent],
    at_us: int,
    *,
    linked: bool,
) -> None:
    """Check profiles of the past against models that were fed what was known then."""
    state = expected_state([*evidence(known), *([LINK] if linked else [])])
    own: dict[bytes, list[SourceEvent]] = defaultdict(list)
    for event in known:
        if event.leaf in state.profiles:  # else it is a score of a person who was not seen by then
            own[state.profiles[event.leaf]].append(event)
    related = related_objects(known, state.profiles)
    for identifier, profile in found.items():
        if ids(identifier) not in state.profiles:
            assert profile is None
            continue
        profile_id = state.profiles[ids(identifier)]
        assert profile is not None
        assert bytes.fromhex(profile.profile_id) == profile_id
        members = {one for one in state.first_seen if state.profiles[ids(one)] == profile_id}
        assert {(i.namespace, i.value) for i in profile.identifiers} == members
        log = own[profile_id]
        assert profile.event_count == sum(not event.is_record for event in log)
        facts = [event.oracle_event() for event in log]
        holding = partial(rule_holds, events=facts, as_of_us=at_us, related=related.get(profile_id))
        stage = "active" if holding(VIEWED) else "silent"
        tags = [(tag_id, "") for tag_id, rule in TAGS.items() if holding(rule)]
        assert [(tag.tag_id, tag.value) for tag in profile.tags] == sorted([*tags, ("life", stage)])
        assert list(profile.past_segment_ids) == sorted(
            key for key, rule in SEGMENTS.items() if holding(rule)
        )
        answers = [e for e in sorted(log, key=instant) if e.name == "consent_changed"]
        assert [c.granted for c in profile.consents] == [
            event.properties["granted"] for event in answers[-1:]
        ]
        named = {state.profiles[ids(account(e))] for e in log if e.type == "group"}
        assert {tuple(own.account_ids) for own in profile.accounts} == {
            tuple(sorted(i.value for i in state.first_seen if is_account_of(i, one, state)))
            for one in named
        }


def evidence(known: Sequence[SourceEvent]) -> Iterator[ModelEvent]:
    """Yield the events as identity reads them; a group event has a second fact of the account."""
    for event in known:
        if not event.is_record:
            yield ModelEvent(event.identifiers, event.occurred_at_us, event.message)
        if event.type == "group":
            of_account = (account(event), *event.group_identifiers)
            yield ModelEvent(of_account, event.occurred_at_us, event.message)


def account(event: SourceEvent) -> Identifier:
    return Identifier(ACCOUNT_ID, event.group_id)


def is_account_of(one: Identifier, profile_id: bytes, state: ExpectedState) -> bool:
    return one.namespace == ACCOUNT_ID and state.profiles[ids(one)] == profile_id


def instant(event: SourceEvent) -> tuple[int, bytes]:
    return event.occurred_at_us, event.fact_id


def ids(identifier: Identifier) -> IdentifierId:
    return identifier.id_in(WORKSPACE, INDEX_KEY)


def comparable(found: dict[Identifier, pb.Profile | None]) -> dict[Identifier, Any]:
    """Return profiles without what only those of the past have, or only those of the present."""
    for profile in found.values():
        if profile is not None:
            profile.ClearField("past_segment_ids")
            profile.ClearField("other_identifier_ids")
    return found


async def test_past_profiles_equal_those_of_a_system_that_knows_only_the_facts_of_then(
    open_stack: OpenStack,
) -> None:
    rng = random.Random("past")
    events = make_events(rng, 60)
    async with open_stack() as stack:
        for tag_id, rule in TAGS.items():
            await define(stack, tag_id, rule)
        active = facts_pb.TagValue(value="active", rule=rule_to_proto(VIEWED))
        stages = facts_pb.TagDefined(
            tag_id="life", kind=facts_pb.TAG_KIND_STAGE, values=[active], default_value="silent"
        )
        await stack.profile.DefineTag(pb.DefineTagRequest(tag=stages))
        await stack.append(definition(key, rule) for key, rule in SEGMENTS.items())
        live, end = [], 0
        while end < len(events):
            start, end = end, end + rng.randrange(10, 20)
            await stack.append(fact for event in events[start:end] for fact in event.facts())
            if end >= len(events):
                await stack.append([decision_fact(LINK)])
            now_us = await stack.tick()
            live.append((stack.token, end, now_us, await get_all(stack, POOL)))
        for token, known, now_us, expected in live:
            found = await get_all(stack, POOL, as_of_token=token)
            check_profiles(found, events[:known], now_us, linked=known >= len(events))
            assert comparable(found) == comparable(expected)
        for at_us in rng.sample([event.occurred_at_us for event in events], 4):
            happened = [event for event in events if event.occurred_at_us <= at_us]
            found, linked = await get_all(stack, POOL, as_of_us=at_us), LINK.occurred_at_us <= at_us
            check_profiles(found, happened, at_us, linked=linked)


async def test_past_profile_before_a_merge_is_one_of_two_persons(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        now_us = await stack.tick()
        first = SourceEvent((ANN,), now_us - 5 * HOUR_US, 1)
        second = SourceEvent((BEN,), now_us - 4 * HOUR_US, 2)
        both = [
            SourceEvent((USER, one), now_us - HOUR_US, 3 + n) for n, one in enumerate((ANN, BEN))
        ]
        await stack.ingest([first, second])
        apart = stack.token
        await stack.ingest(both)
        whole = await get(stack, BEN)
        assert whole.event_count == 4
        assert len(await list_facts(stack, BEN)) == 4
        for as_of in ({"as_of_token": apart}, {"as_of_us": now_us - 2 * HOUR_US}):
            ben = await get(stack, BEN, **as_of)
            assert ben.event_count == 1
            assert ben.profile_id != whole.profile_id
            assert [(i.namespace, i.value) for i in ben.identifiers] == [BEN]
            timeline = await list_facts(stack, BEN, **as_of)
            assert timeline == [second.fact_id.hex()]
            assert await list_facts(stack, BEN, before_us=second.occurred_at_us, **as_of) == []
            with pytest.raises(NotFound):
                await get(stack, USER, **as_of)


async def test_membership_is_explained_by_the_definition_of_then_with_facts_and_what_is_missing(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        now_us = await stack.tick()
        assert await define(stack, "keen", VIEWED) == 1
        first = SourceEvent((USER,), now_us - 2 * DAY_US, 1)
        second = SourceEvent((USER,), now_us - DAY_US, 2)
        await stack.ingest([first])
        early = stack.token
        await stack.ingest([second])
        more = count_of(events_named("viewed"), 0, Operator.GE, 4)
        assert await define(stack, "keen", more) == 2
        await stack.reach()

        now = await explain(stack, USER, "tag:keen")
        assert (now.is_member, now.definition_version) == (False, 2)
        (predicate,) = now.explanation.root.children
        assert predicate.actual == b"2"
        facts = [second.fact_id.hex(), first.fact_id.hex()]
        assert list(predicate.fact_ids) == facts
        (missing,) = now.explanation.missing
        assert (missing.kind, missing.number) == (pb.MISSING_KIND_EVENT, 2)
        assert now.explanation.removed_count == 0

        past = await explain(stack, USER, "tag:keen", as_of_token=early)
        assert (past.is_member, past.definition_version) == (False, 1)
        assert past.explanation.missing[0].number == 1
        then = await explain(stack, USER, "tag:keen", as_of_us=first.occurred_at_us)
        assert (then.definition_version, then.explanation.missing[0].number) == (2, 3)

        named = Reference(ReferenceKind.TAG, "keen")
        request = pb.ExplainRuleRequest(
            identifier=message_of(USER), rule=rule_to_proto(named), as_of_token=early
        )
        ruled = await stack.profile.ExplainRule(request)
        assert ruled.explanation.root == past.explanation.root
        assert ruled.explanation.missing == past.explanation.missing
        assert [msgspec.json.decode(one.actual) for one in ruled.predicates] == [1]


async def test_rule_over_tags_is_explained_with_the_definitions_of_the_tags(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        now_us = await stack.tick()
        assert await define(stack, "keen", VIEWED) == 1
        assert await define(stack, "northern", SEGMENTS["northern"]) == 1
        viewed = [SourceEvent((USER,), now_us - day * DAY_US, day) for day in (1, 2)]
        await stack.ingest(viewed)
        await stack.reach()
        keen, northern = (Reference(ReferenceKind.TAG, tag) for tag in ("keen", "northern"))
        rule = All((keen, Not(northern)))
        request = pb.ExplainRuleRequest(identifier=message_of(USER), rule=rule_to_proto(rule))
        root = (await stack.profile.ExplainRule(request)).explanation.root
        assert root.holds
        first, second = root.children[0], root.children[1].children[0]
        for part, holds, word in ((first, True, "viewed"), (second, False, "北京市")):
            assert (part.part, part.holds) == (pb.RULE_PART_REFERENCE, holds)
            assert part.definition_version == 1
            assert word in part.children[0].text


async def test_membership_of_a_stage_is_explained_and_unknown_ones_are_refused(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        values = [facts_pb.TagValue(value="active", rule=rule_to_proto(VIEWED))]
        tag = facts_pb.TagDefined(
            tag_id="life",
            title="t",
            kind=facts_pb.TAG_KIND_STAGE,
            values=values,
            default_value="silent",
        )
        await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))
        now_us = await stack.tick()
        await stack.ingest([SourceEvent((USER,), now_us - DAY_US, 1)])
        silent = await explain(stack, USER, "stage:life=silent")
        assert silent.is_member
        assert silent.explanation.root.part == pb.RULE_PART_REFERENCE
        assert silent.explanation.missing[0].number == 1
        for unknown in ("stage:life", "stage:life=other", "tag:life", "nothing"):
            with pytest.raises(NotFound):
                await explain(stack, USER, unknown)
        with pytest.raises(InvalidField):
            await explain(stack, USER, "")
        with pytest.raises(InvalidField):
            await explain(stack, USER, "stage:life=silent", as_of_us=-1)
