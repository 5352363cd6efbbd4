"""Translates responses of SegmentService."""

from __future__ import annotations

from onefold.segment.v1 import segment_service_pb2 as pb

from services.segment.domain.stays import Stay


def stay_to_proto(stay: Stay, now_us: int) -> pb.Stay:
    """Return the message of a stay; `now_us`: the log's clock, Unix microseconds."""
    return pb.Stay(
        segment_id=stay.entered.segment_id,
        entered_at_us=stay.entered.changed_at_us,
        left_at_us=stay.left_at_us or 0,
        duration_us=stay.duration_us(now_us),
        segment_version=stay.entered.segment_version,
        entered_cause=stay.entered.cause.value,  # type: ignore[arg-type]  # the enum's numbers
        left_cause=stay.left_cause.value if stay.left_cause else 0,  # type: ignore[arg-type]  # as above
    )
