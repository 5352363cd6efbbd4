"""The gRPC door of the event log, for the other services of this installation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.log.v1.log_service_pb2_grpc import LogServiceServicer

from services.chassis.access.principal import Role, principal, workspace_id
from services.chassis.rpc.server import Allowed
from services.ingest.domain.facts import Row
from services.ingest.log.codec import (
    add_facts,
    cut,
    fill_batch,
    read_fact,
    read_token,
    token_message,
)
from services.ingest.log.event_log import EventLog
from services.ingest.log.reader import FOREVER_US, LeafFacts
from services.kernel.errors import InvalidField, NotAllowed, TooLarge
from services.kernel.ids import LeafId, shard_of
from services.kernel.time import DAY_US

_LOG = "/onefold.log.v1.LogService/"
_SERVICES = frozenset({Role.INTERNAL})

ALLOWED: Allowed = {f"{_LOG}{method}": _SERVICES for method in ("Append", "Read", "ReadLeaves")} | {
    f"{_LOG}{method}": _SERVICES | {Role.ADMIN} for method in ("GetHead", "TickClock")
}

MOST_FACTS = 5_000
MOST_LEAVES = 1_000
MOST_ADVANCE_US = 36_525 * DAY_US
_PAGE = 1_000


class LogRpc(LogServiceServicer):
    """The log over gRPC."""

    def __init__(self, event_log: EventLog, *, may_advance: bool) -> None:
        self._log = event_log
        self._may_advance = may_advance

    async def Append(self, request: log_pb.AppendRequest, context: Any) -> log_pb.AppendResponse:
        """Append, whole or not at all."""
        if len(request.facts) > MOST_FACTS:
            raise TooLarge(f"at most {MOST_FACTS} facts a call; split it", limit=str(MOST_FACTS))
        facts = [read_fact(message, index) for index, message in enumerate(request.facts)]
        appended = await self._log.append(facts, whole=True)
        return log_pb.AppendResponse(
            appended=appended.appended,
            duplicates=len(appended.duplicates),
            token=token_message(appended.token),
        )

    async def Read(
        self, request: log_pb.ReadRequest, context: Any
    ) -> AsyncIterator[log_pb.ReadResponse]:
        """Stream what is there."""
        size = min(request.page_size or _PAGE, MOST_FACTS)
        async with aclosing(await self._pages(request)) as pages:
            async for rows in pages:
                for part in cut(rows, size):
                    response = log_pb.ReadResponse()
                    fill_batch(response.batch, part, self._log.kinds.names)
                    yield response

    async def _pages(self, request: log_pb.ReadRequest) -> AsyncGenerator[list[Row]]:
        shard = self._log.check_shard(request.shard)
        end = (await self._log.heads()).token.offset(shard)
        until = min(request.until_offset or end, end)
        if request.kinds:
            return self._log.reader.read_kinds(shard, request.from_offset, until, request.kinds)
        return self._log.reader.read(shard, request.from_offset, until)

    async def ReadLeaves(
        self, request: log_pb.ReadLeavesRequest, context: Any
    ) -> AsyncIterator[log_pb.ReadLeavesResponse]:
        """Stream the facts of some leaves, newest occurrence first."""
        async with aclosing(self._log.reader.of_leaves(self._leaves(request))) as pages:
            async for rows in pages:
                for part in cut(rows):
                    response = log_pb.ReadLeavesResponse()
                    add_facts(response.facts, part, self._log.kinds.names)
                    yield response

    def _leaves(self, request: log_pb.ReadLeavesRequest) -> LeafFacts:
        caller = workspace_id()
        if request.workspace_id != caller:
            raise NotAllowed("these leaves are of another workspace than the call")
        return LeafFacts(
            workspace_id=caller,
            leaves=[self._leaf(request, leaf_id) for leaf_id in _leaf_ids(request.leaf_ids)],
            before_us=request.before_us or FOREVER_US,
            recorded_until_us=request.recorded_until_us or FOREVER_US,
            limit=request.limit or None,
        )

    def _leaf(self, request: log_pb.ReadLeavesRequest, leaf_id: LeafId) -> tuple[int, LeafId, int]:
        shard = shard_of(leaf_id, self._log.shards)
        if not request.HasField("before_token"):
            return shard, leaf_id, FOREVER_US
        return shard, leaf_id, read_token(request.before_token).offset(shard)

    async def GetHead(self, request: log_pb.GetHeadRequest, context: Any) -> log_pb.GetHeadResponse:
        """Tell where the log ends."""
        heads = await self._log.heads()
        return log_pb.GetHeadResponse(token=token_message(heads.token), now_us=heads.now_us)

    async def TickClock(
        self, request: log_pb.TickClockRequest, context: Any
    ) -> log_pb.TickClockResponse:
        """Append a tick, and move the clock where that is allowed."""
        # A tick in itself moves nothing, but each is a row a shard for ever: not for everybody.
        if not self._may_advance and (request.advance_us or not principal().internal):
            raise NotAllowed(
                "the clock may only be moved in demo and test", reason="CLOCK_NOT_ADJUSTABLE"
            )
        if not 0 <= request.advance_us <= MOST_ADVANCE_US:
            raise InvalidField("the clock only moves ahead, a century at most", field="advance_us")
        ticked = await self._log.tick(advance_us=request.advance_us)
        return log_pb.TickClockResponse(token=token_message(ticked.token), at_us=ticked.at_us)


def _leaf_ids(leaf_ids: Sequence[bytes]) -> list[LeafId]:
    if len(leaf_ids) > MOST_LEAVES:
        raise TooLarge(f"at most {MOST_LEAVES} leaves a call; split it", limit=str(MOST_LEAVES))
    for index, leaf_id in enumerate(leaf_ids):
        if len(leaf_id) != 16:
            raise InvalidField("a leaf id has 16 bytes", field=f"leaf_ids[{index}]")
    return [LeafId(leaf_id) for leaf_id in dict.fromkeys(leaf_ids)]
