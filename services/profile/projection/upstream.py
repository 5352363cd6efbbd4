"""Reads identity's stream and assignments, and events of the log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from onefold.log.v1.log_pb2 import FactBatch

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.messaging.stream import StreamMessage, UnitId
from services.chassis.rpc.channel import ServiceChannel
from services.chassis.rpc.clients import LogClient
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token
from services.profile.codec.bus import assignment_from_proto
from services.profile.codec.log import decode_log_events
from services.profile.domain.facts import LogEvent, ProfileAssignment

#: Facts in one response of the log.
READ_PAGE = 5_000


class IdentityUpstream:
    """Reads from identity; its stream counts in offsets of the log. Calls raise OnefoldError."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = IdentityServiceStub(channel)

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncIterator[StreamMessage]:
        """Yield published messages; see `Upstream` in the chassis."""
        request = pb.ReadOutboxRequest(shard=shard, from_offset=first, end_offset=end, life=life)
        async for response in self._stub.ReadOutbox(request):
            batch = response.batch
            payload = batch.SerializeToString()
            yield StreamMessage(batch.first_offset, batch.next_offset, payload, response.life)

    async def assignments(
        self, at_least: Token
    ) -> AsyncIterator[tuple[Token, list[ProfileAssignment]]]:
        """Yield the assignment of every identifier, page by page, with the state they are read in.

        The state is one for all pages, and includes `at_least`.
        """
        request = pb.ReadAssignmentsRequest(at_least=token_to_proto(at_least))
        async for response in self._stub.ReadAssignments(request):
            page = [assignment_from_proto(message) for message in response.assignments]
            yield token_from_proto(response.token), page

    async def rebuild_pages(self) -> AsyncGenerator[FactBatch]:
        """Yield the pages of the log that a rebuild of identity reads at the same time."""
        async for response in self._stub.ReadRebuildPages(pb.ReadRebuildPagesRequest()):
            yield FactBatch.FromString(response.fact_batch)


class LogEventReader:
    """Reads events of the log; see `EventReader` in the projection."""

    def __init__(self, log: LogClient, index_key: IndexKey) -> None:
        self._log = log
        self._index_key = index_key

    async def read_leaf_events(
        self,
        workspace_id: WorkspaceId,
        shard: int,
        leaves: Sequence[LeafId],
        end: int,
        left_out: Collection[UnitId],
    ) -> AsyncIterator[Sequence[LogEvent]]:
        before = Token.from_offsets({shard: end})
        async for page in self._log.stream_leaves(workspace_id, leaves, before=before):
            facts = [fact for fact in page if UnitId(fact.offset) not in left_out]
            yield list(decode_log_events(facts, self._index_key))
