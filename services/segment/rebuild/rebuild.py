"""The state of segment, built anew from how everybody stands at profile.

Profile's standings are themselves a fold of the log and are proven by profile's own rebuild; so
nothing here is read from the live state of this service but what depends on when it was learnt:
since when members are in, and who is in a segment whose rule waits to be live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import asyncpg

from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.checkpoint import (
    Checkpoint,
    add_digest,
    load_checkpoints,
    save_checkpoint,
)
from services.chassis.projection.rebuild import StateSwap, differing_digest_rows
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import IdentityClient, ProjectionClient
from services.kernel.errors import InvalidField, ServiceUnavailable
from services.kernel.ids import ProfileId
from services.kernel.tokens import Token
from services.segment.codec import bus as wire
from services.segment.domain.membership import changes, newest, replaced_members
from services.segment.domain.model import Cause
from services.segment.projection.fold import digest_deltas
from services.segment.rebuild.resync import say_replaced
from services.segment.store import postgres as store
from services.segment.upstream import ProfileUpstream

PAGE = 2_000
#: Seconds to wait until the live state has taken in what the first reading may have seen.
PATIENCE = 120.0


class SegmentRebuilder:
    """See chassis.rebuild.Rebuilder."""

    def __init__(
        self,
        upstream: ProfileUpstream,
        profile: ProjectionClient,
        people: IdentityClient,
        live: Database,
        runner: ProjectionRunner,
    ) -> None:
        self._upstream = upstream
        self._profile = profile
        self._people = people
        self._live = live
        self._runner = runner

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        until: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """See chassis.rebuild.Rebuilder."""
        seen = await self._build(pool, until, shards, progress)
        # Only from there on is there a token at which both can stand.
        await self._runner.wait_for(seen, PATIENCE)

    async def upstream_head(self) -> Token:
        """See chassis.rebuild.Replacer."""
        return await self._profile.reached()

    async def build(
        self, pool: asyncpg.Pool, until: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """See chassis.rebuild.Replacer."""
        await self._build(pool, until, len(until.offsets), progress)

    async def difference(
        self, conn: asyncpg.Connection, replaced: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """See chassis.rebuild.Replacer."""
        facts = {p.shard: await self._upstream.facts(p.shard) for p in replaced.after}
        return await say_replaced(conn, replaced, facts, self._people)

    async def _build(
        self, pool: asyncpg.Pool, until: Token, shards: int, progress: Callable[[int], None]
    ) -> Token:
        """Fold up to `until`; the state of which something may have been seen."""
        async with acquire(pool) as conn:
            positions = await load_checkpoints(conn)
        everybody = not any(p.next or p.log_offset for p in positions)
        touched: set[ProfileId] = set()
        seen = Token()
        if everybody:
            positions, seen = await self._read_all(pool, positions, shards)
        for position in positions:
            goal = until.offset(position.shard)
            followed, defined = await self._follow(pool, position, goal, shards, progress)
            touched |= followed
            everybody |= defined
        await self._decide(pool, None if everybody else sorted(touched), shards)
        await self._keep_frozen(pool, shards)
        return seen

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """Members stay in since they came; caches of definitions are outdated."""
        await conn.execute(
            f"UPDATE {new}.membership n SET since_us = l.since_us,"
            f" segment_version = l.segment_version FROM {live}.membership l"
            " WHERE l.profile_id = n.profile_id AND l.segment_id = n.segment_id"
        )
        await conn.execute(
            f"UPDATE {new}.revision SET value = (SELECT value + 1 FROM {live}.revision)"
        )

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """See chassis.rebuild.Rebuilder."""
        key = "segment_id || ' ' || encode(profile_id, 'hex')"
        columns = "workspace_id, segment_id, profile_id"
        return await differing_digest_rows(conn, live, new, "membership", key, columns, limit)

    async def _read_all(
        self, pool: asyncpg.Pool, positions: Sequence[Checkpoint], shards: int
    ) -> tuple[list[Checkpoint], Token]:
        """Take in how everybody stands; from where to follow on, and what may have been seen.

        The shards are read one after another while profile goes on. So each is followed from where
        it stood before the first was read.
        """
        starts = [await self._upstream.following(p.shard) for p in positions]
        for position in positions:
            async for told in self._upstream.standings(position.shard):
                await self._take(pool, position.shard, told, told.evaluations, shards)
        ends = [await self._upstream.following(p.shard) for p in positions]
        following = [
            Checkpoint(p.shard, sequence, 0, offset, time_us)
            for p, (sequence, offset, time_us) in zip(positions, starts, strict=True)
        ]
        return following, Token(tuple(offset for _, offset, _ in ends))

    async def _follow(
        self,
        pool: asyncpg.Pool,
        position: Checkpoint,
        goal: int,
        shards: int,
        progress: Callable[[int], None],
    ) -> tuple[set[ProfileId], bool]:
        """Take in what a shard said up to an offset of the log.

        The profiles it was about, and whether it was about definitions, and so about everybody.
        """
        touched: set[ProfileId] = set()
        defined = False
        at = position
        async with aclosing(self._upstream.read(position.shard, position.next, 0)) as messages:
            async for message in messages:
                told = wire.profiles_changed(message.payload)
                if told.log_offset > goal:
                    break
                defined |= await self._take(pool, at.shard, told, told.changes, shards)
                touched.update(ProfileId(c.profile_id) for c in told.changes)
                progress(max(0, told.log_offset - at.log_offset))
                at = Checkpoint(at.shard, message.next, 0, told.log_offset, told.log_time_us)
        # The first reading may be ahead of a goal that was set before it; the next goal is not.
        if at.log_offset < goal:
            raise ServiceUnavailable(f"profile has not said all of shard {at.shard} yet; try again")
        async with transaction(pool) as conn:
            await save_checkpoint(conn, at)
        return touched, defined

    async def _take(
        self, pool: asyncpg.Pool, shard: int, told: Any, changed: Iterable[Any], shards: int
    ) -> bool:
        """Keep definitions, live predicates and standings; the newest of each wins.

        Answers whether there was anything but standings.
        """
        definitions = [fact for fact in told.broadcast_facts if fact.kind == wire.SEGMENT_DEFINED]
        async with transaction(pool) as conn:
            for fact in definitions:
                # What the live state could not read is not in it either.
                with suppress(InvalidField):
                    await store.keep_definition(conn, fact)
            if told.backfilled_predicates:
                workspace_id = told.backfilled_workspace_id
                await store.save_live(conn, workspace_id, told.backfilled_predicates, shard)
            standings = [wire.standing(change) for change in changed]
            if standings:
                known = await store.load_standings(conn, [s.profile_id for s in standings])
                await store.save_standings(conn, newest(standings, known), shards)
        return bool(definitions or told.backfilled_predicates)

    async def _decide(
        self, pool: asyncpg.Pool, touched: Sequence[ProfileId] | None, shards: int
    ) -> None:
        """Let profiles enter and leave; all of them where `touched` is None."""
        async with acquire(pool) as conn:
            profiles = touched
            if profiles is None:
                profiles = [r["profile_id"] for r in await conn.fetch(store.Q.all_profiles)]
        for start in range(0, len(profiles), PAGE):
            await self._decide_page(pool, profiles[start : start + PAGE], shards)
            await asyncio.sleep(0)

    async def _decide_page(
        self, pool: asyncpg.Pool, page: Sequence[ProfileId], shards: int
    ) -> None:
        async with transaction(pool) as conn:
            rulebook = await store.load_rulebook(conn, await _log_shards(conn))
            standings = list((await store.load_standings(conn, page)).values())
            present = await store.load_memberships(conn, page)
            found = changes(standings, present, rulebook, Cause.DEFINITION)
            if found:
                await store.save_changes(conn, found, shards)
                await add_digest(conn, 0, digest_deltas(found))

    async def _keep_frozen(self, pool: asyncpg.Pool, shards: int) -> None:
        """Nobody enters or leaves a segment whose rule is not live: who is in it, the past tells.

        So its members are those of the live state, as far as they still are somebody.
        """
        async with acquire(pool) as conn:
            rulebook = await store.load_rulebook(conn, await _log_shards(conn))
        for workspace_id, segment_id in sorted(rulebook.frozen):
            async with acquire(self._live.pool) as conn:
                kept = await store.load_segment(conn, workspace_id, segment_id)
            async with transaction(pool) as conn:
                known = await store.load_segment(conn, workspace_id, segment_id)
                present = await store.present(conn, [m.profile_id for m in kept])
                kept = [m for m in kept if m.profile_id in present]
                found = replaced_members(known, kept)
                await store.save_changes(conn, found, shards)
                await add_digest(conn, 0, digest_deltas(found))


async def _log_shards(conn: asyncpg.Connection) -> int:
    return len(await load_checkpoints(conn))
