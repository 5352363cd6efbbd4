"""Stores broadcast facts, such as definitions, and the progress of backfills, in PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeAlias

from asyncpg import Connection

from services.chassis.codec.named_rules import TAG_DEFINED
from services.chassis.postgres.database import Queries, lock_class
from services.chassis.postgres.together import Statement
from services.kernel.cache import MemoizedFunction
from services.kernel.ids import WorkspaceId
from services.kernel.rules.ids import from_bigint, to_bigint
from services.kernel.tokens import Token
from services.profile.codec.definitions import (
    AWAITING_KINDS,
    RULE_KINDS,
    SETTINGS_DEFINED,
    decode_definition,
    decode_settings,
    decode_tags,
)
from services.profile.domain.backfill import (
    BackfillStage,
    ScopedId,
    index_of,
    names_of,
    newest_definitions,
    union_of,
)
from services.profile.domain.evaluation import EMPTY_INDEX, PredicateIndexes
from services.profile.domain.facts import AttributedFact, RuleDefinition
from services.profile.domain.journeys import Awaited, awaited_of
from services.profile.domain.tags import WorkspaceDefinitions, newest_tags

Q = Queries.load(__package__, "definitions.sql")
_REGISTRATION_LOCK = lock_class("profile definitions")


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


async def load_indexes(
    conn: Connection, shard: int | None = None, known: PredicateIndexes | None = None
) -> PredicateIndexes:
    """Return the predicates that one shard (None = any) needs by the definitions it has folded.

    `known`: indexes of which those that have not changed are used again.
    """
    return _indexes(await conn.fetch(Q.load_definitions, shard, RULE_KINDS), known)


def _indexes(rows: Iterable[Any], known: PredicateIndexes | None = None) -> PredicateIndexes:
    by_shard: dict[int, list[RuleDefinition]] = defaultdict(list)
    for row in rows:
        shard, raw = row["shard"], row["fact"]
        definition = decode_definition(raw)
        if definition is not None:
            by_shard[shard].append(definition)
    indexes: list[PredicateIndexes] = []
    for definitions in by_shard.values():
        known = index_of(definitions, known)
        indexes.append(known)
    return union_of(indexes)


async def load_awaited(conn: Connection, shard: int | None) -> Awaited:
    """Return what the journeys and slots that a shard (None = any) has folded wait for."""
    rows = await conn.fetch(Q.load_definitions, shard, AWAITING_KINDS)
    decoded = (decode_definition(row["fact"]) for row in rows)
    return awaited_of(one for one in decoded if one is not None)


#: The facts of a workspace, each with its kind: sorted, each once.
WorkspaceFacts: TypeAlias = tuple[tuple[str, bytes], ...]


class WorkspaceState(NamedTuple):
    """The definitions of a workspace as they are stored."""

    workspace_id: WorkspaceId
    facts: WorkspaceFacts
    #: The predicates that are backfilled in all shards.
    backfilled: frozenset[int]


def state_of(workspace_id: WorkspaceId, shards: int) -> Statement:
    """Return what reads the definitions of a workspace, for `workspace_state`."""
    return Statement(Q.workspace_state, (workspace_id, RULE_KINDS, shards))


def workspace_state(workspace_id: WorkspaceId, rows: Iterable[Any]) -> WorkspaceState:
    """Return the definitions of a workspace as they are stored, for `definitions_of`."""
    facts = tuple(sorted((row[0], row[1]) for row in rows if row[0]))
    # As the eight bytes of a bigint, which are those of the id.
    ids = (int.from_bytes(row[1], "big") for row in rows if not row[0])
    return WorkspaceState(workspace_id, facts, frozenset(ids))


async def load_workspace(
    conn: Connection, workspace_id: WorkspaceId, as_of: Token | None = None
) -> WorkspaceDefinitions:
    """Return the newest definitions of a workspace, now or before a token."""
    rows = await conn.fetch(Q.workspace_definitions, workspace_id, RULE_KINDS)
    if as_of is not None:
        rows = [row for row in rows if row["log_offset"] < as_of.offset(row["shard"])]
    # Each shard has a copy of each fact.
    facts = {(row["kind"], row["fact"]) for row in rows}
    return definitions_of(workspace_id, tuple(sorted(facts)))


def definitions_of(workspace_id: WorkspaceId, facts: WorkspaceFacts) -> WorkspaceDefinitions:
    """Return the newest definitions among the facts of a workspace."""
    return _DEFINITIONS((workspace_id, facts))


def _decode_workspace(stored: tuple[WorkspaceId, WorkspaceFacts]) -> WorkspaceDefinitions:
    workspace_id, facts = stored
    by_kind: dict[str, list[bytes]] = defaultdict(list)
    for kind, raw in facts:
        by_kind[kind].append(raw)
    decoded = [decode_definition(raw) for _, raw in facts]
    newest = newest_definitions(d for d in decoded if d is not None)
    return WorkspaceDefinitions(
        newest_tags(decode_tags(by_kind[TAG_DEFINED])),
        names_of(newest),
        decode_settings(workspace_id, by_kind[SETTINGS_DEFINED]),
        {own.named[0]: own.version for own in newest if own.named is not None},
    )


#: By the content of the facts, so that a value is never old.
_DEFINITIONS = MemoizedFunction(_decode_workspace, 64)


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


async def lock_registration(conn: Connection) -> None:
    """Let one shard at a time change what it needs, until the transaction ends.

    Of two that each drop the last use of a predicate in their shard, the second sees the first.
    """
    await conn.execute(Q.lock_registration, _REGISTRATION_LOCK)


async def save_stages(
    conn: Connection, shard: int, predicates: Collection[ScopedId], stage: BackfillStage
) -> None:
    """Insert predicates of a shard at a stage, or move them there."""
    await conn.execute(Q.save_stages, shard, *_columns(predicates), stage)


async def drop_everywhere(
    conn: Connection, shards: Iterable[int], predicates: Collection[ScopedId]
) -> None:
    """Mark predicates as dropped in some shards, except where a shard needs them again."""
    await conn.execute(Q.drop_everywhere, sorted(shards), *_columns(predicates))


async def erase_predicates(conn: Connection, shard: int, predicates: Collection[ScopedId]) -> None:
    """Delete the predicates of a shard that a sweep has erased."""
    await conn.execute(Q.erase_predicates, shard, *_columns(predicates))


async def replace_predicates(
    conn: Connection, shards: Iterable[int], predicates: Collection[ScopedId]
) -> None:
    """Save that each shard has backfilled these predicates, and knows no others."""
    await conn.execute(Q.delete_predicates)
    for shard in shards:
        await save_stages(conn, shard, predicates, BackfillStage.BACKFILLED)


async def change_predicates_version(conn: Connection, shard: int) -> int:
    """Make the caches of a shard's predicates stale; return the new version."""
    return int(await conn.fetchval(Q.change_predicates_version, shard))


