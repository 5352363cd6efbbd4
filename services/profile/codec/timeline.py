"""Translates the filters and entries of timelines."""

from __future__ import annotations

from typing import Final

import msgspec
from onefold.activation.v1.activation_facts_pb2 import DeliveryEnded, DeliveryState
from onefold.activation.v1.journey_facts_pb2 import DeliveryReported
from onefold.activation.v1.journey_runs_pb2 import RunTransitioned
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.event_pb2 import Event

from services.chassis.codec.journey_facts import DELIVERY_REPORTED, REPORT_KINDS
from services.chassis.codec.tickets import TICKET_KINDS
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.fold.events import PAGE, SCREEN, TRACK, UNNAMED
from services.profile.codec.log import EVENT
from services.profile.domain.timeline import TimelineFilter, TimelineKind

#: The facts that a timeline leaves out: what a run of a journey decides is shown by the run.
HIDDEN_KINDS: Final = frozenset({RunTransitioned.DESCRIPTOR.full_name})
DELIVERY_ENDED: Final[str] = DeliveryEnded.DESCRIPTOR.full_name
#: The most names of events, and the most sources, of one filter.
MAX_LISTED = 50


def event_name(fact: Fact) -> tuple[int, str]:
    """Return the type of an event and its name in rules; (0, "") for other facts."""
    if fact.kind in TICKET_KINDS:
        return TRACK, TICKET_KINDS[fact.kind].value
    if fact.kind != EVENT:
        return 0, ""
    event = Event.FromString(fact.payload)
    named = event.type in (TRACK, PAGE, SCREEN)
    return event.type, (event.name or UNNAMED.get(event.type, "")) if named else ""


def message_entry(fact: Fact) -> tuple[str, bytes]:
    """Return what happened to a message, and what names it; ("", b"") for other facts.

    The name is such as `message_clicked`; the JSON object has the journey with its step, or the
    segment, the destination, and the id of the message.
    """
    if fact.kind == DELIVERY_REPORTED:
        report = DeliveryReported.FromString(fact.payload)
        word = REPORT_KINDS.from_proto(report.what, "what").value
        named: dict[str, str | bool] = {"machine": True} if report.is_machine else {}
        found: DeliveryReported | DeliveryEnded = report
    elif fact.kind == DELIVERY_ENDED:
        ended = DeliveryEnded.FromString(fact.payload)
        word = DeliveryState.Name(ended.state).removeprefix("DELIVERY_STATE_").lower()
        named = {"segment": ended.segment_id} if ended.segment_id else {}
        found = ended
    else:
        return "", b""
    if found.journey_id:
        named |= {"journey": found.journey_id, "step": found.step_id}
    named |= {"destination": found.destination_id, "message": found.effect_id}
    if found.reason:
        named["reason"] = found.reason
    return f"message_{word}", msgspec.json.encode(named)


def filter_from_proto(request: pb.ListTimelineRequest) -> TimelineFilter:
    """Return the filter of a request. Raises InvalidField, TooLarge."""
    for field, listed in (("events", request.events), ("source_ids", request.source_ids)):
        if len(listed) > MAX_LISTED:
            raise TooLarge(
                f"at most {MAX_LISTED} {field} a call; name fewer", limit=str(MAX_LISTED)
            )
    since_us, before_us = request.since_us, request.before_us
    if since_us < 0 or before_us < 0 or (before_us and since_us >= before_us):
        raise InvalidField(
            "the range of times is empty: since_us is less than before_us, and neither is negative",
            field="since_us",
        )
    try:
        kinds = frozenset(TimelineKind(kind) for kind in request.kinds)
    except ValueError:
        raise InvalidField(
            "a kind is not known: choose some that the API names", field="kinds"
        ) from None
    return TimelineFilter(
        kinds, frozenset(request.events), frozenset(request.source_ids), since_us, before_us
    )
