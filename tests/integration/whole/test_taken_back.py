"""People are merged and taken apart, through all five services: nobody loses or gains anything by
it, and nobody is welcomed twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from integration.whole.whole_doors import Whole, identifier, whole
from onefold.activation.v1 import activation_facts_pb2 as activation_facts
from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb

from services.chassis.testing import MakeSettings
from services.cli.apply import apply_pack
from services.cli.definitions import read_pack
from services.cli.policy import ask_preview

OpenWhole = Callable[[], AbstractAsyncContextManager[Whole]]
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
def open_whole(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenWhole:
    return lambda: whole(make_settings, internal_key, tmp_path)


async def define(home: Whole, tmp_path: Path, text: str) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(text, encoding="utf-8")
    await apply_pack(home.service, read_pack(file, {}))


async def say(home: Whole, decision: Any) -> None:
    request = pb.DecideRequest(
        a=identifier(LI), b=identifier(WANG), decision=decision, reason="a phone of the family"
    )
    await home.service.call(home.service.identity.Decide, request)
    await home.rest()


async def deliveries(home: Whole) -> set[tuple[str, str, int, str]]:
    """Segment, profile, trigger and what became of it, once each."""
    found = [
        (d.segment_id, d.profile_id, d.trigger, activation_facts.DeliveryState.Name(d.state))
        for d in await home.deliveries("welcome")
    ]
    return {(*row[:3], row[3].removeprefix("DELIVERY_STATE_")) for row in found}


async def delivered(home: Whole) -> list[tuple[str, str, int]]:
    """What was really sent, sorted."""
    return sorted(row[:3] for row in await deliveries(home) if row[3] == "DELIVERED")


async def count_of(home: Whole, who: str) -> int:
    request = profile_pb.GetProfileRequest(identifier=identifier(who))
    answer = await home.service.call(home.service.profile.GetProfile, request)
    return int(answer.profile.event_count)


async def two_fans(home: Whole, tmp_path: Path) -> list[str]:
    """Li and Wang viewed twice each: both are fans, and were welcomed."""
    await define(home, tmp_path, PACK + POLICY % 1)
    for who in (LI, LI, WANG, WANG):
        await home.send("viewed", who)
    await home.rest()
    return await home.profiles(LI, WANG)


@pytest.mark.timeout(180)
async def test_who_is_merged_and_taken_apart_is_welcomed_once(
    open_whole: OpenWhole, tmp_path: Path
) -> None:
    async with open_whole() as home:
        li, wang = await two_fans(home, tmp_path)
        entered = int(activation_facts.TRIGGER_ENTERED)
        welcomes = sorted([("fans", li, entered), ("fans", wang, entered)])
        assert await delivered(home) == welcomes

        await home.send("alias", LI, WANG)
        await home.rest()
        one, same = await home.profiles(LI, WANG)
        assert one == same
        assert await home.members("fans") == await home.members("keen") == {one}
        assert await count_of(home, LI) == await count_of(home, WANG) == 5
        keen = ("keen", one, entered)
        assert await delivered(home) == sorted([*welcomes, keen]), "together they are keen: told"

        await say(home, facts_pb.DECISION_SEPARATE)
        assert await home.profiles(LI, WANG) == [li, wang]
        assert await home.members("fans") == {li, wang}
        assert await home.members("keen") == set()
        told = await delivered(home)
        assert [row for row in told if row[0] == "fans"] == welcomes, "no second welcome"
        assert {await count_of(home, LI), await count_of(home, WANG)} == {2, 3}
        await home.send("viewed", WANG, PHONE)
        await home.send("viewed", LI, PHONE)
        await home.rest()
        assert await home.profiles(LI, WANG) == [li, wang], "later evidence joins nobody"
        answer = await home.service.call(
            home.service.segment.ListMemberships,
            segment_pb.ListMembershipsRequest(identifier=identifier(WANG)),
        )
        assert list(answer.segment_ids) == ["fans"]


@pytest.mark.timeout(180)
async def test_who_was_taken_apart_is_as_if_never_merged(
    open_whole: OpenWhole, tmp_path: Path
) -> None:
    async with open_whole() as home:
        await two_fans(home, tmp_path)
        await say(home, facts_pb.DECISION_SEPARATE)
        await home.send("alias", LI, WANG)
        await home.send("viewed", WANG, PHONE)
        never_merged = await home.digests()
        await say(home, facts_pb.DECISION_WITHDRAW)
        one, same = await home.profiles(LI, WANG)
        assert one == same
        merged = await home.digests()
        assert all(merged[s] != never_merged[s] for s in ("identity", "profile", "segment"))
        await say(home, facts_pb.DECISION_SEPARATE)
        apart = await home.digests()
        assert {s: apart[s] for s in ("profile", "segment")} == {
            s: never_merged[s] for s in ("profile", "segment")
        }


@pytest.mark.timeout(180)
async def test_the_whole_preview_is_what_happens(open_whole: OpenWhole, tmp_path: Path) -> None:
    async with open_whole() as home:
        await two_fans(home, tmp_path)
        await home.send("seen", LI, PHONE)
        await home.send("seen", WANG, PHONE)
        await home.rest()
        before, digests = await memberships(home), await home.digests()
        wide = tmp_path / "wide.yaml"
        wide.write_text(POLICY % 0, encoding="utf-8")
        policy = read_pack(wide, {}).identity_policy
        foreseen = await ask_preview(home.service, policy)
        assert await home.digests() == digests
        await define(home, tmp_path, POLICY % 0)
        await home.rest()
        after = await memberships(home)
        (merge,) = foreseen.regroupings
        assert [g.profile_id for g in merge.after] == [(await home.profiles(LI))[0]]
        for segment in ("fans", "keen"):
            told = foreseen.segments.get(segment, {})
            came = told.get("enter", 0) + told.get("carried_in", 0)
            went = told.get("leave", 0) + told.get("carried_out", 0)
            assert came == len(after[segment] - before[segment])
            assert went == len(before[segment] - after[segment])
        await define(home, tmp_path, POLICY % 1)
        assert await home.digests() == digests, "going back restores everything"
        assert await memberships(home) == before


async def memberships(home: Whole) -> dict[str, set[str]]:
    return {segment: await home.members(segment) for segment in ("fans", "keen")}
