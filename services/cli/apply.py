"""Apply a pack: every definition goes to the service that owns it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from onefold.activation.v1 import activation_service_pb2 as activation_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb

from services.cli.client import PROJECTIONS, Client
from services.cli.definitions import Pack

LIVE_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one definition."""

    kind: str
    id: str
    version: int
    changed: bool


async def apply_pack(client: Client, pack: Pack, *, dry_run: bool = False) -> list[Applied]:
    """Define everything of a pack that differs; waits until all services know it.

    Raises OnefoldError where a service refuses; what was defined before that stays.
    """
    applied: list[Applied] = []
    token = None
    if pack.identity_policy is not None:
        answer = await _define_policy(client, pack.identity_policy, dry_run=dry_run)
        applied.append(Applied("identity policy", "", answer.version, answer.changed))
    for kind, method, request in _requests(client, pack, dry_run):
        answer = await client.call(method, request)
        told = getattr(answer, kind)
        applied.append(Applied(kind, getattr(told, f"{kind}_id"), told.version, answer.changed))
        if answer.changed and not dry_run:
            token = answer.token
    if token is not None:
        await known_everywhere(client, token)
        await _live(client, {s.segment_id for s in pack.segments})
    return applied


async def _define_policy(client: Client, policy: IdentityPolicy, *, dry_run: bool) -> Any:
    """Define the identity policy; waits until everybody is grouped by it, everywhere."""
    request = identity_pb.DefinePolicyRequest(policy=policy, dry_run=dry_run)
    answer = await client.call(client.identity.DefinePolicy, request)
    if answer.changed and not dry_run:
        await known_everywhere(client, await _settled(client, answer.token))
    return answer


async def _settled(client: Client, token: Any) -> Any:
    """The state of the log in which everybody has been looked at by the newest policy."""
    request = identity_pb.GetPolicyRequest(at_least=token)
    async with asyncio.timeout(LIVE_SECONDS):
        while True:
            answer = await client.call(client.identity.GetPolicy, request)
            if answer.live:
                return answer.token
            await asyncio.sleep(0.1)


def _requests(client: Client, pack: Pack, dry_run: bool) -> list[tuple[str, Any, Any]]:
    return [
        *(
            (
                "source",
                client.admin.DefineSource,
                admin_pb.DefineSourceRequest(source=s, dry_run=dry_run),
            )
            for s in pack.sources
        ),
        *(
            ("tag", client.profile.DefineTag, profile_pb.DefineTagRequest(tag=t, dry_run=dry_run))
            for t in pack.tags
        ),
        *(
            (
                "segment",
                client.segment.DefineSegment,
                segment_pb.DefineSegmentRequest(segment=s, dry_run=dry_run),
            )
            for s in pack.segments
        ),
        *(
            (
                "destination",
                client.activation.DefineDestination,
                activation_pb.DefineDestinationRequest(destination=d, dry_run=dry_run),
            )
            for d in pack.destinations
        ),
    ]


async def known_everywhere(client: Client, token: Any) -> None:
    """Wait until every service has folded what the token includes."""
    for service in PROJECTIONS:
        request = projection_pb.AwaitTokenRequest(token=token)
        await client.call(client.projection(service).AwaitToken, request)


async def _live(client: Client, segment_ids: set[str]) -> None:
    """Wait until the log is taken in for the segments' rules."""
    async with asyncio.timeout(LIVE_SECONDS):
        while True:
            answer = await client.call(
                client.segment.ListSegments, segment_pb.ListSegmentsRequest()
            )
            if all(s.live for s in answer.segments if s.segment.segment_id in segment_ids):
                return
            await asyncio.sleep(0.1)
