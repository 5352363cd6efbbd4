"""Stores the definitions of dashboards."""

from __future__ import annotations

from contextlib import suppress

import asyncpg

from services.activation.codec.dashboards import decode_dashboard
from services.chassis.postgres.database import Queries
from services.kernel.dashboards import Dashboard
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

Q = Queries.load(__package__, "dashboards.sql")


async def save_dashboard(conn: asyncpg.Connection, workspace_id: str, payload: bytes) -> None:
    """Save a version of a dashboard unless there is a newer one. Raises InvalidField."""
    dashboard = decode_dashboard(payload)
    key = workspace_id, dashboard.dashboard_id, dashboard.version
    await conn.execute(Q.save_dashboard, *key, payload)


async def list_dashboards(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> dict[str, Dashboard]:
    """Return the dashboards of a workspace by id; one that cannot be read is left out."""
    found: dict[str, Dashboard] = {}
    for row in await conn.fetch(Q.list_dashboards, workspace_id):
        with suppress(InvalidField):
            dashboard = decode_dashboard(row["payload"])
            found[dashboard.dashboard_id] = dashboard
    return found
