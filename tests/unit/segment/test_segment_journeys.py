"""Segment passes on what journeys wait for, and has the members that their entries need."""

from __future__ import annotations

import pytest
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.profile.v1.profile_stream_pb2 import LeafMove, MatchedEvent, ProfilesChanged
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged

from services.chassis.codec.journeys import journey_to_proto
from services.chassis.codec.rules import rule_to_proto
from services.chassis.messaging.stream import StreamMessage
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.rules.model import Any_
from services.segment.codec.api import MAX_QUESTIONS, questions_from_proto
from services.segment.codec.bus import (
    MAX_PASSED_BYTES,
    encode_from_history,
    encode_memberships_changed,
    passed_on,
)
from services.segment.codec.definitions import journey_members
from services.segment.codec.units import UNITS
from services.segment.domain.model import check_new_segment_id

EVENT = MatchedEvent(workspace_id="school", fact_id=b"f" * 16, filter_ids=[1])
MOVE = LeafMove(workspace_id="school", leaf_id=b"l" * 16, version=2)


def defined(**form: object) -> bytes:
    journey = parse_journey({"id": "j", "steps": [{"wait": "1h"}], **form})
    return facts_pb.JourneyDefined(journey=journey_to_proto(journey)).SerializeToString()


def test_what_is_passed_on_is_a_part_of_the_message() -> None:
    [passed] = passed_on([ProfilesChanged(matched_events=[EVENT], leaf_moves=[MOVE])])
    payload = encode_memberships_changed(1, 2, (), (), passed, log_offset=3, log_time_us=4)
    message = MembershipsChanged.FromString(payload)
    assert list(message.matched_events) == [EVENT]
    assert list(message.leaf_moves) == [MOVE]
    assert (message.sequence, message.log_offset) == (2, 3)
    assert passed_on([ProfilesChanged()]) == []


def test_what_is_passed_on_is_cut_into_messages_that_the_bus_can_take_in_its_order() -> None:
    events = [
        MatchedEvent(fact_id=bytes([i]) * 16, properties=b"x" * (MAX_PASSED_BYTES // 3))
        for i in range(5)
    ]
    messages = [
        ProfilesChanged(matched_events=events[:1]),
        ProfilesChanged(matched_events=events[1:]),
    ]
    parts = [MembershipsChanged.FromString(part) for part in passed_on(messages)]
    assert [len(part.matched_events) for part in parts] == [2, 2, 1]
    assert [e.fact_id for part in parts for e in part.matched_events] == [e.fact_id for e in events]


def test_history_replays_what_several_messages_passed_on() -> None:
    parts = [passed_on([ProfilesChanged(matched_events=[EVENT])])[0]] * 2
    message = MembershipsChanged.FromString(encode_from_history(0, 5, (), (), parts))
    assert list(message.matched_events) == [EVENT, EVENT]


def test_matched_events_and_moves_are_units_that_can_be_left_out() -> None:
    whole = ProfilesChanged(sequence=3, matched_events=[EVENT, EVENT], leaf_moves=[MOVE])
    units = UNITS.units_of(StreamMessage(3, 4, whole.SerializeToString()))
    assert [unit.workspace_id for unit in units] == ["school", "school"]
    rest = UNITS.without(whole, 3, [units[0].id])
    assert not rest.matched_events
    assert list(rest.leaf_moves) == [MOVE]


@pytest.mark.parametrize(
    ("enter", "has_members"),
    [
        ({"date": {"trait": "birthday", "clock": "09:00"}}, True),
        ({"first_seen": True}, True),
        ({"event": "registered"}, False),
        ({"segment": {"id": "vip"}}, False),
    ],
)
def test_only_entries_by_dates_and_first_events_have_members(
    enter: object, has_members: bool
) -> None:
    members = journey_members("school", defined(enter=enter))
    assert members.segment_id == "journey:j"
    assert members.retired is not has_members
    assert (members.rule == Any_(())) is not has_members


def test_segment_has_no_id_of_the_members_of_a_journey() -> None:
    with pytest.raises(InvalidField, match="journeys"):
        check_new_segment_id("journey:j", "segment.segment_id")


def test_too_many_questions_are_refused() -> None:
    question = pb.JudgeQuestion(rule=rule_to_proto(Any_(())))
    assert len(questions_from_proto(pb.JudgeRequest(questions=[question] * MAX_QUESTIONS))) == 1000
    with pytest.raises(TooLarge):
        questions_from_proto(pb.JudgeRequest(questions=[question] * (MAX_QUESTIONS + 1)))
    with pytest.raises(InvalidField, match="rule"):
        questions_from_proto(pb.JudgeRequest(questions=[pb.JudgeQuestion()]))
