"""Stores evaluations of profiles, and locks profiles."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

import asyncpg

from services.chassis.postgres.database import Queries, lock_class, lock_keys
from services.kernel.ids import ProfileId, WorkspaceId, shard_of
from services.kernel.rules.ids import pack_ids, unpack_ids
from services.segment.domain.model import ProfileEvaluation, StoredEvaluation

Q = Queries.load(__package__, "evaluations.sql")
_DEFINITIONS_LOCK = lock_class("segment definitions")


async def lock_profiles(conn: asyncpg.Connection, profiles: Iterable[ProfileId]) -> None:
    """Lock these profiles until the transaction ends, and keep definitions from changing."""
    keys = lock_keys("segment profile", profiles)
    await conn.execute(Q.lock_profiles, keys, _DEFINITIONS_LOCK)


async def lock_definitions(conn: asyncpg.Connection) -> None:
    """Lock the definitions until the transaction ends, before any profile.

    This waits for every transaction that holds profiles: a sweep that begins after this transaction
    must see all evaluations that were decided by the old definitions.
    """
    await conn.execute(Q.lock_definitions, _DEFINITIONS_LOCK)


async def load_evaluations(
    conn: asyncpg.Connection, profiles: Sequence[ProfileId]
) -> dict[ProfileId, ProfileEvaluation]:
    """Return the evaluations of these profiles; a profile without one is left out."""
    rows = await conn.fetch(Q.load_evaluations, profiles)
    return {row["profile_id"]: _evaluation(row) for row in rows}


async def save_evaluations(
    conn: asyncpg.Connection,
    evaluations: Sequence[ProfileEvaluation],
    shards: int,
    stored: Container[ProfileId] = (),
) -> None:
    """Replace evaluations by newer ones; `stored`: the profiles that are known to have one."""
    older = [e for e in evaluations if e.profile_id in stored]
    others = [e for e in evaluations if e.profile_id not in stored] if older else evaluations
    if older:
        await conn.execute(Q.update_evaluations, [e.profile_id for e in older], *_columns(older))
    if others:
        await conn.execute(
            Q.save_evaluations,
            [shard_of(e.profile_id, shards) for e in others],
            [e.profile_id for e in others],
            [e.workspace_id for e in others],
            *_columns(others),
        )


def _columns(evaluations: Sequence[ProfileEvaluation]) -> tuple[list[Any], ...]:
    return (
        [e.version for e in evaluations],
        [pack_ids(e.true_predicates) for e in evaluations],
        [e.merged_into for e in evaluations],
        [e.changed_at_us for e in evaluations],
    )


async def load_versions(
    conn: asyncpg.Connection, profiles: Sequence[ProfileId]
) -> dict[ProfileId, StoredEvaluation]:
    """Return the versions of these profiles; a profile without an evaluation is left out."""
    rows = await conn.fetch(Q.load_versions, profiles)
    return {row[0]: StoredEvaluation(row[1], row[2]) for row in rows}


async def existing_profiles(
    conn: asyncpg.Connection, profiles: Sequence[ProfileId]
) -> frozenset[ProfileId]:
    """Return the profiles that have an evaluation and were not merged."""
    evaluations = await load_evaluations(conn, profiles)
    return frozenset(p for p, e in evaluations.items() if e.merged_into is None)


async def load_profile_page(
    conn: asyncpg.Connection, shard: int, workspace_id: WorkspaceId, after: bytes, size: int
) -> list[ProfileId]:
    """Return the next profiles of a shard and workspace, by id."""
    rows = await conn.fetch(Q.load_profile_page, shard, workspace_id, after, size)
    return [row["profile_id"] for row in rows]


async def has_at_most(
    conn: asyncpg.Connection, shard: int, workspace_id: WorkspaceId, most: int
) -> bool:
    """Return whether a workspace has at most so many profiles in a shard."""
    return int(await conn.fetchval(Q.count_profiles, shard, workspace_id, most + 1)) <= most


async def load_profiles_after(
    conn: asyncpg.Connection, after: bytes, limit: int
) -> list[ProfileId]:
    """Return the first profiles after an id that have an evaluation, of all workspaces, by id."""
    return [row["profile_id"] for row in await conn.fetch(Q.load_profiles_after, after, limit)]


async def count_rows(conn: asyncpg.Connection) -> dict[str, int]:
    """Return named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _evaluation(row: Any) -> ProfileEvaluation:
    return ProfileEvaluation(
        WorkspaceId(row["workspace_id"]),
        ProfileId(row["profile_id"]),
        row["version"],
        unpack_ids(row["true_predicates"]),
        row["merged_into"],
        row["changed_at_us"],
    )
