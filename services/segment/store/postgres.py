"""Standings, memberships, definitions and history in PostgreSQL, a statement a table and batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from services.chassis.postgres.database import Queries, lock_class
from services.kernel.ids import ProfileId, WorkspaceId, shard_of
from services.kernel.rules.ids import predicate_id, predicates
from services.segment.codec import bus as wire
from services.segment.domain.membership import Rulebook
from services.segment.domain.model import Cause, Change, Definition, Member, Standing

Q = Queries.load(__package__)
Connection = asyncpg.Connection
#: Keeps the locks of this service apart from those that others take on the same profiles.
_LOCK_SALT = lock_class("segment profile")
#: By workspace and (signed) id of the predicate: on how many shards it is live.
LiveCounts = dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A shard's standings that a definition asks to look at, and how far that is."""

    workspace_id: WorkspaceId
    segment_id: str
    version: int
    after: bytes
    #: How often it was asked for.
    asked: int


async def lock(conn: Connection, profiles: Iterable[ProfileId]) -> None:
    """Hold these profiles until the transaction ends."""
    keys = sorted({int.from_bytes(p[:8], "big", signed=True) ^ _LOCK_SALT for p in profiles})
    await conn.execute(Q.lock_profiles, keys)


async def load_standings(
    conn: Connection, profiles: Sequence[ProfileId]
) -> dict[ProfileId, Standing]:
    """How these profiles stand; unknown ones are left out."""
    rows = await conn.fetch(Q.load_standings, profiles)
    return {row["profile_id"]: _standing(row) for row in rows}


async def save_standings(conn: Connection, standings: Sequence[Standing], shards: int) -> None:
    """Keep these standings in the place of older ones."""
    await conn.execute(
        Q.save_standings,
        [shard_of(s.profile_id, shards) for s in standings],
        [s.profile_id for s in standings],
        [s.workspace_id for s in standings],
        [s.version for s in standings],
        [wire.pack_ids(s.holds) for s in standings],
        [s.merged_into for s in standings],
        [s.at_us for s in standings],
    )


async def load_memberships(
    conn: Connection, profiles: Sequence[ProfileId]
) -> dict[ProfileId, frozenset[str]]:
    """The segments of each of these profiles."""
    found: dict[ProfileId, set[str]] = {}
    for row in await conn.fetch(Q.load_memberships, profiles):
        found.setdefault(row["profile_id"], set()).add(row["segment_id"])
    return {profile: frozenset(segments) for profile, segments in found.items()}


async def load_memberships_in(
    conn: Connection, schema: str, profiles: Sequence[ProfileId]
) -> dict[ProfileId, frozenset[str]]:
    """The segments of each of these profiles in another schema."""
    found: dict[ProfileId, set[str]] = {}
    for row in await conn.fetch(Q.load_memberships_in.replace("{schema}", schema), profiles):
        found.setdefault(row["profile_id"], set()).add(row["segment_id"])
    return {profile: frozenset(segments) for profile, segments in found.items()}


async def load_segment(
    conn: Connection, workspace_id: WorkspaceId, segment_id: str
) -> list[Member]:
    """The members of a segment."""
    rows = await conn.fetch(Q.load_segment, workspace_id, segment_id)
    return [Member(workspace_id, segment_id, *row) for row in rows]


async def present(conn: Connection, profiles: Sequence[ProfileId]) -> frozenset[ProfileId]:
    """Those among some profiles that are somebody."""
    standings = await load_standings(conn, profiles)
    return frozenset(p for p, standing in standings.items() if standing.merged_into is None)


async def load_difference(
    conn: Connection, live: str, new: str, at_us: int
) -> list[tuple[Change, bool]]:
    """Who is in what in one of two schemas and not in the other: as changes from `live` to `new`,
    each with whether its profile stands somehow in `new`. Those of whom nothing else is known
    change at `at_us`."""
    statement = Q.load_difference.replace("{live}", live).replace("{new}", new)
    rows = await conn.fetch(statement, at_us)
    return [
        (
            Change(
                *(WorkspaceId(workspace), segment, version, ProfileId(profile)),
                *(entered, at, Cause.RULE),
            ),
            is_somebody,
        )
        for workspace, segment, version, profile, entered, at, is_somebody in rows
    ]


async def take_on_memberships(conn: Connection, live: str, changes: Sequence[Change]) -> None:
    """Those who stayed in are in since they came; who entered, since the change tells it."""
    await conn.execute(Q.take_on_memberships.replace("{live}", live))
    entered = [c for c in changes if c.entered]
    await conn.execute(
        Q.set_since,
        [c.profile_id for c in entered],
        [c.segment_id for c in entered],
        [c.at_us for c in entered],
    )
    await conn.execute(Q.take_on_revision.replace("{live}", live))


async def save_changes(conn: Connection, changes: Sequence[Change], shards: int) -> None:
    """Let profiles enter and leave."""
    left = [c for c in changes if not c.entered]
    if left:
        await conn.execute(Q.leave, [c.profile_id for c in left], [c.segment_id for c in left])
    entered = [c for c in changes if c.entered]
    if entered:
        await conn.execute(
            Q.enter,
            [shard_of(c.profile_id, shards) for c in entered],
            [c.workspace_id for c in entered],
            [c.segment_id for c in entered],
            [c.profile_id for c in entered],
            [c.segment_version for c in entered],
            [c.at_us for c in entered],
        )


