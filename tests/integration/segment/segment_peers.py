"""The services around segment, as small as they can be, on real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from integration.segment.segment_world import W, profile
from onefold.identity.v1 import identity_service_pb2, identity_service_pb2_grpc
from onefold.log.v1 import log_service_pb2, log_service_pb2_grpc
from onefold.profile.v1 import profile_service_pb2, profile_service_pb2_grpc
from onefold.profile.v1.profile_stream_pb2 import ProfileChange, ProfilesChanged
from onefold.type.v1.token_pb2 import Token

from services.kernel.ids import shard_of, to_hex


@dataclass
class FakeProfile(profile_service_pb2_grpc.ProfileServiceServicer):
    """What profile said, and how everybody stands after it."""

    shards: int
    said: dict[int, list[Any]] = field(default_factory=dict)
    #: Called before the standings of a shard are read.
    before_standings: Any = None
    #: Called once, before a part of a shard is read.
    before_read: Any = None

    def say(self, shard: int, *changes: ProfileChange, **fields: Any) -> ProfilesChanged:
        line = self.said.setdefault(shard, [])
        at = len(line)
        plain: dict[str, Any] = {
            "shard": shard,
            "sequence": at,
            "log_offset": at + 1,
            "log_time_us": 1_000 * (at + 1),
        }
        for change in changes:
            change.at_us = change.at_us or plain["log_time_us"]
        told = plain | {"changes": changes} | fields
        if "backfilled_predicates" in told:
            told.setdefault("backfilled_workspace_id", W)
        line.append(ProfilesChanged(**told))
        return line[-1]

    async def ReadOutbox(self, request: Any, context: Any) -> Any:
        if self.before_read is not None:
            call, self.before_read = self.before_read, None
            await call()
        line = self.said.get(request.shard, [])
        until = request.until_sequence or len(line)
        for batch in line[request.from_sequence : until]:
            yield profile_service_pb2.ReadOutboxResponse(batch=batch)

    async def ReadEvaluations(self, request: Any, context: Any) -> Any:
        if self.before_standings is not None:
            await self.before_standings(request.shard)
        line = self.said.get(request.shard, [])
        place = {"next_sequence": len(line), "log_offset": len(line), "log_time_us": 1}
        facts = [fact for message in line for fact in message.broadcast_facts]
        yield profile_service_pb2.ReadEvaluationsResponse(broadcast_facts=facts, **place)
        for standing in self._standing(request.shard):
            yield profile_service_pb2.ReadEvaluationsResponse(evaluations=[standing], **place)
        for message in line:
            if message.backfilled_predicates:
                yield profile_service_pb2.ReadEvaluationsResponse(
                    backfilled_predicates=message.backfilled_predicates,
                    backfilled_workspace_id=message.backfilled_workspace_id,
                    **place,
                )

    def _standing(self, shard: int) -> list[ProfileChange]:
        best: dict[bytes, ProfileChange] = {}
        for change in (c for line in self.said.values() for m in line for c in m.changes):
            known = best.get(change.profile_id)
            if known is None or known.version < change.version:
                best[change.profile_id] = change
        return [c for p, c in best.items() if shard_of(p, self.shards) == shard]


class FakeIdentity(identity_service_pb2_grpc.IdentityServiceServicer):
    """Knows profiles 0 to 99 by id, and number N as user_id N."""

    async def LookupProfiles(self, request: Any, context: Any) -> Any:
        known = {to_hex(profile(n)) for n in range(100)}
        found = [p if p in known else "" for p in request.profile_ids]
        found += [to_hex(profile(int(i.value))) for i in request.identifiers]
        return identity_service_pb2.LookupProfilesResponse(profile_ids=found)


@dataclass
class FakeLog(log_service_pb2_grpc.LogServiceServicer):
    """A log that knows the ids of its facts."""

    facts: dict[bytes, Any] = field(default_factory=dict)

    async def Append(self, request: Any, context: Any) -> Any:
        fresh = [f for f in request.facts if f.fact_id not in self.facts]
        self.facts |= {f.fact_id: f for f in fresh}
        known = len(request.facts) - len(fresh)
        return log_service_pb2.AppendResponse(appended=len(fresh), duplicates=known, token=Token())


@dataclass
class Around:
    """All of them behind one port."""

    url: str
    profile: FakeProfile
    log: FakeLog


@asynccontextmanager
async def around_segment(shards: int) -> AsyncIterator[Around]:
    server = grpc.aio.server()
    there = Around("", FakeProfile(shards), FakeLog())
    profile_service_pb2_grpc.add_ProfileServiceServicer_to_server(there.profile, server)
    identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(FakeIdentity(), server)
    log_service_pb2_grpc.add_LogServiceServicer_to_server(there.log, server)
    there.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield there
    finally:
        await server.stop(None)
