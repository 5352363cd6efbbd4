"""Stores what runs of journeys ask the ledger for: planned, released and withdrawn effects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import asyncpg

from services.activation.domain.model import RunEffect
from services.activation.store.effects import DestinationKey
from services.chassis.postgres.database import Queries, lock_keys
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, shard_of

Q = Queries.load(__package__, "run_effects.sql")


async def add_planned_effects(
    conn: asyncpg.Connection, effects: Sequence[RunEffect], shards: int
) -> None:
    """Add effects of runs, each once; they are not sent before `release_effects`.

    An effect that was withdrawn is planned again.
    """
    await conn.execute(
        Q.add_planned,
        [shard_of(e.leaf_id, shards) for e in effects],
        [e.effect_id for e in effects],
        [e.workspace_id for e in effects],
        [e.destination_id for e in effects],
        [e.profile_id for e in effects],
        [e.at_us for e in effects],
        [e.run_id for e in effects],
        [e.journey_id for e in effects],
        [e.journey_version for e in effects],
        [e.step_id for e in effects],
        [e.visit for e in effects],
        [e.leaf_id for e in effects],
        [e.purpose for e in effects],
        [e.priority for e in effects],
        [e.valid_until_us for e in effects],
        [e.variables for e in effects],
    )


async def release_effects(
    conn: asyncpg.Connection, effects: Collection[tuple[bytes, LeafId]], shards: int
) -> set[DestinationKey]:
    """Let planned effects be sent; return the queues that got some.

    `effects`: ids with the leaves of the entries. Called in the transaction that records that the
    log has the transitions which ask for them.
    """
    rows = await conn.fetch(Q.release, *_keys(effects, shards))
    return {DestinationKey(WorkspaceId(row["workspace_id"]), row["destination_id"]) for row in rows}


async def withdraw_effects(
    conn: asyncpg.Connection, effects: Collection[tuple[bytes, LeafId]], shards: int, reason: str
) -> set[bytes]:
    """Suppress effects of which no attempt has begun; return the ids of those.

    After `load_begun` in the same transaction these are all that it did not return. `reason`: such
    as `overtaken:` with the id of the goal.
    """
    rows = await conn.fetch(Q.withdraw, *_keys(effects, shards), reason)
    return {row["effect_id"] for row in rows}


async def lock_persons(conn: asyncpg.Connection, profile_ids: Iterable[ProfileId]) -> None:
    """Lock the runs of persons until the transaction ends, in one order for all that do so."""
    await conn.execute(Q.lock_persons, lock_keys("activation person", profile_ids))


async def load_begun(
    conn: asyncpg.Connection, leaf_ids: Collection[LeafId]
) -> dict[bytes, set[tuple[str, int]]]:
    """Return the steps and visits whose attempts have begun, by run, of runs of these leaves.

    No other attempt begins before the transaction ends.
    """
    await conn.execute(Q.lock_open, leaf_ids)
    begun: dict[bytes, set[tuple[str, int]]] = {}
    for row in await conn.fetch(Q.load_begun, leaf_ids):
        begun.setdefault(row["run_id"], set()).add((row["step_id"], row["visit"]))
    return begun


def _keys(effects: Collection[tuple[bytes, LeafId]], shards: int) -> tuple[list[bytes], list[int]]:
    return [id_ for id_, _ in effects], [shard_of(leaf_id, shards) for _, leaf_id in effects]
