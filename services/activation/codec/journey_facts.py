"""Translates the facts that define and pause journeys, and the contact policy."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from onefold.activation.v1 import journey_facts_pb2 as pb

from services.activation.domain.journeys.catalogue import FlowChange, Overdue
from services.activation.domain.journeys.program import Program, compile_journey
from services.activation.domain.policy.gate import Flow
from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.journeys import contact_policy_from_proto, journey_from_proto
from services.kernel.errors import InvalidField
from services.kernel.journeys.contact_policy import ContactPolicy

JOURNEY_DEFINED: Final[str] = pb.JourneyDefined.DESCRIPTOR.full_name
CONTACT_POLICY_DEFINED: Final[str] = pb.ContactPolicyDefined.DESCRIPTOR.full_name
JOURNEY_FLOW_CHANGED: Final[str] = pb.JourneyFlowChanged.DESCRIPTOR.full_name
DESTINATION_FLOW_CHANGED: Final[str] = pb.DestinationFlowChanged.DESCRIPTOR.full_name
JOURNEY_ENTERED: Final[str] = pb.JourneyEntered.DESCRIPTOR.full_name

FLOWS: Final = EnumNumbers(Flow, pb.Flow, "flow")
OVERDUE: Final = EnumNumbers(Overdue, pb.Overdue, "treatment of what is overdue")

M = TypeVar("M", bound=Message)


@lru_cache(maxsize=4_096)
def decode_program(payload: bytes) -> Program:
    """Return the compiled journey of a serialised JourneyDefined. Raises InvalidField.

    Cached, as every batch reads the same few journeys.
    """
    message = decode(pb.JourneyDefined, payload)
    return compile_journey(journey_from_proto(message.journey))


@lru_cache(maxsize=1_024)
def decode_contact_policy(payload: bytes) -> tuple[ContactPolicy, int]:
    """Return the policy of a serialised ContactPolicyDefined and its version.

    Raises InvalidField.
    """
    message = decode(pb.ContactPolicyDefined, payload)
    return contact_policy_from_proto(message.policy), message.version


def flow_change(
    message: pb.JourneyFlowChanged | pb.DestinationFlowChanged, changed_at_us: int
) -> FlowChange:
    """Return the pause, the resumption or the stop of a fact. Raises InvalidField."""
    overdue = message.overdue or pb.OVERDUE_SKIP
    return FlowChange(
        changed_at_us,
        FLOWS.from_proto(message.flow, "flow"),
        OVERDUE.from_proto(overdue, "overdue"),
        message.version,
    )


def decode(kind: type[M], payload: bytes) -> M:
    """Return the message of a payload. Raises InvalidField."""
    try:
        return kind.FromString(payload)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise InvalidField(f"the payload is not a {name}", field="payload") from None
