"""Stores the ledger of effects: one row for each, with its state and its attempts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import asyncpg

from services.activation.domain.contracts import Pace
from services.activation.domain.model import DeliveryState, Effect, RunEffect, Trigger
from services.activation.domain.transitions import Transition
from services.chassis.postgres.database import Queries
from services.kernel.errors import InvalidField, NotFound, ServiceUnavailable
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, shard_of

Q = Queries.load(__package__, "effects.sql")
#: Seconds after which an effect that arrived out of order is checked again.
OUT_OF_ORDER_RECHECK_S = 1.0
#: The sort key before which the first page begins: (changed_at_us, effect_id).
NEWEST = (2**63 - 1, b"\xff" * 16)
_MEMBERSHIP = ("profile_id", "destination_id", "segment_id", "ordinal")


class DestinationKey(NamedTuple):
    """Names one destination of one workspace, and the queue of its effects."""

    workspace_id: WorkspaceId
    destination_id: str


class EffectFilters(NamedTuple):
    """Selects effects of a list; what is empty or 0 selects all."""

    #: The instant that is not after that of an effect, Unix microseconds.
    since_us: int = 0
    destination_id: str = ""
    state: int = 0
    #: Those of one person: the id of the profile, and all earlier ones.
    profile_ids: Collection[bytes] = ()
    segment_id: str = ""
    journey_id: str = ""


ALL_EFFECTS = EffectFilters()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was started at an effect."""

    effect_id: bytes
    shard: int
    segment_id: str
    profile_id: ProfileId
    #: None where a run of a journey asks for the message.
    trigger: Trigger | None
    ordinal: int
    changed_at_us: int
    #: Which attempt it is, from 1.
    number: int
    #: The message; None where it is still to be rendered.
    payload: bytes | None
    #: Where the channel begins to search for the message of an interrupted attempt.
    channel_position: bytes = b""
    #: Whether the lease of the attempt before it expired without a result.
    interrupted: bool = False
    #: Whether an earlier attempt may have sent the message, as its answer was lost.
    unanswered: bool = False
    #: What a run asks for; None = the change of a membership triggers the message.
    run: RunEffect | None = None
    #: Whether a second message is better than none, where an answer is lost.
    repeats: bool = False
    #: When what changed the membership took place, Unix microseconds; None = at `changed_at_us`.
    occurred_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The attempts that were started at due effects."""

    attempts: tuple[Attempt, ...] = ()
    #: Whether more effects may be due.
    has_more: bool = False
    #: Seconds until the pace of the destination lets an attempt start.
    wait_s: float = 0.0


async def add_effects(conn: asyncpg.Connection, effects: Sequence[Effect], shards: int) -> None:
    """Add effects to the ledger, each once."""
    # A predecessor that is added together with an effect need not be looked for.
    added = {(e.destination_id, e.segment_id, e.profile_id, e.ordinal) for e in effects}
    predecessors = [
        0
        if (e.destination_id, e.segment_id, e.profile_id, e.predecessor) in added
        else e.predecessor
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
        [e.changed_at_us for e in effects],
        [e.state.value for e in effects],
        [e.reason for e in effects],
        predecessors,
        [e.occurred_at_us for e in effects],
    )


async def claim(
    conn: asyncpg.Connection,
    key: DestinationKey,
    limit: int,
    *,
    lease_s: float,
    blocked_recheck_s: float,
) -> Claim:
    """Start attempts at due effects, inside an open transaction.

    An attempt whose result is not recorded within the lease is started again. A profile's earlier
    message goes first: an effect behind an open one is postponed until that one ends, or for
    `blocked_recheck_s`. An effect that arrived out of order is postponed until every shard has
    passed its instant, so that the effects before it have arrived.
    """
    rows = await conn.fetch(Q.lock_due, *key, limit)
    due, postponed = [], []
    for row in rows:
        if row["is_blocked"]:
            postponed.append((row, blocked_recheck_s))
        elif row["is_early"]:
            postponed.append((row, OUT_OF_ORDER_RECHECK_S))
        else:
            due.append(row)
    if postponed:
        await conn.execute(
            Q.postpone,
            [row["effect_id"] for row, _ in postponed],
            [row["shard"] for row, _ in postponed],
            [delay for _, delay in postponed],
        )
    if due:
        keys = [row["effect_id"] for row in due], [row["shard"] for row in due]
        await conn.execute(Q.start_attempts, *keys, lease_s)
    # The oldest changes are sent first.
    due.sort(key=lambda row: row["changed_at_us"])
    return Claim(tuple(map(_attempt, due)), has_more=len(rows) == limit)


async def claim_at_pace(
    conn: asyncpg.Connection, key: DestinationKey, limit: int, pace: Pace, **options: float
) -> Claim:
    """Start as many attempts as the pace allows over all replicas; see `claim`."""
    backlog_s: float = await conn.fetchval(Q.lock_pace, *key)
    allowed = min(limit, pace.allowed(backlog_s))
    if not allowed:
        return Claim(wait_s=pace.wait_s(backlog_s))
    claimed = await claim(conn, key, allowed, **options)
    spent_s = len(claimed.attempts) * pace.interval_s
    await conn.execute(Q.spend_pace, *key, spent_s)
    return replace(claimed, wait_s=pace.wait_s(backlog_s + spent_s))


async def save_payloads(
    conn: asyncpg.Connection, payloads: Sequence[tuple[Attempt, bytes]], channel_position: bytes
) -> set[bytes]:
    """Save the messages of attempts; return the ids of the effects whose lease is still held.

    `channel_position`: where the channel will write them at the earliest.
    """
    rows = await conn.fetch(
        Q.save_payloads,
        [attempt.effect_id for attempt, _ in payloads],
        [attempt.shard for attempt, _ in payloads],
        [attempt.number for attempt, _ in payloads],
        [payload for _, payload in payloads],
        channel_position,
    )
    return {row["effect_id"] for row in rows}


async def end_attempts(
    conn: asyncpg.Connection, ended: Sequence[tuple[Attempt, Transition]]
) -> bool:
    """Record the transitions of attempts; return whether effects behind them became due."""
    status: str = await conn.execute(
        Q.end_attempts,
        [attempt.effect_id for attempt, _ in ended],
        [attempt.shard for attempt, _ in ended],
        [attempt.number for attempt, _ in ended],
        [transition.state.value for _, transition in ended],
        [transition.reason for _, transition in ended],
        [transition.delay for _, transition in ended],
        [0 if transition.counts else 1 for _, transition in ended],
        [transition.unanswered for _, transition in ended],
        [transition.held_until_us for _, transition in ended],
    )
    return status != "UPDATE 0"


async def retry_dead(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, effect_id: bytes
) -> asyncpg.Record:
    """Queue a dead or unconfirmed effect again, inside an open transaction; return its row.

    Raises NotFound, InvalidField where the effect must not be sent any more, and ServiceUnavailable
    until the log knows its end: otherwise the log would miss one of its two ends.
    """
    dead = await conn.fetchrow(Q.lock_dead, workspace_id, effect_id)
    if dead is None:
        raise NotFound("no dead or unconfirmed effect has this id; list those with state DEAD")
    if not dead["outcome_published"]:
        raise ServiceUnavailable("the log does not have the effect's end yet; try again")
    if dead["payload_deleted"]:
        raise InvalidField(
            "effect_id has no message any more, as it ended long ago; a later change of the"
            " membership is sent as usual",
            field="effect_id",
        )
    membership = (workspace_id, *(dead[name] for name in _MEMBERSHIP))
    await conn.execute(Q.hold_later, *membership)
    if await conn.fetchval(Q.is_overtaken, *membership):
        raise InvalidField(
            "effect_id must not be sent after a later change of the same membership, which the"
            " receiver has or is about to get; nothing is left to do",
            field="effect_id",
        )
    row = await conn.fetchrow(Q.retry, workspace_id, effect_id)
    if row is None:
        raise LookupError("a locked effect is gone")
    return row


async def delete_payloads(conn: asyncpg.Connection, ended_s: float, limit: int) -> int:
    """Delete messages of effects that ended `ended_s` seconds ago; return how many."""
    status: str = await conn.execute(Q.delete_payloads, ended_s, limit)
    return int(status.removeprefix("UPDATE "))


async def next_due(
    conn: asyncpg.Connection, keys: Collection[DestinationKey]
) -> dict[DestinationKey, float]:
    """Return the seconds until an effect is due (negative: overdue), for queues that have one."""
    rows = await conn.fetch(
        Q.next_due, [key.workspace_id for key in keys], [key.destination_id for key in keys]
    )
    return {
        DestinationKey(WorkspaceId(row["workspace_id"]), row["destination_id"]): row["seconds"]
        for row in rows
    }


async def list_effects(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    limit: int,
    filters: EffectFilters = ALL_EFFECTS,
    before: tuple[int, bytes] = NEWEST,
) -> Sequence[asyncpg.Record]:
    """Return effects that filters select, newest first, before a sort key.

    `conn` is inside a transaction.
    """
    await conn.execute(Q.plan_each_execution)
    return await conn.fetch(Q.list_effects, workspace_id, *before, *filters, limit)


async def count_rows(conn: asyncpg.Connection) -> dict[str, int]:
    """Return named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _attempt(row: Any) -> Attempt:
    return Attempt(
        row["effect_id"],
        row["shard"],
        row["segment_id"],
        ProfileId(row["profile_id"]),
        Trigger(row["trigger"]) if row["run_id"] is None else None,
        row["ordinal"],
        row["changed_at_us"],
        row["attempts"] + 1,
        row["payload"],
        row["channel_position"],
        row["state"] == DeliveryState.UNKNOWN,
        row["unanswered"] or (row["state"] == DeliveryState.UNKNOWN and row["payload"] is not None),
        None if row["run_id"] is None else _run_effect(row),
        occurred_at_us=row["occurred_at_us"],
    )


def _run_effect(row: Any) -> RunEffect:
    return RunEffect(
        row["effect_id"],
        WorkspaceId(row["workspace_id"]),
        row["run_id"],
        row["journey_id"],
        row["journey_version"],
        row["step_id"],
        row["visit"],
        LeafId(row["leaf_id"]),
        ProfileId(row["profile_id"]),
        row["changed_at_us"],
        row["destination_id"],
        row["purpose"],
        row["priority"],
        row["valid_until_us"],
        row["variables"],
    )
