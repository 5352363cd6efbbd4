"""Reads from segment the messages that the bus no longer has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1 import segment_service_pb2_grpc as pb_grpc

from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel


class SegmentUpstream:
    """Segment's outbox; the coordinate of its messages is their sequence."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = pb_grpc.SegmentServiceStub(channel)

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        """See `Upstream`. Raises OnefoldError."""
        request = pb.ReadOutboxRequest(
            shard=shard, from_sequence=first, end_sequence=end, life=life
        )
        async for response in self._stub.ReadOutbox(request):
            batch = response.batch
            next_sequence = response.next_sequence or batch.sequence + 1
            payload = batch.SerializeToString()
            yield StreamMessage(batch.sequence, next_sequence, payload, response.life)
