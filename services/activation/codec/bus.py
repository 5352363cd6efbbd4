"""Decodes segment's messages, and encodes rows of the ledger for the API and the log."""

from __future__ import annotations

from typing import Any

from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as service_pb
from onefold.activation.v1 import journey_facts_pb2
from onefold.log.v1 import log_pb2
from onefold.segment.v1 import segment_stream_pb2 as pb

from services.activation.domain.model import DeliveryState, Trigger, TriggeringChange
from services.chassis.codec.journey_facts import DELIVERY_REPORTED, REPORT_KINDS
from services.kernel.ids import ProfileId, WorkspaceId, hash_id, to_hex
from services.kernel.journeys.model import ReportKind

DELIVERY_ENDED: str = facts_pb.DeliveryEnded.DESCRIPTOR.full_name


def decode_memberships_changed(payload: bytes) -> pb.MembershipsChanged:
    """Return the message of a payload."""
    return pb.MembershipsChanged.FromString(payload)


def triggering_change(message: pb.MembershipChange) -> TriggeringChange:
    """Return the change that a message describes."""
    return TriggeringChange(
        WorkspaceId(message.workspace_id),
        message.segment_id,
        ProfileId(message.profile_id),
        Trigger.ENTERED if message.entered else Trigger.LEFT,
        message.ordinal,
        message.changed_at_us,
        message.cause == pb.MEMBERSHIP_CAUSE_MERGE,
        message.occurred_at_us if message.HasField("occurred_at_us") else None,
    )


def delivery_to_proto(row: Any) -> service_pb.Delivery:
    """Return the delivery of one row of the ledger."""
    is_open = row["state"] in (DeliveryState.PENDING, DeliveryState.UNKNOWN, DeliveryState.HELD)
    return service_pb.Delivery(
        effect_id=to_hex(row["effect_id"]),
        destination_id=row["destination_id"],
        segment_id=row["segment_id"],
        profile_id=to_hex(row["profile_id"]),
        trigger=row["trigger"],
        ordinal=row["ordinal"],
        state=row["state"],
        attempts=row["attempts"],
        reason=row["reason"],
        created_at_us=row["changed_at_us"],
        next_attempt_us=int(row["due"] * 1_000_000) if is_open else 0,
        payload_deleted=row["payload_deleted"],
        journey_id=row["journey_id"] or "",
        step_id=row["step_id"] or "",
        begun_at_us=row["begun_at_us"] or 0,
        held_until_us=row["held_until_us"] or 0,
    )


def decode_delivery_ended(payload: bytes) -> facts_pb.DeliveryEnded:
    """Return the message of a payload."""
    return facts_pb.DeliveryEnded.FromString(payload)


def delivery_ended(row: Any, actor: str) -> log_pb2.Fact:
    """Return the fact that an effect reached its final state."""
    message = facts_pb.DeliveryEnded(
        effect_id=to_hex(row["effect_id"]),
        destination_id=row["destination_id"],
        segment_id=row["segment_id"],
        profile_id=to_hex(row["profile_id"]),
        state=row["state"],
        attempts=row["attempts"],
        reason=row["reason"],
        begun_at_us=row["begun_at_us"] or 0,
        run_id=row["run_id"] or b"",
        journey_id=row["journey_id"] or "",
        step_id=row["step_id"] or "",
        visit=row["visit"] or 0,
        template_version=row["template_version"] or 0,
    )
    # A dead effect that is retried ends again; the number of attempts makes its facts distinct.
    key = hash_id(row["workspace_id"], DELIVERY_ENDED, row["effect_id"], str(row["attempts"]))
    return log_pb2.Fact(
        workspace_id=row["workspace_id"],
        fact_id=key,
        kind=DELIVERY_ENDED,
        leaf_id=row["leaf_id"] or row["profile_id"],
        actor=actor,
        payload=message.SerializeToString(),
    )


def reported_delivery(fact: log_pb2.Fact) -> tuple[Any, ...]:
    """Return the row of a report, as `restore_reports` takes it, of its fact."""
    message = journey_facts_pb2.DeliveryReported.FromString(fact.payload)
    return (
        fact.fact_id,
        fact.workspace_id,
        message.destination_id,
        bytes.fromhex(message.effect_id),
        fact.leaf_id,
        message.run_id or None,
        message.journey_id or None,
        message.step_id or None,
        REPORT_KINDS.from_proto(message.what, "what").value,
        message.at_us,
        message.is_machine,
        message.reason,
    )


def delivery_reported(row: Any, actor: str) -> log_pb2.Fact:
    """Return the fact that a provider has reported something of a message."""
    message = journey_facts_pb2.DeliveryReported(
        effect_id=to_hex(row["effect_id"]),
        destination_id=row["destination_id"],
        what=REPORT_KINDS.to_proto(ReportKind(row["what"])),
        at_us=row["at_us"],
        is_machine=row["is_machine"],
        reason=row["reason"],
        run_id=row["run_id"] or b"",
        journey_id=row["journey_id"] or "",
        step_id=row["step_id"] or "",
    )
    return log_pb2.Fact(
        workspace_id=row["workspace_id"],
        fact_id=row["fact_id"],
        kind=DELIVERY_REPORTED,
        leaf_id=row["leaf_id"],
        occurred_at_us=row["at_us"],
        actor=actor,
        payload=message.SerializeToString(),
    )