async def number(conn: Connection, found: Sequence[Change]) -> tuple[list[Change], list[int]]:
    """The changes and the ordinal of each: one more than the last one announced.

    Shards differ in how far they are, so an instant may lie before the one announced last; it is
    moved up to it, for what is announced of a membership to be in order of time, too.
    """
    rows = await conn.fetch(
        Q.load_ordinals, [c.profile_id for c in found], [c.segment_id for c in found]
    )
    last = {(r["profile_id"], r["segment_id"]): (r["ordinal"], r["at_us"]) for r in rows}
    befores = [last.get((c.profile_id, c.segment_id), (0, 0)) for c in found]
    numbered = [
        change if change.at_us >= at_us else replace(change, at_us=at_us)
        for change, (_, at_us) in zip(found, befores, strict=True)
    ]
    return numbered, [ordinal + 1 for ordinal, _ in befores]


async def last_causes(
    conn: Connection, found: Sequence[Change]
) -> dict[tuple[ProfileId, str], Cause]:
    """Why the memberships that change changed last; those that never did are left out."""
    rows = await conn.fetch(
        Q.load_causes, [c.profile_id for c in found], [c.segment_id for c in found]
    )
    return {(row["profile_id"], row["segment_id"]): Cause(row["cause"]) for row in rows}


async def write_history(
    conn: Connection, shard: int, sequence: int, changes: Sequence[Change], numbers: Sequence[int]
) -> None:
    """Keep what is announced at this place."""
    await conn.execute(
        Q.write_history,
        shard,
        sequence,
        list(range(len(changes))),
        [c.workspace_id for c in changes],
        [c.segment_id for c in changes],
        [c.segment_version for c in changes],
        [c.profile_id for c in changes],
        [c.entered for c in changes],
        numbers,
        [c.at_us for c in changes],
        [c.cause.value for c in changes],
        [c.other_profile_id for c in changes],
    )


async def write_notices(conn: Connection, shard: int, sequence: int, facts: Iterable[Any]) -> None:
    """Keep the facts that are passed on at this place; ticks are left out."""
    lasting = [f.SerializeToString() for f in facts if f.kind != wire.CLOCK_TICKED]
    if lasting:
        await conn.execute(Q.write_notices, shard, sequence, list(range(len(lasting))), lasting)


async def load_rulebook(conn: Connection, shards: int) -> Rulebook:
    """The segments that can be decided now; live = every shard has the whole log."""
    counts = await live_counts(conn)
    live: list[Definition] = []
    frozen: list[Definition] = []
    for row in await conn.fetch(Q.load_definitions):
        definition = wire.definition(row["workspace_id"], row["message"])
        (live if is_live(definition, counts, shards) else frozen).append(definition)
    return Rulebook(live, frozen)


def is_live(definition: Definition, counts: LiveCounts, shards: int) -> bool:
    """Whether every predicate of the rule is live on every shard, or nothing is asked any more."""
    if definition.retired:
        return True
    asked = (_signed(predicate_id(p)) for p in predicates(definition.rule))
    return all(counts.get((definition.workspace_id, p), 0) >= shards for p in asked)


async def keep_definition(conn: Connection, fact: Any) -> None:
    """Keep the version of a segment that a fact tells, unless a newer one is there.

    Raises InvalidField where the fact cannot be read.
    """
    told = wire.definition(fact.workspace_id, fact.payload)
    await conn.execute(
        Q.save_definition, told.workspace_id, told.segment_id, told.version, fact.payload
    )


async def live_counts(conn: Connection) -> LiveCounts:
    """On how many shards each predicate is live."""
    rows = await conn.fetch(Q.load_live)
    return {(row["workspace_id"], row["predicate_id"]): row["shards"] for row in rows}


async def save_live(conn: Connection, workspace_id: str, ids: Iterable[int], shard: int) -> bool:
    """A shard of the profiles has the whole log for these; whether that was news."""
    signed = sorted(map(_signed, ids))
    return bool(await conn.fetch(Q.save_live, workspace_id, signed, shard))


async def next_sweep(conn: Connection, shard: int) -> Sweep | None:
    """A sweep of this shard that is not done."""
    row = await conn.fetchrow(Q.next_sweep, shard)
    if row is None:
        return None
    return Sweep(
        WorkspaceId(row["workspace_id"]),
        row["segment_id"],
        row["version"],
        row["after"],
        row["asked"],
    )


async def join_sweeps(conn: Connection, shard: int, sweep: Sweep) -> None:
    """A sweep that begins looks at everything: it carries those along that did not begin yet."""
    await conn.execute(Q.join_sweeps, shard, sweep.workspace_id, sweep.segment_id, sweep.version)


async def sweep_page(conn: Connection, shard: int, sweep: Sweep, size: int) -> list[ProfileId]:
    """The next profiles of a sweep."""
    rows = await conn.fetch(Q.sweep_page, shard, sweep.workspace_id, sweep.after, size)
    return [row["profile_id"] for row in rows]


async def save_sweep(conn: Connection, shard: int, sweep: Sweep, after: bytes, done: bool) -> None:
    """How far a sweep is now, unless it was asked for anew meanwhile."""
    key = (shard, sweep.workspace_id, sweep.segment_id, sweep.version)
    await conn.execute(Q.save_sweep, *key, after, done, sweep.asked)


async def count_rows(conn: Connection) -> dict[str, int]:
    """Named counts for the status."""
    return dict(await conn.fetchrow(Q.count_rows) or {})


def _standing(row: Any) -> Standing:
    return Standing(
        WorkspaceId(row["workspace_id"]),
        ProfileId(row["profile_id"]),
        row["version"],
        wire.unpack_ids(row["holds"]),
        row["merged_into"],
        row["at_us"],
    )


def _signed(predicate: int) -> int:
    return predicate - (1 << 64) if predicate >= 1 << 63 else predicate
