"""Deletes what activation has of erased persons; the ledger keeps keys, states and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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


async def erase_persons(
    conn: asyncpg.Connection, erasures: Sequence[PersonErasure]
) -> list[dict[str, int]]:
    """Delete what is stored of persons from before their erasure; repeating it changes nothing.

    Returns for each of them the numbers of rows, by what they were.
    """
    for key in lock_keys("activation-erasure", [each.request_id for each in erasures]):
        await conn.execute(Q.lock_erasure, key)
    return [await _erase(conn, erasure) for erasure in erasures]


async def _erase(conn: asyncpg.Connection, erasure: PersonErasure) -> dict[str, int]:
    person = (erasure.workspace_id, sorted(erasure.ids))
    before = (*person, erasure.recorded_at_us)
    await conn.execute(Q.lock_dues, *person)
    statements: dict[str, tuple[Any, ...]] = {
        "journey_facts": (Q.delete_journey_facts, *before),
        "leaf_profiles": (Q.delete_leaf_profiles, *before),
        "profiles_hidden": (Q.hide_profiles, *before, erasure.request_id),
        "answers": (Q.delete_answers, *person),
        "runs": (Q.delete_runs, *person),
        "transitions": (Q.delete_unpublished, *person),
        "looks": (Q.delete_dues, *person),
        "addresses": (Q.delete_addresses, *before),
        "messages": (Q.erase_effects, *before, NO_PERSON),
        "reports": (Q.erase_reports, *before, NO_PERSON),
        "coupons": (Q.erase_coupons, *person, NO_PERSON),
        "ticket_facts": (Q.delete_ticket_facts, *before),
        "tickets": (Q.delete_tickets, *before),
        "decisions": (Q.delete_decisions, *person),
    }
    # A status is such as `DELETE 3`.
    return {
        kind: int((await conn.execute(statement, *arguments)).rpartition(" ")[2])
        for kind, (statement, *arguments) in statements.items()
    }
