"""Restores the states of effects from what the log has of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import asyncpg

from services.activation.codec.bus import decode_delivery_ended
from services.chassis.postgres.database import Queries
from services.kernel.ids import LeafId, from_hex, shard_of

Q = Queries.load(__package__, "restore.sql")


async def restore_ends(conn: asyncpg.Connection, facts: Collection[Any], shards: int) -> None:
    """Record the ends of effects by their DeliveryEnded facts, in any order."""
    last: dict[bytes, tuple[Any, Any]] = {}
    for fact in facts:
        end = decode_delivery_ended(fact.payload)
        effect_id = from_hex(end.effect_id)
        if effect_id not in last or last[effect_id][1].attempts <= end.attempts:
            last[effect_id] = fact, end
    rows = [
        (
            *(shard_of(fact.leaf_id, shards), effect_id, fact.workspace_id),
            *(end.destination_id, end.segment_id, from_hex(end.profile_id), fact.recorded_at_us),
            *(end.state, end.attempts, end.reason, end.begun_at_us),
        )
        for effect_id, (fact, end) in last.items()
    ]
    if rows:
        await conn.execute(Q.restore_ends, *zip(*rows, strict=True))


async def mark_unknown(
    conn: asyncpg.Connection, effects: Collection[tuple[bytes, LeafId]], shards: int
) -> None:
    """Record that effects without an end may have been sent."""
    ids = [effect_id for effect_id, _ in effects]
    await conn.execute(Q.mark_unknown, ids, [shard_of(leaf_id, shards) for _, leaf_id in effects])
