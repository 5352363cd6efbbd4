"""Decodes the facts that define, pause and stop journeys, as far as all services read them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError
from onefold.activation.v1 import journey_facts_pb2 as pb

from services.chassis.codec.journeys import journey_from_proto
from services.kernel.errors import InvalidField
from services.kernel.journeys.inputs import JourneyStop
from services.kernel.journeys.model import Journey

JOURNEY_DEFINED: Final[str] = pb.JourneyDefined.DESCRIPTOR.full_name
JOURNEY_FLOW_CHANGED: Final[str] = pb.JourneyFlowChanged.DESCRIPTOR.full_name
JOURNEY_ENTERED: Final[str] = pb.JourneyEntered.DESCRIPTOR.full_name


@lru_cache(maxsize=4_096)
def decode_journey(payload: bytes) -> Journey:
    """Return the journey of a serialised JourneyDefined. Raises InvalidField.

    Cached, as all definitions are read again for each new one.
    """
    try:
        message = pb.JourneyDefined.FromString(payload)
    except DecodeError:
        raise InvalidField("the payload is not a JourneyDefined", field="payload") from None
    return journey_from_proto(message.journey)


def decode_stop(payload: bytes) -> JourneyStop:
    """Return what a serialised JourneyFlowChanged says of versions. Raises InvalidField."""
    try:
        message = pb.JourneyFlowChanged.FromString(payload)
    except DecodeError:
        raise InvalidField("the payload is not a JourneyFlowChanged", field="payload") from None
    is_stopped = message.flow == pb.FLOW_STOPPED
    return JourneyStop(message.journey_id, message.version, is_stopped, message.journey_version)


def decode_entered(payload: bytes) -> pb.JourneyEntered:
    """Return the message of a serialised JourneyEntered; an empty one where it is none."""
    try:
        return pb.JourneyEntered.FromString(payload)
    except DecodeError:
        return pb.JourneyEntered()
