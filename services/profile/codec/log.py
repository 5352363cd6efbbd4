"""Decodes facts of the event log: events and broadcast facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onefold.log.v1.log_pb2 import ClockTicked, Fact
from onefold.type.v1.event_pb2 import Event

from services.chassis.codec.erasures import erasures_in
from services.chassis.codec.tickets import TICKET_KINDS
from services.kernel.fold.events import GROUP, EventView, name_in_rules
from services.kernel.identifiers.normalize import normalize, object_type_of
from services.kernel.identifiers.priority import account_leaf
from services.kernel.ids import NO_ID, LeafId, ProfileId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.profile.codec.definitions import rule_definition
from services.profile.codec.records import record_view
from services.profile.codec.tickets import ticket_view
from services.profile.domain.facts import AttributedFact, BroadcastFact, LogEvent
from services.profile.domain.profile import LeafEvent

EVENT: str = Event.DESCRIPTOR.full_name
CLOCK_TICKED: str = ClockTicked.DESCRIPTOR.full_name


def event_view(fact: Fact, index_key: IndexKey) -> EventView | None:
    """Decode what a fact says about a person or an account; None for a fact of another kind."""
    if fact.kind != EVENT:
        return ticket_view(fact) if fact.kind in TICKET_KINDS else record_view(fact)
    event = Event.FromString(fact.payload)
    type_ = event.type
    if type_ == GROUP:
        return _group_view(fact, event, index_key)
    at_us, id_, trust, party = fact.occurred_at_us, fact.fact_id, event.trust, event.party
    properties, traits, source_id = event.properties, event.traits, fact.source_id
    first = (type_, event.name, at_us, id_, properties, traits, b"", b"", trust, party)
    return EventView(*first, "", source_id, event.touch)


def named_event(fact: Fact) -> tuple[str, bytes]:
    """Return the name of an event in rules, with its properties; no name where rules read none."""
    if fact.kind == EVENT:
        event = Event.FromString(fact.payload)
        return name_in_rules(event.type, event.name), event.properties
    if fact.kind in TICKET_KINDS:
        view = ticket_view(fact)
        return view.name, view.properties
    return "", b""


def _group_view(fact: Fact, event: Event, index_key: IndexKey) -> EventView:
    """Decode one of the two copies of a group event: the account's copy names its member."""
    member, account, type_ = event.member_leaf_id, b"", ""
    if member:
        type_ = object_type_of(event.group_id)
    else:
        account = account_leaf(fact.workspace_id, event.group_id, index_key) or b""
    at_us, id_, trust = fact.occurred_at_us, fact.fact_id, event.trust
    properties, traits = event.properties, event.traits
    last = (account, member, trust, event.party, type_, fact.source_id, event.touch)
    return EventView(GROUP, "", at_us, id_, properties, traits, *last)


def broadcast_fact(fact: Fact) -> BroadcastFact:
    """Decode a fact without a leaf."""
    return BroadcastFact(
        fact.kind,
        fact.SerializeToString(),
        fact.kind == CLOCK_TICKED,
        rule_definition(fact),
        next(erasures_in([fact]), None),
    )


def decode_log_events(facts: Iterable[Fact], index_key: IndexKey) -> Iterator[LogEvent]:
    """Yield the events, corrections and scores among facts of the log."""
    for fact in facts:
        view = event_view(fact, index_key)
        if view is not None:
            leaf_id, workspace = LeafId(fact.leaf_id), WorkspaceId(fact.workspace_id)
            yield LogEvent(fact.offset, workspace, leaf_id, view)


def decode_leaf_events(
    facts: Iterable[Fact], region: str, index_key: IndexKey
) -> Iterator[LeafEvent]:
    """Yield the events, corrections and scores among the facts of a profile.

    `region` is that of its workspace.
    """
    for fact in facts:
        view = event_view(fact, index_key)
        if view is not None:
            raw = Event.FromString(fact.payload).identifiers if fact.kind == EVENT else ()
            normalized = (normalize(i.namespace, i.value, region) for i in raw)
            identifiers = tuple(i for i in normalized if i is not None)
            yield LeafEvent(LeafId(fact.leaf_id), view, identifiers)


def decode_broadcast_facts(facts: Iterable[Fact]) -> list[AttributedFact]:
    """Return the facts without a leaf among facts of the log."""
    return [
        AttributedFact(
            fact.offset,
            fact.recorded_at_us,
            WorkspaceId(fact.workspace_id),
            LeafId(NO_ID),
            ProfileId(NO_ID),
            event=None,
            broadcast=broadcast_fact(fact),
        )
        for fact in facts
        if not fact.leaf_id
    ]


def parse_facts(serialized: Iterable[bytes]) -> list[Fact]:
    """Parse serialised facts."""
    return [Fact.FromString(raw) for raw in serialized]
