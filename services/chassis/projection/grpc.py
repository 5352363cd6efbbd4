"""Serves onefold.projection.v1.ProjectionService, which every service that folds the log has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
from onefold.projection.v1 import projection_service_pb2 as pb
from onefold.projection.v1.projection_service_pb2_grpc import ProjectionServiceServicer

from services.chassis.access.principal import principal
from services.chassis.access.reconcile import AccessReconciler
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.checkpoint import Checkpoint, digests, load_checkpoints, token_of
from services.chassis.projection.failed_facts import (
    LeftOutCounts,
    count_failed,
    list_failed,
    retry_failed,
)
from services.chassis.projection.rebuild import (
    RebuildProgress,
    RebuildResult,
    RebuildRunner,
    RebuildSource,
)
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.server import Allowed
from services.kernel.errors import NotFound

#: Failed facts in one response.
MAX_LISTED = 5_000

#: The roles that may call; a service adds them to its own table.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["ProjectionService"])

#: Loads named counts of what the state contains, over all workspaces, for GetStatus.
Counts = Callable[[asyncpg.Connection], Awaitable[Mapping[str, int]]]


class ProjectionRpc(ProjectionServiceServicer):
    """The rpcs of a projection. `counts`, `rebuild` and `access` are the service's own."""

    def __init__(
        self,
        runner: ProjectionRunner,
        database: Database,
        *,
        counts: Counts | None = None,
        rebuild: RebuildRunner | None = None,
        access: AccessReconciler | None = None,
    ) -> None:
        self._runner = runner
        self._database = database
        self._counts = counts
        self._rebuild = rebuild
        self._access = access

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        """Return the service's progress; counts where another service requests them."""
        counts: Mapping[str, int] = {}
        left_out: Mapping[int, LeftOutCounts] = {}
        if principal().internal:
            async with acquire(self._database.pool) as conn:
                left_out = await count_failed(conn)
                if self._counts is not None and request.counts:
                    counts = await self._counts(conn)
        shards = [
            _shard_status(at, leased, left_out.get(at.shard, LeftOutCounts()))
            for at, leased in await self._runner.status()
        ]
        return pb.GetStatusResponse(
            service=self._runner.service,
            shards=shards,
            counts=counts,
            generation=self._database.generation,
        )

    async def GetDigest(self, request: pb.GetDigestRequest, context: Any) -> pb.GetDigestResponse:
        """Return the digest of the caller's workspace, or of all workspaces to another service."""
        await self._runner.reach(token_from_proto(request.at_least))
        caller = principal()
        sees_all = caller.internal and not caller.workspace_id
        async with (
            acquire(self._database.pool if sees_all else self._database.api_pool) as conn,
            # One snapshot: the digests are those of the token.
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            by_workspace = await digests(conn)
            token = token_of(await load_checkpoints(conn))
        visible = {w: d for w, d in by_workspace.items() if sees_all or w == caller.workspace_id}
        return pb.GetDigestResponse(digests=visible, token=token_to_proto(token))

    async def AwaitToken(
        self, request: pb.AwaitTokenRequest, context: Any
    ) -> pb.AwaitTokenResponse:
        reached = await self._runner.reach(token_from_proto(request.token))
        return pb.AwaitTokenResponse(token=token_to_proto(reached))

    async def Rebuild(
        self, request: pb.RebuildRequest, context: Any
    ) -> AsyncIterator[pb.RebuildResponse]:
        """Rebuild, compare, and switch over or resync if requested."""
        if self._rebuild is None:
            raise NotFound(f"{self._runner.service} has nothing to rebuild")
        if self._access is not None and (request.switch_over or request.resync):
            await self._access.repair()
        async for report in self._rebuild.run(
            shards=request.shards,
            workers=request.workers,
            switch_over=request.switch_over,
            resync=request.resync,
            source=RebuildSource(request.together, Path(request.rows) if request.rows else None),
        ):
            if isinstance(report, RebuildProgress):
                yield pb.RebuildResponse(done=report.done, total=report.total)
            else:
                yield _result_message(report)

    async def ListFailedFacts(
        self, request: pb.ListFailedFactsRequest, context: Any
    ) -> pb.ListFailedFactsResponse:
        """Return where the failed and the parked facts are, and nothing of their content."""
        async with acquire(self._database.pool) as conn:
            rows = await list_failed(conn, MAX_LISTED)
        return pb.ListFailedFactsResponse(facts=map(_failed_fact, rows))

    async def RetryFailedFacts(
        self, request: pb.RetryFailedFactsRequest, context: Any
    ) -> pb.RetryFailedFactsResponse:
        place = request.place if request.HasField("place") else None
        async with acquire(self._database.pool) as conn:
            due = await retry_failed(conn, *((place.shard, place.offset) if place else ()))
        return pb.RetryFailedFactsResponse(due=due)

    async def GetAccessDifferences(
        self, request: pb.GetAccessDifferencesRequest, context: Any
    ) -> pb.GetAccessDifferencesResponse:
        if self._access is None:
            raise NotFound(f"{self._runner.service} has no keys")
        found = await self._access.compare()
        return pb.GetAccessDifferencesResponse(differences=[each.describe() for each in found])


def _shard_status(at: Checkpoint, leased: bool, left_out: LeftOutCounts) -> pb.ShardStatus:
    return pb.ShardStatus(
        shard=at.shard,
        log_offset=at.log_offset,
        log_time_us=at.log_time_us,
        leased=leased,
        failed_facts=left_out.failed,
        parked_facts=left_out.parked,
    )


def _failed_fact(row: asyncpg.Record) -> pb.FailedFact:
    return pb.FailedFact(
        shard=row["shard"],
        offset=row["sequence"],
        workspace_id=row["workspace_id"],
        error=row["error"],
        attempts=row["attempts"],
        next_retry_us=0 if row["parked"] else row["next_retry_us"],
        parked=row["parked"],
        folded=row["folded"],
        reason=row["reason"],
    )


def _result_message(result: RebuildResult) -> pb.RebuildResponse:
    return pb.RebuildResponse(
        done=result.done,
        total=result.done,
        equal=result.equal,
        live_digests=result.live,
        rebuilt_digests=result.rebuilt,
        differing_rows=result.differing_rows,
        token=token_to_proto(result.token),
        finished=True,
        switched=result.switched,
    )
