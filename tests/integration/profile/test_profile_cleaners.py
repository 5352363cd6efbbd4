"""A changed table of a cleaner is compared first, switched to, and switched back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import START_US, SourceEvent
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.projection.v1.projection_service_pb2 import GetDigestRequest
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from service_fixtures import wait_until

from services.chassis.codec.rules import rule_to_proto
from services.kernel.cleaning.cleaners import CLEANERS, Cleaner
from services.kernel.identifiers.model import Identifier
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.values import Json

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
HOMES = ("南京", " 江苏省南京市 ", "Nanjing", "上海", "nowhere", 7)


def city_of_tomorrow(value: Json) -> Json:
    """A table in which 南京 is a part of 上海."""
    city: Cleaner = CLEANERS["city@1"]
    return "上海市" if city(value) == "南京市" else city(value)


def settings_with(cleaner: str) -> facts_pb.ProfileSettingsDefined:
    settings = facts_pb.ProfileSettingsDefined(zone="Asia/Shanghai")
    settings.cleaners.add(trait="home", cleaner=cleaner)
    return settings


async def define(stack: ProfileStack, cleaner: str) -> None:
    """Define what a pack with this cleaner has, and wait until it is live."""
    await stack.profile.DefineSettings(pb.DefineSettingsRequest(settings=settings_with(cleaner)))
    for city, tag_id in (("南京", "nanjing"), ("上海", "shanghai")):
        rule = parse_rule({"trait": {"name": "home", "eq": city}}, cleaners={"home": cleaner})
        tag = facts_pb.TagDefined(tag_id=tag_id, title=city, rule=rule_to_proto(rule))
        response = await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))
        stack.token = response.token
    await stack.reach()


async def tagged(stack: ProfileStack) -> list[tuple[str, ...]]:
    """Return the tags of each person."""
    found: list[tuple[str, ...]] = []
    for number in range(len(HOMES)):
        profile = await get(stack, number)
        found.append(tuple(tag.tag_id for tag in profile.tags))
    return found


async def get(stack: ProfileStack, number: int) -> Any:
    identifier = IdentifierMessage(namespace="user_id", value=f"u-{number}")
    request = pb.GetProfileRequest(identifier=identifier, at_least=stack.token)
    return (await stack.profile.GetProfile(request)).profile


async def digest(stack: ProfileStack) -> dict[str, str]:
    request = GetDigestRequest(at_least=stack.token)
    return dict((await stack.projection.GetDigest(request)).digests)


async def test_changed_table_is_compared_first_then_switched_to_and_back_to_the_old_digest(
    open_stack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CLEANERS, "city@2", city_of_tomorrow)  # type: ignore[arg-type]  # a dict
    async with open_stack() as stack:
        await define(stack, "city@1")
        await stack.ingest(
            SourceEvent(
                (Identifier("user_id", f"u-{n}"),),
                START_US + n,
                n,
                type="identify",
                traits={"home": home},
            )
            for n, home in enumerate(HOMES)
        )
        before = await digest(stack), await tagged(stack)
        assert before[1] == [("nanjing",)] * 3 + [("shanghai",), (), ()]

        request = pb.CountTraitsRequest(settings=settings_with("city@2"), at_least=stack.token)
        [trait] = (await stack.profile.CountTraits(request)).traits
        assert (trait.name, trait.persons, trait.cleaner) == ("home", 6, "city@1")
        assert [(own.type, own.persons) for own in trait.types] == [(1, 5), (2, 1)]
        assert trait.without_standard == 2
        [change] = trait.change.values
        assert (change.before.decode(), change.after.decode()) == ('"南京市"', '"上海市"')
        assert (trait.change.persons, change.persons) == (3, 3)
        assert list(trait.change.definitions) == ["tag:nanjing", "tag:shanghai"]
        assert (await digest(stack), await tagged(stack)) == before, "nothing has changed"

        await define(stack, "city@2")
        # By `city@2` the 南京 in the rule is 上海 too.
        assert await tagged(stack) == [("nanjing", "shanghai")] * 4 + [(), ()]
        assert await digest(stack) != before[0]
        [home] = (await get(stack, 2)).traits
        assert (home.value, home.standard.decode()) == (b'"Nanjing"', '"上海市"')
        assert home.cleaner == "city@2"
        rebuilt = await stack.rebuild()
        assert rebuilt.equal

        await define(stack, "city@1")
        assert await tagged(stack) == before[1]

        async def is_as_before() -> bool:
            return await digest(stack) == before[0]

        # No token waits until what no definition needs any more is erased.
        await wait_until(is_as_before)
