"""Serves LogService over gRPC, for the other services of this installation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Container, Sequence
from contextlib import aclosing
from typing import Any

from onefold.log.v1 import log_service_pb2 as pb
from onefold.log.v1.log_pb2 import Fact
from onefold.log.v1.log_service_pb2_grpc import LogServiceServicer

from services.chassis.access.principal import principal, workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.messaging.lives import went_back_message
from services.chassis.rpc.server import Allowed
from services.ingest.codec.erasure import names_person_of
from services.ingest.codec.service_facts import SERVICE_KINDS
from services.ingest.domain.erasure import NO_IDS
from services.ingest.domain.facts import FactRow, NewFact
from services.ingest.log.codec import add_facts, decode_fact, fill_batch, split_rows
from services.ingest.log.event_log import EventLog
from services.ingest.log.store import FOREVER_US, LeafFactsQuery
from services.ingest.store.erasures import BlockedIdentifiers
from services.kernel.errors import InvalidField, NotAllowed, TooLarge, UpstreamWentBack
from services.kernel.ids import LeafId, shard_of
from services.kernel.time import DAY_US

ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["LogService"])

MAX_FACTS = 5_000
MAX_LEAVES = 1_000
MAX_ADVANCE_US = 36_525 * DAY_US
_PAGE = 1_000


class LogRpc(LogServiceServicer):
    """Implements LogService.

    `may_advance`: whether callers may move the log's clock. `kinds`: the kinds of the facts that
    callers may append. `blocked`: the identifiers of persons that no fact may name.
    """

    def __init__(
        self,
        event_log: EventLog,
        *,
        may_advance: bool,
        kinds: Container[str] = SERVICE_KINDS,
        blocked: BlockedIdentifiers | None = None,
    ) -> None:
        self._log = event_log
        self._kinds = kinds
        self._may_advance = may_advance
        self._blocked = blocked

    async def Append(self, request: pb.AppendRequest, context: Any) -> pb.AppendResponse:
        if len(request.facts) > MAX_FACTS:
            raise TooLarge(f"a call has at most {MAX_FACTS} facts: split it", limit=str(MAX_FACTS))
        facts = [self._decode(message, index) for index, message in enumerate(request.facts)]
        # A service that has not folded an erasure yet goes on with the person.
        allowed = [fact for fact in facts if not self._names_blocked(fact)]
        result = await self._log.append(allowed, atomic=True, known_us=request.known_us)
        token = result.token if allowed or not facts else (await self._log.heads()).token
        return pb.AppendResponse(
            appended=result.appended,
            duplicates=len(result.duplicates) + len(facts) - len(allowed),
            token=token_to_proto(token),
        )

    def _names_blocked(self, fact: NewFact) -> bool:
        ids = self._blocked.of(fact.workspace_id) if self._blocked else NO_IDS
        return bool(ids) and names_person_of(fact, ids, self._log.index_key)

    def _decode(self, message: Fact, index: int) -> NewFact:
        fact = decode_fact(message, index, self._log.index_key)
        if fact.kind not in self._kinds:
            raise NotAllowed(
                f"facts[{index}]: other services may not append facts of this kind; send events to"
                " IngestService, and define sources and keys with AdminService"
            )
        return fact

    async def Read(self, request: pb.ReadRequest, context: Any) -> AsyncIterator[pb.ReadResponse]:
        size = min(request.page_size or _PAGE, MAX_FACTS)
        pages, life = await self._pages(request)
        async with aclosing(pages):
            async for rows in pages:
                for part in split_rows(rows, size):
                    response = pb.ReadResponse(life=life)
                    fill_batch(response.batch, part, self._log.kinds.names)
                    yield response

    async def _pages(self, request: pb.ReadRequest) -> tuple[AsyncGenerator[list[FactRow]], int]:
        """Return the facts to read, page by page, and a life of the log that has them all."""
        shard = self._log.check_shard(request.shard)
        head = (await self._log.heads()).token.offset(shard)
        if request.from_offset > head:
            raise UpstreamWentBack(went_back_message(shard, request.from_offset, head))
        # After the head, so that it contains all facts before it.
        life = await self._log.reader.check_life(shard, request.from_offset, request.life)
        end = min(request.end_offset or head, head)
        if request.kinds:
            wanted = shard, request.from_offset, end, request.kinds, request.workspace_id
            return self._log.reader.read_kinds(*wanted), life
        return self._log.reader.read(shard, request.from_offset, end), life

    async def ReadLeaves(
        self, request: pb.ReadLeavesRequest, context: Any
    ) -> AsyncIterator[pb.ReadLeavesResponse]:
        async with aclosing(self._log.reader.leaf_facts(self._query(request))) as pages:
            async for rows in pages:
                for part in split_rows(rows):
                    response = pb.ReadLeavesResponse()
                    add_facts(response.facts, part, self._log.kinds.names)
                    yield response

    def _query(self, request: pb.ReadLeavesRequest) -> LeafFactsQuery:
        caller = workspace_id()
        if request.workspace_id != caller:
            raise NotAllowed("the leaves belong to another workspace than the caller's key")
        before = (
            token_from_proto(request.before_token) if request.HasField("before_token") else None
        )
        leaves = []
        for leaf_id in _leaf_ids(request.leaf_ids):
            shard = shard_of(leaf_id, self._log.shards)
            leaves.append((shard, leaf_id, before.offset(shard) if before else FOREVER_US))
        return LeafFactsQuery(
            workspace_id=caller,
            leaves=leaves,
            before_us=request.before_us or FOREVER_US,
            recorded_until_us=request.recorded_until_us or FOREVER_US,
            recorded_after_us=request.recorded_after_us,
            limit=request.limit or None,
        )

    async def GetHead(self, request: pb.GetHeadRequest, context: Any) -> pb.GetHeadResponse:
        heads = await self._log.heads()
        return pb.GetHeadResponse(token=token_to_proto(heads.token), now_us=heads.now_us)

    async def TickClock(self, request: pb.TickClockRequest, context: Any) -> pb.TickClockResponse:
        # A tick without an advance moves nothing, but it adds rows to the log forever: so it needs
        # the internal key.
        if not self._may_advance and (request.advance_us or not principal().internal):
            raise NotAllowed(
                "the clock can only be moved where the setting clock_advance is `allowed`",
                reason="CLOCK_NOT_ADJUSTABLE",
            )
        if not 0 <= request.advance_us <= MAX_ADVANCE_US:
            raise InvalidField(
                "the clock can be moved ahead by at most a century", field="advance_us"
            )
        tick = await self._log.tick(advance_us=request.advance_us)
        return pb.TickClockResponse(token=token_to_proto(tick.token), now_us=tick.recorded_at_us)


def _leaf_ids(leaf_ids: Sequence[bytes]) -> list[LeafId]:
    if len(leaf_ids) > MAX_LEAVES:
        raise TooLarge(f"a call has at most {MAX_LEAVES} leaves: split it", limit=str(MAX_LEAVES))
    for index, leaf_id in enumerate(leaf_ids):
        if len(leaf_id) != 16:
            raise InvalidField("a leaf id has 16 bytes", field=f"leaf_ids[{index}]")
    return [LeafId(leaf_id) for leaf_id in dict.fromkeys(leaf_ids)]
