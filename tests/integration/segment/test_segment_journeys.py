"""Segment passes on what journeys wait for, has the members of their entries, and judges rules."""

from __future__ import annotations

import pytest
from integration.segment.segment_fixture import (
    SHARDS,
    SegmentWorkers,
    W,
    defined,
    evaluated,
    profile,
)
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import LeafMove, MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.chassis.codec.journey_facts import JOURNEY_DEFINED
from services.chassis.codec.journeys import journey_to_proto
from services.chassis.messaging.lives import begin_life
from services.chassis.postgres.database import Database
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.inputs import entry_rule
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import Not, Reference, ReferenceKind, Rule
from services.segment.domain.model import JudgeQuestion
from services.segment.queries.history import read_published
from services.segment.queries.judge import RuleJudge
from services.segment.queries.memberships import list_segments

VIP = parse_rule({"trait": {"name": "vip", "exists": True}})
FIRST_SEEN = parse_journey(
    {"id": "hello", "enter": {"first_seen": True}, "steps": [{"wait": "1h"}]}
)
WORKSPACE = WorkspaceId(W)


def id_of(rule: Rule) -> int:
    [predicate] = predicates(rule)
    return predicate_id(predicate)


def matched(number: int) -> MatchedEvent:
    return MatchedEvent(workspace_id=W, leaf_id=profile(number), fact_id=bytes([number]) * 16)


def journey_fact(version: int = 1, *, retired: bool = False) -> Fact:
    message = facts_pb.JourneyDefined(journey=journey_to_proto(FIRST_SEEN))
    message.journey.version, message.journey.retired = version, retired
    return Fact(workspace_id=W, kind=JOURNEY_DEFINED, payload=message.SerializeToString())


async def test_what_is_passed_on_is_published_and_replayed_when_the_outbox_has_forgotten_it(
    workers: SegmentWorkers,
) -> None:
    move = LeafMove(workspace_id=W, leaf_id=profile(1), profile_id=profile(2), version=7)
    workers.publish(0, evaluated(1, 1, 5), matched_events=[matched(1)])
    workers.publish(0, matched_events=[matched(2), matched(3)], leaf_moves=[move])
    workers.publish(0, broadcast_facts=[defined("vip", VIP)])
    await workers.fold_all(size=1)
    live = [m for m in await workers.outputs() if m.shard == 0]
    async with workers.pool.acquire() as conn:
        await begin_life(conn, 0)
        await conn.execute("DELETE FROM outbox WHERE first < $1", len(live) - 1)
    messages = [message async for message in read_published(workers.pool, 0, 0, 0)]
    replayed = [MembershipsChanged.FromString(message.payload) for message in messages]
    for found in (live, replayed):
        events = [event.fact_id[0] for message in found for event in message.matched_events]
        assert events == [1, 2, 3]
        assert [m for message in found for m in message.leaf_moves] == [move]


async def test_entry_of_a_journey_has_members_that_no_list_of_segments_shows(
    workers: SegmentWorkers, segment_database: Database
) -> None:
    rule = entry_rule(FIRST_SEEN)
    assert rule is not None
    workers.publish_everywhere(broadcast_facts=[journey_fact()])
    workers.backfilled(id_of(rule))
    workers.publish(0, evaluated(1, 1, id_of(rule)), evaluated(2, 2))
    await workers.fold_all()
    assert await workers.members("journey:hello") == {profile(1)}
    assert await list_segments(segment_database, SHARDS, WORKSPACE) == ([], [])
    workers.publish_everywhere(broadcast_facts=[journey_fact(2, retired=True)])
    await workers.fold_all()
    assert await workers.members("journey:hello") == set()
    await workers.check()


async def test_judge_answers_for_the_person_of_today_once_the_rule_is_backfilled(
    workers: SegmentWorkers, segment_database: Database
) -> None:
    judge = RuleJudge(segment_database, SHARDS)
    named = Reference(ReferenceKind.SEGMENT, "vip")

    def question(number: int, rule: Rule, at_us: int = 0) -> JudgeQuestion:
        return JudgeQuestion(WORKSPACE, profile(number), rule, at_us)

    workers.publish_everywhere(broadcast_facts=[defined("vip", VIP)])
    workers.publish(0, evaluated(1, 1, id_of(VIP)), evaluated(2, 2))
    workers.publish(0, evaluated(3, 3, into=1))
    await workers.fold_all()
    with pytest.raises(ServiceUnavailable, match="backfilled"):
        await judge.judge([question(1, VIP)])
    workers.backfilled(id_of(VIP))
    await workers.fold_all()
    questions = [question(n, rule) for n in (1, 2, 3, 4) for rule in (named, Not(VIP))]
    answers = [True, False, False, True, True, False, False, True]
    assert await judge.judge(questions) == answers
    other = question(1, VIP)._replace(workspace_id=WorkspaceId("other"))
    with pytest.raises(ServiceUnavailable, match="backfilled"):
        await judge.judge([other])
    with pytest.raises(ServiceUnavailable, match="instant"):
        await judge.judge([question(1, VIP, at_us=2**60)])
    # A definition that changes is seen at once.
    workers.publish_everywhere(broadcast_facts=[defined("vip", Not(VIP), version=2)])
    await workers.fold_all()
    assert await judge.judge([question(2, named)]) == [True]
