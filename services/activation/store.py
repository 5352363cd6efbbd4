"""The ledger of effects and the destinations, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.activation import wire
from services.activation.domain.decide import Next
from services.activation.domain.model import Destination, Effect, Trigger
from services.chassis.database import Queries
from services.kernel.ids import ProfileId, WorkspaceId, shard_of

Q = Queries.load(__package__)
Connection = asyncpg.Connection


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was begun: the effect, and which attempt it is (from 1)."""

    effect_id: bytes
    shard: int
    segment_id: str
    profile_id: ProfileId
    trigger: Trigger
    ordinal: int
    at_us: int
    attempts: int
    #: What is sent; None where it is to be made first.
    body: bytes | None


async def load_destinations(conn: Connection) -> list[Destination]:
    """Every destination of every workspace."""
    rows = await conn.fetch(Q.load_destinations)
    return [wire.destination(row["workspace_id"], row["message"]) for row in rows]


async def save_destination(conn: Connection, destination: Destination, message: bytes) -> None:
    """Keep a version unless a newer one is there."""
    await conn.execute(
        Q.save_destination,
        destination.workspace_id,
        destination.destination_id,
        destination.version,
        message,
    )


async def add_effects(conn: Connection, effects: Sequence[Effect], shards: int) -> None:
    """Write effects into the ledger, each once."""
    await conn.execute(
        Q.add_effects,
        [shard_of(e.profile_id, shards) for e in effects],
        [e.effect_id for e in effects],
        [e.workspace_id for e in effects],
        [e.destination_id for e in effects],
        [e.segment_id for e in effects],
        [e.profile_id for e in effects],
        [e.trigger.value for e in effects],
        [e.ordinal for e in effects],
        [e.at_us for e in effects],
        [e.state.value for e in effects],
        [e.reason for e in effects],
    )


async def claim(
    conn: Connection, destination: Destination, limit: int, lease_s: float
) -> list[Attempt]:
    """Begin attempts at due effects; one that does not end within the lease is begun again."""
    rows = await conn.fetch(
        Q.claim, destination.workspace_id, destination.destination_id, limit, lease_s
    )
    return [_attempt(row) for row in rows]


async def keep_bodies(conn: Connection, bodies: Sequence[tuple[Attempt, bytes]]) -> None:
    """Keep what is sent."""
    await conn.execute(
        Q.keep_bodies,
        [attempt.effect_id for attempt, _ in bodies],
        [attempt.shard for attempt, _ in bodies],
        [body for _, body in bodies],
    )


async def end_attempts(conn: Connection, ends: Sequence[tuple[Attempt, Next]]) -> None:
    """Record how attempts ended."""
    await conn.execute(
        Q.end_attempts,
        [attempt.effect_id for attempt, _ in ends],
        [attempt.shard for attempt, _ in ends],
        [attempt.attempts for attempt, _ in ends],
        [end.state.value for _, end in ends],
        [end.reason for _, end in ends],
        [end.pause for _, end in ends],
    )


async def next_due(
    conn: Connection, workspace_id: WorkspaceId, destination_id: str
) -> float | None:
    """Seconds until the next attempt is due (below 0: overdue); None where none is planned."""
    due: float | None = await conn.fetchval(Q.next_due, workspace_id, destination_id)
    return due


async def count_rows(conn: Connection) -> dict[str, int]:
    """Named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _attempt(row: Any) -> Attempt:
    return Attempt(
        row["effect_id"],
        row["shard"],
        row["segment_id"],
        ProfileId(row["profile_id"]),
        Trigger(row["trigger"]),
        row["ordinal"],
        row["at_us"],
        row["attempts"],
        row["body"],
    )
