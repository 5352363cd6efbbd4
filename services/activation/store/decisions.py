"""Stores the persons that decisions have read."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from services.activation.domain.decisions import ChangedPersons, ScopedPerson, SlotPerson
from services.activation.store.slots import slots_by_id
from services.chassis.postgres.database import Queries
from services.chassis.rpc.clients import AssignedIdentifier
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.decisions import Slot

Q = Queries.load(__package__, "decisions.sql")
_MEMBERSHIPS = msgspec.json.Decoder(dict[str, int])


class StoredDecision(NamedTuple):
    """What is stored for a decision."""

    slots: dict[str, Slot]
    #: Whether the persons of the workspace are followed, so that a person may be stored.
    is_followed: bool
    profile_id: ProfileId
    #: None = the person is not stored.
    person: SlotPerson | None


async def load_decision(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    slot_ids: Collection[str],
    assigned: AssignedIdentifier,
    shards: int,
) -> StoredDecision:
    """Return what is stored for the decision about an identifier."""
    row: Any = await conn.fetchrow(Q.load_decision, workspace_id, slot_ids, shards, *assigned)
    payloads, is_followed, profile_id, memberships, refuses = row
    person = None
    if refuses is not None:
        person = SlotPerson(profile_id, _MEMBERSHIPS.decode(memberships), refuses)
    return StoredDecision(slots_by_id(payloads), is_followed, profile_id, person)


async def expect_person(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, profile_id: ProfileId
) -> UUID:
    """Have changes of a person folded that is read next; return what `save_person` needs."""
    row_id: UUID = await conn.fetchval(Q.expect_person, workspace_id, profile_id)
    return row_id


async def save_person(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, person: SlotPerson, row_id: UUID
) -> None:
    """Save a person that was read after `expect_person`, unless it has changed in such a way since
    that it must be read again."""
    memberships = msgspec.json.encode(person.memberships).decode()
    await conn.execute(
        Q.save_person,
        workspace_id,
        person.profile_id,
        row_id,
        memberships,
        person.refuses_profiling,
    )


async def follow(conn: asyncpg.Connection, workspaces: Collection[WorkspaceId], shard: int) -> None:
    """Record that a shard follows the persons of workspaces from now on."""
    await conn.execute(Q.follow, sorted(workspaces), shard)


async def load_followed(conn: asyncpg.Connection, shard: int) -> frozenset[WorkspaceId]:
    """Return the workspaces whose persons a shard follows."""
    return frozenset(WorkspaceId(row[0]) for row in await conn.fetch(Q.load_followed, shard))


async def change_persons(conn: asyncpg.Connection, changed: ChangedPersons) -> None:
    """Fold changes into the persons that are stored."""
    concerned = sorted({*changed.memberships, *changed.others})
    if not concerned:
        return
    rows = await conn.fetch(Q.lock_persons, *_columns(concerned))
    stored = [ScopedPerson(row["workspace_id"], row["profile_id"]) for row in rows]
    if deleted := [one for one in stored if one in changed.others]:
        await conn.execute(Q.delete_persons, *_columns(deleted))
    if updated := [one for one in stored if one not in changed.others]:
        changes = [msgspec.json.encode(changed.memberships[one]).decode() for one in updated]
        await conn.execute(Q.save_memberships, *_columns(updated), changes)


async def delete_old_persons(conn: asyncpg.Connection, age: timedelta, limit: int) -> None:
    """Delete a page of the persons that were inserted longer ago than `age`."""
    await conn.execute(Q.delete_old, age, limit)


def _columns(persons: Collection[ScopedPerson]) -> tuple[list[str], list[bytes]]:
    return [one.workspace_id for one in persons], [one.profile_id for one in persons]
