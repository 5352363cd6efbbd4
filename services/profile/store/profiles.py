"""Reads whole profiles from PostgreSQL: their identifiers and the states of their leaves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import LeafId, ProfileId, WorkspaceId

Q = Queries.load(__package__, "profiles.sql")


class ProfileRow(NamedTuple):
    """One identifier of a profile."""

    profile_id: ProfileId
    leaf_id: LeafId
    #: The canonical form; None where no assignment had it.
    identifier: Identifier | None
    #: Canonical bytes of the LeafState; None where the identifier is no leaf.
    state: bytes | None


async def load_profiles(
    conn: Connection, workspace_id: WorkspaceId, profiles: Collection[ProfileId]
) -> list[ProfileRow]:
    """Return the identifiers of profiles."""
    return _profile_rows(await conn.fetch(Q.load_profiles, workspace_id, profiles))


async def list_profiles(
    conn: Connection, workspace_id: WorkspaceId, after: bytes, limit: int
) -> list[ProfileRow]:
    """Return the identifiers of the next `limit` persons after a profile id, ascending."""
    return _profile_rows(await conn.fetch(Q.list_profiles, workspace_id, after, limit))


async def count_rows(conn: Connection) -> dict[str, int]:
    """Return named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _profile_rows(rows: Iterable[Any]) -> list[ProfileRow]:
    return [
        ProfileRow(profile, id_, Identifier(namespace, value) if namespace else None, state)
        for profile, id_, namespace, value, state in rows
    ]
