"""Tests what decisions read of a person, against fakes of segment and profile on real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from integration.activation.fake_peers import fail
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.profile.v1 import profile_service_pb2_grpc as profile_grpc
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.segment.v1 import segment_service_pb2_grpc as segment_grpc
from onefold.segment.v1.segment_stream_pb2 import MembershipChange
from service_fixtures import wait_until

from services.activation.domain.decisions import SlotPerson
from services.activation.projection.upstream import DecisionUpstream
from services.chassis.rpc.channel import open_channel
from services.kernel.errors import InvalidField, NotFound, OnefoldError, ServiceUnavailable
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import ProfileId, WorkspaceId, to_hex
from services.kernel.tokens import Token

PERSON = ProfileId(b"p" * 16)
SCHOOL = WorkspaceId("school")
WHO = Identifier("user_id", "u")


@dataclass
class Peers(profile_grpc.ProfileServiceServicer, segment_grpc.SegmentServiceServicer):
    """One person, or an error of segment or of profile."""

    consents: dict[str, bool] = field(default_factory=dict)
    segment_error: OnefoldError | None = None
    profile_error: OnefoldError | None = None
    #: Set once a call has come that is never answered.
    waits: asyncio.Event | None = None
    cancelled: bool = False
    requests: list[Any] = field(default_factory=list)

    async def ListMemberships(self, request: Any, context: Any) -> Any:
        assert dict(context.invocation_metadata())["onefold-workspace"] == SCHOOL
        self.requests.append(request)
        if self.segment_error is not None:
            await fail(context, self.segment_error)
        if self.waits is not None:
            self.waits.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        return segment_pb.ListMembershipsResponse(
            profile_id=to_hex(PERSON),
            segment_ids=["sporty"],
            history=[
                MembershipChange(segment_id="sporty", ordinal=3),
                MembershipChange(segment_id="tag:taste=bold", ordinal=2),
            ],
        )

    async def GetProfile(self, request: Any, context: Any) -> Any:
        assert dict(context.invocation_metadata())["onefold-workspace"] == SCHOOL
        self.requests.append(request)
        if self.profile_error is not None:
            await fail(context, self.profile_error)
        profile = profile_pb.Profile(profile_id=to_hex(PERSON))
        for purpose, granted in self.consents.items():
            profile.consents.add(purpose=purpose, granted=granted)
        return profile_pb.GetProfileResponse(profile=profile)


@asynccontextmanager
async def reading(peers: Peers) -> AsyncIterator[DecisionUpstream]:
    server = grpc.aio.server()
    profile_grpc.add_ProfileServiceServicer_to_server(peers, server)
    segment_grpc.add_SegmentServiceServicer_to_server(peers, server)
    url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with open_channel(url, "k" * 40, timeout_s=20.0) as channel:
            yield DecisionUpstream(channel, channel)
    finally:
        await server.stop(None)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("consents", "refuses"),
    [({}, False), ({"profiling": True, "marketing": False}, False), ({"profiling": False}, True)],
    ids=["silent", "granted", "refused"],
)
async def test_person_has_memberships_and_the_answer_to_profiling(
    consents: dict[str, bool], refuses: bool
) -> None:
    peers = Peers(consents)
    token = Token.from_offsets({0: 7})
    async with reading(peers) as upstream:
        found = await upstream.person(SCHOOL, WHO, token)
    assert found == SlotPerson(PERSON, {"sporty": 3, "tag:taste=bold": 2}, refuses)
    assert len(peers.requests) == 2
    for request in peers.requests:
        assert (request.identifier.namespace, request.identifier.value) == WHO
        assert list(request.at_least.offsets) == [7]


@pytest.mark.parametrize(
    "peers",
    [
        Peers(segment_error=NotFound("none")),
        Peers(profile_error=NotFound("not yet")),
        Peers(segment_error=InvalidField("no number"), profile_error=InvalidField("no number")),
    ],
    ids=["segment", "profile", "invalid"],
)
async def test_identifier_of_no_person_or_without_a_form_is_none(peers: Peers) -> None:
    async with reading(peers) as upstream:
        assert await upstream.person(SCHOOL, WHO, None) is None
    assert not any(request.HasField("at_least") for request in peers.requests)


async def test_service_that_is_away_is_an_error() -> None:
    async with reading(Peers(profile_error=ServiceUnavailable("away"))) as upstream:
        with pytest.raises(ServiceUnavailable):
            await upstream.person(SCHOOL, WHO, None)


async def test_decision_that_is_over_its_deadline_ends_the_calls_upstream() -> None:
    peers = Peers(waits=asyncio.Event())
    async with reading(peers) as upstream:
        call = asyncio.create_task(upstream.person(SCHOOL, WHO, None))
        assert peers.waits is not None
        await peers.waits.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        async def is_cancelled() -> bool:
            return peers.cancelled

        await wait_until(is_cancelled)
