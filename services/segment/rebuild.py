"""Rebuilds segment's state from profile's evaluations.

Profile's evaluations are a fold of the log themselves, and profile's own rebuild proves them. Only
what depends on when it was learnt is read from the live state: when members entered, and the
members of pending segments.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.checkpoint import (
    Checkpoint,
    add_digest,
    load_checkpoints,
    save_checkpoint,
)
from services.chassis.projection.differing_rows import differing_table_rows
from services.chassis.projection.failed_facts import load_left_out_units
from services.chassis.projection.rebuild import StateSwap
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import IdentityClient, ProjectionClient
from services.kernel.errors import InvalidField, ServiceUnavailable
from services.kernel.ids import ProfileId, WorkspaceId, shard_of
from services.kernel.tokens import Token
from services.segment.codec.bus import (
    decode_profiles_changed,
    dropped_predicates,
    evaluation_from_proto,
)
from services.segment.codec.units import LeftOut, left_out_of
from services.segment.domain.membership import differing_members, mark_merges, newer_evaluations
from services.segment.domain.model import MembershipCause, MembershipChange, ProfileEvaluation
from services.segment.projection.changes import decide, digest_deltas, publish
from services.segment.projection.upstream import ProfileUpstream
from services.segment.store import definitions, evaluations, memberships
from services.segment.store.sets import save_snapshots

#: Profiles that are decided in one transaction, and changes in one published message.
PAGE = 2_000
#: Seconds to wait until the live state includes what the first reading may have seen.
LIVE_TIMEOUT_S = 120.0
#: Seconds to wait until profile has published how far it is.
POSITION_S = 60.0


@dataclass(frozen=True)
class SegmentRebuilder:
    """See `Rebuilder` and `Resync`."""

    upstream: ProfileUpstream
    profile_client: ProjectionClient
    identity_client: IdentityClient
    live: Database
    runner: ProjectionRunner

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
        seen = await _StateBuild(self.upstream, self.live, pool, shards, progress).run(end)
        # Before that no token exists that both states can be at.
        await self.runner.wait_for(seen, LIVE_TIMEOUT_S)

    async def upstream_head(self) -> Token:
        return await self.profile_client.reached()

    async def build(
        self, pool: asyncpg.Pool, end: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """See `Resync`."""
        await _StateBuild(self.upstream, self.live, pool, len(end.offsets), progress).run(end)

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """See `Rebuilder`: members keep their entries, and caches of definitions are outdated."""
        await memberships.carry_over_memberships(conn, live, new)
        await definitions.bump_revision(conn, schema=new)

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """See `Rebuilder`."""
        rows: list[str] = []
        profile = "encode(profile_id, 'hex')"
        # Not the versions of evaluations: a profile that was rebuilt has others, and publishes only
        # the evaluations that differ.
        for table, key, columns in (
            ("membership", f"segment_id || ' ' || {profile}", "workspace_id"),
            ("current_evaluation", profile, "workspace_id, true_predicates"),
            (
                "definition",
                "workspace_id || ' ' || kind || ' ' || definition_id",
                "version, payload",
            ),
            ("snapshot", "workspace_id || ' ' || name", "version, payload"),
        ):
            rows += await differing_table_rows(conn, live, new, table, key, columns, limit)
        return rows

    async def difference(
        self, conn: asyncpg.Connection, swap: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """See `Resync`.

        Each membership that differs is published once, with the next ordinal: entries and exits in
        between were never published. The broadcast facts that the old state has not published come
        first, so that consumers know new destinations before the changes.
        """
        facts = [(await self.upstream.first_page(at.shard)).broadcast_facts for at in swap.after]
        changes = await _load_changes(conn, swap, self.identity_client)
        changes = await memberships.assign_ordinals(conn, changes)
        await memberships.carry_over_memberships(conn, swap.live, swap.new, changes)
        await definitions.bump_revision(conn)
        by_shard: dict[int, list[MembershipChange]] = defaultdict(list)
        for change in changes:
            by_shard[shard_of(change.profile_id, len(swap.after))].append(change)
        outputs: dict[int, Sequence[OutboxMessage]] = {}
        for before, after, known in zip(swap.before, swap.after, facts, strict=True):
            missed = [f for f in known if before.log_offset <= f.offset < after.log_offset]
            await fold_access_facts(conn, missed)
            shard_changes = by_shard[after.shard]
            outputs[after.shard] = await _publish_shard(conn, before, after, missed, shard_changes)
        return outputs


@dataclass(frozen=True)
class _StateBuild:
    """Folds a new state, as if the log had `shards` shards; `pool` sees its schema."""

    upstream: ProfileUpstream
    live: Database
    pool: asyncpg.Pool
    shards: int
    progress: Callable[[int], None]

    async def run(self, end: Token) -> Token:
        """Fold up to `end`; return the highest token that the evaluations read may include."""
        async with acquire(self.pool) as conn:
            checkpoints = await load_checkpoints(conn)
            left_out = left_out_of(await load_left_out_units(conn))
        decide_all = not any(at.next or at.log_offset for at in checkpoints)
        changed: set[ProfileId] = set()
        seen = Token()
        if decide_all:
            checkpoints, seen = await self._read_evaluations(checkpoints, left_out)
        for at in checkpoints:
            profiles, has_definitions = await self._follow(at, end.offset(at.shard), left_out)
            changed |= profiles
            decide_all |= has_definitions
        changed |= await self._copy_left_out(left_out)
        await self._decide(None if decide_all else sorted(changed), len(checkpoints))
        await self._copy_pending_segments(len(checkpoints))
        return seen

    async def _read_evaluations(
        self, checkpoints: Sequence[Checkpoint], left_out: LeftOut
    ) -> tuple[list[Checkpoint], Token]:
        """Save all current evaluations; return where to continue, and the highest token included.

        The shards are read one after another while profile continues. So each is followed from its
        checkpoint before the first was read.
        """
        starts = [await self._upstream_checkpoint(at.shard) for at in checkpoints]
        for at in checkpoints:
            async for response in self.upstream.evaluations(at.shard):
                await self._save(at.shard, response, response.evaluations, left_out)
        ends = [await self._upstream_checkpoint(at.shard) for at in checkpoints]
        return starts, Token(tuple(end.log_offset for end in ends))

    async def _upstream_checkpoint(self, shard: int) -> Checkpoint:
        page = await self.upstream.first_page(shard)
        return Checkpoint(shard, page.next_sequence, 0, page.log_offset, page.log_time_us)

    async def _follow(
        self, at: Checkpoint, end_offset: int, left_out: LeftOut
    ) -> tuple[set[ProfileId], bool]:
        """Save the messages of a shard up to an offset of the log.

        Return the profiles that changed, and whether definitions or ready predicates did, which
        concern all profiles.
        """
        changed: set[ProfileId] = set()
        has_definitions = False
        until_s = time.monotonic() + POSITION_S
        while True:
            async with aclosing(self.upstream.read(at.shard, at.next, 0)) as messages:
                async for message in messages:
                    decoded = decode_profiles_changed(message.payload)
                    if decoded.log_offset > end_offset:
                        until_s = 0.0
                        break
                    is_definition = await self._save(at.shard, decoded, decoded.changes, left_out)
                    has_definitions |= is_definition
                    changed.update(ProfileId(c.profile_id) for c in decoded.changes)
                    self.progress(max(0, decoded.log_offset - at.log_offset))
                    at = Checkpoint(
                        at.shard,
                        message.next,
                        0,
                        decoded.log_offset,
                        decoded.log_time_us,
                        upstream_life=message.life,
                    )
            if at.log_offset >= end_offset or time.monotonic() > until_s:
                break
            # Where nothing changes, profile soon publishes how far it is.
            await asyncio.sleep(0.1)
        # The first reading may be ahead of an end that was set before it; the next end is not.
        if at.log_offset < end_offset:
            raise ServiceUnavailable(
                f"profile has not published all of shard {at.shard} yet; try again"
            )
        async with transaction(self.pool) as conn:
            await save_checkpoint(conn, at)
        return changed, has_definitions

    async def _copy_left_out(self, left_out: LeftOut) -> set[ProfileId]:
        """Copy the evaluations from the live state that it has of profiles whose newer ones it
        could not fold; return these profiles."""
        if not left_out.profiles:
            return set()
        async with acquire(self.live.pool) as conn:
            live = await evaluations.load_evaluations(conn, sorted(left_out.profiles))
        async with transaction(self.pool) as conn:
            await evaluations.save_evaluations(conn, list(live.values()), self.shards)
        return left_out.profiles

    async def _save(
        self, shard: int, message: Any, changes: Iterable[Any], left_out: LeftOut
    ) -> bool:
        """Save definitions, ready predicates and evaluations; the newest version of each wins.

        Return whether there was anything but evaluations.
        """
        dropped = dropped_predicates(message)
        changes = [one for one in changes if one.profile_id not in left_out.profiles]
        facts = [fact for fact in message.broadcast_facts if fact.fact_id not in left_out.facts]
        defined = [fact for fact in facts if fact.kind in definitions.DEFINITION_KINDS]
        async with transaction(self.pool) as conn:
            for fact in defined:
                # The live state skips malformed definitions too.
                with suppress(InvalidField):
                    await definitions.save_definition(conn, fact)
            await save_snapshots(conn, facts)
            workspace_id, ids = message.backfilled_workspace_id, message.backfilled_predicates
            if dropped:
                await definitions.delete_ready_predicates(conn, workspace_id, dropped, shard)
            if ids:
                ids = [one for one in ids if (workspace_id, one) not in left_out.predicates]
                await definitions.save_ready_predicates(conn, workspace_id, ids, shard)
            read = [evaluation_from_proto(change) for change in changes]
            if read:
                stored = await evaluations.load_versions(conn, [e.profile_id for e in read])
                newer = newer_evaluations(read, stored)
                await evaluations.save_evaluations(conn, newer, self.shards, stored)
        return bool(defined or ids or dropped)

    async def _decide(self, profiles: Sequence[ProfileId] | None, log_shards: int) -> None:
        """Decide the memberships of these profiles; None = of all."""
        async for ids in self._pages_of(profiles):
            async with transaction(self.pool) as conn:
                segments = await definitions.load_active_segments(conn, log_shards)
                stored = await evaluations.load_evaluations(conn, ids)
                page, cause = list(stored.values()), MembershipCause.DEFINITION
                await self._save_changes(conn, await decide(conn, page, segments, cause))
            await asyncio.sleep(0)

    async def _pages_of(
        self, profiles: Sequence[ProfileId] | None
    ) -> AsyncIterator[Sequence[ProfileId]]:
        """Yield profiles page by page; None = all that have an evaluation."""
        if profiles is not None:
            for start in range(0, len(profiles), PAGE):
                yield profiles[start : start + PAGE]
            return
        after = b""
        while True:
            async with acquire(self.pool) as conn:
                page = await evaluations.load_profiles_after(conn, after, PAGE)
            if not page:
                return
            yield page
            after = page[-1]

    async def _copy_pending_segments(self, log_shards: int) -> None:
        """Copy the members of pending segments from the live state, where the profiles exist.

        No profile enters or leaves a pending segment, so its members depend on the past alone.
        """
        async with acquire(self.pool) as conn:
            segments = await definitions.load_active_segments(conn, log_shards)
        for workspace_id, segment_id in sorted(segments.pending):
            async with acquire(self.live.pool) as conn:
                live = await memberships.load_entries(conn, workspace_id, segment_id)
            async with transaction(self.pool) as conn:
                existing = await memberships.load_entries(conn, workspace_id, segment_id)
                profiles = await evaluations.existing_profiles(conn, [e.profile_id for e in live])
                expected = [entry for entry in live if entry.profile_id in profiles]
                await self._save_changes(conn, differing_members(existing, expected))

    async def _save_changes(
        self, conn: asyncpg.Connection, changes: Sequence[MembershipChange]
    ) -> None:
        await memberships.save_changes(conn, changes, self.shards)
        await add_digest(conn, 0, digest_deltas(changes))


async def _load_changes(
    conn: asyncpg.Connection, swap: StateSwap, identity_client: IdentityClient
) -> list[MembershipChange]:
    """Return the entries and exits; those that belong to a merge are marked on both sides."""
    now_us = max(at.log_time_us for at in swap.after)
    differences = await memberships.load_difference(conn, swap.live, swap.new, now_us)
    missing: dict[WorkspaceId, set[ProfileId]] = defaultdict(set)
    for change, profile_exists in differences:
        if not profile_exists:
            missing[change.workspace_id].add(change.profile_id)
    merged: list[ProfileEvaluation] = []
    for workspace_id, profiles in missing.items():
        current = await identity_client.current_profiles(workspace_id, sorted(profiles))
        merged += [
            ProfileEvaluation(workspace_id, old, 0, frozenset(), into, now_us)
            for old, into in current.items()
            if into != old
        ]
    targets = [e.merged_into for e in merged if e.merged_into is not None]
    live = await memberships.load_memberships(conn, targets, schema=swap.live)
    return mark_merges([change for change, _ in differences], merged, live)


async def _publish_shard(
    conn: asyncpg.Connection,
    before: Checkpoint,
    after: Checkpoint,
    facts: Sequence[Any],
    changes: Sequence[MembershipChange],
) -> Sequence[OutboxMessage]:
    """Return the messages of a shard; only the last one has the log offset of the new state."""
    outputs: list[OutboxMessage] = []
    for sequence, start in enumerate(range(0, max(len(changes), 1), PAGE), before.next_output):
        at = after if start + PAGE >= len(changes) else before
        output = await publish(
            conn,
            after.shard,
            sequence,
            changes[start : start + PAGE],
            () if start else facts,
            log_offset=at.log_offset,
            log_time_us=at.log_time_us,
            reached_offset=before.log_offset,
        )
        outputs.append(output)
    return outputs
