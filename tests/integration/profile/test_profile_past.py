"""Tests profiles and explanations of the past behind the real log and the real identity."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import msgspec
import pytest
from integration.profile.profile_stack import ProfileStack
from laws.identity_model import ModelEvent, expected_state
from laws.profile_model import RULES, START_US, WORKSPACE, SourceEvent
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from oracle.rules_oracle import OracleEvent, rule_holds

from services.chassis.codec.rules import rule_to_proto
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.rules.model import Reference, ReferenceKind, Rule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.trust import SourceTrust
from tests.index_key import INDEX_KEY
from tests.rule_builders import count_of, events_named

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
ANN, USER = Identifier("anonymous_id", "a-1"), Identifier("user_id", "u-1")
BEN = Identifier("anonymous_id", "a-2")
TAGS = {f"rule{number}": rule for number, rule in enumerate(RULES)}
VIEWED = count_of(events_named("viewed"), 0, Operator.GE, 2)


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


def make_events(rng: random.Random, number: int) -> tuple[list[SourceEvent], list[Identifier]]:
    """Return events at different instants of few people, in no order of time."""
    namespaces = ["user_id", "anonymous_id", "device_id"]
    pool = [Identifier(rng.choice(namespaces), f"n{i}") for i in range(9)]
    hours = rng.sample(range(10 * 24), number)
    events = [
        SourceEvent(
            tuple(rng.sample(pool, rng.choice([1, 1, 2]))),
            START_US + hours[n] * HOUR_US,
            n,
            rng.choice(["viewed", "bought", "trial"]),
            rng.choice(["track", "track", "identify", "page"]),
            {"course": rng.choice("abc"), "price": rng.randrange(3)},
            {"city": rng.choice(["北京市", "上海市"]), "age": rng.randrange(3)},
            trust=SourceTrust.SERVER,
        )
        for n in range(number)
    ]
    return [replace(e, name="") if e.type == "page" else e for e in events], pool


def check_by_instant(
    found: dict[Identifier, pb.Profile | None], events: Sequence[SourceEvent], at_us: int
) -> None:
    """Check profiles of an instant against models that were fed what had occurred by then."""
    known = [event for event in events if event.occurred_at_us <= at_us]
    state = expected_state([ModelEvent(e.identifiers, e.occurred_at_us, e.message) for e in known])
    own: dict[bytes, list[SourceEvent]] = defaultdict(list)
    for event in known:
        own[state.profiles[event.leaf]].append(event)
    for identifier, profile in found.items():
        id_ = identifier.id_in(WORKSPACE, INDEX_KEY)
        if id_ not in state.profiles:
            assert profile is None
            continue
        profile_id = state.profiles[id_]
        assert profile is not None
        assert bytes.fromhex(profile.profile_id) == profile_id
        members = {one for one in state.first_seen if state.profiles[ids(one)] == profile_id}
        assert {(i.namespace, i.value) for i in profile.identifiers} == members
        assert profile.event_count == len(own[profile_id])
        log = list(map(oracle_event, own[profile_id]))
        true = [tag_id for tag_id, rule in TAGS.items() if rule_holds(rule, log, at_us)]
        assert [tag.tag_id for tag in profile.tags] == true


def ids(identifier: Identifier) -> bytes:
    return identifier.id_in(WORKSPACE, INDEX_KEY)


def oracle_event(event: SourceEvent) -> OracleEvent:
    own, stated, at_us = dict(event.properties), dict(event.traits), event.occurred_at_us
    trust = int(event.trust)
    return OracleEvent(event.type, event.sent_name, at_us, event.fact_id, own, stated, trust)


async def test_past_profiles_equal_those_of_a_system_that_knows_only_the_facts_of_then(
    open_stack: OpenStack,
) -> None:
    rng = random.Random("past")
    events, pool = make_events(rng, 48)
    async with open_stack() as stack:
        for tag_id, rule in TAGS.items():
            await define(stack, tag_id, rule)
        live = []
        for start in range(0, 48, 16):
            await stack.ingest(events[start : start + 16])
            live.append((stack.token, await get_all(stack, pool)))
        for token, expected in live:
            assert await get_all(stack, pool, as_of_token=token) == expected
        for at_us in rng.sample([event.occurred_at_us for event in events], 3):
            check_by_instant(await get_all(stack, pool, as_of_us=at_us), events, at_us)


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
        for as_of in ({"as_of_token": apart}, {"as_of_us": now_us - 2 * HOUR_US}):
            ben = await get(stack, BEN, **as_of)
            assert ben.event_count == 1
            assert ben.profile_id != whole.profile_id
            assert [(i.namespace, i.value) for i in ben.identifiers] == [BEN]
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
        assert ruled.explanation == past.explanation
        assert [msgspec.json.decode(one.actual) for one in ruled.predicates] == [1]


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
