"""Stores broadcast facts, such as definitions, and the progress of backfills, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.kernel.ids import WorkspaceId
from services.kernel.rules.ids import from_bigint, to_bigint
from services.profile.codec.log import RULE_KINDS, TAG_DEFINED, decode_rules, decode_tags
from services.profile.domain.backfill import (
    BackfillStage,
    NewRequirements,
    PendingAccumulator,
    PendingPredicate,
    ScopedId,
    extend_index,
)
from services.profile.domain.evaluation import PredicateIndexes
from services.profile.domain.facts import AttributedFact
from services.profile.domain.tags import Tag, newest_tags

Q = Queries.load(__package__, "definitions.sql")


async def save_broadcast_facts(
    conn: Connection, shard: int, facts: Iterable[AttributedFact]
) -> None:
    """Insert the broadcast facts among facts of a shard, except ticks."""
    rows = [
        (fact.offset, fact.workspace_id, fact.broadcast.kind, fact.broadcast.fact)
        for fact in facts
        if fact.broadcast is not None and not fact.broadcast.is_tick
    ]
    if rows:
        columns = map(list, zip(*rows, strict=True))
        await conn.execute(Q.save_broadcast_facts, shard, *columns)


async def load_indexes(conn: Connection, shard: int | None = None) -> PredicateIndexes:
    """Return the predicates of all definitions that one shard (None = any) has folded."""
    rows = await conn.fetch(Q.load_definitions, shard, RULE_KINDS)
    return extend_index({}, decode_rules(row[0] for row in rows))


async def load_tags(conn: Connection, workspace_id: WorkspaceId) -> dict[str, Tag]:
    """Return the newest version of each tag of a workspace, by id."""
    rows = await conn.fetch(Q.workspace_definitions, workspace_id, TAG_DEFINED)
    return newest_tags(decode_tags(row[0] for row in rows))


async def shard_broadcast_facts(conn: Connection, shard: int, first: int = 0) -> list[bytes]:
    """Return the serialised facts of a shard in order, from an offset on."""
    return [row[0] for row in await conn.fetch(Q.shard_broadcast_facts, shard, first)]


class FoldState(NamedTuple):
    """The stored definitions that every fold of a shard loads."""

    #: Changes whenever the shard registers predicates.
    predicates_version: int
    #: Changes whenever a backfill changes leaves of the shard.
    leaves_version: int
    #: Time alone may have changed profiles that the worker of the shard evaluated last.
    has_due: bool


async def load_fold_state(conn: Connection, shard: int, at_us: int) -> FoldState:
    """Return the versions of a shard's caches, and whether any profile is due by an instant."""
    row: Any = await conn.fetchrow(Q.load_fold_state, shard, at_us)
    return FoldState(row["predicates"] or 0, row["leaves"] or 0, row["has_due"])


async def load_predicates_versions(conn: Connection) -> tuple[tuple[int, int], ...]:
    """Return the versions of all shards, as (shard, version)."""
    return tuple((row[0], row[1]) for row in await conn.fetch(Q.load_predicates_versions))


async def add_requirements(conn: Connection, shard: int, offset: int, new: NewRequirements) -> int:
    """Insert predicates and accumulators that are not backfilled; return the new version.

    `offset`: events from there on are folded with them.
    """
    await conn.execute(Q.add_predicates, shard, *_columns(new.predicates))
    await conn.execute(Q.add_accumulators, shard, *_columns(new.accumulators), offset)
    return await conn.fetchval(Q.change_predicates_version, shard)


async def change_leaves_version(conn: Connection, shard: int) -> None:
    """Make the caches of a shard's leaves stale."""
    await conn.execute(Q.change_leaves_version, shard)


async def pending_predicates(conn: Connection, shard: int) -> list[PendingPredicate]:
    """Return the predicates of a shard that are not backfilled."""
    rows = await conn.fetch(Q.pending_predicates, shard)
    return [
        PendingPredicate(ScopedId(row[0], from_bigint(row[1])), BackfillStage(row[2]))
        for row in rows
    ]


async def pending_accumulators(conn: Connection, shard: int) -> list[PendingAccumulator]:
    """Return the accumulators of a shard that are not complete."""
    rows = await conn.fetch(Q.pending_accumulators, shard)
    return [
        PendingAccumulator(ScopedId(row[0], from_bigint(row[1])), row[2], row[3]) for row in rows
    ]


async def save_stage(
    conn: Connection, shard: int, predicates: Collection[ScopedId], stage: BackfillStage
) -> None:
    """Move predicates of a shard to another stage."""
    await conn.execute(Q.save_stage, shard, *_columns(predicates), stage)


async def save_filled_to(
    conn: Connection, shard: int, accumulators: Collection[ScopedId], offset: int
) -> None:
    """Save up to which offset accumulators of a shard are filled."""
    await conn.execute(Q.save_filled_to, shard, *_columns(accumulators), offset)


async def backfilled_predicates(
    conn: Connection, workspace_id: WorkspaceId, shards: int
) -> frozenset[int]:
    """Return the predicates of a workspace that are backfilled in all shards."""
    rows = await conn.fetch(Q.backfilled_predicates, workspace_id, shards)
    return frozenset(from_bigint(row[0]) for row in rows)


async def shard_backfilled_predicates(conn: Connection, shard: int) -> list[ScopedId]:
    """Return the predicates that are backfilled in a shard."""
    rows = await conn.fetch(Q.shard_backfilled_predicates, shard)
    return [ScopedId(row[0], from_bigint(row[1])) for row in rows]


async def backfilled_accumulators(
    conn: Connection, workspace_id: WorkspaceId, shards: int, ids: Iterable[int]
) -> frozenset[int]:
    """Return those of some accumulators that are complete in all shards."""
    stored = [to_bigint(id_) for id_ in ids]
    rows = await conn.fetch(Q.backfilled_accumulators, workspace_id, shards, stored)
    return frozenset(from_bigint(row[0]) for row in rows)


def _columns(keys: Iterable[ScopedId]) -> tuple[list[str], list[int]]:
    ordered = sorted(keys)
    return [key.workspace_id for key in ordered], [to_bigint(key.id) for key in ordered]
