"""Fakes of the services around activation, on real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from onefold.log.v1 import log_pb2, log_service_pb2, log_service_pb2_grpc
from onefold.profile.v1 import profile_service_pb2, profile_service_pb2_grpc
from onefold.segment.v1 import segment_service_pb2, segment_service_pb2_grpc, segment_stream_pb2
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token

from services.activation.codec.recipients import ids_of
from services.chassis.rpc.errors import DETAILS_KEY, STATUS_BY_REASON, to_status
from services.kernel.errors import NotFound, OnefoldError, ServiceUnavailable
from services.kernel.ids import from_hex, to_hex


async def fail(context: Any, error: OnefoldError) -> None:
    """Abort a call like the services do."""
    details = ((DETAILS_KEY, to_status(error).SerializeToString()),)
    await context.abort(STATUS_BY_REASON[error.reason].code, error.message, details)


@dataclass
class FakeProfile(profile_service_pb2_grpc.ProfileServiceServicer):
    """Profiles by id."""

    profiles: dict[str, Any] = field(default_factory=dict)
    #: By profile id, what a read as of a token finds besides.
    learnt: dict[str, Identifier] = field(default_factory=dict)
    away: bool = False
    #: Awaited before the persons of a call are read.
    before: Callable[[], Awaitable[object]] | None = None
    #: The workspace and the profile ids of each BatchGetProfiles.
    requests: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, profile_id: bytes, *leaf_ids: bytes, **traits: bytes) -> None:
        self.profiles[to_hex(profile_id)] = profile_service_pb2.Profile(
            profile_id=to_hex(profile_id),
            identifiers=[Identifier(namespace="email", value=f"{to_hex(profile_id)[:4]}@b.cn")],
            traits=[profile_service_pb2.Trait(name=n, value=v) for n, v in traits.items()],
            leaf_ids=map(to_hex, leaf_ids or [profile_id]),
        )

    def consent(self, profile_id: bytes, purpose: str, granted: bool, fact_id: bytes) -> None:
        """Make this the last answer of a person to a purpose."""
        own = self.profiles[to_hex(profile_id)].consents
        others = [each for each in own if each.purpose != purpose]
        del own[:]
        own.extend(others)
        own.add(purpose=purpose, granted=granted, since_us=1, fact_id=to_hex(fact_id))

    async def BatchGetProfiles(self, request: Any, context: Any) -> Any:
        await self._check_available(context)
        workspace = dict(context.invocation_metadata()).get("onefold-workspace", "")
        self.requests.append((workspace, list(request.profile_ids)))
        if self.before is not None:
            await self.before()
        if request.HasField("at_least"):
            for profile_id, identifier in self.learnt.items():
                self.profiles[profile_id].identifiers.append(identifier)
            self.learnt.clear()
        wanted = set(map(from_hex, request.profile_ids))
        found = [each for each in self.profiles.values() if wanted & ids_of(each)]
        return profile_service_pb2.BatchGetProfilesResponse(profiles=found)

    async def _check_available(self, context: Any) -> None:
        if self.away:
            await fail(context, ServiceUnavailable("away"))


@dataclass
class FakeLog(log_service_pb2_grpc.LogServiceServicer):
    """A log that recognises facts by their ids. `head` returns the offsets of its end."""

    head: Callable[[], list[int]] = list
    now_us: int = 0

    facts: dict[bytes, Any] = field(default_factory=dict)
    #: The facts that define keys, for readers.
    definitions: list[Any] = field(default_factory=list)
    duplicates: int = 0
    away: bool = False
    #: Appends that succeed and whose responses are lost.
    lose_responses: int = 0

    async def Append(self, request: Any, context: Any) -> Any:
        if self.away:
            await fail(context, ServiceUnavailable("away"))
        existing = [fact for fact in request.facts if fact.fact_id in self.facts]
        for fact in existing:
            assert self.facts[fact.fact_id] == fact, "two facts have the same id"
        self.duplicates += len(existing)
        self.facts |= {fact.fact_id: fact for fact in request.facts}
        if self.lose_responses:
            self.lose_responses -= 1
            await fail(context, ServiceUnavailable("the response is lost"))
        return log_service_pb2.AppendResponse(
            appended=len(request.facts) - len(existing),
            duplicates=len(existing),
            token=Token(offsets=self.head()),
        )

    async def GetHead(self, request: Any, context: Any) -> Any:
        token = Token(offsets=self.head())
        return log_service_pb2.GetHeadResponse(token=token, now_us=self.now_us)

    async def Read(self, request: Any, context: Any) -> Any:
        wanted = [f for f in self.definitions if not request.kinds or f.kind in request.kinds]
        yield log_service_pb2.ReadResponse(batch=log_pb2.FactBatch(facts=wanted))

    def of_kind(self, kind: str) -> list[log_pb2.Fact]:
        return [fact for fact in self.facts.values() if fact.kind == kind]


@dataclass
class FakeSegment(segment_service_pb2_grpc.SegmentServiceServicer):
    """The messages that segment has published, shard by shard."""

    shards: int = 4
    published: dict[int, list[Any]] = field(default_factory=dict)
    #: The members of segments; a segment that is not here is not defined.
    members: dict[str, set[bytes]] = field(default_factory=dict)
    #: Members of a page.
    page: int = 2

    async def ListMembers(self, request: Any, context: Any) -> Any:
        if request.segment_id not in self.members:
            await fail(context, NotFound("no segment has this id"))
        after = bytes.fromhex(request.page_token)
        ordered = sorted(id_ for id_ in self.members[request.segment_id] if id_ > after)
        page = ordered[: self.page]
        return segment_service_pb2.ListMembersResponse(
            members=[segment_service_pb2.Member(profile_id=to_hex(id_)) for id_ in page],
            next_page_token=to_hex(page[-1]) if len(ordered) > len(page) else "",
        )

    def publish(self, shard: int, **fields: Any) -> Any:
        """Add a message to a shard; each is one fact further in the log."""
        messages = self.published.setdefault(shard, [])
        at = len(messages)
        plain = {"shard": shard, "sequence": at, "log_offset": at + 1, "log_time_us": at + 1}
        message = segment_stream_pb2.MembershipsChanged(**(plain | fields))
        messages.append(message)
        return message

    async def ReadOutbox(self, request: Any, context: Any) -> Any:
        messages = self.published.get(request.shard, [])
        end = request.end_sequence or len(messages)
        for batch in messages[request.from_sequence : end]:
            yield segment_service_pb2.ReadOutboxResponse(batch=batch)


@dataclass
class FakePeers:
    """All fakes behind one port."""

    url: str
    profile: FakeProfile
    log: FakeLog
    segment: FakeSegment


@asynccontextmanager
async def fake_peers() -> AsyncIterator[FakePeers]:
    server = grpc.aio.server()
    peers = FakePeers("", FakeProfile(), FakeLog(), FakeSegment())
    profile_service_pb2_grpc.add_ProfileServiceServicer_to_server(peers.profile, server)
    log_service_pb2_grpc.add_LogServiceServicer_to_server(peers.log, server)
    segment_service_pb2_grpc.add_SegmentServiceServicer_to_server(peers.segment, server)
    peers.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield peers
    finally:
        await server.stop(None)
        await asyncio.sleep(0)
