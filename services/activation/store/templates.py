"""Stores the templates of messages."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from services.activation.codec.templates import decode_template
from services.activation.domain.templates import Template
from services.chassis.postgres.database import Database, Queries, acquire
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.template_names import pinned_version

Q = Queries.load(__package__, "templates.sql")


async def save_template(conn: asyncpg.Connection, template: Template, payload: bytes) -> None:
    """Save a version of a template."""
    key = (template.workspace_id, template.template_id, template.version)
    await conn.execute(Q.save_template, *key, payload)


async def load_template(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, name: str
) -> Template | None:
    """Return a template by `ID`, its newest version, or `ID@VERSION`; None = there is none."""
    payload = await conn.fetchval(Q.load_template, workspace_id, *pinned_version(name))
    return decode_template(workspace_id, payload) if payload is not None else None


async def load_templates(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> list[Template]:
    """Return the templates of a workspace in their newest versions, by id."""
    rows = await conn.fetch(Q.load_templates, workspace_id)
    return [decode_template(workspace_id, row["payload"]) for row in rows]


@dataclass(frozen=True)
class TemplateReader:
    """Reads templates for messages."""

    database: Database

    async def __call__(self, workspace_id: WorkspaceId, name: str) -> Template | None:
        """Return a template by `ID`, its newest version, or `ID@VERSION`; None = there is none."""
        async with acquire(self.database.pool) as conn:
            return await load_template(conn, workspace_id, name)
