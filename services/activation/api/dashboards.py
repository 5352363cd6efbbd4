"""Serves DashboardService: the definitions of dashboards, and the figures of their tiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onefold.activation.v1 import dashboard_service_pb2 as pb
from onefold.activation.v1 import dashboard_service_pb2_grpc as pb_grpc
from onefold.activation.v1.activation_facts_pb2 import DeliveryState

from services.activation.commands.dashboards import DashboardCommands
from services.activation.domain.tiles import (
    Counted,
    Counts,
    TileFigures,
    days_of,
    delivery_counts,
    figures_of,
)
from services.activation.projection.upstream import SizeUpstream
from services.activation.store import effects, run_reads
from services.activation.store.dashboards import list_dashboards
from services.activation.store.desk import count_tickets, load_newest_queues
from services.activation.store.destinations import load_destinations
from services.activation.store.journeys import load_journeys_of_workspace
from services.chassis.access.principal import workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import at_least_of, token_to_proto
from services.chassis.codec.journeys import (
    dashboard_from_proto,
    dashboard_to_proto,
    tiles_from_proto,
)
from services.chassis.definitions import etag_of
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.server import Allowed
from services.kernel.dashboards import Tile, TileData, check_tiles
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import WorkspaceId
from services.kernel.time import DAY_US
from services.kernel.tokens import Token

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["DashboardService"])
#: What a tile shows of the runs of a journey.
_RUNS: Final = ("runs", "goals")
#: What a tile shows of the messages of a journey.
_MESSAGES: Final = ("sent", "delivered", "opened", "clicked")


@dataclass(frozen=True)
class DashboardRpc(pb_grpc.DashboardServiceServicer):
    """onefold.activation.v1.DashboardService."""

    commands: DashboardCommands
    upstream: SizeUpstream
    database: Database
    runner: ProjectionRunner

    async def DefineDashboard(
        self, request: pb.DefineDashboardRequest, context: Any
    ) -> pb.DefineDashboardResponse:
        defined = await self.commands.define(
            workspace_id(),
            dashboard_from_proto(request.dashboard),
            etag=request.etag,
            dry_run=request.dry_run,
        )
        return pb.DefineDashboardResponse(
            dashboard=dashboard_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def ListDashboards(
        self, request: pb.ListDashboardsRequest, context: Any
    ) -> pb.ListDashboardsResponse:
        await self.runner.reach(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            found = await list_dashboards(conn, workspace_id())
        return pb.ListDashboardsResponse(
            dashboards=[
                pb.DashboardSummary(dashboard=dashboard_to_proto(each), etag=etag_of(each.version))
                for each in found.values()
            ]
        )

    async def EvaluateTiles(
        self, request: pb.EvaluateTilesRequest, context: Any
    ) -> pb.EvaluateTilesResponse:
        workspace, at_least = workspace_id(), at_least_of(request)
        await self.runner.catch_up(at_least)
        tiles = await self._tiles_of(workspace, request)
        counted = await self._count(workspace, tiles, at_least)
        return pb.EvaluateTilesResponse(
            tiles=[_to_proto(figures_of(tile, counted)) for tile in tiles]
        )

    async def _tiles_of(
        self, workspace: WorkspaceId, request: pb.EvaluateTilesRequest
    ) -> Sequence[Tile]:
        """Return the tiles that a request names or has. Raises InvalidField, NotFound."""
        if bool(request.dashboard_id) == bool(request.tiles):
            raise InvalidField("name a dashboard, or send tiles", field="dashboard_id")
        if request.tiles:
            tiles = tiles_from_proto(request.tiles)
            check_tiles(tiles)
            return tiles
        async with acquire(self.database.api_pool) as conn:
            dashboard = (await list_dashboards(conn, workspace)).get(request.dashboard_id)
        if dashboard is None or dashboard.retired:
            raise NotFound("no dashboard has this id: list them, or define it first")
        return dashboard.tiles

    async def _count(
        self, workspace: WorkspaceId, tiles: Sequence[Tile], at_least: Token | None
    ) -> Counted:
        """Count what some tiles show, each kind of data once. Raises OnefoldError."""
        kinds = {tile.data for tile in tiles}
        sizes: Mapping[str, int] = {}
        pending: frozenset[str] = frozenset()
        if TileData.MEMBERS in kinds:
            sizes, pending = await self.upstream.sizes(workspace, at_least)
        journeys = {
            (journey_id, days_of(tile))
            for tile in tiles
            if tile.data is TileData.JOURNEYS
            for journey_id in tile.subject_ids
        }
        return Counted(
            {id_: {"members": size} for id_, size in sizes.items()},
            pending,
            await self._deliveries(workspace) if TileData.DELIVERIES in kinds else {},
            await self._tickets(workspace) if TileData.TICKETS in kinds else {},
            await self._journeys(workspace, journeys) if journeys else {},
        )

    async def _deliveries(self, workspace: WorkspaceId) -> Mapping[str, Counts]:
        """Return the messages of each destination by state."""
        async with acquire(self.database.api_pool) as conn:
            defined = await load_destinations(conn, workspace)
            rows = await conn.fetch(effects.Q.count_effects, workspace)
        named = [
            (row["destination_id"], DeliveryState.Name(row["state"]), row["count"]) for row in rows
        ]
        return delivery_counts([each.destination_id for each in defined], named)

    async def _tickets(self, workspace: WorkspaceId) -> Mapping[str, Counts]:
        """Return the tickets of each queue that are not resolved, by state."""
        async with acquire(self.database.api_pool) as conn:
            queues = await load_newest_queues(conn, workspace)
            counts = await count_tickets(conn, workspace)
        return {
            queue_id: {
                "open": sum(each.open for each in counts[queue_id]),
                "waiting": sum(each.waiting for each in counts[queue_id]),
                "breached": sum(each.breached for each in counts[queue_id]),
            }
            for queue_id in queues
        }

    async def _journeys(
        self, workspace: WorkspaceId, journeys: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], Counts]:
        """Return what became of the runs of journeys that began in the last days."""
        found: dict[tuple[str, int], Counts] = {}
        async with acquire(self.database.api_pool) as conn:
            defined = await load_journeys_of_workspace(conn, workspace)
            now_us = await run_reads.load_known_us(conn)
            for journey_id, days in journeys:
                if journey_id not in defined:
                    continue
                period = workspace, journey_id, now_us - days * DAY_US, now_us + 1
                begun = await conn.fetch(run_reads.Q.count_begun, *period)
                steps = await conn.fetch(run_reads.Q.count_results, *period)
                runs = {name: sum(row[name] for row in begun) for name in _RUNS}
                messages = {name: sum(row[name] for row in steps) for name in _MESSAGES}
                found[journey_id, days] = runs | messages
        return found


def _to_proto(figures: TileFigures) -> pb.TileFigures:
    return pb.TileFigures(
        tile_id=figures.tile_id,
        figures=[pb.Figure(**figure._asdict()) for figure in figures.figures],
        unknown_ids=figures.unknown_ids,
        pending_ids=figures.pending_ids,
    )
