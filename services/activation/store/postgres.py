"""The ledger of effects and the destinations, in PostgreSQL, a statement a table and batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from services.activation.codec import bus as wire
from services.activation.domain.model import Destination, Effect, Trigger
from services.activation.domain.transitions import Next
from services.chassis.postgres.database import Queries
from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId, shard_of

Q = Queries.load(__package__)
Connection = asyncpg.Connection


class Place(NamedTuple):
    """Where effects wait: one destination of one workspace."""

    workspace_id: WorkspaceId
    destination_id: str


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
    #: The attempt before it never came to an end.
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What came of a look at due effects."""

    begun: tuple[Attempt, ...] = ()
    #: Whether there may be more that is due.
    more: bool = False


async def load_destinations(conn: Connection) -> list[Destination]:
    """Every destination of every workspace, in its newest version."""
    return _readable(await conn.fetch(Q.load_destinations))


async def load_destinations_of_shard(
    conn: Connection, shard: int, workspaces: Collection[str]
) -> list[Destination]:
    """The destinations of these workspaces as one shard knows them."""
    return _readable(await conn.fetch(Q.load_destinations_of_shard, shard, sorted(workspaces)))


async def load_destinations_of(conn: Connection, workspace_id: WorkspaceId) -> list[Destination]:
    """The destinations of a workspace, by id."""
    return _readable(await conn.fetch(Q.load_destinations_of_workspace, workspace_id))


async def load_destination(
    conn: Connection, workspace_id: WorkspaceId, destination_id: str
) -> Destination | None:
    """One destination in its newest version."""
    row = await conn.fetchrow(Q.load_destination, workspace_id, destination_id)
    return wire.destination(workspace_id, row["message"]) if row else None


async def save_destination(
    conn: Connection, shard: int, destination: Destination, message: bytes
) -> None:
    """Keep a version unless the shard has a newer one."""
    await conn.execute(
        Q.save_destination,
        shard,
        destination.workspace_id,
        destination.destination_id,
        destination.version,
        message,
    )


async def add_effects(conn: Connection, effects: Sequence[Effect], shards: int) -> None:
    """Write effects into the ledger, each once."""
    # A predecessor that comes with them is there when they are.
    coming = {(e.destination_id, e.segment_id, e.profile_id, e.ordinal) for e in effects}
    befores = [
        0 if (e.destination_id, e.segment_id, e.profile_id, e.before) in coming else e.before
        for e in effects
    ]
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
        befores,
    )


async def claim(
    conn: Connection, place: Place, limit: int, *, lease_s: float, wait_s: float
) -> Claim:
    """Begin attempts at due effects; one that does not end within the lease is begun again.

    `wait_s`: after so many seconds one that waits for an earlier message is looked at again, if
    the end of the earlier one does not call for it before.
    """
    rows = await conn.fetch(Q.claim, *place, limit, lease_s, wait_s)
    begun = [_attempt(row) for row in rows if not row["waits"]]
    # The earliest first: what is due for longest is sent first.
    begun.sort(key=lambda attempt: attempt.at_us)
    return Claim(tuple(begun), more=len(rows) == limit)


async def keep_bodies(conn: Connection, bodies: Sequence[tuple[Attempt, bytes]]) -> set[bytes]:
    """Keep what is sent; the ids of the effects whose attempt is still ours."""
    rows = await conn.fetch(
        Q.keep_bodies,
        [attempt.effect_id for attempt, _ in bodies],
        [attempt.shard for attempt, _ in bodies],
        [attempt.attempts for attempt, _ in bodies],
        [body for _, body in bodies],
    )
    return {row["effect_id"] for row in rows}


async def end_attempts(conn: Connection, ends: Sequence[tuple[Attempt, Next]]) -> bool:
    """Record how attempts ended; whether something waited for one of these ends."""
    done: str = await conn.execute(
        Q.end_attempts,
        [attempt.effect_id for attempt, _ in ends],
        [attempt.shard for attempt, _ in ends],
        [attempt.attempts for attempt, _ in ends],
        [end.state.value for _, end in ends],
        [end.reason for _, end in ends],
        [end.pause for _, end in ends],
        [0 if end.counts else 1 for _, end in ends],
    )
    return done != "UPDATE 0"


async def due_in(conn: Connection, places: Collection[Place]) -> dict[Place, float]:
    """Seconds until something is due (below 0: overdue), for those with something open."""
    rows = await conn.fetch(
        Q.due_in, [p.workspace_id for p in places], [p.destination_id for p in places]
    )
    return {
        Place(WorkspaceId(row["workspace_id"]), row["destination_id"]): row["seconds"]
        for row in rows
    }


async def give_up(conn: Connection, place: Place, reason: str) -> None:
    """End what is open of a destination that is retired."""
    await conn.execute(Q.give_up, *place, reason)


async def count_rows(conn: Connection) -> dict[str, int]:
    """Named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _readable(rows: Sequence[Any]) -> list[Destination]:
    """What can be read; one destination that cannot must not hold up the others."""
    found: list[Destination] = []
    for row in rows:
        with suppress(InvalidField):
            found.append(wire.destination(row["workspace_id"], row["message"]))
    return found


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
        row["lost"],
    )
