"""The log as the upstream of identity: what the bus does not have is read from its service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2 import ReadRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub

from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel


class LogUpstream:
    """Reads the log; the coordinate is the offset. Every call raises OnefoldError."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = LogServiceStub(channel)

    async def read(self, shard: int, first: int, until: int) -> AsyncIterator[StreamMessage]:
        """See chassis.stream.Upstream."""
        request = ReadRequest(shard=shard, from_offset=first, until_offset=until)
        async for answer in self._stub.Read(request):
            batch = answer.batch
            end = batch.first_offset + len(batch.facts)
            yield StreamMessage(batch.first_offset, end, batch.SerializeToString())

    async def facts(
        self, shard: int, until: int, kinds: Sequence[str]
    ) -> AsyncIterator[Sequence[Fact]]:
        """The facts of some kinds of a shard before an offset, in order."""
        request = ReadRequest(shard=shard, until_offset=until, kinds=kinds)
        async for answer in self._stub.Read(request):
            yield answer.batch.facts
