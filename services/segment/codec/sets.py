"""Translates sets of profiles and snapshots between the domain and their messages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from onefold.segment.v1 import segment_facts_pb2 as facts_pb
from onefold.segment.v1 import segment_service_pb2 as pb

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.codec.payloads import decode_payload
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.segment.domain.model import check_segment_id
from services.segment.domain.sets import (
    MAX_DEPTH,
    MAX_SEGMENTS,
    InAll,
    InAny,
    InSegment,
    MemberSnapshot,
    NotIn,
    SetExpression,
)

SNAPSHOT_TAKEN: str = facts_pb.SnapshotTaken.DESCRIPTOR.full_name


def expression_from_proto(message: facts_pb.SetExpression) -> SetExpression:
    """Return the expression of a message. Raises InvalidField."""
    return _expression(message, "expression", 1, count(1))


def _expression(
    message: facts_pb.SetExpression, field: str, depth: int, numbers: Iterator[int]
) -> SetExpression:
    """Return an expression; `numbers` counts the segments, so that a large message ends early."""
    if depth > MAX_DEPTH:
        raise InvalidField(
            f"at most {MAX_DEPTH} expressions are inside of each other", field="expression"
        )
    match kind := message.WhichOneof("kind"):
        case "segment_id":
            if next(numbers) > MAX_SEGMENTS:
                raise InvalidField(f"a set has at most {MAX_SEGMENTS} segments", field="expression")
            check_segment_id(message.segment_id, f"{field}.segment_id")
            return InSegment(message.segment_id)
        case "not":
            negated = _expression(getattr(message, "not"), f"{field}.not", depth + 1, numbers)
            return NotIn(negated)
        case "all" | "any":
            operands = getattr(message, kind).sets
            if not operands:
                raise InvalidField("write at least one set", field=f"{field}.{kind}.sets")
            sets = tuple(
                _expression(own, f"{field}.{kind}.sets[{i}]", depth + 1, numbers)
                for i, own in enumerate(operands)
            )
            return InAll(sets) if kind == "all" else InAny(sets)
        case _:
            raise InvalidField("write one of segment_id, all, any and not", field=field)


def expression_to_proto(expression: SetExpression) -> facts_pb.SetExpression:
    """Return the message of an expression."""
    match expression:
        case InSegment():
            return facts_pb.SetExpression(segment_id=expression.segment_id)
        case NotIn():
            message = facts_pb.SetExpression()
            getattr(message, "not").CopyFrom(expression_to_proto(expression.set))
            return message
        case InAll():
            return facts_pb.SetExpression(all=_operands(expression.sets))
        case _:
            return facts_pb.SetExpression(any=_operands(expression.sets))


def _operands(sets: tuple[SetExpression, ...]) -> facts_pb.SetOperands:
    return facts_pb.SetOperands(sets=map(expression_to_proto, sets))


def decode_snapshot(workspace_id: str, payload: bytes) -> MemberSnapshot:
    """Return the snapshot of a serialised SnapshotTaken. Raises InvalidField."""
    message = decode_payload(facts_pb.SnapshotTaken, payload)
    return MemberSnapshot(
        WorkspaceId(workspace_id),
        message.name,
        message.version,
        message.title,
        expression_from_proto(message.expression),
        token_from_proto(message.token),
        message.removed,
    )


def snapshot_to_fact_message(snapshot: MemberSnapshot) -> facts_pb.SnapshotTaken:
    """Return the SnapshotTaken of a snapshot."""
    return facts_pb.SnapshotTaken(
        name=snapshot.name,
        title=snapshot.title,
        expression=expression_to_proto(snapshot.expression),
        token=token_to_proto(snapshot.token),
        version=snapshot.version,
        removed=snapshot.removed,
    )


def snapshot_to_proto(snapshot: MemberSnapshot) -> pb.Snapshot:
    """Return the message of a snapshot for callers."""
    return pb.Snapshot(
        segment_id=snapshot.segment_id,
        title=snapshot.title,
        expression=expression_to_proto(snapshot.expression),
        at=token_to_proto(snapshot.token),
    )
