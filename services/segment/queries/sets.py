"""Answers questions about sets of profiles from bitmaps of the members of segments.

A bitmap is read whole when it is first needed and then follows the published changes, so that a
call costs what has changed since the call before it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg
from pyroaring import BitMap

from services.chassis.postgres.database import Database, acquire
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import ProfileId, WorkspaceId
from services.segment.domain import sets as algebra
from services.segment.domain.sets import SNAPSHOT_PREFIX, SetExpression
from services.segment.store import sets as store
from services.segment.store.definitions import load_followed

#: The bytes that the cached bitmaps of all workspaces take at most, as they are serialised.
MAX_CACHED_BYTES = 128 * 1024 * 1024
#: Changes that bitmaps follow; after more they are read again, which takes less time.
MAX_FOLLOWED = 20_000


@dataclass(slots=True)
class _CachedSets:
    """The bitmaps of one workspace, all of one state."""

    generation: int
    #: By shard, the sequence of the first change that is not in them.
    positions: list[int]
    bitmaps: dict[str, BitMap] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def cached_bytes(self) -> int:
        return sum(self.sizes.values())


class SetPage(NamedTuple):
    """The size of a set, and some of its members."""

    size: int
    profiles: Sequence[ProfileId]
    #: The number of the last one; None where there are no more.
    last: int | None


class MemberSets:
    """The members of segments as bitmaps: those of the segments that were used last are cached."""

    def __init__(
        self, database: Database, shards: int, max_cached_bytes: int = MAX_CACHED_BYTES
    ) -> None:
        self._database = database
        self._shards = shards
        self._max_cached_bytes = max_cached_bytes
        self._cached: OrderedDict[WorkspaceId, _CachedSets] = OrderedDict()
        self._lock = asyncio.Lock()

    @property
    def cached_bytes(self) -> int:
        """The bytes of the cached bitmaps, as they are serialised."""
        return sum(own.cached_bytes for own in self._cached.values())

    async def page(
        self, workspace_id: WorkspaceId, expression: SetExpression, after: int, limit: int
    ) -> SetPage:
        """Return a set, and its members after a number. Raises InvalidField, NotFound."""
        async with self._read() as conn:
            needed = set(algebra.segments_in(expression))
            members = await self._members(conn, workspace_id, needed)
            everyone = BitMap()
            if algebra.needs_everyone(expression):
                everyone = await store.load_everyone(conn, workspace_id)
            found = algebra.compute(expression, members, lambda: everyone)
            return await _page(conn, workspace_id, found, after, limit)

    async def overlaps(
        self, workspace_id: WorkspaceId, segment_ids: Sequence[str]
    ) -> list[list[int]]:
        """Return the sizes of the overlaps of each with each, in the order given.

        Raises InvalidField, NotFound.
        """
        if not 0 < len(segment_ids) <= algebra.MAX_OVERLAPPING:
            reason = f"name 1 to {algebra.MAX_OVERLAPPING} segments"
            raise InvalidField(reason, field="segment_ids")
        async with self._read() as conn:
            members = await self._members(conn, workspace_id, set(segment_ids))
        # Bitmaps follow changes in place, and other calls have their turn between two rows.
        own = [BitMap(members[segment_id]) for segment_id in segment_ids]
        rows: list[list[int]] = []
        for row in own:
            rows.append(algebra.overlap_row(row, own))
            await asyncio.sleep(0)
        return rows

    async def snapshot_page(
        self, workspace_id: WorkspaceId, name: str, after: int, limit: int
    ) -> SetPage:
        """Return the members of a snapshot as `page` does. Raises InvalidField, NotFound."""
        async with self._read() as conn:
            found = await self._snapshot_members(conn, workspace_id, name)
            return await _page(conn, workspace_id, found, after, limit)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[asyncpg.Connection]:
        async with (
            acquire(self._database.api_pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield conn

    async def _members(
        self, conn: asyncpg.Connection, workspace_id: WorkspaceId, needed: Collection[str]
    ) -> dict[str, BitMap]:
        """Return the members of each id. Raises NotFound where one is not defined."""
        snapshots = {one for one in needed if one.startswith(SNAPSHOT_PREFIX)}
        plain = set(needed) - snapshots
        await _check_defined(conn, workspace_id, plain)
        members = {
            one: await self._snapshot_members(conn, workspace_id, one.removeprefix(SNAPSHOT_PREFIX))
            for one in sorted(snapshots)
        }
        async with self._lock:
            cached = await self._followed(conn, workspace_id)
            missing = plain - cached.bitmaps.keys()
            if missing:
                cached.bitmaps |= await store.load_members(conn, workspace_id, missing)
            members |= {one: cached.bitmaps[one] for one in plain}
            self._keep(workspace_id, cached, plain)
        return members

    async def _snapshot_members(
        self, conn: asyncpg.Connection, workspace_id: WorkspaceId, name: str
    ) -> BitMap:
        """Return the members of a snapshot as the profiles that they are now.

        Raises InvalidField, NotFound.
        """
        taken = await store.load_snapshot(conn, workspace_id, name)
        if taken is None or taken.removed:
            raise NotFound("there is no such snapshot; ListSnapshots has the names")
        taken.check_readable(self._shards)
        members = {
            one: await store.load_members_at_token(conn, workspace_id, one, taken.token)
            for one in sorted(set(algebra.segments_in(taken.expression)))
        }
        merges = await store.load_merges(conn, workspace_id)
        return algebra.follow_merges(algebra.compute(taken.expression, members), merges)

    async def _followed(self, conn: asyncpg.Connection, workspace_id: WorkspaceId) -> _CachedSets:
        """Return the cached bitmaps of a workspace in the state that `conn` sees."""
        generation = await store.state_generation(conn)
        positions = await store.load_positions(conn, self._shards)
        cached = self._cached.get(workspace_id)
        is_usable = cached is not None and cached.generation == generation
        if cached is None or not is_usable or not await self._follow(conn, workspace_id, cached):
            return _CachedSets(generation, positions)
        cached.positions = positions
        return cached

    async def _follow(
        self, conn: asyncpg.Connection, workspace_id: WorkspaceId, cached: _CachedSets
    ) -> bool:
        """Add the changes since to the bitmaps; return False where these are to be read again."""
        changes: list[store.ChangedMember] = []
        for shard, first in enumerate(cached.positions):
            rest = MAX_FOLLOWED + 1 - len(changes)
            changes += await store.load_changed_members(conn, workspace_id, shard, first, rest)
            if len(changes) > MAX_FOLLOWED:
                return False
        # Several shards may have changed one membership: the ordinals have the order.
        for _, segment_id, entered, number in sorted(changes):
            bitmap = cached.bitmaps.get(segment_id)
            if bitmap is not None:
                (bitmap.add if entered else bitmap.discard)(number)
        return True

    def _keep(self, workspace_id: WorkspaceId, cached: _CachedSets, used: Collection[str]) -> None:
        """Cache the bitmaps of a workspace, and drop those that were not used for longest."""
        for segment_id in sorted(used):
            cached.bitmaps[segment_id] = bitmap = cached.bitmaps.pop(segment_id)
            cached.sizes[segment_id] = len(bitmap.serialize())
        self._cached[workspace_id] = cached
        self._cached.move_to_end(workspace_id)
        excess = self.cached_bytes - self._max_cached_bytes
        while excess > 0:
            oldest, own = next(iter(self._cached.items()))
            segment_id = next(iter(own.bitmaps))
            del own.bitmaps[segment_id]
            excess -= own.sizes.pop(segment_id)
            if not own.bitmaps:
                del self._cached[oldest]


async def _check_defined(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, segment_ids: Collection[str]
) -> None:
    if not segment_ids:
        return
    known = {own.segment_id for own in await load_followed(conn, workspace_id)}
    for segment_id in sorted(segment_ids):
        if segment_id not in known:
            raise NotFound(
                "a segment of the set is not defined; ListSegments has the ids of segments, values"
                " of tags and stages"
            )


async def _page(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, found: BitMap, after: int, limit: int
) -> SetPage:
    start = found.rank(after) if after >= 0 else 0
    numbers = list(found[start : start + limit]) if limit else []
    profiles = await store.profiles_numbered(conn, workspace_id, numbers) if numbers else []
    has_more = bool(limit) and start + limit < len(found)
    return SetPage(len(found), profiles, numbers[-1] if has_more else None)
