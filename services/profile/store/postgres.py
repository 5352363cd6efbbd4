"""Leaves, assignments, standings and growth in PostgreSQL; one statement a table and batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from services.chassis.postgres.database import Queries
from services.kernel.ids import IdentifierId, LeafId, ProfileId, WorkspaceId, hash_id, shard_of
from services.kernel.rules.ids import from_bigint, pack_ids, to_bigint, unpack_ids
from services.profile.domain.assignments import Move
from services.profile.domain.backfill import Asked, Key, Series, Stage
from services.profile.domain.facts import Assignment
from services.profile.domain.model import Standing
from services.profile.domain.scheduling import Due

Q = Queries.load(__package__)
Connection = asyncpg.Connection


class LeafRow(NamedTuple):
    """A leaf as it is kept."""

    leaf_id: LeafId
    workspace_id: WorkspaceId
    #: Canonical bytes of its LeafState.
    state: bytes


class HeldLeaf(NamedTuple):
    """A leaf of a profile."""

    profile_id: ProfileId
    workspace_id: WorkspaceId
    leaf_id: LeafId
    #: Canonical bytes of its LeafState.
    state: bytes


@dataclass(frozen=True, slots=True)
class Growth:
    """How far a shard is with the definitions it learnt of."""

    #: Changes whenever the shard learns.
    revision: int = 0
    #: The offset after the last definition that was learnt.
    learnt: int = 0
    #: Nothing is waiting or at work.
    idle: bool = True
    #: The next offset to back-fill from, and the one to stop before.
    next: int = 0
    until: int = 0
    #: The last leaf that was looked at once more.
    after: bytes = b""
    #: Time alone may have changed profiles that the worker of the shard looked at last.
    is_due: bool = False


async def load_leaves(
    conn: Connection, shard: int, leaves: Collection[LeafId]
) -> dict[LeafId, bytes]:
    """The states of leaves of one shard; unknown ones are left out."""
    rows = await conn.fetch(Q.load_leaves, shard, leaves)
    return {row["leaf_id"]: row["state"] for row in rows}


async def add_leaves(conn: Connection, shard: int, rows: Sequence[LeafRow]) -> None:
    """Keep leaves that are new."""
    if rows:
        await conn.execute(
            Q.add_leaves,
            shard,
            [row.leaf_id for row in rows],
            [row.workspace_id for row in rows],
            [row.state for row in rows],
        )


async def save_leaves(conn: Connection, shard: int, rows: Sequence[LeafRow]) -> None:
    """Put leaves in the place of older ones."""
    if rows:
        await conn.execute(
            Q.save_leaves,
            shard,
            [row.leaf_id for row in rows],
            [row.state for row in rows],
        )


async def copy_leaves(conn: Connection, shard: int, rows: Iterable[LeafRow]) -> None:
    """Keep many leaves that are new."""
    await conn.copy_records_to_table(
        "leaf",
        columns=("shard", "leaf_id", "workspace_id", "state"),
        records=[(shard, *row) for row in rows],
    )


def lock_salt(space: str) -> int:
    """What keeps the locks of a space apart from those that others take on the same ids."""
    return int.from_bytes(hash_id("profile", space)[:8], "big", signed=True)


async def lock(conn: Connection, ids: Iterable[bytes], salt: int) -> None:
    """Hold these ids against other workers of this space until the transaction ends."""
    await conn.execute(Q.lock, _lock_keys(ids, salt))


async def try_lock(conn: Connection, ids: Iterable[bytes], salt: int) -> bool:
    """Hold these ids too, unless somebody else holds one of them."""
    return bool(await conn.fetchval(Q.try_lock, _lock_keys(ids, salt)))


def _lock_keys(ids: Iterable[bytes], salt: int) -> list[int]:
    return sorted({int.from_bytes(id_[:8], "big", signed=True) ^ salt for id_ in ids})


async def load_assignments(
    conn: Connection, identifiers: Collection[bytes]
) -> dict[IdentifierId, Assignment]:
    """Whose these identifiers are; unknown ones are left out. Without their standard forms."""
    rows = await conn.fetch(Q.load_assignments, identifiers)
    return {row[1]: Assignment(row[0], row[1], row[2], row[3], None) for row in rows}


async def save_assignments(conn: Connection, moves: Sequence[Move], shards: int) -> None:
    """Keep what identifiers belong to now; nobody else may write of them meanwhile."""
    new = [move.now for move in moves if move.before is None]
    if new:
        await copy_assignments(conn, new, shards)
    told = [move.now for move in moves if move.before is not None]
    if told:
        await conn.execute(
            Q.save_assignments,
            [shard_of(a.identifier_id, shards) for a in told],
            [a.identifier_id for a in told],
            [a.profile_id for a in told],
            [a.version for a in told],
            [a.identifier.namespace if a.identifier else None for a in told],
            [a.identifier.value if a.identifier else None for a in told],
        )


async def copy_assignments(
    conn: Connection, assignments: Iterable[Assignment], shards: int
) -> None:
    """Keep assignments that are new."""
    columns = ("shard", "workspace_id", "identifier_id", "profile_id", "version")
    await conn.copy_records_to_table(
        "assignment",
        columns=(*columns, "namespace", "value"),
        records=[
            (shard_of(told.identifier_id, shards), *told[:4], *(told.identifier or (None, None)))
            for told in assignments
        ],
    )


async def load_profiles(
    conn: Connection, profiles: Collection[ProfileId]
) -> list[tuple[HeldLeaf, Standing | None]]:
    """All leaves of these profiles, each with how its profile stands (None = never told)."""
    rows = await conn.fetch(Q.load_profiles, profiles)
    return [
        (
            HeldLeaf(profile, workspace, leaf, state),
            None
            if version is None
            else Standing(profile, workspace, version, unpack_ids(holds), due, at, merged_into),
        )
        for profile, workspace, leaf, state, version, holds, due, at, merged_into in rows
    ]


async def load_standings(
    conn: Connection, profiles: Collection[ProfileId]
) -> dict[ProfileId, Standing]:
    """How these profiles stand; those that were never told of are left out."""
    return {row[0]: standing(row) for row in await conn.fetch(Q.load_standings, profiles)}


def standing(row: Any) -> Standing:
    """The standing of a row."""
    profile_id, workspace_id, version, holds, due, at, merged_into = row
    return Standing(profile_id, workspace_id, version, unpack_ids(holds), due, at, merged_into)


async def save_standings(
    conn: Connection, worker: int, standings: Sequence[Standing], shards: int
) -> list[Standing]:
    """Keep these standings, which are news, and give them their versions.

    `worker`: the shard whose worker looked, and will look again when they are due.
    """
    rows = await conn.fetch(
        Q.save_standings,
        worker,
        [shard_of(s.profile_id, shards) for s in standings],
        [s.profile_id for s in standings],
        [s.workspace_id for s in standings],
        [pack_ids(s.holds) for s in standings],
        [s.due_us for s in standings],
        [s.at_us for s in standings],
        [s.merged_into for s in standings],
    )
    versions = {row["profile_id"]: row["version"] for row in rows}
    return [s._replace(version=versions[s.profile_id]) for s in standings]


async def next_version(conn: Connection) -> int:
    """A version above all that were given."""
    return int(await conn.fetchval(Q.next_version))


async def copy_standings(conn: Connection, standings: Iterable[Standing], shards: int) -> None:
    """Keep many standings that are new; the worker of a profile's own shard looks again."""
    columns = ("shard", "profile_id", "workspace_id", "version", "holds", "due", "due_shard", "at")
    await conn.copy_records_to_table(
        "standing",
        columns=columns,
        records=[
            (
                *((shard := shard_of(s.profile_id, shards)), s.profile_id, s.workspace_id),
                *(s.version, pack_ids(s.holds), s.due_us, shard, s.at_us),
            )
            for s in standings
        ],
    )


