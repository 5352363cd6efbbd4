"""Stores the occurrences of schedules."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.ids import WorkspaceId

Q = Queries.load(__package__, "schedules.sql")


class Occurrence(NamedTuple):
    """An occurrence of a schedule, and how far its audience has begun."""

    occurs_us: int
    #: Of the next page of members.
    page_token: str = ""
    #: The members that have begun.
    taken: int = 0
    is_complete: bool = False


async def load_last(conn: asyncpg.Connection) -> dict[tuple[WorkspaceId, str], Occurrence]:
    """Return the last occurrence of each schedule, by workspace and journey."""
    return {
        (WorkspaceId(row["workspace_id"]), row["journey_id"]): Occurrence(
            row["occurs_us"], row["page_token"], row["taken"], row["is_complete"]
        )
        for row in await conn.fetch(Q.load_last)
    }
