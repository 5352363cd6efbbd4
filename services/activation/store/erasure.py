"""Deletes what activation has of erased persons; the ledger keeps keys, states and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import Queries, lock_keys
from services.kernel.erasures import PersonErasure

Q = Queries.load(__package__, "erasure.sql")

#: Takes the place of an erased person in what is counted still.
NO_PERSON: Final = bytes(16)


async def leave_mirrors(
    conn: asyncpg.Connection, erasures: Sequence[PersonErasure]
) -> set[DestinationKey]:
    """Take persons out of all mirrors; return the mirrors that have entries to remove."""
    found: set[DestinationKey] = set()
    for erasure in erasures:
        rows = await conn.fetch(Q.leave_mirrors, erasure.workspace_id, list(erasure.ids))
        found |= {DestinationKey(erasure.workspace_id, row["destination_id"]) for row in rows}
    return found


async def erase_persons(conn: asyncpg.Connection, erasures: Sequence[PersonErasure]) -> None:
    """Delete what is stored of persons from before their erasure; repeating it changes nothing."""
    for key in lock_keys("activation-erasure", [each.request_id for each in erasures]):
        await conn.execute(Q.lock_erasure, key)
    for erasure in erasures:
        person = (erasure.workspace_id, sorted(erasure.ids))
        before = (*person, erasure.recorded_at_us)
        await conn.execute(Q.lock_dues, *person)
        await conn.execute(Q.delete_journey_facts, *before)
        await conn.execute(Q.delete_leaf_profiles, *before)
        await conn.execute(Q.hide_profiles, *before, erasure.request_id)
        await conn.execute(Q.delete_answers, *person)
        await conn.execute(Q.delete_runs, *person)
        await conn.execute(Q.delete_unpublished, *person)
        await conn.execute(Q.delete_dues, *person)
        await conn.execute(Q.delete_addresses, *before)
        await conn.execute(Q.erase_effects, *before, NO_PERSON)
        await conn.execute(Q.erase_reports, *before, NO_PERSON)
        await conn.execute(Q.erase_coupons, *person, NO_PERSON)
        await conn.execute(Q.delete_ticket_facts, *before)
        await conn.execute(Q.delete_tickets, *before)
        await conn.execute(Q.delete_decisions, *person)
