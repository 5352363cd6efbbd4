"""Gives tests keys of a service without an ingest: rows of its table, as a fold writes them."""

from __future__ import annotations

import asyncpg

from services.chassis.access.keys import issue_key
from services.chassis.access.principal import Role


async def grant_key(dsn: str, service: str, workspace_id: str, role: Role = Role.ADMIN) -> str:
    """Return a new key of a service whose schema exists already."""
    issued = issue_key(role)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            f"INSERT INTO {service}.access_key"
            " (key_hash, key_id, workspace_id, role, source_id, version, disabled)"
            " VALUES ($1, $2, $3, $4, '', 1, false)",
            *(issued.key_hash, issued.key_id, workspace_id, role),
        )
    finally:
        await connection.close()
    return issued.key
