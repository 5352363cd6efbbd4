"""Stages as a partition, previews, sets and snapshots, through the services."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from integration.whole.whole_system import WholeSystem, whole_system
from onefold.log.v1.log_service_pb2 import TickClockRequest
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined, SetExpression, SetOperands
from onefold.segment.v1.segment_stream_pb2 import MembershipCause
from onefold.type.v1.token_pb2 import Token
from rebuilds import rebuild
from service_fixtures import MakeSettings

from services.chassis.codec.rules import rule_to_proto
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.kernel.errors import Conflict, InvalidField, NotFound
from services.kernel.rules.forms.json_form import parse_rule

OpenSystem = Callable[[], AbstractAsyncContextManager[WholeSystem]]
DAY_US = 86_400_000_000
PACK = """
segments:
  - {id: buyers, title: B, rule: {count: {event: bought, at_least: 1}}}
  - {id: viewers, title: V, rule: {count: {event: viewed, at_least: 1}}}
stages:
  - id: life
    title: Life
    stages:
      - {stage: loyal, rule: {count: {event: bought, within: 10d, at_least: 2}}}
      - {stage: active, rule: {count: {event: bought, within: 30d, at_least: 1}}}
    default: quiet
"""
STAGES = ("stage:life=loyal", "stage:life=active", "stage:life=quiet")


@pytest.fixture
def open_system(make_settings: MakeSettings, internal_key: str, tmp_path: Path) -> OpenSystem:
    return lambda: whole_system(make_settings, internal_key, tmp_path)


async def apply(system: WholeSystem, tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK, encoding="utf-8")
    await apply_pack(system.admin, read_pack(file, {}))


def in_segment(segment_id: str) -> SetExpression:
    return SetExpression(segment_id=segment_id)


def but_not(segment_id: str, other: str) -> SetExpression:
    negated = SetExpression()
    getattr(negated, "not").CopyFrom(in_segment(other))
    return SetExpression(all=SetOperands(sets=[in_segment(segment_id), negated]))


def named(name: str) -> str:
    return MembershipCause.Name(MembershipCause.Value(f"MEMBERSHIP_CAUSE_{name}"))


async def sizes(system: WholeSystem) -> list[int]:
    """Return the sizes of the stages."""
    listed = (await system.service.segment.ListSegments(pb.ListSegmentsRequest())).tags
    found = {tag.segment_id: tag.size for tag in listed}
    return [found[stage] for stage in STAGES]


async def test_each_person_is_in_exactly_one_stage_and_stays_have_exact_instants(
    open_system: OpenSystem, tmp_path: Path
) -> None:
    async with open_system() as system:
        now_us = await system.now_us()
        bought_us = [now_us - 2 * DAY_US, now_us - DAY_US]
        await system.send("bought", "user_id:li", at_us=bought_us[0])
        await apply(system, tmp_path)
        await system.send("bought", "user_id:li", at_us=bought_us[1])
        await system.send("bought", "user_id:wang", at_us=bought_us[1])
        await system.send("viewed", "user_id:zhao")
        before = await system.drain()
        assert await sizes(system) == [1, 1, 1]
        # One jump of the clock passes the ends of both windows.
        await system.internal.log.TickClock(TickClockRequest(advance_us=60 * DAY_US))
        digests = await system.digests()
        assert await sizes(system) == [0, 0, 3]
        request = pb.ListMembershipsRequest(profile_id=(await system.profiles("user_id:li"))[0])
        stays = [
            stay
            for stay in (await system.service.segment.ListMemberships(request)).stays
            if stay.segment_id.startswith("stage:")
        ]
        assert [stay.segment_id for stay in stays] == [STAGES[1], STAGES[0], STAGES[1], STAGES[2]]
        assert [stay.left_at_us for stay in stays[1:]] == [
            bought_us[0] + 10 * DAY_US,
            bought_us[1] + 30 * DAY_US,
            0,
        ]
        assert [stay.entered_at_us for stay in stays[1:]] == [s.left_at_us for s in stays[:-1]]
        causes = [MembershipCause.Name(stay.entered_cause) for stay in stays[1:]]
        assert causes == list(map(named, ("RULE", "TIME", "TIME")))
        assert stays[2].duration_us == stays[2].left_at_us - stays[2].entered_at_us
        assert stays[3].duration_us > 20 * DAY_US
        # At a token before the jump, the stages are those that were known then.
        for stage, expected in zip(STAGES, (1, 1, 1), strict=True):
            past = pb.ListMembersRequest(segment_id=stage, as_of_token=before)
            assert len((await system.service.segment.ListMembers(past)).members) == expected
        assert (await rebuild(system.internal.projection("segment"))).equal
        assert await system.digests() == digests


async def test_preview_sets_and_snapshots_agree_with_what_is_defined(
    open_system: OpenSystem, tmp_path: Path
) -> None:
    async with open_system() as system:
        await apply(system, tmp_path)
        for name in ("li", "wang", "zhao"):
            await system.send("bought", f"user_id:{name}")
        for name in ("zhao", "qian", "sun"):
            await system.send("viewed", f"user_id:{name}")
            await system.send("viewed", f"user_id:{name}")
        token = await system.drain()
        await check_previews(system)
        await check_sets(system)
        await check_snapshots(system, token)


async def check_previews(system: WholeSystem) -> None:
    segment = system.service.segment
    keen = parse_rule({"count": {"event": "viewed", "at_least": 2}})
    for segment_id, leaving in (("viewers", 0), ("buyers", 2), ("", 0)):
        # The rule counts what no rule has counted, so it is evaluated from the log.
        found = await segment.PreviewSegment(
            pb.PreviewSegmentRequest(
                segment=SegmentDefined(segment_id=segment_id, rule=rule_to_proto(keen))
            )
        )
        (members,) = found.members
        assert (found.profiles, found.evaluated) == (5, 5)
        size = members.size
        assert (size.value, size.low, size.high, members.leaving.value) == (3, 3, 3, leaving)
        assert {p.predicates[0].actual for p in members.sample} == {b"2"}
        assert len(members.leaving_profile_ids) == leaving
        assert (found.new_predicates, found.retained) == (1, 1_000)
    other = parse_rule({"count": {"event": "viewed", "where": {"page": "x"}, "at_least": 1}})
    refused = pb.PreviewSegmentRequest(
        segment=SegmentDefined(rule=rule_to_proto(other)), sample_size=101
    )
    with pytest.raises(InvalidField):
        await segment.PreviewSegment(refused)
    stage = TagDefined(tag_id="life", kind="TAG_KIND_STAGE", default_value="quiet")
    stage.values.add(value="keen", rule=rule_to_proto(parse_rule({"segment": "viewers"})))
    found = await segment.PreviewSegment(pb.PreviewSegmentRequest(tag=stage))
    assert {m.segment_id: m.size.value for m in found.members} == {
        "stage:life=keen": 3,
        "stage:life=quiet": 2,
    }
    assert sum(m.size.value for m in found.members) == found.profiles
    assert not await system.members("stage:life=keen"), "a preview defines nothing"


async def check_sets(system: WholeSystem) -> None:
    segment = system.service.segment

    async def compute(expression: SetExpression) -> set[str]:
        found: set[str] = set()
        page_token = ""
        while True:
            request = pb.ComputeSetRequest(
                expression=expression, page_size=1, page_token=page_token
            )
            response = await segment.ComputeSet(request)
            found |= set(response.profile_ids)
            page_token = response.next_page_token
            if not page_token:
                assert response.size == len(found)
                return found

    buyers, viewers = await system.members("buyers"), await system.members("viewers")
    assert await compute(but_not("buyers", "viewers")) == buyers - viewers
    negated = SetExpression()
    getattr(negated, "not").CopyFrom(in_segment("buyers"))
    assert await compute(negated) == viewers - buyers
    overlap = await segment.OverlapSegments(
        pb.OverlapSegmentsRequest(segment_ids=["buyers", "viewers", *STAGES])
    )
    assert [list(row.sizes[:2]) for row in overlap.rows[:2]] == [[3, 1], [1, 3]]
    disjoint = [list(row.sizes[2:]) for row in overlap.rows[2:]]
    assert disjoint == [[0, 0, 0], [0, 3, 0], [0, 0, 2]], "no profile is in two stages"
    with pytest.raises(NotFound):
        await compute(in_segment("undefined"))
    await system.send("bought", "user_id:qian")
    await system.drain()
    # The bitmaps follow what has changed since.
    assert len(await compute(but_not("buyers", "viewers"))) == 2
    assert len(await compute(in_segment("buyers"))) == 4


async def check_snapshots(system: WholeSystem, before: Token) -> None:
    segment = system.service.segment

    async def create(name: str, **fields: object) -> pb.CreateSnapshotResponse:
        expression = in_segment("buyers")
        request = pb.CreateSnapshotRequest(name=name, expression=expression, **fields)
        return await segment.CreateSnapshot(request)

    now, earlier = await create("now"), await create("earlier", at=before)
    assert now.created
    assert earlier.created
    assert not (await create("now")).created
    with pytest.raises(Conflict):
        await create("now", title="another")
    await system.send("bought", "user_id:sun")
    await system.send("alias", "user_id:li", "phone:13800000001")
    await system.drain()
    assert len(await system.members("buyers")) == 5
    assert len(await system.members("snapshot:now")) == 4
    assert len(await system.members("snapshot:earlier")) == 3
    assert await system.members("snapshot:now") < await system.members("buyers")
    listed = (await segment.ListSnapshots(pb.ListSnapshotsRequest())).snapshots
    assert [one.segment_id for one in listed] == ["snapshot:earlier", "snapshot:now"]
    found = await segment.ComputeSet(
        pb.ComputeSetRequest(expression=but_not("buyers", "snapshot:now"))
    )
    assert found.size == 1
    assert (await rebuild(system.internal.projection("segment"))).equal
    assert len(await system.members("snapshot:now")) == 4, "a rebuild keeps snapshots"
    await segment.RemoveSnapshot(pb.RemoveSnapshotRequest(name="now"))
    await system.drain()
    with pytest.raises(NotFound):
        await system.members("snapshot:now")
