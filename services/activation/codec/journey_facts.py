"""Translates the facts that define and pause journeys, and the contact policy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from onefold.activation.v1 import journey_facts_pb2 as pb
from onefold.activation.v1 import journeys_pb2 as journeys_pb
from onefold.log.v1 import log_pb2

from services.activation.domain.journeys.catalogue import FlowChange, FlowState, Overdue
from services.activation.domain.journeys.program import Program, compile_journey
from services.activation.domain.policy.gate import Flow
from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.journey_facts import JOURNEY_ENTERED, decode_journey
from services.chassis.codec.journeys import (
    contact_policy_from_proto,
    contact_policy_to_proto,
    journey_to_proto,
)
from services.chassis.codec.payloads import decode_payload
from services.chassis.definitions import DefinitionFact
from services.kernel.ids import WorkspaceId, hash_id
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.model import Journey, PeopleInside

CONTACT_POLICY_DEFINED: Final[str] = pb.ContactPolicyDefined.DESCRIPTOR.full_name
DESTINATION_FLOW_CHANGED: Final[str] = pb.DestinationFlowChanged.DESCRIPTOR.full_name

FLOWS: Final = EnumNumbers(Flow, pb.Flow, "flow")
OVERDUE: Final = EnumNumbers(Overdue, pb.Overdue, "treatment of what is overdue")
PEOPLE_INSIDE: Final = EnumNumbers(PeopleInside, journeys_pb.PeopleInside, "treatment of open runs")


@lru_cache(maxsize=4_096)
def decode_program(payload: bytes) -> Program:
    """Return the compiled journey of a serialised JourneyDefined. Raises InvalidField.

    Cached, as every batch reads the same few journeys.
    """
    return compile_journey(decode_journey(payload))


@lru_cache(maxsize=1_024)
def decode_contact_policy(payload: bytes) -> tuple[ContactPolicy, int]:
    """Return the policy of a serialised ContactPolicyDefined and its version.

    Raises InvalidField.
    """
    message = decode_payload(pb.ContactPolicyDefined, payload)
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


def decode_journey_flow(payload: bytes, changed_at_us: int) -> tuple[str, FlowChange]:
    """Return the journey of a serialised JourneyFlowChanged, and its change.

    Raises InvalidField.
    """
    message = decode_payload(pb.JourneyFlowChanged, payload)
    return message.journey_id, flow_change(message, changed_at_us)


def decode_destination_flow(payload: bytes, changed_at_us: int) -> tuple[str, FlowChange]:
    """Return the destination of a serialised DestinationFlowChanged, and its change.

    Raises InvalidField.
    """
    message = decode_payload(pb.DestinationFlowChanged, payload)
    return message.destination_id, flow_change(message, changed_at_us)


def journey_definition(workspace_id: WorkspaceId, journey: Journey) -> DefinitionFact:
    """Return the fact that defines a version of a journey."""
    return DefinitionFact.from_message(
        pb.JourneyDefined(journey=journey_to_proto(journey)),
        workspace_id=workspace_id,
        key=journey.journey_id,
        version=journey.version,
    )


def contact_policy_definition(
    workspace_id: WorkspaceId, policy: ContactPolicy, version: int
) -> DefinitionFact:
    """Return the fact that defines a version of a contact policy."""
    message = pb.ContactPolicyDefined(policy=contact_policy_to_proto(policy), version=version)
    return DefinitionFact.from_message(message, workspace_id=workspace_id, key="", version=version)


def journey_flow_definition(
    workspace_id: WorkspaceId, journey_id: str, journey_version: int, change: FlowState
) -> DefinitionFact:
    """Return the fact that pauses, resumes or stops a journey whose version is current."""
    message = pb.JourneyFlowChanged(
        journey_id=journey_id, journey_version=journey_version, **_flow_numbers(change)
    )
    return DefinitionFact.from_message(
        message, workspace_id=workspace_id, key=journey_id, version=change.version
    )


def destination_flow_definition(
    workspace_id: WorkspaceId, destination_id: str, change: FlowState
) -> DefinitionFact:
    """Return the fact that pauses, resumes or stops a destination."""
    message = pb.DestinationFlowChanged(destination_id=destination_id, **_flow_numbers(change))
    return DefinitionFact.from_message(
        message, workspace_id=workspace_id, key=destination_id, version=change.version
    )


def journey_call(
    workspace_id: WorkspaceId, journey_id: str, leaf_id: bytes, properties: bytes, request_id: str
) -> log_pb2.Fact:
    """Return the fact of a call that begins a run; a repeat of a request is the same fact."""
    message = pb.JourneyEntered(journey_id=journey_id, properties=properties)
    return log_pb2.Fact(
        workspace_id=workspace_id,
        fact_id=hash_id(workspace_id, JOURNEY_ENTERED, journey_id, request_id),
        kind=JOURNEY_ENTERED,
        leaf_id=leaf_id,
        payload=message.SerializeToString(),
    )


def _flow_numbers(change: FlowState) -> dict[str, Any]:
    return {
        "flow": FLOWS.to_proto(change.flow),
        "overdue": OVERDUE.to_proto(change.overdue),
        "version": change.version,
    }
