"""Tests that persons are found by identifiers and names, and that rules are translated."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import SourceEvent
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb

from services.kernel.errors import OnefoldError
from services.kernel.identifiers.model import Identifier
from services.kernel.time import DAY_US

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]
LI, OTHER_LI = Identifier("user_id", "u1"), Identifier("user_id", "u2")
EMAIL, PHONE = Identifier("email", "li@example.cn"), Identifier("phone", "+8613612349876")


async def found(stack: ProfileStack, text: str, size: int = 0) -> list[str]:
    request = pb.SearchProfilesRequest(text=text, page_size=size, at_least=stack.token)
    response = await stack.profile.SearchProfiles(request)
    names = [
        json.loads(trait.value)
        for profile in response.profiles
        for trait in profile.traits
        if trait.name == "name"
    ]
    return sorted(names) + ["…"] * response.has_more


async def test_person_is_found_by_identifiers_and_names_and_rules_are_translated(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        at_us = await stack.tick() - DAY_US
        await stack.ingest(
            [
                SourceEvent((LI, EMAIL, PHONE), at_us, 1, "", "identify", traits={"name": "李雷"}),
                SourceEvent((OTHER_LI,), at_us, 2, "", "identify", traits={"name": "黎莉"}),
            ]
        )
        [profile] = (
            await stack.profile.SearchProfiles(pb.SearchProfilesRequest(text="李"))
        ).profiles
        for text in (
            *("LI@EXAMPLE.CN", "136 1234 9876", "+86 136-1234-9876", "user_id:u1", "u1"),
            *("李", "雷", "lilei", "ll", "li lei", profile.profile_id),
        ):
            assert "李雷" in await found(stack, text), text
        assert await found(stack, "li") == ["李雷", "黎莉"]
        assert await found(stack, "li", 1) in (["李雷", "…"], ["黎莉", "…"])
        for text in ("王", "'", "%", "'); DROP", "\\", "li & lei | !x", "u9"):
            assert await found(stack, text) == [], text
        for text in ("", " ", "x" * 201):
            with pytest.raises(OnefoldError, match="1 to 200 characters"):
                await found(stack, text)
        # A name that is stated later replaces the one before, also in the rebuilt state.
        renamed = SourceEvent((LI,), at_us + 1, 3, "", "identify", traits={"name": "韩梅梅"})
        await stack.ingest([renamed])
        assert await found(stack, "hmm") == ["韩梅梅"]
        assert await found(stack, "李") == []
        assert (await stack.rebuild(switch_over=True)).equal
        assert await found(stack, "meimei") == ["韩梅梅"]
        await stack.ingest(
            [SourceEvent((LI,), at_us + 2, 4, "", "identify", traits={"name": None})]
        )
        assert await found(stack, "hmm") == []

        await _translate(stack)


async def _translate(stack: ProfileStack) -> None:
    form = {"count": {"event": "bought", "within": "7d", "at_least": 3}}
    by_json = await stack.profile.TranslateRule(
        pb.TranslateRuleRequest(json=json.dumps(form).encode())
    )
    for request in (
        pb.TranslateRuleRequest(rule=by_json.rule),
        pb.TranslateRuleRequest(text=by_json.text),
        pb.TranslateRuleRequest(text=by_json.text_chinese),
    ):
        assert await stack.profile.TranslateRule(request) == by_json
    assert json.loads(by_json.json) == form
    for wrong in (
        pb.TranslateRuleRequest(),
        pb.TranslateRuleRequest(json=b"{"),
        pb.TranslateRuleRequest(text="bought ≥"),
        pb.TranslateRuleRequest(json=b'{"cuont": {}}'),
    ):
        with pytest.raises(OnefoldError, match=r"."):
            await stack.profile.TranslateRule(wrong)


async def test_search_by_a_telephone_number_is_measured_against_the_declared_limit(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:

        async def measured() -> int:
            request = projection_pb.GetStatusRequest(counts=True)
            return int((await stack.projection.GetStatus(request)).counts["profiles_found"])

        at_us = await stack.tick() - DAY_US
        await stack.ingest([SourceEvent((LI, PHONE), at_us, 1, "", "identify")])
        before = await measured()
        search = pb.SearchProfilesRequest(text="136 1234 9876", at_least=stack.token)
        [profile] = (await stack.profile.SearchProfiles(search)).profiles
        await stack.profile.GetProfile(pb.GetProfileRequest(profile_id=profile.profile_id))
        assert await measured() == before + 2
