"""Names what happens to tickets: the events on the timelines of persons."""

from __future__ import annotations

from enum import Enum
from functools import cache

from services.kernel.ids import hash_id


class TicketEvent(Enum):
    """Something that happens to a ticket; the value is the name of the event."""

    OPENED = "ticket_opened"
    ASSIGNED = "ticket_assigned"
    ANSWERED = "ticket_answered"
    WAITING = "ticket_waiting"
    RESOLVED = "ticket_resolved"
    REOPENED = "ticket_reopened"
    RATED = "ticket_rated"
    SLA_BREACHED = "sla_breached"
    SLA_BREACH_WITHDRAWN = "sla_breach_withdrawn"


@cache
def ticket_filter_id(event: TicketEvent) -> int:
    """Return the id that stands for an event of tickets beside those of event filters."""
    return int.from_bytes(hash_id("ticket", event.value)[:8], "big")
