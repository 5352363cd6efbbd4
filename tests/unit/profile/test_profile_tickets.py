"""Tests what facts about tickets are to profile: events of persons, which the desk gets whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from onefold.activation.v1 import desk_pb2 as pb
from onefold.identity.v1.identity_stream_pb2 import FactsAttributed
from onefold.log.v1.log_pb2 import Fact, FactBatch

from services.chassis.codec.tickets import MESSAGES, TICKET_KINDS, ticket_properties
from services.chassis.messaging.stream import Batch, StreamMessage
from services.ingest.codec.service_facts import SERVICE_KINDS
from services.kernel.desk.ticket_events import TicketEvent, ticket_filter_id
from services.kernel.fold.events import TRACK, rule_event_name
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import EventTrigger
from services.kernel.rules.ids import structure_id
from services.profile.codec.bus import DecodedBatch, decode_batch
from services.profile.codec.timeline import event_name
from services.profile.domain.journeys import AwaitedEvents, match_events
from services.profile.domain.timeline import DEFAULT_KINDS, TimelineKind
from tests.index_key import INDEX_KEY

LEAF, PROFILE, TICKET = b"l" * 16, b"p" * 16, b"t" * 16
ESCALATE = parse_journey(
    {
        "id": "escalate",
        "enter": {"event": {"name": "sla_breached", "where": {"limit": "first_answer"}}},
        "steps": [{"wait": "1h"}],
    }
)


def fact(message: Any, number: int = 0) -> Fact:
    message.ticket_id = TICKET.hex()
    return Fact(
        workspace_id="w",
        fact_id=bytes([number]) * 16,
        kind=message.DESCRIPTOR.full_name,
        leaf_id=LEAF,
        occurred_at_us=5,
        recorded_at_us=9,
        payload=message.SerializeToString(),
    )


def decoded(*facts: Fact) -> DecodedBatch:
    attributed = FactsAttributed(
        next_offset=len(facts),
        fact_batch=FactBatch(facts=facts).SerializeToString(),
        profile_ids=PROFILE * len(facts),
    )
    message = StreamMessage(0, len(facts), attributed.SerializeToString())
    return decode_batch(Batch(0, 0, len(facts), (message,), 0, 0, 0), INDEX_KEY)


@pytest.mark.parametrize("event", list(TicketEvent), ids=lambda event: event.value)
def test_fact_about_a_ticket_is_an_event_with_its_name(event: TicketEvent) -> None:
    own = fact(MESSAGES[event](queue_id="q"))
    assert own.kind in SERVICE_KINDS
    [row] = decoded(own).facts
    assert row.event is not None
    assert (row.event.type, rule_event_name(row.event)) == (TRACK, event.value)
    assert json.loads(row.event.properties) == {"ticket_id": TICKET.hex(), "queue_id": "q"}
    assert event_name(own) == (TRACK, event.value)
    assert DEFAULT_KINDS[event.value] is TimelineKind.SERVICE_REQUEST


def test_properties_have_words_for_enums_and_lists_for_messages() -> None:
    message = pb.TicketAssigned(
        reason=pb.ASSIGNMENT_REASON_LEAST_OPEN, roster=[pb.RosterEntry(agent_id="li", open=2)]
    )
    assert ticket_properties(TicketEvent.ASSIGNED, message.SerializeToString()) == {
        "reason": "least_open",
        "roster": [{"agent_id": "li", "open": 2}],
    }
    assert ticket_properties(TicketEvent.ASSIGNED, b"\xff") == {}


def test_desk_gets_facts_about_tickets_whether_a_journey_waits_for_them_or_not() -> None:
    batch = decoded(fact(pb.TicketOpened(title="t"), 1), fact(pb.SlaBreached(due_us=7), 2))
    matched = match_events(batch.facts, batch.calls, {})
    assert [json.loads(one.properties).keys() - {"ticket_id"} for one in matched] == [
        {"title"},
        {"due_us"},
    ]
    assert [one.filter_ids for one in matched] == [
        (ticket_filter_id(TicketEvent.OPENED),),
        (ticket_filter_id(TicketEvent.SLA_BREACHED),),
    ]
    assert {(one.leaf_id, one.profile_id) for one in matched} == {(LEAF, PROFILE)}


def test_fact_that_a_journey_waits_for_is_passed_on_once_with_both_ids() -> None:
    limit = pb.SLA_LIMIT_FIRST_ANSWER
    batch = decoded(fact(pb.SlaBreached(limit=limit, due_us=7), 1))
    awaited = {batch.facts[0].workspace_id: AwaitedEvents([ESCALATE])}
    [matched] = match_events(batch.facts, batch.calls, awaited)
    assert isinstance(ESCALATE.entry.by, EventTrigger)
    ids = {ticket_filter_id(TicketEvent.SLA_BREACHED), structure_id(ESCALATE.entry.by.events)}
    assert set(matched.filter_ids) == ids
    assert list(matched.filter_ids) == sorted(ids)
    assert json.loads(matched.properties)["due_us"] == 7


def test_every_kind_of_fact_about_tickets_has_an_event() -> None:
    assert sorted(TICKET_KINDS.values(), key=str) == sorted(TicketEvent, key=str)
