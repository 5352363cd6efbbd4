"""Fakes of the services around segment, on real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_status import rpc_status
from integration.segment.segment_fixture import next_message, profile
from onefold.identity.v1 import identity_service_pb2, identity_service_pb2_grpc
from onefold.log.v1 import log_pb2, log_service_pb2, log_service_pb2_grpc
from onefold.profile.v1 import profile_service_pb2, profile_service_pb2_grpc
from onefold.profile.v1.profile_stream_pb2 import ProfileChange, ProfilesChanged
from onefold.type.v1.token_pb2 import Token

from services.chassis.rpc.errors import to_status
from services.kernel.errors import InvalidField
from services.kernel.ids import shard_of, to_hex


@dataclass
class FakeProfile(profile_service_pb2_grpc.ProfileServiceServicer):
    """The messages that profile has published, and the evaluations after them."""

    shards: int
    published: dict[int, list[ProfilesChanged]] = field(default_factory=dict)
    #: Awaited before the evaluations of a shard are read.
    before_evaluations: Callable[[int], Awaitable[None]] | None = None
    #: The requests of `PreviewRule`, and the message with which they are rejected; empty = none.
    previewed: list[Any] = field(default_factory=list)
    rule_rejection: str = ""
    #: Awaited once, before a part of an outbox is read.
    before_read: Callable[[], Awaitable[None]] | None = None

    def publish(self, shard: int, *changes: ProfileChange, **fields: Any) -> ProfilesChanged:
        messages = self.published.setdefault(shard, [])
        messages.append(next_message(shard, messages, *changes, **fields))
        return messages[-1]

    async def ReadOutbox(self, request: Any, context: Any) -> Any:
        if self.before_read is not None:
            call, self.before_read = self.before_read, None
            await call()
        messages = self.published.get(request.shard, [])
        end = request.end_sequence or len(messages)
        for batch in messages[request.from_sequence : end]:
            yield profile_service_pb2.ReadOutboxResponse(batch=batch)

    async def ReadEvaluations(self, request: Any, context: Any) -> Any:
        if self.before_evaluations is not None:
            await self.before_evaluations(request.shard)
        messages = self.published.get(request.shard, [])
        checkpoint = {"next_sequence": len(messages), "log_offset": len(messages), "log_time_us": 1}
        facts = [fact for message in messages for fact in message.broadcast_facts]
        yield profile_service_pb2.ReadEvaluationsResponse(broadcast_facts=facts, **checkpoint)
        for evaluation in self._newest_evaluations(request.shard):
            yield profile_service_pb2.ReadEvaluationsResponse(
                evaluations=[evaluation], **checkpoint
            )
        for message in messages:
            if message.backfilled_predicates:
                yield profile_service_pb2.ReadEvaluationsResponse(
                    backfilled_predicates=message.backfilled_predicates,
                    backfilled_workspace_id=message.backfilled_workspace_id,
                    **checkpoint,
                )

    async def PreviewRule(self, request: Any, context: Any) -> Any:
        self.previewed.append(request)
        if self.rule_rejection:
            error = to_status(InvalidField(self.rule_rejection, field="rule"))
            await context.abort_with_status(rpc_status.to_status(error))
        return profile_service_pb2.PreviewRuleResponse(new_predicates=1, token=request.at_least)

    def _newest_evaluations(self, shard: int) -> list[ProfileChange]:
        newest: dict[bytes, ProfileChange] = {}
        for change in (c for shard in self.published.values() for m in shard for c in m.changes):
            best = newest.get(change.profile_id)
            if best is None or best.version < change.version:
                newest[change.profile_id] = change
        return [c for p, c in newest.items() if shard_of(p, self.shards) == shard]


class FakeIdentity(identity_service_pb2_grpc.IdentityServiceServicer):
    """Profiles 0 to 99 by id, and profile N also by user_id N."""

    async def LookupProfiles(self, request: Any, context: Any) -> Any:
        existing = {to_hex(profile(n)) for n in range(100)}
        found = [p if p in existing else "" for p in request.profile_ids]
        found += [to_hex(profile(int(i.value))) for i in request.identifiers]
        return identity_service_pb2.LookupProfilesResponse(
            profile_ids=found, identifier_ids=found, versions=[1] * len(found)
        )


@dataclass
class FakeLog(log_service_pb2_grpc.LogServiceServicer):
    """A log that recognises facts by their ids. `head` returns the offsets of its end."""

    head: Callable[[], list[int]] = list
    facts: dict[bytes, Any] = field(default_factory=dict)
    #: The facts that define keys, for readers.
    definitions: list[Any] = field(default_factory=list)

    async def Append(self, request: Any, context: Any) -> Any:
        new = [f for f in request.facts if f.fact_id not in self.facts]
        self.facts |= {f.fact_id: f for f in new}
        return log_service_pb2.AppendResponse(
            appended=len(new),
            duplicates=len(request.facts) - len(new),
            token=Token(offsets=self.head()),
        )

    async def GetHead(self, request: Any, context: Any) -> Any:
        return log_service_pb2.GetHeadResponse(token=Token(offsets=self.head()))

    async def Read(self, request: Any, context: Any) -> Any:
        yield log_service_pb2.ReadResponse(batch=log_pb2.FactBatch(facts=self.definitions))


@dataclass
class FakePeers:
    """All fakes behind one port."""

    url: str
    profile: FakeProfile
    log: FakeLog


@asynccontextmanager
async def fake_peers(shards: int) -> AsyncIterator[FakePeers]:
    server = grpc.aio.server()
    peers = FakePeers("", FakeProfile(shards), FakeLog())
    profile_service_pb2_grpc.add_ProfileServiceServicer_to_server(peers.profile, server)
    identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(FakeIdentity(), server)
    log_service_pb2_grpc.add_LogServiceServicer_to_server(peers.log, server)
    peers.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield peers
    finally:
        await server.stop(None)
