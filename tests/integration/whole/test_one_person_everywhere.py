"""One person, however they come: before they are known, over five systems, in shop and store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_doors import Whole, identifier, whole
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.profile.v1 import profile_service_pb2 as profile_pb

from services.chassis.testing import MakeSettings
from services.cli.apply import apply_pack
from services.cli.client import Client
from services.cli.definitions import read_pack

OpenWhole = Callable[[], AbstractAsyncContextManager[Whole]]
SEGMENTS = """
segments:
  - {id: curious, title: Curious, rule: {count: {event: viewed, at_least: 5}}}
  - {id: regulars, title: Regulars, rule: {count: {event: purchased, at_least: 2}}}
"""
#: A journey: by which system, and what is named there.
JOURNEY = {
    "social": ("wechat_openid.wx1:o-1",),
    "site": ("wechat_openid.wx1:o-1", "anonymous_id:a-1"),
    "shop": ("anonymous_id:a-1", "email:li@example.cn"),
    "store": ("email:li@example.cn", "member_id:77"),
    "service": ("member_id:77", "phone:13800000001"),
}


@pytest.fixture
def open_whole(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenWhole:
    return lambda: whole(make_settings, internal_key, tmp_path)


async def key_of(home: Whole, source_id: str) -> str:
    stub, source = home.admin.admin, SourceDefined(source_id=source_id)
    await home.admin.call(stub.DefineSource, admin_pb.DefineSourceRequest(source=source))
    request = admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id=source_id)
    return str((await home.admin.call(stub.IssueKey, request)).key)


async def timeline(home: Whole, who: str) -> Any:
    request = profile_pb.ListTimelineRequest(identifier=identifier(who), page_size=100)
    return await home.service.call(home.service.profile.ListTimeline, request)


@pytest.mark.timeout(180)
async def test_what_was_done_before_being_known_and_in_shop_and_store_counts_together(
    open_whole: OpenWhole, tmp_path: Path
) -> None:
    async with open_whole() as home:
        pack = tmp_path / "pack.yaml"
        pack.write_text(SEGMENTS, encoding="utf-8")
        await apply_pack(home.service, read_pack(pack, {}))
        for _ in range(5):
            await home.send("viewed", "anonymous_id:a-1")
        await home.send("purchased", "member_id:77")
        await home.send("purchased", "email:li@example.cn")
        await home.rest()
        assert await home.members("regulars") == set()
        (visitor,) = await home.members("curious")

        await home.send("registered", "anonymous_id:a-1", "user_id:li")
        await home.rest()
        assert await home.profiles("user_id:li") == [visitor], "an anonymous profile is a profile"
        assert await home.members("curious") == {visitor}
        assert len((await timeline(home, "user_id:li")).entries) == 6

        await home.send("identify", "user_id:li", "email:li@example.cn", "member_id:77")
        await home.rest()
        assert await home.members("regulars") == {(await home.profiles("user_id:li"))[0]}


@pytest.mark.timeout(180)
async def test_a_journey_over_five_systems_is_one_person(open_whole: OpenWhole) -> None:
    async with open_whole() as home:
        for source_id, named in JOURNEY.items():
            async with Client(home.source.doors, await key_of(home, source_id)) as source:
                home.source = source
                await home.send("met", *named)
        await home.rest()
        profile_id = (await home.profiles("phone:13800000001"))[0]
        request = pb.ListIdentifiersRequest(profile_id=profile_id)
        answer = await home.service.call(home.service.identity.ListIdentifiers, request)
        told = {e.fact_id: e.source_id for e in (await timeline(home, "member_id:77")).entries}
        introduced = {i.identifier.namespace: told[i.fact_id] for i in answer.identifiers}
        assert introduced == {
            "wechat_openid.wx1": "social",
            "anonymous_id": "site",
            "email": "shop",
            "member_id": "store",
            "phone": "service",
        }
