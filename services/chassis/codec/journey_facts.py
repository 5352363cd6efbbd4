"""Decodes the facts that define, pause and stop journeys, as far as all services read them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError
from onefold.activation.v1 import journey_facts_pb2 as pb
from onefold.activation.v1 import journeys_pb2, slots_pb2

from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.journeys import journey_from_proto
from services.chassis.codec.payloads import decode_payload
from services.kernel.errors import InvalidField
from services.kernel.journeys.inputs import JourneyStop, report_filter_id
from services.kernel.journeys.model import Journey, ReportKind

JOURNEY_DEFINED: Final[str] = pb.JourneyDefined.DESCRIPTOR.full_name
#: Of a slot all services read that its workspace has one.
SLOT_DEFINED: Final[str] = slots_pb2.SlotDefined.DESCRIPTOR.full_name
JOURNEY_FLOW_CHANGED: Final[str] = pb.JourneyFlowChanged.DESCRIPTOR.full_name
JOURNEY_ENTERED: Final[str] = pb.JourneyEntered.DESCRIPTOR.full_name
DELIVERY_REPORTED: Final[str] = pb.DeliveryReported.DESCRIPTOR.full_name
#: The kinds of reports and their numbers.
REPORT_KINDS: Final = EnumNumbers(ReportKind, journeys_pb2.ReportKind, "kind of report")


@lru_cache(maxsize=4_096)
def decode_journey(payload: bytes) -> Journey:
    """Return the journey of a serialised JourneyDefined. Raises InvalidField.

    Cached, as all definitions are read again for each new one.
    """
    message = decode_payload(pb.JourneyDefined, payload)
    return journey_from_proto(message.journey)


def decode_stop(payload: bytes) -> JourneyStop:
    """Return what a serialised JourneyFlowChanged says of versions. Raises InvalidField."""
    message = decode_payload(pb.JourneyFlowChanged, payload)
    is_stopped = message.flow == pb.FLOW_STOPPED
    return JourneyStop(message.journey_id, message.version, is_stopped, message.journey_version)


def decode_entered(payload: bytes) -> pb.JourneyEntered:
    """Return the message of a serialised JourneyEntered; an empty one where it is none."""
    try:
        return pb.JourneyEntered.FromString(payload)
    except DecodeError:
        return pb.JourneyEntered()


def report_filter(payload: bytes) -> int:
    """Return what stands for the reports like a serialised DeliveryReported; 0 = for none.

    Nothing waits for what a machine does.
    """
    try:
        message = pb.DeliveryReported.FromString(payload)
        what = REPORT_KINDS.from_proto(message.what, "what")
    except (DecodeError, InvalidField):
        return 0
    if message.is_machine:
        return 0
    return report_filter_id(message.journey_id, message.step_id, what)
