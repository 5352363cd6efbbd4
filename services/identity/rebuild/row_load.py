"""Loads the rows that an engine has computed into an empty generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asyncpg import Connection, Pool
from onefold.log.v1.log_pb2 import Fact

from services.chassis.postgres.database import transaction
from services.chassis.projection.checkpoint import add_digest
from services.chassis.projection.row_files import read_rows
from services.identity.codec.bus import decode_facts
from services.identity.domain.changes import EdgeChange, ResolutionChanges
from services.identity.domain.digest import deltas
from services.identity.domain.evidence import (
    Decision,
    Edge,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
    SeenSpan,
)
from services.identity.domain.held import HeldEdge
from services.identity.domain.rows import EdgeRow, IdentifierRow
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.matches import fold_matches
from services.identity.store.evidence import REBUILD, PostgresEvidence
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId


async def load_rows(pool: Pool, folder: Path, shards: int, cache: EvidenceCache) -> None:
    """Copy the rows of `engine.resolve_group`, with their digest, and fold the matches."""
    for rows in read_rows(folder, "identifier"):
        changes, identifiers = ResolutionChanges(), dict[IdentifierId, IdentifierInWorkspace]()
        for id_, workspace_id, namespace, value, profile_id, at_us, fact_id, flags in rows:
            identifier = None if namespace is None else Identifier(namespace, value)
            identifiers[id_] = IdentifierInWorkspace(workspace_id, identifier)
            changes.added[id_] = IdentifierRow(profile_id, FirstSeen(at_us, fact_id), flags)
        await _save(pool, shards, changes, identifiers)
    for rows in read_rows(folder, "edge"):
        changes = ResolutionChanges()
        for a, b, kind, workspace_id, at_us, fact_id, day, reason, namespace in rows:
            held = HeldEdge(reason, namespace) if reason else None
            row = EdgeRow(SeenSpan(FirstSeen(at_us, fact_id), day), held)
            changes.edges[Edge(a, b, kind)] = EdgeChange(workspace_id, None, row)
        await _save(pool, shards, changes, {})
    for rows in read_rows(folder, "decision"):
        changes, identifiers = ResolutionChanges(), {}
        for a, b, workspace_id, at_us, fact_id, kind, actor, reason in rows:
            decision = Decision(FirstSeen(at_us, fact_id), kind, actor, reason)
            changes.decisions[Pair(a, b)] = (None, decision)
            identifiers[a] = IdentifierInWorkspace(workspace_id, None)
        await _save(pool, shards, changes, identifiers)
    for rows in read_rows(folder, "match"):
        async with transaction(pool) as conn:
            await _fold_matches(conn, shards, cache, rows)


async def _save(
    pool: Pool,
    shards: int,
    changes: ResolutionChanges,
    identifiers: dict[IdentifierId, IdentifierInWorkspace],
) -> None:
    async with transaction(pool) as conn:
        store = PostgresEvidence(conn, shards=shards, space=REBUILD)
        await store.save(changes, identifiers, await store.next_version())
        await add_digest(conn, 0, deltas(changes, identifiers, ()))


async def _fold_matches(
    conn: Connection, shards: int, cache: EvidenceCache, rows: Sequence[Any]
) -> None:
    decoded = decode_facts(map(Fact.FromString, rows))
    await cache.regions.load(conn, (), decoded.workspaces)
    await add_digest(conn, 0, await fold_matches(conn, shards, cache, decoded.matches))
