"""Merges and splits through all five services: every profile has its own data back, and no message
is sent again."""

from __future__ import annotations

from pathlib import Path

from integration.whole.whole_system import WholeSystem, identifier
from onefold.activation.v1.activation_facts_pb2 import TRIGGER_ENTERED, DeliveryState
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.segment.v1.segment_service_pb2 import ListMembershipsRequest

from services.cli.commands.packs import apply_pack
from services.cli.commands.policy import compute_preview
from services.cli.definitions import read_pack

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
    workspace: WholeSystem, tmp_path: Path
) -> None:
    li, wang = await two_fans(workspace, tmp_path)
    entered = int(TRIGGER_ENTERED)
    welcomes = sorted([("fans", li, entered), ("fans", wang, entered)])
    assert await delivered(workspace) == welcomes

    await workspace.send("alias", LI, WANG)
    await workspace.drain()
    one, same = await workspace.profiles(LI, WANG)
    assert one == same
    assert await workspace.members("fans") == await workspace.members("keen") == {one}
    assert await event_count(workspace, LI) == await event_count(workspace, WANG) == 5
    keen = ("keen", one, entered)
    assert await delivered(workspace) == sorted([*welcomes, keen]), "the merged profile is keen"

    await decide(workspace, facts_pb.DECISION_SEPARATE)
    assert await workspace.profiles(LI, WANG) == [li, wang]
    assert await workspace.members("fans") == {li, wang}
    assert await workspace.members("keen") == set()
    assert [row for row in await delivered(workspace) if row[0] == "fans"] == welcomes
    assert {await event_count(workspace, LI), await event_count(workspace, WANG)} == {2, 3}
    await workspace.send("viewed", WANG, PHONE)
    await workspace.send("viewed", LI, PHONE)
    await workspace.drain()
    assert await workspace.profiles(LI, WANG) == [li, wang], "later evidence merges nothing"
    request = ListMembershipsRequest(identifier=identifier(WANG))
    found = await workspace.service.segment.ListMemberships(request)
    assert list(found.segment_ids) == ["fans"]


async def test_profiles_after_merge_and_separation_have_the_state_before_the_merge(
    workspace: WholeSystem, tmp_path: Path
) -> None:
    await two_fans(workspace, tmp_path)
    await decide(workspace, facts_pb.DECISION_SEPARATE)
    await workspace.send("alias", LI, WANG)
    await workspace.send("viewed", WANG, PHONE)
    never_merged = await workspace.digests()
    await decide(workspace, facts_pb.DECISION_WITHDRAW)
    one, same = await workspace.profiles(LI, WANG)
    assert one == same
    merged = await workspace.digests()
    assert all(merged[s] != never_merged[s] for s in ("identity", "profile", "segment"))
    await decide(workspace, facts_pb.DECISION_SEPARATE)
    separated = await workspace.digests()
    assert {s: separated[s] for s in ("profile", "segment")} == {
        s: never_merged[s] for s in ("profile", "segment")
    }


async def test_policy_preview_matches_the_applied_policy_and_its_reversal_restores_everything(
    workspace: WholeSystem, tmp_path: Path
) -> None:
    await two_fans(workspace, tmp_path)
    await workspace.send("seen", LI, PHONE)
    await workspace.send("seen", WANG, PHONE)
    await workspace.drain()
    before, digests = await memberships(workspace), await workspace.digests()
    wide = tmp_path / "wide.yaml"
    wide.write_text(POLICY % 0, encoding="utf-8")
    policy = read_pack(wide, {}).identity_policy
    assert policy is not None
    preview = await compute_preview(workspace.service, policy)
    assert await workspace.digests() == digests
    await define(workspace, tmp_path, POLICY % 0)
    await workspace.drain()
    after = await memberships(workspace)
    (merge,) = preview.regroupings
    assert [g.profile_id for g in merge.after] == [(await workspace.profiles(LI))[0]]
    for segment in ("fans", "keen"):
        counts = preview.segments.get(segment, {})
        joined = counts.get("enter", 0) + counts.get("carried_in", 0)
        gone = counts.get("leave", 0) + counts.get("carried_out", 0)
        assert joined == len(after[segment] - before[segment])
        assert gone == len(before[segment] - after[segment])
    await define(workspace, tmp_path, POLICY % 1)
    assert await workspace.digests() == digests
    assert await memberships(workspace) == before
