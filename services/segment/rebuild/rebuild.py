"""Rebuilds segment's state from profile's evaluations.

Profile's evaluations are a fold of the log themselves, and profile's own rebuild proves them. Only
what depends on when it was learnt is read from the live state: when members entered, and the
members of pending segments.
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
from services.segment.codec.bus import decode_profiles_changed, evaluation_from_proto
from services.segment.codec.definitions import SEGMENT_DEFINED, decode_definition
from services.segment.domain.membership import differing_members, newer_evaluations
from services.segment.domain.model import MembershipCause, MembershipChange
from services.segment.projection.changes import decide, digest_deltas
from services.segment.rebuild.resync import publish_difference
from services.segment.store import definitions, evaluations, memberships
from services.segment.upstream import ProfileUpstream

#: Profiles that are decided in one transaction.
PAGE = 2_000
#: Seconds to wait until the live state includes what the first reading may have seen.
LIVE_TIMEOUT_S = 120.0


class SegmentRebuilder:
    """See `Rebuilder` and `Resync`."""

    def __init__(
        self,
        upstream: ProfileUpstream,
        profile_client: ProjectionClient,
        identity_client: IdentityClient,
        live: Database,
        runner: ProjectionRunner,
    ) -> None:
        self._upstream = upstream
        self._profile_client = profile_client
        self._identity_client = identity_client
        self._live = live
        self._runner = runner

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        end: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """See `Rebuilder`."""
        seen = await self._build(pool, end, shards, progress)
        # Before that no token exists that both states can be at.
        await self._runner.wait_for(seen, LIVE_TIMEOUT_S)

    async def upstream_head(self) -> Token:
        """See `Resync`."""
        return await self._profile_client.reached()

    async def build(
        self, pool: asyncpg.Pool, end: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """See `Resync`."""
        await self._build(pool, end, len(end.offsets), progress)

    async def difference(
        self, conn: asyncpg.Connection, swap: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """See `Resync`."""
        facts = {at.shard: await self._upstream.broadcast_facts(at.shard) for at in swap.after}
        return await publish_difference(conn, swap, facts, self._identity_client)

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """See `Rebuilder`: members keep their entries, and caches of definitions are outdated."""
        await memberships.carry_over_memberships(conn, live, new)
        await definitions.bump_revision(conn, schema=new)

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """See `Rebuilder`."""
        key = "segment_id || ' ' || encode(profile_id, 'hex')"
        columns = "workspace_id, segment_id, profile_id"
        return await differing_digest_rows(conn, live, new, "membership", key, columns, limit)

    async def _build(
        self, pool: asyncpg.Pool, end: Token, shards: int, progress: Callable[[int], None]
    ) -> Token:
        """Fold up to `end`; return the token that what was read may be ahead to."""
        async with acquire(pool) as conn:
            checkpoints = await load_checkpoints(conn)
        decide_all = not any(at.next or at.log_offset for at in checkpoints)
        changed: set[ProfileId] = set()
        seen = Token()
        if decide_all:
            checkpoints, seen = await self._read_evaluations(pool, checkpoints, shards)
        for at in checkpoints:
            profiles, has_definitions = await self._follow(
                pool, at, end.offset(at.shard), shards, progress
            )
            changed |= profiles
            decide_all |= has_definitions
        await self._decide(pool, None if decide_all else sorted(changed), shards)
        await self._copy_pending_segments(pool, shards)
        return seen

    async def _read_evaluations(
        self, pool: asyncpg.Pool, checkpoints: Sequence[Checkpoint], shards: int
    ) -> tuple[list[Checkpoint], Token]:
        """Save all current evaluations; return from where to follow, and what may have been seen.

        The shards are read one after another while profile continues. So each is followed from its
        checkpoint before the first was read.
        """
        starts = [await self._upstream.checkpoint(at.shard) for at in checkpoints]
        for at in checkpoints:
            async for response in self._upstream.evaluations(at.shard):
                await self._save(pool, at.shard, response, response.evaluations, shards)
        ends = [await self._upstream.checkpoint(at.shard) for at in checkpoints]
        following = [
            Checkpoint(at.shard, start.next_sequence, 0, start.log_offset, start.log_time_us)
            for at, start in zip(checkpoints, starts, strict=True)
        ]
        return following, Token(tuple(end.log_offset for end in ends))

    async def _follow(
        self,
        pool: asyncpg.Pool,
        at: Checkpoint,
        end_offset: int,
        shards: int,
        progress: Callable[[int], None],
    ) -> tuple[set[ProfileId], bool]:
        """Save the messages of a shard up to an offset of the log.

        Return the profiles that changed, and whether definitions or ready predicates did, which
        concern all profiles.
        """
        changed: set[ProfileId] = set()
        has_definitions = False
        async with aclosing(self._upstream.read(at.shard, at.next, 0)) as messages:
            async for message in messages:
                decoded = decode_profiles_changed(message.payload)
                if decoded.log_offset > end_offset:
                    break
                has_definitions |= await self._save(
                    pool, at.shard, decoded, decoded.changes, shards
                )
                changed.update(ProfileId(c.profile_id) for c in decoded.changes)
                progress(max(0, decoded.log_offset - at.log_offset))
                at = Checkpoint(at.shard, message.next, 0, decoded.log_offset, decoded.log_time_us)
        # The first reading may be ahead of an end that was set before it; the next end is not.
        if at.log_offset < end_offset:
            raise ServiceUnavailable(
                f"profile has not published all of shard {at.shard} yet; try again"
            )
        async with transaction(pool) as conn:
            await save_checkpoint(conn, at)
        return changed, has_definitions

    async def _save(
        self, pool: asyncpg.Pool, shard: int, message: Any, changes: Iterable[Any], shards: int
    ) -> bool:
        """Save definitions, ready predicates and evaluations; the newest version of each wins.

        Return whether there was anything but evaluations.
        """
        defined = [fact for fact in message.broadcast_facts if fact.kind == SEGMENT_DEFINED]
        async with transaction(pool) as conn:
            for fact in defined:
                # The live state skips malformed definitions too.
                with suppress(InvalidField):
                    definition = decode_definition(fact.workspace_id, fact.payload)
                    await definitions.save_definition(conn, definition, fact.payload)
            if message.backfilled_predicates:
                workspace_id, ids = message.backfilled_workspace_id, message.backfilled_predicates
                await definitions.save_ready_predicates(conn, workspace_id, ids, shard)
            read = [evaluation_from_proto(change) for change in changes]
            if read:
                profiles = [e.profile_id for e in read]
                stored = await evaluations.load_evaluations(conn, profiles)
                await evaluations.save_evaluations(conn, newer_evaluations(read, stored), shards)
        return bool(defined or message.backfilled_predicates)

    async def _decide(
        self, pool: asyncpg.Pool, profiles: Sequence[ProfileId] | None, shards: int
    ) -> None:
        """Decide the memberships of these profiles; None = of all."""
        if profiles is None:
            async with acquire(pool) as conn:
                profiles = await evaluations.load_all_profiles(conn)
        for start in range(0, len(profiles), PAGE):
            async with transaction(pool) as conn:
                segments = await definitions.load_active_segments(conn, await _log_shards(conn))
                page = await evaluations.load_evaluations(conn, profiles[start : start + PAGE])
                changes = await decide(
                    conn, list(page.values()), segments, MembershipCause.DEFINITION
                )
                await _save_changes(conn, changes, shards)
            await asyncio.sleep(0)

    async def _copy_pending_segments(self, pool: asyncpg.Pool, shards: int) -> None:
        """Copy the members of pending segments from the live state, where the profiles exist.

        No profile enters or leaves a pending segment, so its members depend on the past alone.
        """
        async with acquire(pool) as conn:
            segments = await definitions.load_active_segments(conn, await _log_shards(conn))
        for workspace_id, segment_id in sorted(segments.pending):
            async with acquire(self._live.pool) as conn:
                live = await memberships.load_members(conn, workspace_id, segment_id)
            async with transaction(pool) as conn:
                existing = await memberships.load_members(conn, workspace_id, segment_id)
                profiles = await evaluations.existing_profiles(conn, [m.profile_id for m in live])
                expected = [m for m in live if m.profile_id in profiles]
                await _save_changes(conn, differing_members(existing, expected), shards)


async def _save_changes(
    conn: asyncpg.Connection, changes: Sequence[MembershipChange], shards: int
) -> None:
    await memberships.save_changes(conn, changes, shards)
    await add_digest(conn, 0, digest_deltas(changes))


async def _log_shards(conn: asyncpg.Connection) -> int:
    return len(await load_checkpoints(conn))
