"""Stores the profile of each identifier in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId, shard_of
from services.profile.domain.assignments import Reassignment
from services.profile.domain.facts import ProfileAssignment

Q = Queries.load(__package__, "assignments.sql")


async def load_assignments(
    conn: Connection, identifiers: Collection[bytes]
) -> dict[IdentifierId, ProfileAssignment]:
    """Return the assignments of identifiers, without canonical forms; unknown ones are left out."""
    rows = await conn.fetch(Q.load_assignments, identifiers)
    return {row[1]: ProfileAssignment(row[0], row[1], row[2], row[3], None) for row in rows}


async def save_assignments(
    conn: Connection, reassigned: Sequence[Reassignment], shards: int
) -> None:
    """Insert or update assignments. The caller holds the locks on their identifiers."""
    new = [moved.after for moved in reassigned if moved.before is None]
    if new:
        await copy_assignments(conn, new, shards)
    changed = [moved.after for moved in reassigned if moved.before is not None]
    if changed:
        await conn.execute(
            Q.save_assignments,
            [shard_of(a.identifier_id, shards) for a in changed],
            [a.identifier_id for a in changed],
            [a.profile_id for a in changed],
            [a.version for a in changed],
            [a.identifier.namespace if a.identifier else None for a in changed],
            [a.identifier.value if a.identifier else None for a in changed],
        )


async def copy_assignments(
    conn: Connection, assignments: Iterable[ProfileAssignment], shards: int
) -> None:
    """Insert new assignments with COPY."""
    columns = ("shard", "workspace_id", "identifier_id", "profile_id", "version")
    await conn.copy_records_to_table(
        "assignment",
        columns=(*columns, "namespace", "value"),
        records=[
            (shard_of(a.identifier_id, shards), *a[:4], *(a.identifier or (None, None)))
            for a in assignments
        ],
    )


async def profiles_of(
    conn: Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> dict[bytes, ProfileId]:
    """Return the profiles of identifiers in one workspace; unknown ones are left out.

    A profile's id is the id of one of its identifiers, so an old profile id leads to the present
    profile too.
    """
    rows = await conn.fetch(Q.profiles_of, workspace_id, ids)
    return {row[0]: row[1] for row in rows}
