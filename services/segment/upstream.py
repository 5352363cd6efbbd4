"""Profile as the upstream of segment: what the bus does not have is read from its service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2_grpc as pb_grpc

from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel


class ProfileUpstream:
    """Reads what profile said, and how everybody stands. Every call raises OnefoldError."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = pb_grpc.ProfileServiceStub(channel)

    async def read(self, shard: int, first: int, until: int) -> AsyncGenerator[StreamMessage, None]:
        """See chassis.stream.Upstream; the coordinate is the sequence."""
        request = pb.ReadOutboxRequest(shard=shard, from_sequence=first, until_sequence=until)
        async for answer in self._stub.ReadOutbox(request):
            batch = answer.batch
            yield StreamMessage(batch.sequence, batch.sequence + 1, batch.SerializeToString())

    async def standings(self, shard: int) -> AsyncGenerator[pb.ReadEvaluationsResponse, None]:
        """How every profile of a shard stands, with the sequence from which to follow on."""
        async for answer in self._stub.ReadEvaluations(pb.ReadEvaluationsRequest(shard=shard)):
            yield answer

    async def following(self, shard: int) -> tuple[int, int, int]:
        """The sequence from which to follow a shard on, and the offset in the log it stands at,
        with the log's clock there (Unix microseconds)."""
        async with aclosing(self.standings(shard)) as answers:
            async for answer in answers:
                return answer.next_sequence, answer.log_offset, answer.log_time_us
        return 0, 0, 0

    async def facts(self, shard: int) -> Sequence[Any]:
        """All facts that concern no person and were passed on by a shard, in order."""
        async with aclosing(self.standings(shard)) as answers:
            async for answer in answers:
                return tuple(answer.broadcast_facts)
        return ()