async def load_stages(
    conn: Connection, shard: int, workspace_id: WorkspaceId
) -> dict[int, BackfillStage]:
    """Return the stage of each predicate of a workspace in one shard."""
    rows = await conn.fetch(Q.load_stages, shard, workspace_id)
    return {from_bigint(row[0]): BackfillStage(row[1]) for row in rows}


async def needed_predicates(
    conn: Connection, predicates: Collection[ScopedId]
) -> frozenset[ScopedId]:
    """Return those of some predicates that any shard needs."""
    rows = await conn.fetch(Q.needed_predicates, *_columns(predicates))
    return frozenset(ScopedId(row[0], from_bigint(row[1])) for row in rows)


async def change_leaves_version(conn: Connection, shard: int) -> None:
    """Make the caches of a shard's leaves stale."""
    await conn.execute(Q.change_leaves_version, shard)


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
    conn: Connection, workspace_id: WorkspaceId, shards: int
) -> frozenset[int]:
    """Return the accumulators of a workspace that are complete in all shards."""
    rows = await conn.fetch(Q.workspace_definitions, workspace_id, RULE_KINDS)
    index = _indexes(rows).get(workspace_id, EMPTY_INDEX)
    backfilled = await backfilled_predicates(conn, workspace_id, shards)
    complete = (c.accumulator_ids for id_, c in index.predicates.items() if id_ in backfilled)
    return frozenset().union(*complete)


def _columns(keys: Iterable[ScopedId]) -> tuple[list[str], list[int]]:
    ordered = sorted(keys)
    return [key.workspace_id for key in ordered], [to_bigint(key.id) for key in ordered]
