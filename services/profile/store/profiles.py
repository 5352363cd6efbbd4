"""People in PostgreSQL, as they are read: whose an identifier is, what is kept of somebody."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from services.kernel.identifiers import Identifier
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.profile.store.postgres import Connection, Q


class PersonRow(NamedTuple):
    """One identifier of a profile."""

    profile_id: ProfileId
    leaf_id: LeafId
    #: The standard form; None where it was never told.
    identifier: Identifier | None
    #: Canonical bytes of the LeafState; None where the identifier is no leaf.
    state: bytes | None


async def resolve(
    conn: Connection, workspace_id: WorkspaceId, ids: Collection[bytes]
) -> dict[bytes, ProfileId]:
    """The profiles that hold these identifiers; unknown ones are left out. A profile's id is an
    identifier's, so the ids that a profile ever had lead to who it is now."""
    rows = await conn.fetch(Q.resolve, workspace_id, ids)
    return {row[0]: row[1] for row in rows}


async def load_people(
    conn: Connection, workspace_id: WorkspaceId, profiles: Collection[ProfileId]
) -> list[PersonRow]:
    """Everything about these profiles."""
    return _person_rows(await conn.fetch(Q.load_people, workspace_id, profiles))


async def list_people(
    conn: Connection, workspace_id: WorkspaceId, after: bytes, limit: int
) -> list[PersonRow]:
    """Everything about the persons after a profile, at most so many, by profile id."""
    return _person_rows(await conn.fetch(Q.list_people, workspace_id, after, limit))


def _person_rows(rows: Iterable[Any]) -> list[PersonRow]:
    return [
        PersonRow(profile, id_, Identifier(namespace, value) if namespace else None, state)
        for profile, id_, namespace, value, state in rows
    ]
