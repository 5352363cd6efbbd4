"""Matches events with what journeys and slots wait for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from services.kernel.fold.events import EventView, read_object, rule_event_name
from services.kernel.ids import FactId, LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.inputs import (
    CONSENT_EVENTS,
    awaited_events,
    awaited_reports,
    call_filter_id,
    entry_properties,
    live_versions,
    select_properties,
)
from services.kernel.journeys.model import CallTrigger, Journey
from services.kernel.rules.filters import ANY_EVENT, EventFilter, matcher
from services.kernel.rules.ids import structure_id
from services.profile.domain.facts import AttributedFact, Reassignment, RuleDefinition

_Properties: TypeAlias = dict[str, Any]


class JourneyCall(NamedTuple):
    """A fact of journeys themselves: a call that begins a run, or a report about a message."""

    offset: int
    recorded_at_us: int
    workspace_id: WorkspaceId
    leaf_id: LeafId
    #: The profile of the leaf when identity folded the fact.
    profile_id: ProfileId
    fact_id: FactId
    occurred_at_us: int
    #: See `call_filter_id`, `report_filter_id` and `ticket_filter_id`.
    filter_id: int
    #: A JSON object (UTF-8), or empty.
    properties: bytes
    #: Whether it is about a ticket, which activation gets whether a journey waits for it or not.
    is_ticket: bool = False


class MatchedEvent(NamedTuple):
    """An event that a journey waits for, or a call."""

    workspace_id: WorkspaceId
    profile_id: ProfileId
    #: The version of the assignment of the leaf to the profile.
    assignment_version: int
    leaf_id: LeafId
    fact_id: FactId
    #: Ascending; see `services.kernel.rules.ids.structure_id`.
    filter_ids: tuple[int, ...]
    occurred_at_us: int
    recorded_at_us: int
    #: Those that journeys name for these filters: a JSON object (UTF-8).
    properties: bytes


class EventMatch(NamedTuple):
    """What of an event journeys read."""

    #: The filters that match it, ascending.
    filter_ids: tuple[int, ...]
    #: See `MatchedEvent`.
    properties: bytes


class _AwaitedEvent(NamedTuple):
    filter_id: int
    #: None = any properties.
    is_match: Callable[[_Properties], bool] | None
    #: The names of the properties to pass on.
    properties: frozenset[str]


class _AwaitedName(NamedTuple):
    """What journeys wait for among the events with one name."""

    awaited: list[_AwaitedEvent]
    #: What they read of each event, where no property matters.
    always: EventMatch | None

    @classmethod
    def of(cls, awaited: list[_AwaitedEvent]) -> _AwaitedName:
        reads = any(a.is_match is not None or a.properties for a in awaited)
        return cls(awaited, None if reads or not awaited else _event_match(awaited, {}))

    def match(self, properties: bytes) -> EventMatch | None:
        """Return what they read of an event with some properties; None = nothing."""
        if not self.awaited:
            return None
        members = read_object(properties)
        matching = [a for a in self.awaited if a.is_match is None or a.is_match(members)]
        return _event_match(matching, members) if matching else None


class AwaitedEvents:
    """The events and calls that the live journeys of a workspace wait for, and its slots."""

    def __init__(self, journeys: Iterable[Journey], *, has_slots: bool = False) -> None:
        filters: dict[EventFilter, frozenset[str]] = defaultdict(frozenset)
        if has_slots:
            filters[CONSENT_EVENTS] |= frozenset()
        self._calls: dict[int, frozenset[str]] = defaultdict(frozenset)
        for journey in journeys:
            for events, names in awaited_events(journey).items():
                filters[events] |= names
            if isinstance(journey.entry.by, CallTrigger):
                self._calls[call_filter_id(journey.journey_id)] |= entry_properties(journey)
            for filter_id in awaited_reports(journey):
                self._calls[filter_id] |= frozenset()
        by_name: dict[str, list[_AwaitedEvent]] = defaultdict(list)
        for events, names in filters.items():
            is_match = matcher(events.where) if events.where else None
            for name in events.names:
                awaited = _AwaitedEvent(structure_id(events), is_match, names)
                by_name[name].append(awaited)
        of_any = by_name.pop(ANY_EVENT, [])
        self._of_any = _AwaitedName.of(of_any)
        self._by_name = {n: _AwaitedName.of([*own, *of_any]) for n, own in by_name.items()}

    def match(self, fact: AttributedFact) -> MatchedEvent | None:
        """Return an event that a journey waits for; None for any other fact."""
        event = fact.event
        if event is None:
            return None
        match = self.match_named(rule_event_name(event), event.properties)
        return None if match is None else _matched(fact, event, match)

    def match_named(self, name: str, properties: bytes) -> EventMatch | None:
        """Return what journeys read of an event with a name in rules; None = they read nothing."""
        if not name:
            return None
        awaited = self._by_name.get(name, self._of_any)
        return awaited.always or awaited.match(properties)

    def match_call(self, call: JourneyCall) -> MatchedEvent | None:
        """Return a call or a report that a live journey waits for; None for any other."""
        names = self._calls.get(call.filter_id)
        if names is None:
            return None
        return MatchedEvent(
            call.workspace_id,
            call.profile_id,
            0,
            call.leaf_id,
            call.fact_id,
            (call.filter_id,),
            call.occurred_at_us,
            call.recorded_at_us,
            _selected(read_object(call.properties), names),
        )


#: Of each workspace that has live journeys or slots.
Awaited: TypeAlias = Mapping[WorkspaceId, AwaitedEvents]


def awaited_of(definitions: Iterable[RuleDefinition]) -> Awaited:
    """Return what the journeys and slots among some definitions wait for, by their set alone.

    A workspace that has had a slot counts for ever: what activation stores of its persons stays
    right where the slot is used again.
    """
    every = list(definitions)
    slots = {definition.workspace_id for definition in every if definition.is_slot}
    journeys: dict[WorkspaceId, list[Journey]] = {workspace_id: [] for workspace_id in slots}
    for definition in journeys_in_force(every):
        if definition.journey is not None:
            journeys.setdefault(definition.workspace_id, []).append(definition.journey)
    return {
        workspace_id: AwaitedEvents(own, has_slots=workspace_id in slots)
        for workspace_id, own in journeys.items()
    }


def journeys_in_force(definitions: Iterable[RuleDefinition]) -> Iterator[RuleDefinition]:
    """Yield the definitions of journeys that runs may go by."""
    journeys: dict[WorkspaceId, dict[tuple[str, int], RuleDefinition]] = defaultdict(dict)
    stops = defaultdict(list)
    for definition in definitions:
        if definition.journey is not None:
            key = definition.key, definition.version
            journeys[definition.workspace_id][key] = definition
        elif definition.stop is not None:
            stops[definition.workspace_id].append(definition.stop)
    for workspace_id, own in journeys.items():
        versions = [d.journey for d in own.values() if d.journey is not None]
        for journey in live_versions(versions, stops[workspace_id]):
            yield own[journey.journey_id, journey.version]


def match_events(
    facts: Iterable[AttributedFact], calls: Iterable[JourneyCall], awaited: Awaited
) -> list[MatchedEvent]:
    """Return the events and calls that journeys wait for, with the profiles that the facts name."""
    matched: list[MatchedEvent | None] = []
    for fact in facts:
        if fact.event is not None and fact.workspace_id in awaited:
            matched.append(awaited[fact.workspace_id].match(fact))
    tickets: dict[FactId, MatchedEvent] = {}
    for call in calls:
        if call.is_ticket:
            tickets[call.fact_id] = _ticket_event(call)
        elif call.workspace_id in awaited:
            matched.append(awaited[call.workspace_id].match_call(call))
    found = [one for one in matched if one is not None]
    return _with_tickets(found, tickets) if tickets else found


def _ticket_event(call: JourneyCall) -> MatchedEvent:
    """Return what activation gets of a fact about a ticket: all of its properties."""
    return MatchedEvent(
        call.workspace_id,
        call.profile_id,
        0,
        call.leaf_id,
        call.fact_id,
        (call.filter_id,),
        call.occurred_at_us,
        call.recorded_at_us,
        call.properties,
    )


def _with_tickets(
    matched: Iterable[MatchedEvent], tickets: dict[FactId, MatchedEvent]
) -> list[MatchedEvent]:
    """Return matched events and those of tickets, each fact once."""
    found = []
    for one in matched:
        ticket = tickets.pop(one.fact_id, None)
        if ticket is not None:
            ids = tuple(sorted((*one.filter_ids, *ticket.filter_ids)))
            one = ticket._replace(filter_ids=ids)
        found.append(one)
    return [*found, *tickets.values()]


def leaf_moves(reassigned: Iterable[Reassignment], awaited: Awaited) -> list[Reassignment]:
    """Return the identifiers that have moved from one profile to another, where it matters."""
    return [
        one
        for one in reassigned
        if one.before not in (None, one.after.profile_id) and one.after.workspace_id in awaited
    ]


def _event_match(matching: list[_AwaitedEvent], properties: _Properties) -> EventMatch:
    """Return what some filters read of an event that they match."""
    names = frozenset[str]().union(*(awaited.properties for awaited in matching))
    filter_ids = tuple(sorted(awaited.filter_id for awaited in matching))
    return EventMatch(filter_ids, _selected(properties, names))


def _matched(fact: AttributedFact, event: EventView, match: EventMatch) -> MatchedEvent:
    return MatchedEvent(
        fact.workspace_id,
        fact.profile_id,
        0,
        fact.leaf_id,
        FactId(event.fact_id),
        match.filter_ids,
        event.occurred_at_us,
        fact.recorded_at_us,
        match.properties,
    )


def _selected(properties: _Properties, names: Collection[str]) -> bytes:
    """Return the named properties that there are, as JSON."""
    if not names:
        return b"{}"
    return msgspec.json.encode(select_properties(properties, names))
