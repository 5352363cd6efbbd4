"""One person with many identifiers: before the first login, by five systems, in shop and store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from integration.whole.whole_system import WholeSystem, identifier
from onefold.identity.v1.identity_service_pb2 import ListIdentifiersRequest
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest, IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.profile.v1.profile_service_pb2 import ListTimelineRequest, ListTimelineResponse
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER

from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.client.client import Client

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


async def key_of(system: WholeSystem, source_id: str) -> str:
    source = SourceDefined(source_id=source_id, trust=SOURCE_TRUST_SERVER)
    await system.admin.admin.DefineSource(DefineSourceRequest(source=source))
    request = IssueKeyRequest(role=ROLE_SOURCE, source_id=source_id)
    return (await system.admin.admin.IssueKey(request)).key


async def timeline(system: WholeSystem, name: str) -> ListTimelineResponse:
    request = ListTimelineRequest(identifier=identifier(name), page_size=100)
    return await system.service.profile.ListTimeline(request)


async def test_events_before_login_and_from_shop_and_store_count_together(
    workspace: WholeSystem, tmp_path: Path
) -> None:
    pack = tmp_path / "pack.yaml"
    pack.write_text(SEGMENTS, encoding="utf-8")
    await apply_pack(workspace.service, read_pack(pack, {}))
    for _ in range(5):
        await workspace.send("viewed", "anonymous_id:a-1")
    await workspace.send("purchased", "member_id:77")
    await workspace.send("purchased", "email:li@example.cn")
    await workspace.drain()
    assert await workspace.members("regulars") == set()
    (visitor,) = await workspace.members("curious")

    await workspace.send("registered", "anonymous_id:a-1", "user_id:li")
    await workspace.drain()
    assert await workspace.profiles("user_id:li") == [visitor], "an anonymous profile keeps its id"
    assert await workspace.members("curious") == {visitor}
    assert len((await timeline(workspace, "user_id:li")).entries) == 6

    await workspace.send("identify", "user_id:li", "email:li@example.cn", "member_id:77")
    await workspace.drain()
    assert await workspace.members("regulars") == {(await workspace.profiles("user_id:li"))[0]}


async def test_identifiers_of_five_systems_are_one_profile_with_their_sources(
    workspace: WholeSystem,
) -> None:
    for source_id, names in JOURNEY.items():
        key = await key_of(workspace, source_id)
        async with Client(replace(workspace.source.endpoints, key=key)) as source:
            workspace.source = source
            await workspace.send("met", *names)
    await workspace.drain()
    (profile_id,) = await workspace.profiles("phone:13800000001")
    request = ListIdentifiersRequest(profile_id=profile_id)
    identifiers = (await workspace.service.identity.ListIdentifiers(request)).identifiers
    entries = (await timeline(workspace, "member_id:77")).entries
    source_of = {entry.fact_id: entry.source_id for entry in entries}
    assert {i.identifier.namespace: source_of[i.fact_id] for i in identifiers} == {
        "wechat_openid.wx1": "social",
        "anonymous_id": "site",
        "email": "shop",
        "member_id": "store",
        "phone": "service",
    }
