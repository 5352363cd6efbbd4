"""Defines dashboards as facts of the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from services.activation.codec.dashboards import dashboard_definition
from services.activation.store.dashboards import list_dashboards
from services.chassis.definitions import Defined, WorkspaceLocks, check_room, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.dashboards import Dashboard, check_dashboard
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

#: Dashboards of a workspace, retired ones included.
MAX_DASHBOARDS: Final = 200


@dataclass(frozen=True)
class DashboardCommands:
    """Defines dashboards."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    #: One definition of a workspace at a time.
    locks: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def define(
        self,
        workspace_id: WorkspaceId,
        desired: Dashboard,
        *,
        etag: str = "",
        dry_run: bool = False,
    ) -> Defined[Dashboard]:
        """Define a version of a dashboard; its number is ignored.

        What its tiles name need not be defined yet. Raises InvalidField, Conflict, RetryableError.
        """
        check_dashboard(desired)

        async def load(token: Token) -> Dashboard | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                existing = await list_dashboards(conn, workspace_id)
            check_room(existing, desired.dashboard_id, MAX_DASHBOARDS, thing="dashboard")
            return existing.get(desired.dashboard_id)

        async with self.locks.of(workspace_id):
            return await define(
                lambda _: desired,
                log=self.log,
                load=load,
                to_fact=lambda dashboard: dashboard_definition(workspace_id, dashboard),
                etag=etag,
                dry_run=dry_run,
            )
