"""Reads the facts about tickets as events of persons."""

from __future__ import annotations

import msgspec
from onefold.log.v1.log_pb2 import Fact

from services.chassis.codec.tickets import TICKET_KINDS, ticket_properties
from services.kernel.fold.events import TRACK, EventView
from services.kernel.trust import SourceTrust


def ticket_view(fact: Fact) -> EventView:
    """Return what a fact about a ticket says about its person: an event with a name.

    Its `record` is the kind of the fact, by which it differs from events of sources.
    """
    event = TICKET_KINDS[fact.kind]
    properties = msgspec.json.encode(ticket_properties(event, fact.payload), order="sorted")
    at_us, id_, trust = fact.occurred_at_us, fact.fact_id, SourceTrust.SERVER
    return EventView(TRACK, event.value, at_us, id_, properties, trust=trust, record=fact.kind)
