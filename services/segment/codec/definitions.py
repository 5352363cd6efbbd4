"""Translates segment definitions between the domain and SegmentDefined."""

from __future__ import annotations

from functools import lru_cache

from onefold.segment.v1 import segment_facts_pb2 as pb

from services.chassis.codec.journey_facts import decode_journey
from services.chassis.codec.named_rules import decode_named_rules
from services.chassis.codec.payloads import decode_payload
from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.inputs import MEMBERSHIP_PREFIX, entry_rule
from services.kernel.rules.model import Any_
from services.kernel.rules.references import NamedRules
from services.segment.domain.model import SegmentDefinition

#: A rule that is never true.
NEVER = Any_(())


@lru_cache(maxsize=4_096)
def decode_rules(kind: str, payload: bytes) -> NamedRules:
    """Return the rules of a serialised definition. Raises InvalidField.

    Cached, as the same definitions are loaded again with each new one.
    """
    return decode_named_rules(kind, payload)


@lru_cache(maxsize=4_096)
def journey_members(workspace_id: str, payload: bytes) -> SegmentDefinition:
    """Return the membership that a journey needs for its entry; a retired one if it needs none.

    Raises InvalidField where the payload is no JourneyDefined.
    """
    journey = decode_journey(payload)
    rule = entry_rule(journey)
    return SegmentDefinition(
        WorkspaceId(workspace_id),
        MEMBERSHIP_PREFIX + journey.journey_id,
        journey.version,
        journey.title,
        NEVER if rule is None else rule,
        rule is None,
    )


@lru_cache(maxsize=4_096)
def decode_definition(workspace_id: str, payload: bytes) -> SegmentDefinition:
    """Return the definition of a serialised SegmentDefined. Raises InvalidField.

    Cached, as the same segments are loaded again with each definition.
    """
    message = decode_payload(pb.SegmentDefined, payload, "segment")
    return definition_from_proto(workspace_id, message)


def definition_from_proto(workspace_id: str, message: pb.SegmentDefined) -> SegmentDefinition:
    """Return the definition of a SegmentDefined. Raises InvalidField."""
    return SegmentDefinition(
        WorkspaceId(workspace_id),
        message.segment_id,
        message.version,
        message.title,
        rule_from_proto(message.rule, "segment.rule"),
        message.retired,
    )


def definition_to_proto(definition: SegmentDefinition) -> pb.SegmentDefined:
    """Return the SegmentDefined of a definition."""
    return pb.SegmentDefined(
        segment_id=definition.segment_id,
        title=definition.title,
        rule=rule_to_proto(definition.rule),
        version=definition.version,
        retired=definition.retired,
    )
