"""Events that journeys wait for are matched; what is matched is a function of sets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from onefold.activation.v1 import journey_facts_pb2 as pb
from onefold.activation.v1 import journeys_pb2
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged

from services.activation.domain.journeys.program import TriggerSubject, trigger_subject
from services.chassis.codec.journey_facts import (
    JOURNEY_DEFINED,
    JOURNEY_FLOW_CHANGED,
    SLOT_DEFINED,
    report_filter,
)
from services.chassis.codec.journeys import journey_to_proto
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.fold.events import IDENTIFY, TRACK, EventView
from services.kernel.ids import FactId, IdentifierId, LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.inputs import CONSENT_FILTER_ID, call_filter_id
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import EventTrigger, Journey, ListenStep
from services.kernel.journeys.tree import all_steps
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicates, structure_id
from services.profile.codec.bus import Publication, encode_outputs
from services.profile.codec.definitions import rule_definition
from services.profile.domain.backfill import index_of
from services.profile.domain.facts import (
    AttributedFact,
    ProfileAssignment,
    Reassignment,
    RuleDefinition,
)
from services.profile.domain.journeys import JourneyCall, awaited_of, leaf_moves, match_events

SCHOOL, OTHER = WorkspaceId("school"), WorkspaceId("other")
LEAF, PROFILE = LeafId(b"l" * 16), ProfileId(b"p" * 16)
CART: dict[str, Any] = {
    "id": "cart",
    "enter": {
        "event": {"name": "cart_updated", "where": {"items.count": {"at_least": 1}}},
        "per": "cart_id",
        "if": {"trait": {"name": "vip", "exists": True}},
    },
    "goal": [{"event": {"name": "paid", "same": "cart_id"}}],
    "steps": [{"wait": "1h"}],
}
CALLED: dict[str, Any] = {
    "id": "called",
    "enter": {"call": True, "per": "order"},
    "steps": [{"wait": "1h"}],
}


def journey(form: dict[str, Any], version: int = 1, **more: Any) -> Journey:
    return replace(parse_journey({**form, **more}), version=version)


def defined(own: Journey, workspace: WorkspaceId = SCHOOL) -> RuleDefinition:
    payload = pb.JourneyDefined(journey=journey_to_proto(own)).SerializeToString()
    fact = Fact(workspace_id=workspace, kind=JOURNEY_DEFINED, payload=payload)
    definition = rule_definition(fact)
    assert definition is not None
    return definition


def stopped(journey_id: str, version: int, journey_version: int) -> RuleDefinition:
    message = pb.JourneyFlowChanged(
        journey_id=journey_id,
        flow=pb.FLOW_STOPPED,
        version=version,
        journey_version=journey_version,
    )
    kind, payload = JOURNEY_FLOW_CHANGED, message.SerializeToString()
    definition = rule_definition(Fact(workspace_id=SCHOOL, kind=kind, payload=payload))
    assert definition is not None
    return definition


def event(name: str, workspace: WorkspaceId = SCHOOL, **properties: Any) -> AttributedFact:
    view = EventView(TRACK, name, 5, b"f" * 16, json.dumps(properties).encode())
    return AttributedFact(7, 9, workspace, LEAF, PROFILE, event=view, broadcast=None)


def test_event_is_matched_with_the_properties_that_the_journey_reads() -> None:
    awaited = awaited_of([defined(journey(CART))])
    fact = event("cart_updated", cart_id="c", items={"count": 2}, secret="s")
    [matched] = match_events([fact], [], awaited)
    assert json.loads(matched.properties) == {"cart_id": "c"}
    trigger = journey(CART).entry.by
    assert isinstance(trigger, EventTrigger)
    assert matched.filter_ids == (structure_id(trigger.events),)
    assert matched[:5] == (SCHOOL, PROFILE, 0, LEAF, b"f" * 16)
    assert (matched.occurred_at_us, matched.recorded_at_us) == (5, 9)


def test_other_events_and_events_of_other_workspaces_are_not_matched() -> None:
    awaited = awaited_of([defined(journey(CART))])
    facts = [
        event("cart_updated", items={"count": 0}),
        event("viewed"),
        event("paid", OTHER),
        event("paid")._replace(event=EventView(IDENTIFY, "paid", 5, b"f" * 16)),
        event("paid")._replace(event=None),
    ]
    assert match_events(facts, [], awaited) == []
    assert match_events([event("paid")], [], awaited_of([])) == []


def test_event_of_several_filters_is_matched_once_with_all_of_them() -> None:
    any_event = journey(CART, id="any", enter={"event": "*"}, goal=[])
    awaited = awaited_of([defined(journey(CART)), defined(any_event)])
    [matched] = match_events([event("paid", cart_id="c")], [], awaited)
    ids = {structure_id(EventFilter.of("paid")), structure_id(EventFilter.of("*"))}
    assert matched.filter_ids == tuple(sorted(ids))
    assert json.loads(matched.properties) == {"cart_id": "c"}


def test_property_that_leads_through_a_list_is_the_list_of_its_values() -> None:
    through = journey(CART, enter={"event": "cart_updated", "per": "products.sku"})
    [matched] = match_events(
        [event("cart_updated", products=[{"sku": "A"}, {"sku": "B"}])],
        [],
        awaited_of([defined(through)]),
    )
    assert json.loads(matched.properties) == {"products.sku": ["A", "B"]}


def test_call_of_a_journey_is_matched_with_the_id_of_its_calls() -> None:
    called, cart = call_filter_id("called"), call_filter_id("cart")
    ids = (SCHOOL, LEAF, PROFILE, FactId(b"f" * 16))
    call = JourneyCall(7, 9, *ids, 5, called, b'{"order":1,"x":2}')
    awaited = awaited_of([defined(journey(CALLED)), defined(journey(CART))])
    [matched] = match_events([], [call, call._replace(filter_id=cart)], awaited)
    assert matched.filter_ids == (called,)
    assert json.loads(matched.properties) == {"order": 1}
    assert match_events([], [call], awaited_of([defined(journey(CART))])) == []


def test_report_that_a_journey_waits_for_is_matched_and_no_other() -> None:
    listen = {"to": {"report": ["mail"], "is": "undelivered"}, "at_most": "2d"}
    mail = {"send": {"id": "mail", "to": "shop", "template": "t"}}
    listening = {**CART, "id": "listening", "steps": [mail, {"listen": listen}]}
    awaited = awaited_of([defined(journey(listening))])

    def report(**fields: Any) -> JourneyCall:
        plain: dict[str, Any] = {
            "journey_id": "listening",
            "step_id": "mail",
            "what": journeys_pb2.REPORT_KIND_UNDELIVERED,
        }
        payload = pb.DeliveryReported(**{**plain, **fields}).SerializeToString()
        ids = (SCHOOL, LEAF, PROFILE, FactId(b"f" * 16))
        return JourneyCall(7, 9, *ids, 5, report_filter(payload), b"")

    [matched] = match_events([], [report()], awaited)
    trigger = trigger_of(journey(listening))
    assert matched.filter_ids == tuple(int(subject[1]) for subject in trigger.subjects)
    others = [
        report(journey_id="cart"),
        report(step_id="other"),
        report(what=journeys_pb2.REPORT_KIND_OPENED),
        report(is_machine=True),
        report(what=0),
    ]
    assert match_events([], others, awaited) == []


def trigger_of(own: Journey) -> TriggerSubject:
    """Return what the player waits for in the `listen` of a journey."""
    (step,) = (each for each in all_steps(own) if isinstance(each, ListenStep))
    return trigger_subject(step.to, own.journey_id)


def test_event_of_an_earlier_version_is_matched_until_the_journey_is_stopped() -> None:
    definitions = [defined(journey(CART)), defined(journey(CART, 2, goal=[], retired=True))]
    assert match_events([event("paid")], [], awaited_of(definitions))
    definitions.append(stopped("cart", 1, 2))
    assert awaited_of(definitions) == {}


def test_workspace_with_a_slot_has_answers_to_purposes_and_moves_passed_on_for_ever() -> None:
    fact = Fact(workspace_id=SCHOOL, kind=SLOT_DEFINED, payload=b"")
    slot = rule_definition(fact)
    assert slot is not None
    definitions = [slot, defined(journey(CART)), stopped("cart", 1, 1)]
    answers = [event("consent_changed", secret="s"), event("consent_changed", OTHER)]
    [matched] = match_events([*answers, event("paid")], [], awaited_of(definitions))
    assert (matched.workspace_id, matched.filter_ids) == (SCHOOL, (CONSENT_FILTER_ID,))
    assert matched.properties == b"{}"
    after = ProfileAssignment(SCHOOL, IdentifierId(LEAF), PROFILE, 2, None)
    moved = Reassignment(ProfileId(b"o" * 16), after)
    assert leaf_moves([moved], awaited_of([slot])) == [moved]
    assert leaf_moves([moved], awaited_of(definitions[1:])) == []


@given(st.permutations([0, 1, 2, 3]))
def test_what_is_awaited_does_not_depend_on_the_order_or_on_repetitions(order: list[int]) -> None:
    later = journey(CART, 3, goal=[{"event": {"name": "refunded", "same": "cart_id"}}])
    all_ = [
        defined(journey(CART)),
        defined(journey(CART, 2)),
        stopped("cart", 1, 2),
        defined(later),
    ]
    resumed = stopped("cart", 2, 2)
    assert resumed.stop is not None
    resumed = resumed._replace(stop=resumed.stop._replace(is_stopped=False))
    shuffled = [all_[i] for i in order]
    for definitions in (all_, [*shuffled, *shuffled]):
        awaited = awaited_of([*definitions, resumed])
        facts = [event("refunded", cart_id="c"), event("paid", cart_id="c")]
        assert len(match_events(facts, [], awaited)) == 2
        index = index_of([*definitions, resumed])[SCHOOL]
        [needed] = predicates(parse_rule({"trait": {"name": "vip", "exists": True}}))
        assert [p.predicate for p in index.predicates.values()] == [needed]


def test_rules_and_entries_of_journeys_are_predicates_as_long_as_runs_may_go_by_them() -> None:
    date = journey(CART, enter={"date": {"trait": "birthday", "clock": "09:00"}})
    definitions = [defined(date), defined(journey(CART, 2))]
    assert len(index_of(definitions)[SCHOOL].predicates) == 2
    assert index_of([*definitions, stopped("cart", 1, 2)]) == {}


def test_only_moves_between_profiles_of_workspaces_with_journeys_are_passed_on() -> None:
    after = ProfileAssignment(SCHOOL, IdentifierId(LEAF), PROFILE, 3, None)
    moved = Reassignment(ProfileId(b"q" * 16), after)
    others = [
        Reassignment(None, after),
        Reassignment(PROFILE, after),
        Reassignment(ProfileId(b"q" * 16), after._replace(workspace_id=OTHER)),
    ]
    assert leaf_moves([moved, *others], awaited_of([defined(journey(CART))])) == [moved]
    assert leaf_moves([moved], {}) == []


def test_matched_events_and_moves_are_published_in_messages_that_the_bus_can_take() -> None:
    [matched] = match_events(
        [event("paid", cart_id="x" * 400_000)], [], awaited_of([defined(journey(CART))])
    )
    move = Reassignment(None, ProfileAssignment(SCHOOL, IdentifierId(LEAF), PROFILE, 3, None))
    at = Checkpoint(0, 0, 4, 0, 0)
    outputs = encode_outputs(Publication(matched=[matched] * 3, moves=[move]), at, 10, 20)
    messages = [ProfilesChanged.FromString(output.payload) for output in outputs]
    assert [len(m.matched_events) for m in messages] == [2, 1]
    assert [m.log_offset for m in messages] == [0, 10]
    [sent] = messages[-1].leaf_moves
    assert (sent.leaf_id, sent.profile_id, sent.version) == (LEAF, PROFILE, 3)
    assert messages[0].matched_events[0].leaf_id == LEAF