async def save_dues(
    conn: Connection, worker: int, standings: Sequence[Standing], shards: int
) -> None:
    """Keep the dues of standings of which nothing else is new; `worker` as above."""
    await conn.execute(
        Q.save_dues,
        worker,
        [shard_of(s.profile_id, shards) for s in standings],
        [s.profile_id for s in standings],
        [s.due_us for s in standings],
    )


async def load_dues(conn: Connection, shard: int, until_us: int, limit: int) -> list[Due]:
    """The first profiles that time alone may have changed at an instant, of those that the worker
    of a shard looked at last."""
    rows = await conn.fetch(Q.load_dues, shard, until_us, limit)
    return [Due(*row) for row in rows]


async def due_shards(conn: Connection, profiles: Collection[ProfileId]) -> dict[ProfileId, int]:
    """Whose worker looks next at these profiles."""
    rows = await conn.fetch(Q.due_shards, profiles)
    return {row[0]: row[1] for row in rows}


async def everybody(conn: Connection, *, prefetch: int) -> AsyncIterator[HeldLeaf]:
    """The leaves of all profiles, those of one profile together; inside a transaction."""
    async for row in conn.cursor(Q.everybody, prefetch=prefetch):
        yield HeldLeaf(*row)


async def is_growing(conn: Connection) -> bool:
    """Whether any shard is still at work on what it learnt."""
    return bool(await conn.fetchval(Q.growing))


async def load_revisions(conn: Connection) -> tuple[tuple[int, int], ...]:
    """What changes whenever any shard learns of a definition."""
    return tuple((row[0], row[1]) for row in await conn.fetch(Q.load_revisions))


