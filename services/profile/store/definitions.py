"""Stores broadcast facts, such as definitions, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.kernel.ids import WorkspaceId
from services.profile.codec.definitions import RULE_KINDS, TAG_DEFINED, decode_rules, decode_tags
from services.profile.domain.backfill import extend_index
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
