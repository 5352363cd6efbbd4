"""The services around activation, as small as they can be, on real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from onefold.log.v1 import log_pb2, log_service_pb2, log_service_pb2_grpc
from onefold.profile.v1 import profile_service_pb2, profile_service_pb2_grpc
from onefold.segment.v1 import segment_service_pb2, segment_service_pb2_grpc, segment_stream_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token

from services.chassis.rpc.errors import DETAILS_KEY, STATUS_BY_REASON, to_status
from services.kernel.errors import NotFound, OnefoldError, ServiceUnavailable
from services.kernel.ids import to_hex


async def fail(context: Any, error: OnefoldError) -> None:
    """Answers as the services do."""
    details = ((DETAILS_KEY, to_status(error).SerializeToString()),)
    await context.abort(STATUS_BY_REASON[error.reason].code, error.message, details)


@dataclass
class FakeProfile(profile_service_pb2_grpc.ProfileServiceServicer):
    """Profiles by id, and heirs by old ids."""

    profiles: dict[str, Any] = field(default_factory=dict)
    heirs: dict[str, str] = field(default_factory=dict)
    away: bool = False
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, profile_id: bytes, **traits: bytes) -> None:
        self.profiles[to_hex(profile_id)] = profile_service_pb2.Profile(
            profile_id=to_hex(profile_id),
            identifiers=[Identifier(namespace="email", value=f"{to_hex(profile_id)[:4]}@b.cn")],
            traits=[profile_service_pb2.Trait(name=n, value=v) for n, v in traits.items()],
        )

    async def BatchGetProfiles(self, request: Any, context: Any) -> Any:
        await self._answer_if_there(context)
        workspace = dict(context.invocation_metadata()).get("onefold-workspace", "")
        self.asked.append((workspace, list(request.profile_ids)))
        found = [self.profiles[p] for p in request.profile_ids if p in self.profiles]
        return profile_service_pb2.BatchGetProfilesResponse(profiles=found)

    async def GetProfile(self, request: Any, context: Any) -> Any:
        await self._answer_if_there(context)
        heir = self.profiles.get(self.heirs.get(request.profile_id, ""))
        if heir is None:
            await fail(context, NotFound("nobody is known by this"))
        return profile_service_pb2.GetProfileResponse(profile=heir)

    async def _answer_if_there(self, context: Any) -> None:
        if self.away:
            await fail(context, ServiceUnavailable("away"))


@dataclass
class FakeLog(log_service_pb2_grpc.LogServiceServicer):
    """A log that knows the ids of its facts."""

    facts: dict[bytes, Any] = field(default_factory=dict)
    duplicates: int = 0
    away: bool = False
    #: Appends, and then tells that it failed, as a log that is lost at the worst moment.
    lose_answers: int = 0

    async def Append(self, request: Any, context: Any) -> Any:
        if self.away:
            await fail(context, ServiceUnavailable("away"))
        known = [fact for fact in request.facts if fact.fact_id in self.facts]
        for fact in known:
            assert self.facts[fact.fact_id] == fact, "the same id, another fact"
        self.duplicates += len(known)
        self.facts |= {fact.fact_id: fact for fact in request.facts}
        if self.lose_answers:
            self.lose_answers -= 1
            await fail(context, ServiceUnavailable("the answer is lost"))
        return log_service_pb2.AppendResponse(
            appended=len(request.facts) - len(known), duplicates=len(known), token=Token()
        )

    def of_kind(self, kind: str) -> list[log_pb2.Fact]:
        return [fact for fact in self.facts.values() if fact.kind == kind]


@dataclass
class FakeSegment(segment_service_pb2_grpc.SegmentServiceServicer):
    """What segment said, shard by shard."""

    shards: int = 4
    said: dict[int, list[Any]] = field(default_factory=dict)

    def say(self, shard: int, **fields: Any) -> Any:
        """One more message of a shard; each is a fact later than the one before."""
        line = self.said.setdefault(shard, [])
        at = len(line)
        plain = {"shard": shard, "sequence": at, "log_offset": at + 1, "log_time_us": at + 1}
        message = segment_stream_pb2.MembershipsChanged(**(plain | fields))
        line.append(message)
        return message

    async def ReadOutbox(self, request: Any, context: Any) -> Any:
        line = self.said.get(request.shard, [])
        until = request.until_sequence or len(line)
        for batch in line[request.from_sequence : until]:
            yield segment_service_pb2.ReadOutboxResponse(batch=batch)


@dataclass
class Peers:
    """All of them behind one port."""

    url: str
    profile: FakeProfile
    log: FakeLog
    segment: FakeSegment


@asynccontextmanager
async def peers() -> AsyncIterator[Peers]:
    server = grpc.aio.server()
    there = Peers("", FakeProfile(), FakeLog(), FakeSegment())
    profile_service_pb2_grpc.add_ProfileServiceServicer_to_server(there.profile, server)
    log_service_pb2_grpc.add_LogServiceServicer_to_server(there.log, server)
    segment_service_pb2_grpc.add_SegmentServiceServicer_to_server(there.segment, server)
    there.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield there
    finally:
        await server.stop(None)
        await asyncio.sleep(0)
