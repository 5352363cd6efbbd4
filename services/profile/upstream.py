"""What profile reads of others: identity's stream, and the event log once more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

from services.chassis.codec.tokens import token_from_proto
from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel
from services.chassis.rpc.clients import LogClient
from services.kernel.tokens import Token
from services.profile.codec import bus as wire
from services.profile.domain.backfill import Past
from services.profile.domain.facts import Assignment


class IdentityUpstream:
    """Reads what identity said; the coordinate is the offset. Every call raises OnefoldError."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = IdentityServiceStub(channel)

    async def read(self, shard: int, first: int, until: int) -> AsyncIterator[StreamMessage]:
        """See chassis.stream.Upstream."""
        request = pb.ReadOutboxRequest(shard=shard, from_offset=first, until_offset=until)
        async for answer in self._stub.ReadOutbox(request):
            batch = answer.batch
            yield StreamMessage(batch.first_offset, batch.next_offset, batch.SerializeToString())

    async def assignments(self, at_least: Token) -> AsyncIterator[tuple[Token, list[Assignment]]]:
        """Whose every identifier is, page by page, in one state that includes `at_least`."""
        request = pb.ReadAssignmentsRequest()
        request.at_least.offsets.extend(at_least.offsets)
        async for answer in self._stub.ReadAssignments(request):
            page = [wire.assignment(message) for message in answer.assignments]
            yield token_from_proto(answer.token), page


class LogPast:
    """The event log as `ports.PastReader`."""

    def __init__(self, log: LogClient) -> None:
        self._log = log

    async def events(self, shard: int, first: int, until: int) -> Sequence[Past]:
        """See ports.PastReader."""
        pages = self._log.read(shard, first, until, kinds=[wire.EVENT], page=5_000)
        return [past async for facts in pages for past in wire.past(facts)]
