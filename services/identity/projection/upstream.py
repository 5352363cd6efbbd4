"""Reads the log from its service, where the bus does not have it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from onefold.log.v1.log_pb2 import FactBatch
from onefold.log.v1.log_service_pb2 import ReadRequest
from onefold.log.v1.log_service_pb2_grpc import LogServiceStub

from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel

#: Facts in one response.
READ_PAGE = 5_000


class LogUpstream:
    """Implements services.chassis.messaging.stream.Upstream; the coordinate is the offset."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = LogServiceStub(channel)

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        """Yield the messages of a range. Raises OnefoldError."""
        request = ReadRequest(shard=shard, from_offset=first, end_offset=end, life=life)
        async for response in self._stub.Read(request):
            batch = response.batch
            next_ = batch.first_offset + len(batch.facts)
            payload = batch.SerializeToString()
            yield StreamMessage(batch.first_offset, next_, payload, response.life)

    async def read_facts(
        self, shard: int, first: int, end: int
    ) -> AsyncIterator[tuple[FactBatch, int]]:
        """Yield the facts of a range in large pages, each with a life of the log that has them.

        Raises OnefoldError.
        """
        request = ReadRequest(shard=shard, from_offset=first, end_offset=end, page_size=READ_PAGE)
        async for response in self._stub.Read(request):
            yield response.batch, response.life
