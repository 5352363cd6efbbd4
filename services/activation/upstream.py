"""Segment as the upstream of activation: what the bus does not have is read from its service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1 import segment_service_pb2_grpc as pb_grpc

from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel


class SegmentUpstream:
    """Reads what segment said."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = pb_grpc.SegmentServiceStub(channel)

    async def read(self, shard: int, first: int, until: int) -> AsyncIterator[StreamMessage]:
        """See chassis.stream.Upstream; the coordinate is the sequence. Raises OnefoldError."""
        request = pb.ReadOutboxRequest(shard=shard, from_sequence=first, until_sequence=until)
        async for answer in self._stub.ReadOutbox(request):
            batch = answer.batch
            following = answer.next_sequence or batch.sequence + 1
            yield StreamMessage(batch.sequence, following, batch.SerializeToString())
