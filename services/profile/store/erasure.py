"""Deletes what profile has of erased persons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from asyncpg import Connection

from services.chassis.postgres.database import Queries
from services.kernel.erasures import PersonErasure
from services.kernel.ids import NO_ID, LeafId, ProfileId
from services.profile.domain.evaluation import Evaluation
from services.profile.domain.facts import ProfileAssignment, assignment_share
from services.profile.store.evaluations import evaluation_from_row

Q = Queries.load(__package__, "erasure.sql")


async def pass_shard(conn: Connection, erasure: PersonErasure, shard: int) -> int:
    """Save that a shard has deleted its leaves of a person; return how many shards have."""
    ids = list(erasure.ids)
    key = (erasure.workspace_id, erasure.request_id)
    return int(await conn.fetchval(Q.pass_shard, *key, ids, shard))


async def end_erasure(conn: Connection, erasure: PersonErasure) -> None:
    """Save that all shards have deleted their leaves of a person."""
    await conn.execute(Q.end_erasure, erasure.workspace_id, erasure.request_id)


async def load_erasing(conn: Connection) -> set[bytes]:
    """Return the identifiers of the persons that are being erased, of all workspaces."""
    return {id_ for (ids,) in await conn.fetch(Q.load_erasing) for id_ in ids}


async def delete_leaves(
    conn: Connection, erasure: PersonErasure, shard: int
) -> dict[LeafId, bytes]:
    """Delete the leaves of a person in a shard, with their names; return their states."""
    key = (erasure.workspace_id, shard, list(erasure.ids))
    await conn.execute(Q.delete_names, *key)
    return {row[0]: row[1] for row in await conn.fetch(Q.delete_leaves, *key)}


async def bury(
    conn: Connection, erasure: PersonErasure, at_us: int
) -> list[tuple[Evaluation, Evaluation]]:
    """Empty the evaluations of a person's profiles; return each as it was, and as it is."""
    key = (erasure.workspace_id, list(erasure.ids), at_us, NO_ID)
    before = [evaluation_from_row(row) for row in await conn.fetch(Q.bury, *key)]
    return [(one, _buried(one, at_us)) for one in before]


def _buried(before: Evaluation, at_us: int) -> Evaluation:
    """Return an empty evaluation with the version that the store has given."""
    return Evaluation(
        before.profile_id,
        before.workspace_id,
        before.version,
        frozenset(),
        None,
        at_us,
        ProfileId(NO_ID),
        is_erased=True,
    )


async def delete_assignments(
    conn: Connection, gone: Collection[ProfileAssignment]
) -> dict[str, int]:
    """Delete the assignments of identifiers that are gone, unless there is a newer one; return the
    changes of the digests."""
    newest: dict[bytes, int] = {}
    for one in gone:
        newest[one.identifier_id] = max(one.version, newest.get(one.identifier_id, 0))
    deltas: Counter[str] = Counter()
    columns: Sequence[list[object]] = (list(newest), list(newest.values()))
    for workspace_id, id_, profile_id in await conn.fetch(Q.delete_assignments, *columns):
        deltas[workspace_id] -= assignment_share(id_, profile_id)
    return dict(deltas)