async def load_growth(conn: Connection, shard: int, at_us: int) -> Growth:
    """How far a shard is with what it learnt; and whether anybody is due at an instant."""
    row: Any = await conn.fetchrow(Q.load_growth, shard, at_us)
    return Growth(is_due=row[6]) if row[0] is None else Growth(*row)


async def save_growth(conn: Connection, shard: int, growth: Growth) -> None:
    """Keep how far a shard is; `revision` and `learnt` stay."""
    await conn.execute(Q.save_growth, shard, growth.idle, growth.next, growth.until, growth.after)


async def learn(
    conn: Connection,
    shard: int,
    first: int,
    until: int,
    predicates: Collection[Key],
    series: Collection[Key],
) -> None:
    """A shard learns the definitions [first, until), and that they ask for more than those before;
    facts from `first` on are folded by them."""
    await conn.execute(Q.add_predicates, shard, *_columns(predicates))
    await conn.execute(Q.add_series, shard, *_columns(series), first)
    await conn.execute(Q.learn, shard, until)


async def save_definitions(
    conn: Connection, shard: int, rows: Sequence[tuple[int, WorkspaceId, str, bytes]]
) -> None:
    """Keep facts that concern no person: offset, workspace, kind and the serialised fact."""
    if rows:
        await conn.execute(Q.save_definitions, shard, *map(list, zip(*rows, strict=True)))


async def load_definitions(
    conn: Connection, shard: int | None, kinds: Collection[str] | None
) -> list[bytes]:
    """Serialised facts of these kinds (None = all) that a shard (or any) has taken in, in order."""
    return [row[0] for row in await conn.fetch(Q.load_definitions, shard, kinds)]


async def open_predicates(conn: Connection, shard: int) -> list[Asked]:
    """The predicates of a shard that are not live yet."""
    rows = await conn.fetch(Q.open_predicates, shard)
    return [Asked(Key(row[0], from_bigint(row[1])), Stage(row[2])) for row in rows]


async def open_series(conn: Connection, shard: int) -> list[Series]:
    """The series of a shard that are not whole yet."""
    rows = await conn.fetch(Q.open_series, shard)
    return [Series(Key(row[0], from_bigint(row[1])), row[2], Stage(row[3])) for row in rows]


async def advance_predicates(
    conn: Connection, shard: int, predicates: Collection[Key], stage: Stage
) -> None:
    """Move predicates of a shard to another stage."""
    await conn.execute(Q.advance_predicates, shard, *_columns(predicates), stage)


async def advance_series(
    conn: Connection, shard: int, series: Collection[Key], stage: Stage
) -> None:
    """Move series of a shard to another stage."""
    await conn.execute(Q.advance_series, shard, *_columns(series), stage)


async def leaf_page(
    conn: Connection, shard: int, after: bytes, workspaces: Collection[WorkspaceId], size: int
) -> list[tuple[LeafId, WorkspaceId]]:
    """The next leaves of a shard in some workspaces, ascending."""
    rows = await conn.fetch(Q.leaf_page, shard, after, workspaces, size)
    return [(row[0], row[1]) for row in rows]


async def live_predicates(
    conn: Connection, workspace_id: WorkspaceId, shards: int
) -> frozenset[int]:
    """The predicates that are live on all shards."""
    rows = await conn.fetch(Q.live_predicates, workspace_id, shards)
    return frozenset(from_bigint(row[0]) for row in rows)


async def workspace_definitions(
    conn: Connection, workspace_id: WorkspaceId, kind: str
) -> list[bytes]:
    """Serialised facts of one kind in one workspace; each comes once a shard."""
    return [row[0] for row in await conn.fetch(Q.workspace_definitions, workspace_id, kind)]


async def shard_definitions(conn: Connection, shard: int) -> list[bytes]:
    """Serialised facts that concern no person, as a shard told them."""
    return [row[0] for row in await conn.fetch(Q.shard_definitions, shard)]


async def definitions_since(conn: Connection, shard: int, first: int) -> list[bytes]:
    """Serialised facts that concern no person, from an offset of a shard on, in order."""
    return [row[0] for row in await conn.fetch(Q.definitions_since, shard, first)]


async def shard_live_predicates(conn: Connection, shard: int) -> list[Key]:
    """The predicates that are live in a shard."""
    rows = await conn.fetch(Q.shard_live_predicates, shard)
    return [Key(row[0], from_bigint(row[1])) for row in rows]


async def shard_standings(
    conn: Connection, shard: int, *, prefetch: int
) -> AsyncIterator[Standing]:
    """How every profile of a shard stands that has leaves; inside a transaction."""
    async for row in conn.cursor(Q.shard_standings, shard, prefetch=prefetch):
        yield standing(row)


async def count_rows(conn: Connection) -> dict[str, int]:
    """Named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _columns(keys: Iterable[Key]) -> tuple[list[str], list[int]]:
    ordered = sorted(keys)
    return [key.workspace_id for key in ordered], [to_bigint(key.id) for key in ordered]
