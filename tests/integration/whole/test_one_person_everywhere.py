"""One person with many identifiers: before the first login, by five systems, in shop and store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.identity.v1.identity_service_pb2 import ListIdentifiersRequest
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest, IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.profile.v1.profile_service_pb2 import ListTimelineRequest, ListTimelineResponse
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER
from service_fixtures import MakeSettings

from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.client.client import Client

OpenSystem = Callable[[], AbstractAsyncContextManager[WholeSystem]]
SEGMENTS = """
segments:
  - {id: curious, title: Curious, rule: {count: {event: viewed, at_least: 5}}}
  - {id: regulars, title: Regulars, rule: {count: {event: purchased, at_least: 2}}}
"""
#: By source: the identifiers of its event.
JOURNEY = {
    "social": ("wechat_openid.wx1:o-1",),
    "site": ("wechat_openid.wx1:o-1", "anonymous_id:a-1"),
    "shop": ("wechat_openid.wx1:o-1", "email:li@example.cn"),
    # One event has both ids of the person: two ids that only share an address may be two persons.
    "store": ("wechat_openid.wx1:o-1", "member_id:77"),
    "service": ("member_id:77", "phone:13800000001"),
}


@pytest.fixture
def open_system(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenSystem:
    return lambda: whole_system(make_settings, internal_key, tmp_path)


async def key_of(system: WholeSystem, source_id: str) -> str:
    source = SourceDefined(source_id=source_id, trust=SOURCE_TRUST_SERVER)
    await system.admin.admin.DefineSource(DefineSourceRequest(source=source))
    request = IssueKeyRequest(role=ROLE_SOURCE, source_id=source_id)
    return (await system.admin.admin.IssueKey(request)).key


async def timeline(system: WholeSystem, name: str) -> ListTimelineResponse:
    request = ListTimelineRequest(identifier=identifier(name), page_size=100)
    return await system.service.profile.ListTimeline(request)


async def test_events_before_login_and_from_shop_and_store_count_together(
    open_system: OpenSystem, tmp_path: Path
) -> None:
    async with open_system() as system:
        pack = tmp_path / "pack.yaml"
        pack.write_text(SEGMENTS, encoding="utf-8")
        await apply_pack(system.service, read_pack(pack, {}))
        for _ in range(5):
            await system.send("viewed", "anonymous_id:a-1")
        await system.send("purchased", "member_id:77")
        await system.send("purchased", "email:li@example.cn")
        await system.drain()
        assert await system.members("regulars") == set()
        (visitor,) = await system.members("curious")

        await system.send("registered", "anonymous_id:a-1", "user_id:li")
        await system.drain()
        assert await system.profiles("user_id:li") == [visitor], "an anonymous profile keeps its id"
        assert await system.members("curious") == {visitor}
        assert len((await timeline(system, "user_id:li")).entries) == 6

        await system.send("identify", "user_id:li", "email:li@example.cn", "member_id:77")
        await system.drain()
        assert await system.members("regulars") == {(await system.profiles("user_id:li"))[0]}


async def test_identifiers_of_five_systems_are_one_profile_with_their_sources(
    open_system: OpenSystem,
) -> None:
    async with open_system() as system:
        for source_id, names in JOURNEY.items():
            key = await key_of(system, source_id)
            async with Client(replace(system.source.endpoints, key=key)) as source:
                system.source = source
                await system.send("met", *names)
        await system.drain()
        (profile_id,) = await system.profiles("phone:13800000001")
        request = ListIdentifiersRequest(profile_id=profile_id)
        identifiers = (await system.service.identity.ListIdentifiers(request)).identifiers
        entries = (await timeline(system, "member_id:77")).entries
        source_of = {entry.fact_id: entry.source_id for entry in entries}
        assert {i.identifier.namespace: source_of[i.fact_id] for i in identifiers} == {
            "wechat_openid.wx1": "social",
            "anonymous_id": "site",
            "email": "shop",
            "member_id": "store",
            "phone": "service",
        }
