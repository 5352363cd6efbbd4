"""onefold.projection.v1.ProjectionService, the same for every service that folds the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import asyncpg
from onefold.projection.v1 import projection_service_pb2 as pb
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceServicer

from services.chassis.access.principal import Role, principal
from services.chassis.codec.tokens import token_from_proto, token_to_proto
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.checkpoint import digests, load_checkpoints, token_of
from services.chassis.projection.rebuild import RebuildProgress, RebuildResult, RebuildRunner
from services.chassis.projection.runner import ProjectionRunner, ShardState
from services.chassis.rpc.server import Allowed
from services.chassis.runtime.deadlines import clip_to_deadline
from services.kernel.errors import NotFound
from services.kernel.tokens import Token

_SERVICE = "/onefold.projection.v1.ProjectionService/"
_READERS = frozenset({Role.SERVICE, Role.ADMIN, Role.INTERNAL})

#: Who may call; to be joined to the table of the service.
ALLOWED: Allowed = {
    f"{_SERVICE}GetStatus": _READERS,
    f"{_SERVICE}GetDigest": _READERS,
    f"{_SERVICE}AwaitToken": _READERS,
    f"{_SERVICE}Rebuild": frozenset({Role.INTERNAL}),
}

#: Seconds for which a token is waited for where the caller set no deadline.
REACH_TIMEOUT_S = 30.0

#: Named counts of what the state holds, for GetStatus; they span all workspaces.
Counts = Callable[[asyncpg.Connection], Awaitable[Mapping[str, int]]]


class ProjectionRpc(ProjectionServiceServicer):
    """Answers what every projection can be asked. `counts` and `rebuild` are the service's own."""

    def __init__(
        self,
        runner: ProjectionRunner,
        database: Database,
        *,
        counts: Counts | None = None,
        rebuild: RebuildRunner | None = None,
    ) -> None:
        self._runner = runner
        self._database = database
        self._counts = counts
        self._rebuild = rebuild

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        """Tell how far the service is; the counts only to those who may see all workspaces."""
        counts: Mapping[str, int] = {}
        if self._counts is not None and principal().internal:
            async with acquire(self._database.pool) as conn:
                counts = await self._counts(conn)
        return pb.GetStatusResponse(
            service=self._runner.service,
            shards=[_shard_message(state) for state in await self._runner.status()],
            counts=counts,
            generation=self._database.generation,
        )

    async def GetDigest(self, request: pb.GetDigestRequest, context: Any) -> pb.GetDigestResponse:
        """Tell the digests of the caller's workspace; of all to another service."""
        await self._wait_for(token_from_proto(request.at_least))
        async with (
            acquire(self._database.pool) as conn,
            # One snapshot: the digests are those of the token.
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await digests(conn)
            token = token_of(await load_checkpoints(conn))
        caller = principal()
        seen = {w: d for w, d in found.items() if _may_see(caller.internal, caller.workspace_id, w)}
        return pb.GetDigestResponse(digests=seen, token=token_to_proto(token))

    async def AwaitToken(
        self, request: pb.AwaitTokenRequest, context: Any
    ) -> pb.AwaitTokenResponse:
        """Answer once the token is reached."""
        reached = await self._wait_for(token_from_proto(request.token))
        return pb.AwaitTokenResponse(token=token_to_proto(reached))

    async def Rebuild(
        self, request: pb.RebuildRequest, context: Any
    ) -> AsyncIterator[pb.RebuildResponse]:
        """Build anew, compare, and switch or replace if asked."""
        if self._rebuild is None:
            raise NotFound(f"{self._runner.service} has nothing to rebuild")
        async for told in self._rebuild.run(
            shards=request.shards,
            workers=request.workers,
            switch_over=request.switch_over,
            replacing=request.resync,
        ):
            yield _progress(told) if isinstance(told, RebuildProgress) else _outcome(told)

    async def _wait_for(self, token: Token) -> Token:
        # A little less than the caller has, so that the answer still reaches them.
        return await self._runner.wait_for(token, clip_to_deadline(REACH_TIMEOUT_S) * 0.9)


def _may_see(internal: bool, own: str, workspace: str) -> bool:
    return workspace == own or (internal and not own)


def _shard_message(state: ShardState) -> pb.ShardStatus:
    return pb.ShardStatus(
        shard=state.shard,
        log_offset=state.log_offset,
        log_time_us=state.log_time_us,
        leased=state.leased,
    )


def _progress(told: RebuildProgress) -> pb.RebuildResponse:
    return pb.RebuildResponse(done=told.done, total=told.total)


def _outcome(told: RebuildResult) -> pb.RebuildResponse:
    return pb.RebuildResponse(
        done=told.done,
        total=told.done,
        equal=told.equal,
        live_digests=told.live,
        rebuilt_digests=told.rebuilt,
        differing_rows=told.differing_rows,
        token=token_to_proto(told.token),
        finished=True,
        switched=told.switched,
    )
