"""Folds evaluations of profiles into membership changes: load, decide, save."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import asyncpg
import structlog

from services.chassis.access.tables import fold_access_facts
from services.chassis.codec.erasures import erasures_in
from services.chassis.codec.named_rules import NAMED_KINDS
from services.chassis.messaging.stream import (
    Batch,
    FoldResult,
    FoldUnit,
    OutboxMessage,
    StreamMessage,
)
from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.erased_rows import save_erased_rows
from services.chassis.projection.failed_facts import delete_units
from services.chassis.projection.parked_facts import fold_parked_facts
from services.chassis.runtime.cpu import UNCOUNTED, ItemWatch
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.rules.ids import predicate_id, predicates
from services.segment.codec.bus import (
    decode_profiles_changed,
    encode_memberships_changed,
    evaluation_from_proto,
    passed_on,
    split_at_facts,
)
from services.segment.codec.units import UNITS
from services.segment.domain import membership
from services.segment.domain.membership import ActiveSegments
from services.segment.domain.model import MembershipCause, MembershipChange, ProfileEvaluation
from services.segment.projection import changes as decisions
from services.segment.store import definitions
from services.segment.store import evaluations as store
from services.segment.store.erasure import delete_memberships, delete_published
from services.segment.store.memberships import last_causes
from services.segment.store.sets import save_snapshots

log = structlog.get_logger(__name__)

#: A workspace with at most so many profiles in a shard is re-evaluated before its tokens include
#: the definition. The tokens of all workspaces wait for that, so it takes a second at most.
BLOCKING_PROFILES = 2_000


class SegmentProjection:
    """The projection of this service.

    A definition, or the last predicate that a segment waits for, schedules a backfill that
    re-evaluates every profile of the workspace; a new definition that waits for predicates
    schedules none. It blocks the tokens of a shard where the workspace is small there: then a token
    is reached only after the definitions before it have been carried out. Of a larger workspace,
    `live` of the segment shows that.
    """

    def __init__(
        self,
        shards: int,
        *,
        on_access: Callable[[], None],
        on_published: Callable[[float], None] = lambda _seconds: None,
        watch: ItemWatch = UNCOUNTED,
    ) -> None:
        """`on_published` is called for every committed change with its latency: the seconds since
        the log received the facts that led to it."""
        self._shards = shards
        self._on_access = on_access
        self._on_published = on_published
        self._watch = watch
        #: By shard, the instants of the changes of the open transaction that time did not make.
        self._uncommitted: dict[int, list[int]] = {}
        #: The revision of the cached segments, and the segments.
        self._cached: tuple[int, ActiveSegments] | None = None

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch, up to the first message after others that has definitions.

        So what was evaluated before a definition is no cause of what the definition changes.
        """
        decoded = [decode_profiles_changed(m.payload) for m in batch.messages]
        decoded = decoded[: split_at_facts(decoded, definitions.DEFINITION_KINDS)]
        end = batch.messages[len(decoded) - 1].next
        messages = [
            UNITS.without(message, at.first, batch.left_out)
            for at, message in zip(batch.messages, decoded, strict=False)
        ]
        facts = [fact for message in messages for fact in message.broadcast_facts]
        sweeps = await self._register(conn, batch.shard, messages, facts)
        evaluations = [evaluation_from_proto(c) for m in messages for c in m.changes]
        changes, deleted = await self._apply_evaluations(conn, evaluations)
        await self._fold_facts(conn, batch.shard, facts, end)
        # A unit that is folded late comes from an older message.
        log_offset = max(batch.log_offset, messages[-1].log_offset)
        log_time_us = max(batch.log_time_us, messages[-1].log_time_us)
        blocking = await self._blocking(conn, sweeps)
        is_blocked = batch.is_withheld or any(shard == batch.shard for shard, _ in blocking)
        passed = passed_on(messages)
        outputs = await self._pass_on(conn, batch, passed[:-1])
        if changes or facts or passed:
            # Profile may have come further without a message before the first that has changes.
            begins = min((m.from_log_offset for m in decoded if m.changes), default=0)
            output = await decisions.publish(
                conn,
                batch.shard,
                batch.next_output + len(outputs),
                changes,
                facts,
                passed=b"".join(passed[-1:]),
                log_offset=batch.log_offset if is_blocked else log_offset,
                log_time_us=log_time_us,
                reached_offset=max(batch.log_offset, begins),
            )
            outputs.append(output)
        self._uncommitted[batch.shard] = _event_instants(changes)
        for workspace_id, shards in sorted(sweeps.items()):
            # A sweep uses the newest definitions, so every request has the same version.
            for shard in sorted(shards):
                await schedule(
                    conn,
                    [shard],
                    decisions.REEVALUATION,
                    workspace_id,
                    version=0,
                    blocking=(shard, workspace_id) in blocking,
                )
        return FoldResult(
            end,
            log_offset,
            log_time_us,
            tuple(outputs),
            decisions.digest_deltas([*deleted, *changes]),
        )

    async def _fold_facts(
        self, conn: asyncpg.Connection, shard: int, facts: Sequence[Any], end: int
    ) -> None:
        """Fold snapshots, erasures, parked facts and keys; `end`: of the messages of the facts."""
        await save_snapshots(conn, facts)
        for erasure in erasures_in(facts):
            rows = await delete_published(conn, shard, erasure)
            await save_erased_rows(conn, erasure, shard, rows)
            is_erased = partial(UNITS.names, ids=erasure.ids)
            await delete_units(conn, shard, erasure.workspace_id, end, is_erased)
        await fold_parked_facts(conn, "segment", shard, facts)
        if await fold_access_facts(conn, facts):
            self._on_access()

    async def _pass_on(
        self, conn: asyncpg.Connection, batch: Batch, parts: Iterable[bytes]
    ) -> list[OutboxMessage]:
        """Publish what is passed on, as far as it does not fit into the last message."""
        return [
            await decisions.publish(
                conn,
                batch.shard,
                sequence,
                (),
                passed=part,
                log_offset=batch.log_offset,
                log_time_us=batch.log_time_us,
                reached_offset=batch.log_offset,
            )
            for sequence, part in enumerate(parts, batch.next_output)
        ]

    def units(self, message: StreamMessage, first: int) -> list[FoldUnit]:
        """Return the units of a message; see `Isolating`."""
        return UNITS.units_of(message)

    def position(
        self, shard: int, sequence: int, log_offset: int, log_time_us: int
    ) -> OutboxMessage:
        """Return the message without changes; see `Positioned`."""
        payload = encode_memberships_changed(
            shard, sequence, (), (), log_offset=log_offset, log_time_us=log_time_us
        )
        return OutboxMessage(sequence, sequence + 1, payload)

    async def backfill_step(
        self, conn: asyncpg.Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        """Re-evaluate one page of profiles; see `Backfilling`."""
        step, changes = await decisions.reevaluate_page(
            conn, self.load_segments, job, at, self._shards
        )
        self._uncommitted[job.shard] = _event_instants(changes)
        return step

    def committed(self, shard: int) -> None:
        """Report the latency of the changes that a shard has committed."""
        now = time.time()
        for changed_at_us in self._uncommitted.pop(shard, ()):
            # A log clock that is ahead of this one yields no latency.
            if changed_at_us <= now * 1e6:
                self._on_published(now - changed_at_us / 1e6)

    async def load_segments(self, conn: asyncpg.Connection) -> ActiveSegments:
        """Return the current segments, from a cache where they have not changed.

        Call this while holding the locks of the profiles to be decided: only then is every
        definition visible that the previous lock holder has used.
        """
        revision = await conn.fetchval(definitions.Q.load_revision)
        if self._cached is None or self._cached[0] != revision:
            segments = await definitions.load_active_segments(conn, self._shards)
            self._cached = (revision, segments)
        return self._cached[1]

    async def _register(
        self, conn: asyncpg.Connection, shard: int, messages: Sequence[Any], facts: Sequence[Any]
    ) -> dict[WorkspaceId, set[int]]:
        """Save definitions and ready predicates; return the shards to sweep, by workspace."""
        sweeps: dict[WorkspaceId, set[int]] = defaultdict(set)
        defined = [fact for fact in facts if fact.kind in definitions.DEFINITION_KINDS]
        changed = [m for m in messages if m.backfilled_predicates or m.dropped_predicates]
        if not defined and not changed:
            return sweeps
        # One worker at a time: of two that each save the last predicate of a segment on their
        # shard, the second must see what the first has saved.
        await store.lock_definitions(conn)
        is_changed = False
        for fact in defined:
            try:
                is_saved = await definitions.save_definition(conn, fact)
            except InvalidField:
                log.warning("definition_skipped", kind=fact.kind, offset=fact.offset)
                continue
            is_changed |= is_saved
            if await definitions.waits_for_backfill(conn, fact, self._shards):
                continue
            # Every shard sweeps at its own copy of the definition; most journeys need no members.
            if fact.kind in NAMED_KINDS or is_saved or await definitions.needs_members(conn, fact):
                sweeps[WorkspaceId(fact.workspace_id)].add(shard)
        for message in changed:
            workspace_id = WorkspaceId(message.backfilled_workspace_id)
            dropped = frozenset(message.dropped_predicates)
            is_changed |= await definitions.delete_ready_predicates(
                conn, workspace_id, dropped, shard
            )
            ids = frozenset(message.backfilled_predicates)
            if await definitions.save_ready_predicates(conn, workspace_id, ids, shard):
                is_changed = True
                if await self._completes_segment(conn, workspace_id, ids):
                    sweeps[workspace_id] |= set(range(self._shards))
        if is_changed:
            await definitions.bump_revision(conn)
        return sweeps

    async def _blocking(
        self, conn: asyncpg.Connection, sweeps: Mapping[WorkspaceId, Iterable[int]]
    ) -> set[tuple[int, WorkspaceId]]:
        """Return the sweeps that are so short that the tokens of their shard wait for them."""
        return {
            (shard, workspace_id)
            for workspace_id, shards in sweeps.items()
            for shard in shards
            if await store.has_at_most(conn, shard, workspace_id, BLOCKING_PROFILES)
        }

    async def _completes_segment(
        self, conn: asyncpg.Connection, workspace_id: WorkspaceId, ids: frozenset[int]
    ) -> bool:
        """Return whether a segment that uses one of these predicates now has all its predicates."""
        ready = await definitions.count_ready_shards(conn)
        return any(
            ids.intersection(map(predicate_id, predicates(definition.rule)))
            and definitions.is_backfilled(definition, ready, self._shards)
            for definition in await definitions.load_followed(conn, workspace_id)
        )

    async def _apply_evaluations(
        self, conn: asyncpg.Connection, evaluations: Sequence[ProfileEvaluation]
    ) -> tuple[list[MembershipChange], list[MembershipChange]]:
        """Save newer evaluations and the membership changes that follow.

        Return the changes, and the exits of erased persons, which are not published.
        """
        if not evaluations:
            return [], []
        profiles = sorted({e.profile_id for e in evaluations})
        await store.lock_profiles(conn, profiles)
        stored = await store.load_versions(conn, profiles)
        evaluations, erased = membership.after_erasures(evaluations, stored)
        deleted = await delete_memberships(conn, erased) if erased else []
        newer = membership.newer_evaluations(evaluations, stored)
        if not newer:
            return [], deleted
        await store.save_evaluations(conn, newer, self._shards, stored)
        changes = await decisions.decide(
            conn, newer, await self.load_segments(conn), watch=self._watch
        )
        split = membership.split_off(newer, stored)
        if changes and split:
            changes = membership.mark_unmerges(changes, split, await last_causes(conn, changes))
        return await decisions.save_numbered(conn, changes, self._shards), deleted


def _event_instants(changes: Iterable[MembershipChange]) -> list[int]:
    return [c.changed_at_us for c in changes if c.cause is not MembershipCause.TIME]
