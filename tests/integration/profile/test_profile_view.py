"""Tests the view of a person behind the real log: objects, consents, blocks, orders, timelines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import WORKSPACE, SourceEvent
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from service_fixtures import wait_until

from services.chassis.codec.rules import rule_to_proto
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import account_leaf
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.time import DAY_US, SECOND_US
from services.profile.codec.definitions import settings_to_proto
from services.profile.domain.settings import WorkspaceSettings
from tests.index_key import INDEX_KEY

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
USERS = ("ann", "bob")
ORDERS = OrderDefinition(
    EventFilter.of("order_paid"), "id", "amount", EventFilter.of("order_refunded"), "id", "amount"
)


class Events:
    """Makes events, each a second after the one before."""

    def __init__(self, now_us: int) -> None:
        self._at_us = now_us - 5 * DAY_US
        self._number = 0

    def __call__(self, user: str, name: str = "", **properties: Any) -> SourceEvent:
        return self._event(user, name=name, properties=properties)

    def group(self, user: str, group_id: str, **traits: Any) -> SourceEvent:
        return self._event(user, name="", type="group", group_id=group_id, traits=traits)

    def _event(self, user: str, **fields: Any) -> SourceEvent:
        self._at_us += SECOND_US
        self._number += 1
        return SourceEvent((Identifier("user_id", user),), self._at_us, self._number, **fields)


async def define(stack: ProfileStack, tag_id: str, form: dict[str, Any]) -> None:
    tag = facts_pb.TagDefined(tag_id=tag_id, title="t", rule=rule_to_proto(parse_rule(form)))
    stack.token = (await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))).token


async def get(stack: ProfileStack, user: str, **as_of: Any) -> pb.Profile:
    by = IdentifierMessage(namespace="user_id", value=user)
    request = pb.GetProfileRequest(identifier=by, at_least=stack.token, **as_of)
    return (await stack.profile.GetProfile(request)).profile


async def tags(stack: ProfileStack) -> list[list[str]]:
    return [[tag.tag_id for tag in (await get(stack, user)).tags] for user in USERS]


def related(object_type: str, where: dict[str, Any], at_least: int) -> dict[str, Any]:
    form: dict[str, Any] = {"type": object_type, "at_least": at_least}
    return {"related": form | ({"where": where} if where else {})}


async def append(stack: ProfileStack, *events: SourceEvent) -> Any:
    return await stack.append([fact for event in events for fact in event.facts()])


async def test_rules_read_objects_of_any_type_as_they_are_now_and_as_they_were(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        advanced, gold = {"level": {"at_least": 3}}, {"plan": "gold"}
        await define(stack, "advanced", related("course", advanced, 1))
        await define(stack, "gold", related("account", gold, 1))
        await define(stack, "two_courses", related("course", {}, 2))
        event = Events(await stack.tick())
        before = await append(
            stack,
            event.group("ann", "course:c1", level=1),
            event.group("bob", "course:c1"),
            event.group("ann", "course:c2"),
            event.group("bob", "acme", plan="free"),
        )
        assert await tags(stack) == [["two_courses"], []]
        # The traits of an object are stated with any of its members.
        changed = event.group("bob", "course:c1", level=3)
        await append(stack, changed, event.group("bob", "acme", plan="gold"))
        assert await tags(stack) == [["advanced", "two_courses"], ["advanced", "gold"]]
        then = [await get(stack, user, as_of_token=before) for user in USERS]
        assert [[tag.tag_id for tag in each.tags] for each in then] == [["two_courses"], []]

        leaves = [account_leaf(WORKSPACE, f"course:c{n}", INDEX_KEY) or b"" for n in (1, 2)]
        merged = pb.HypotheticalProfile(
            profile_id=leaves[0].hex(), identifier_ids=[leaf.hex() for leaf in leaves]
        )
        ann = (await get(stack, "ann")).profile_id

        async def is_previewed() -> bool:
            """A job evaluates members whose locks another worker held."""
            request = pb.PreviewProfilesRequest(profiles=[merged])
            changes = (await stack.profile.PreviewProfiles(request)).changes
            found = [(c.profile_id.hex(), len(c.true_predicates)) for c in changes]
            return found == [(ann, 1)]

        await wait_until(is_previewed)


async def test_profile_has_consents_blocks_and_what_follows_from_orders(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        settings = WorkspaceSettings(WORKSPACE, orders=ORDERS, timeline=((5, ("complained",)),))
        request = pb.DefineSettingsRequest(settings=settings_to_proto(settings))
        stack.token = (await stack.profile.DefineSettings(request)).token
        event = Events(await stack.tick())
        granted = event("ann", "consent_changed", purpose="sms", granted=True)
        before = await append(stack, granted, event("ann", "order_paid", id="a", amount=0.1))
        refused = event("ann", "consent_changed", purpose="sms", granted=False)
        await append(
            stack,
            refused,
            event("ann", "order_paid", id="b", amount="1999.99"),
            event("ann", "order_refunded", id="b", amount=0.05),
            event("ann", "complained"),
        )
        found = await get(stack, "ann")
        [consent] = found.consents
        assert (consent.purpose, consent.granted, consent.source_id) == ("sms", False, "site")
        assert bytes.fromhex(consent.fact_id) == refused.fact_id
        assert consent.since_us == refused.occurred_at_us
        then = await get(stack, "ann", as_of_token=before)
        assert [(c.purpose, c.granted) for c in then.consents] == [("sms", True)]
        computed = {c.name: msgspec.json.decode(c.value) for c in found.computed_traits}
        assert (computed["lifetime_value"], computed["order_count"]) == (2000.04, 2)
        assert {"repurchase_interval_days", "days_until_next_order"} <= computed.keys()
        assert [block.block for block in found.blocks] == [1, 2, 3, 4, 5]
        assert "lifetime_value" in found.blocks[2].computed_traits
        assert list(found.blocks[4].computed_traits) == ["days_until_next_order"]

        by = IdentifierMessage(namespace="user_id", value="ann")

        async def names(**fields: Any) -> list[str]:
            request = pb.ListTimelineRequest(identifier=by, **fields)
            response = await stack.profile.ListTimeline(request)
            return [entry.name for entry in response.entries]

        assert await names(kinds=[5]) == ["complained"]
        assert await names(kinds=[4]) == ["order_refunded", "order_paid", "order_paid"]
        assert await names(events=["order_paid"], before_us=refused.occurred_at_us) == [
            "order_paid"
        ]
        assert await names(since_us=refused.occurred_at_us + 3 * SECOND_US) == ["complained"]
        assert await names(source_ids=["shop"]) == []
        with pytest.raises(InvalidField):
            await names(kinds=[77])
