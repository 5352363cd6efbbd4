"""Stores the evaluation of each profile in PostgreSQL, and locks profiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any

from asyncpg import Connection

from services.chassis.postgres.database import Queries, lock_keys
from services.kernel.ids import NO_ID, ProfileId, WorkspaceId, shard_of
from services.kernel.rules.ids import pack_ids, unpack_ids
from services.profile.domain.evaluation import Evaluation
from services.profile.domain.scheduling import DueProfile
from services.profile.store.profiles import ProfileLeaf

Q = Queries.load(__package__, "evaluations.sql")


async def lock_ids(conn: Connection, space: str, ids: Iterable[bytes]) -> None:
    """Lock ids of a space, waiting for other transactions that hold some."""
    await conn.execute(Q.lock, lock_keys(space, ids))


async def try_lock_ids(conn: Connection, space: str, ids: Iterable[bytes]) -> bool:
    """Lock ids of a space without waiting; return whether all of them are locked."""
    return bool(await conn.fetchval(Q.try_lock, lock_keys(space, ids)))


async def load_profile_leaves(
    conn: Connection, profiles: Collection[ProfileId]
) -> dict[ProfileId, list[ProfileLeaf]]:
    """Return the leaves of each profile; profiles without one are left out."""
    leaves: dict[ProfileId, list[ProfileLeaf]] = defaultdict(list)
    for row in await conn.fetch(Q.load_profile_leaves, profiles):
        leaves[row[0]].append(ProfileLeaf(*row))
    return leaves


async def load_evaluations(
    conn: Connection, profiles: Collection[ProfileId]
) -> dict[ProfileId, Evaluation]:
    """Return the evaluations of profiles; profiles without one are left out."""
    rows = await conn.fetch(Q.load_evaluations, profiles)
    return {row[0]: evaluation_from_row(row) for row in rows}


def evaluation_from_row(row: Any) -> Evaluation:
    """Return the evaluation in a row of (profile, workspace, version, true, due, at, merged)."""
    profile_id, workspace_id, version, true, due, at, merged_into = row
    return Evaluation(profile_id, workspace_id, version, unpack_ids(true), due, at, merged_into)


async def save_evaluations(
    conn: Connection, worker: int, evaluations: Sequence[Evaluation], shards: int
) -> list[Evaluation]:
    """Save changed evaluations, and return them with their new versions.

    `worker`: the shard whose worker evaluated, and evaluates again when the profiles are due.
    """
    rows: list[Any] = []
    if stored := [e for e in evaluations if e.version]:
        own = [e.profile_id for e in stored]
        rows = await conn.fetch(Q.update_evaluations, worker, own, *_columns(stored))
    versions = {row[0]: row[1] for row in rows}
    if others := [e for e in evaluations if e.profile_id not in versions]:
        rows = await conn.fetch(
            Q.save_evaluations,
            worker,
            [shard_of(e.profile_id, shards) for e in others],
            [e.profile_id for e in others],
            [e.workspace_id for e in others],
            *_columns(others),
        )
        versions |= {row[0]: row[1] for row in rows}
    return [e._replace(version=versions[e.profile_id]) for e in evaluations]


def _columns(evaluations: Sequence[Evaluation]) -> tuple[list[Any], ...]:
    return (
        [pack_ids(e.true_predicates) for e in evaluations],
        [e.next_due_us for e in evaluations],
        [e.changed_at_us for e in evaluations],
        [e.merged_into for e in evaluations],
    )


async def copy_evaluations(
    conn: Connection, evaluations: Iterable[Evaluation], shards: int
) -> None:
    """Insert new evaluations with COPY, each due in its profile's own shard."""
    columns = ("shard", "profile_id", "workspace_id", "version", "true_predicates")
    await conn.copy_records_to_table(
        "evaluation",
        columns=(*columns, "next_due", "evaluating_shard", "changed_at"),
        records=[
            (shard, *e[:3], pack_ids(e.true_predicates), e.next_due_us, shard, e.changed_at_us)
            for e in evaluations
            for shard in [shard_of(e.profile_id, shards)]
        ],
    )


async def reschedule_evaluations(
    conn: Connection, worker: int, evaluations: Sequence[Evaluation], shards: int
) -> None:
    """Save the new due of evaluations that are otherwise unchanged; `worker` as above."""
    await conn.execute(
        Q.reschedule_evaluations,
        worker,
        [shard_of(e.profile_id, shards) for e in evaluations],
        [e.profile_id for e in evaluations],
        [e.next_due_us for e in evaluations],
    )


async def load_due(conn: Connection, shard: int, at_us: int, limit: int) -> list[DueProfile]:
    """Return the first profiles due by an instant among those that a shard evaluated last."""
    rows = await conn.fetch(Q.load_due, shard, at_us, limit)
    return [DueProfile(*row) for row in rows]


async def later_timers(
    conn: Connection, live: str, new: str, after: bytes, at_us: int, limit: int
) -> list[ProfileId]:
    """Return the next profiles whose timer in the schema `new` is after `at_us` and earlier."""
    statement = Q.later_timers.replace("{live}", live).replace("{new}", new)
    return [row[0] for row in await conn.fetch(statement, after, at_us, limit)]


async def unowned_timers(conn: Connection, limit: int) -> list[ProfileId]:
    """Return profiles whose timer belongs to a shard that does not exist."""
    return [row[0] for row in await conn.fetch(Q.unowned_timers, limit)]


async def evaluating_shards(
    conn: Connection, profiles: Collection[ProfileId]
) -> dict[ProfileId, int]:
    """Return the shards whose workers evaluate profiles when they are due."""
    rows = await conn.fetch(Q.evaluating_shards, profiles)
    return {row[0]: row[1] for row in rows}


async def shard_evaluations(
    conn: Connection, shard: int, size: int
) -> AsyncIterator[list[Evaluation]]:
    """Yield pages of the evaluations of a shard's profiles with leaves. Needs a transaction."""
    cursor = await conn.cursor(Q.shard_evaluations, shard)
    while rows := await cursor.fetch(size):
        yield [evaluation_from_row(row) for row in rows]


async def next_version(conn: Connection) -> int:
    """Return a version above all that were given."""
    return int(await conn.fetchval(Q.next_version))


async def replace_evaluations(conn: Connection, live: str, at_us: int) -> list[Evaluation]:
    """Return the evaluations that differ from those in the schema `live`, as saved now.

    They include the profiles that have no leaves any more. All get one version above every
    version so far, as the live state may have published some of them.
    """
    version = await next_version(conn)
    changed = await conn.fetch(Q.renew_changed.replace("{live}", live), version)
    buried = await conn.fetch(Q.bury_missing.replace("{live}", live), version, at_us, NO_ID)
    return [evaluation_from_row(row) for row in (*changed, *buried)]


async def count_persons(conn: Connection, workspace_id: WorkspaceId) -> int:
    """Return the number of persons of a workspace."""
    return int(await conn.fetchval(Q.count_persons, workspace_id, column=1) or 0)


async def sample_page(
    conn: Connection, workspace_id: WorkspaceId, after: bytes, one_in: int, limit: int
) -> list[ProfileId]:
    """Return the persons after an id that a sample of one in so many has, ascending."""
    rows = await conn.fetch(Q.sample_page, workspace_id, after, one_in, limit)
    return [row[0] for row in rows]
