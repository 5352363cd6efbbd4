"""Shows mirrors, and has all of their entries written again."""

from __future__ import annotations

import asyncpg

from services.activation.domain.contracts import ChannelKind
from services.activation.domain.model import Destination
from services.activation.domain.validation import check_destination_id
from services.activation.store import mirrors as store
from services.activation.store.destinations import load_destinations
from services.chassis.postgres.database import Database, transaction
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import WorkspaceId


async def show_mirror(
    database: Database, workspace_id: WorkspaceId, destination_id: str
) -> asyncpg.Record:
    """Return the counts of a mirror; see `store.count`. Raises NotFound, InvalidField."""
    check_destination_id(destination_id)
    async with transaction(database.api_pool) as conn:
        return await store.count(conn, await _mirror(conn, workspace_id, destination_id))


async def reconcile_mirror(
    database: Database, workspace_id: WorkspaceId, destination_id: str
) -> asyncpg.Record:
    """Have the segments of a mirror read and all entries written; return the counts.

    Raises NotFound, InvalidField.
    """
    check_destination_id(destination_id)
    async with transaction(database.api_pool) as conn:
        destination = await _mirror(conn, workspace_id, destination_id)
        if destination.retired:
            raise InvalidField(
                "destination_id names a retired destination: define it again, then it is written",
                field="destination_id",
            )
        await store.reconcile(conn, destination)
        return await store.count(conn, destination)


async def _mirror(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, destination_id: str
) -> Destination:
    for destination in await load_destinations(conn, workspace_id):
        if destination.destination_id == destination_id:
            if destination.channel.contract.kind is not ChannelKind.MIRROR:
                raise InvalidField(
                    "destination_id names a destination that sends messages; `ListDeliveries`"
                    " shows them",
                    field="destination_id",
                )
            return destination
    raise NotFound("no destination has this id; list them")
