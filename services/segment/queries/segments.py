"""Lists the segments of a workspace with their sizes."""

from __future__ import annotations

from typing import NamedTuple

from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.backfill import is_backfilling
from services.kernel.ids import WorkspaceId
from services.segment.domain.model import SegmentDefinition
from services.segment.projection.reevaluate import REEVALUATION
from services.segment.store import definitions, memberships


class SegmentStatus(NamedTuple):
    """A segment and its current members."""

    definition: SegmentDefinition
    size: int
    #: Whether the members follow from the definition and the whole log.
    is_live: bool


async def list_segments(
    database: Database, shards: int, workspace_id: WorkspaceId
) -> list[SegmentStatus]:
    """Return the segments of a workspace, by id."""
    async with (
        acquire(database.pool) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        defined = await definitions.load_definitions(conn, workspace_id)
        rows = await conn.fetch(memberships.Q.count_members, workspace_id)
        ready = await definitions.count_ready_shards(conn)
        is_sweeping = await is_backfilling(conn, REEVALUATION, workspace_id)
    sizes = {row["segment_id"]: row["size"] for row in rows}
    return [
        SegmentStatus(
            definition,
            sizes.get(definition.segment_id, 0),
            not is_sweeping and definitions.is_backfilled(definition, ready, shards),
        )
        for definition in defined
    ]
