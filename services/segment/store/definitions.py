"""Stores segment definitions, and which predicates each shard has backfilled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import asyncpg

from services.chassis.codec.journey_facts import JOURNEY_DEFINED, decode_journey
from services.chassis.codec.named_rules import NAMED_KINDS, SEGMENT_DEFINED
from services.chassis.postgres.database import Queries
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.inputs import entry_rule
from services.kernel.rules.ids import predicate_id, predicates, to_bigint
from services.kernel.rules.references import Definitions, NamedRules, names_of
from services.segment.codec.definitions import decode_definition, decode_rules, journey_members
from services.segment.domain.membership import ActiveSegments
from services.segment.domain.model import SegmentDefinition, followed, membership_id

Q = Queries.load(__package__, "definitions.sql")
#: The kinds of facts that memberships follow from.
DEFINITION_KINDS = (*NAMED_KINDS, JOURNEY_DEFINED)
#: By workspace and predicate id (signed): the number of shards that have backfilled it.
ReadyShards = dict[tuple[str, int], int]


async def load_active_segments(conn: asyncpg.Connection, shards: int) -> ActiveSegments:
    """Return the segments of every workspace; those that are not backfilled are pending."""
    ready = await count_ready_shards(conn)
    active: list[SegmentDefinition] = []
    pending: list[SegmentDefinition] = []
    for definition in await load_followed(conn):
        (active if is_backfilled(definition, ready, shards) else pending).append(definition)
    return ActiveSegments(active, pending)


def is_backfilled(definition: SegmentDefinition, ready: ReadyShards, shards: int) -> bool:
    """Return whether every shard has backfilled the rule's predicates; a retired one needs none."""
    if definition.retired:
        return True
    required = (to_bigint(predicate_id(p)) for p in predicates(definition.rule))
    return all(ready.get((definition.workspace_id, p), 0) >= shards for p in required)


async def load_followed(
    conn: asyncpg.Connection, workspace_id: WorkspaceId | None = None
) -> list[SegmentDefinition]:
    """Return what memberships of one workspace, or of all, are followed: rules without references.

    These are segments, the values of tags, stages, and what journeys need for their entries.
    """
    if workspace_id is None:
        rows = await conn.fetch(Q.load_definitions)
    else:
        rows = await conn.fetch(Q.load_definitions_of_workspace, workspace_id)
    by_workspace: dict[WorkspaceId, list[NamedRules]] = defaultdict(list)
    of_journeys: list[SegmentDefinition] = []
    for row in rows:
        if row["kind"] == JOURNEY_DEFINED:
            of_journeys.append(journey_members(row["workspace_id"], row["payload"]))
        else:
            by_workspace[row["workspace_id"]].append(decode_rules(row["kind"], row["payload"]))
    named = [d for workspace, own in by_workspace.items() for d in followed(workspace, own)]
    return [*named, *of_journeys]


async def load_names(conn: asyncpg.Connection, workspace_id: WorkspaceId) -> Definitions:
    """Return what rules of a workspace may refer to."""
    rows = await conn.fetch(Q.load_definitions_of_workspace, workspace_id)
    named = (decode_rules(r["kind"], r["payload"]) for r in rows if r["kind"] != JOURNEY_DEFINED)
    return names_of(named)


async def load_definitions(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> list[SegmentDefinition]:
    """Return the segments of one workspace as they are defined, by id."""
    rows = await conn.fetch(Q.load_definitions_of_workspace, workspace_id)
    return [
        decode_definition(row["workspace_id"], row["payload"])
        for row in rows
        if row["kind"] == SEGMENT_DEFINED
    ]


async def save_definition(conn: asyncpg.Connection, fact: Any) -> bool:
    """Save the definition of a fact unless a newer version is stored; return whether it was saved.

    A journey without a membership for its entry is saved only over one with a membership.
    Raises InvalidField where the fact cannot be decoded.
    """
    if fact.kind == JOURNEY_DEFINED:
        journey = decode_journey(fact.payload)
        statement = Q.update_definition if entry_rule(journey) is None else Q.save_definition
        row = (fact.workspace_id, fact.kind, journey.journey_id, journey.version, fact.payload)
        saved: str = await conn.execute(statement, *row)
        return saved.endswith(" 1")
    rules = decode_rules(fact.kind, fact.payload)
    row = (fact.workspace_id, fact.kind, rules.name.id, rules.version, fact.payload)
    status: str = await conn.execute(Q.save_definition, *row)
    return status.endswith(" 1")


async def waits_for_backfill(conn: asyncpg.Connection, fact: Any, shards: int) -> bool:
    """Return whether a definition changes no membership before its predicates are backfilled.

    So it is with the first version of one of which no rule is backfilled.
    """
    if fact.kind not in NAMED_KINDS:
        return False
    rules = decode_rules(fact.kind, fact.payload)
    if rules.version > 1 or rules.retired:
        return False
    own = {membership_id(rules.name, value) for value in rules.classification.names}
    ready = await count_ready_shards(conn)
    found = await load_followed(conn, WorkspaceId(fact.workspace_id))
    return not any(d.segment_id in own and is_backfilled(d, ready, shards) for d in found)


async def needs_members(conn: asyncpg.Connection, fact: Any) -> bool:
    """Return whether a version of the journey of a fact has a membership for its entry."""
    journey_id = decode_journey(fact.payload).journey_id
    return bool(await conn.fetchval(Q.has_definition, fact.workspace_id, fact.kind, journey_id))


async def count_ready_shards(conn: asyncpg.Connection) -> ReadyShards:
    """Return the number of shards that have backfilled each predicate."""
    rows = await conn.fetch(Q.count_ready_shards)
    return {(row["workspace_id"], row["predicate_id"]): row["shards"] for row in rows}


async def save_ready_predicates(
    conn: asyncpg.Connection, workspace_id: str, ids: Collection[int], shard: int
) -> bool:
    """Record that a shard has backfilled these predicates; return whether any was new."""
    signed = sorted(map(to_bigint, ids))
    return bool(await conn.fetch(Q.save_ready_predicates, workspace_id, signed, shard))


async def delete_ready_predicates(
    conn: asyncpg.Connection, workspace_id: str, ids: Collection[int], shard: int
) -> bool:
    """Record that a shard has dropped these predicates; return whether any was ready."""
    signed = sorted(map(to_bigint, ids))
    return bool(await conn.fetch(Q.delete_ready_predicates, workspace_id, signed, shard))


async def bump_revision(conn: asyncpg.Connection, *, schema: str = "") -> None:
    """Invalidate every cache of definitions; `schema` empty = the search path."""
    await conn.execute(Q.bump_revision.replace("{schema}", f"{schema}." if schema else ""))
