"""Stores the definitions of slots."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress

import asyncpg

from services.activation.codec.slots import decode_slot
from services.chassis.postgres.database import Queries
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.decisions import Slot

Q = Queries.load(__package__, "slots.sql")


async def save_slot(conn: asyncpg.Connection, workspace_id: str, payload: bytes) -> None:
    """Save a version of a slot unless there is a newer one. Raises InvalidField."""
    slot = decode_slot(payload)
    await conn.execute(Q.save_slot, workspace_id, slot.slot_id, slot.version, payload)


async def load_slots(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, slot_ids: Collection[str]
) -> dict[str, Slot]:
    """Return those of some slots that are defined, by id; one that cannot be read is left out."""
    rows = await conn.fetch(Q.load_slots, workspace_id, list(slot_ids))
    return slots_by_id(row["payload"] for row in rows)


def slots_by_id(payloads: Iterable[bytes]) -> dict[str, Slot]:
    """Return the slots of payloads, by id; one that cannot be read is left out."""
    return {slot.slot_id: slot for slot in _decoded(payloads)}


async def list_slots(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> list[Slot]:
    """Return the slots of a workspace, by id."""
    return _decoded(row["payload"] for row in await conn.fetch(Q.list_slots, workspace_id))


async def every_slot(conn: asyncpg.Connection) -> list[tuple[WorkspaceId, Slot]]:
    """Return the slots of all workspaces; one that cannot be read is left out."""
    rows = await conn.fetch(Q.every_slot)
    return [
        (WorkspaceId(row["workspace_id"]), slot)
        for row in rows
        for slot in _decoded([row["payload"]])
    ]


def _decoded(payloads: Iterable[bytes]) -> list[Slot]:
    """Return the slots of payloads; one that cannot be read is left out."""
    found: list[Slot] = []
    for payload in payloads:
        with suppress(InvalidField):
            found.append(decode_slot(payload))
    return found
