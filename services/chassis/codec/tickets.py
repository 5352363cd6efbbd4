"""Reads the facts about tickets as the events that they are on the timelines of persons."""

from __future__ import annotations

from typing import Any, Final

from onefold.activation.v1 import desk_pb2 as pb

from services.chassis.codec.payloads import decode_payload
from services.kernel.desk.ticket_events import TicketEvent
from services.kernel.errors import InvalidField
from services.kernel.rules.values import Json

MESSAGES: Final[dict[TicketEvent, Any]] = {
    TicketEvent.OPENED: pb.TicketOpened,
    TicketEvent.ASSIGNED: pb.TicketAssigned,
    TicketEvent.ANSWERED: pb.TicketAnswered,
    TicketEvent.WAITING: pb.TicketWaiting,
    TicketEvent.RESOLVED: pb.TicketResolved,
    TicketEvent.REOPENED: pb.TicketReopened,
    TicketEvent.RATED: pb.TicketRated,
    TicketEvent.SLA_BREACHED: pb.SlaBreached,
    TicketEvent.SLA_BREACH_WITHDRAWN: pb.SlaBreachWithdrawn,
}
#: The events by the kinds of their facts.
TICKET_KINDS: Final[dict[str, TicketEvent]] = {
    message.DESCRIPTOR.full_name: event for event, message in MESSAGES.items()
}


def ticket_properties(event: TicketEvent, payload: bytes) -> dict[str, Json]:
    """Return the properties of an event by the payload of its fact; none where it is no such."""
    try:
        return _members(decode_payload(MESSAGES[event], payload))
    except InvalidField:
        return {}


def _members(message: Any) -> dict[str, Json]:
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: Any, value: Any) -> Json:
    if field.message_type is not None:
        return [_members(each) for each in value]
    if field.enum_type is not None:
        # ASSIGNMENT_REASON_LEAST_OPEN is `least_open`.
        name: str = field.enum_type.values_by_number[value].name
        unspecified: str = field.enum_type.values_by_number[0].name
        return name.removeprefix(unspecified.removesuffix("UNSPECIFIED")).lower()
    return value
