"""Merges and splits through all five services: every profile has its own data back, and no message
is sent again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from integration.whole.whole_system import WholeSystem, identifier, whole_system
from onefold.activation.v1.activation_facts_pb2 import TRIGGER_ENTERED, DeliveryState
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.segment.v1.segment_service_pb2 import ListMembershipsRequest
from service_fixtures import MakeSettings

from services.cli.commands.packs import apply_pack
from services.cli.commands.policy import compute_preview
from services.cli.definitions import read_pack

OpenSystem = Callable[[], AbstractAsyncContextManager[WholeSystem]]
LI, WANG, PHONE = "user_id:li", "user_id:wang", "phone:13800000001"
PACK = """
segments:
  - {id: fans, title: Fans, rule: {count: {event: viewed, at_least: 2}}}
  - {id: keen, title: Keen, rule: {count: {event: viewed, at_least: 4}}}
destinations:
  - {id: welcome, file: {name: welcome.ndjson}, segments: [fans, keen], on: [entered, left]}
"""
POLICY = """
identity_policy:
  namespaces:
    - {name: user_id, limit: %s}
    - {name: phone}
"""


@pytest.fixture
def open_system(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenSystem:
    return lambda: whole_system(make_settings, internal_key, tmp_path)


async def define(system: WholeSystem, tmp_path: Path, text: str) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(text, encoding="utf-8")
    await apply_pack(system.admin, read_pack(file, {}))


async def decide(system: WholeSystem, decision: facts_pb.Decision) -> None:
    """Record a decision about Li and Wang, and wait until every service has folded it."""
    request = identity_pb.RecordDecisionRequest(
        a=identifier(LI), b=identifier(WANG), decision=decision, reason="a phone of the family"
    )
    await system.service.identity.RecordDecision(request)
    await system.drain()


async def delivered(system: WholeSystem) -> list[tuple[str, str, int]]:
    """Return segment, profile and trigger of each delivered effect, sorted."""
    found = await system.deliveries("welcome")
    return sorted(
        {
            (each.segment_id, each.profile_id, each.trigger)
            for each in found
            if each.state == DeliveryState.DELIVERY_STATE_DELIVERED
        }
    )


async def event_count(system: WholeSystem, name: str) -> int:
    request = GetProfileRequest(identifier=identifier(name))
    return (await system.service.profile.GetProfile(request)).profile.event_count


async def two_fans(system: WholeSystem, tmp_path: Path) -> list[str]:
    """Let Li and Wang enter the segment `fans`; return their profiles."""
    await define(system, tmp_path, PACK + POLICY % 1)
    for name in (LI, LI, WANG, WANG):
        await system.send("viewed", name)
    await system.drain()
    return await system.profiles(LI, WANG)


async def memberships(system: WholeSystem) -> dict[str, set[str]]:
    return {segment: await system.members(segment) for segment in ("fans", "keen")}


async def test_profiles_after_merge_and_separation_get_no_message_again(
    open_system: OpenSystem, tmp_path: Path
) -> None:
    async with open_system() as system:
        li, wang = await two_fans(system, tmp_path)
        entered = int(TRIGGER_ENTERED)
        welcomes = sorted([("fans", li, entered), ("fans", wang, entered)])
        assert await delivered(system) == welcomes

        await system.send("alias", LI, WANG)
        await system.drain()
        one, same = await system.profiles(LI, WANG)
        assert one == same
        assert await system.members("fans") == await system.members("keen") == {one}
        assert await event_count(system, LI) == await event_count(system, WANG) == 5
        keen = ("keen", one, entered)
        assert await delivered(system) == sorted([*welcomes, keen]), "the merged profile is keen"

        await decide(system, facts_pb.DECISION_SEPARATE)
        assert await system.profiles(LI, WANG) == [li, wang]
        assert await system.members("fans") == {li, wang}
        assert await system.members("keen") == set()
        assert [row for row in await delivered(system) if row[0] == "fans"] == welcomes
        assert {await event_count(system, LI), await event_count(system, WANG)} == {2, 3}
        await system.send("viewed", WANG, PHONE)
        await system.send("viewed", LI, PHONE)
        await system.drain()
        assert await system.profiles(LI, WANG) == [li, wang], "later evidence merges nothing"
        request = ListMembershipsRequest(identifier=identifier(WANG))
        found = await system.service.segment.ListMemberships(request)
        assert list(found.segment_ids) == ["fans"]


async def test_profiles_after_merge_and_separation_have_the_state_before_the_merge(
    open_system: OpenSystem, tmp_path: Path
) -> None:
    async with open_system() as system:
        await two_fans(system, tmp_path)
        await decide(system, facts_pb.DECISION_SEPARATE)
        await system.send("alias", LI, WANG)
        await system.send("viewed", WANG, PHONE)
        never_merged = await system.digests()
        await decide(system, facts_pb.DECISION_WITHDRAW)
        one, same = await system.profiles(LI, WANG)
        assert one == same
        merged = await system.digests()
        assert all(merged[s] != never_merged[s] for s in ("identity", "profile", "segment"))
        await decide(system, facts_pb.DECISION_SEPARATE)
        separated = await system.digests()
        assert {s: separated[s] for s in ("profile", "segment")} == {
            s: never_merged[s] for s in ("profile", "segment")
        }


async def test_policy_preview_matches_the_applied_policy_and_its_reversal_restores_everything(
    open_system: OpenSystem, tmp_path: Path
) -> None:
    async with open_system() as system:
        await two_fans(system, tmp_path)
        await system.send("seen", LI, PHONE)
        await system.send("seen", WANG, PHONE)
        await system.drain()
        before, digests = await memberships(system), await system.digests()
        wide = tmp_path / "wide.yaml"
        wide.write_text(POLICY % 0, encoding="utf-8")
        policy = read_pack(wide, {}).identity_policy
        assert policy is not None
        preview = await compute_preview(system.service, policy)
        assert await system.digests() == digests
        await define(system, tmp_path, POLICY % 0)
        await system.drain()
        after = await memberships(system)
        (merge,) = preview.regroupings
        assert [g.profile_id for g in merge.after] == [(await system.profiles(LI))[0]]
        for segment in ("fans", "keen"):
            counts = preview.segments.get(segment, {})
            joined = counts.get("enter", 0) + counts.get("carried_in", 0)
            gone = counts.get("leave", 0) + counts.get("carried_out", 0)
            assert joined == len(after[segment] - before[segment])
            assert gone == len(before[segment] - after[segment])
        await define(system, tmp_path, POLICY % 1)
        assert await system.digests() == digests
        assert await memberships(system) == before
