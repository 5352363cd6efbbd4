"""Follows definitions: registers what they need, then sweeps over the workspace's leaves in pages.

A page fills accumulators of some leaves with the old events of these leaves, and evaluates their
profiles. After its last page a sweep publishes the predicates as backfilled. No page reads events
or leaves of another workspace, and the jobs of the workspaces take turns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, Protocol

import structlog
from asyncpg import Connection

from services.chassis.messaging.stream import UnitId
from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.failed_facts import load_missing
from services.kernel.fold.leaf import LeafState, decode, encode
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId
from services.profile.codec.bus import Publication, encode_outputs
from services.profile.domain import backfill as plan
from services.profile.domain.backfill import BackfillStage, ScopedId, Sweep
from services.profile.domain.evaluation import EMPTY_INDEX
from services.profile.domain.facts import AttributedFact, LogEvent
from services.profile.domain.leaves import leaf_delta
from services.profile.projection import metrics
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.projection.predicates import PredicateIndexCache
from services.profile.store import definitions as store
from services.profile.store import profiles as profile_store
from services.profile.store.profiles import LeafRow

log = structlog.get_logger(__name__)

#: The one job of a workspace in a shard.
JOB = "predicates"


class EventReader(Protocol):
    """Reads events of the log again."""

    def read_leaf_events(
        self,
        workspace_id: WorkspaceId,
        shard: int,
        leaves: Sequence[LeafId],
        end: int,
        left_out: Collection[UnitId],
    ) -> AsyncIterator[Sequence[LogEvent]]:
        """Yield the events of some leaves of a shard before an offset, without some, in pages.

        Raises RetryableError where the log cannot be read now.
        """


class JobRequest(NamedTuple):
    """A job of a workspace that new definitions require, on some shards."""

    shards: Sequence[int]
    workspace_id: WorkspaceId
    blocking: bool = False
    #: The predicates that no shard needs any more. A shard that has erased one before may have
    #: evaluated profiles with it since, as long as another shard needed it.
    dropped: frozenset[ScopedId] = frozenset()


class Registration(NamedTuple):
    """The effect of new definitions on a shard."""

    predicates_version: int
    #: The predicates that a definition of the shard needs, and none has needed before.
    added: frozenset[ScopedId] = frozenset()
    #: The predicates that no definition of the shard needs any more.
    dropped: frozenset[ScopedId] = frozenset()
    #: Those added in workspaces that have no leaf in the shard: there is nothing to sweep.
    backfilled: frozenset[ScopedId] = frozenset()


@dataclass(frozen=True, slots=True)
class Backfiller:
    """Registers definitions and backfills them; the shard's worker is the only caller."""

    predicates: PredicateIndexCache
    evaluator: ProfileEvaluator
    events: EventReader
    _: KW_ONLY
    #: The most events to read in one step, unless one leaf has more.
    events_per_step: int = 2_000
    #: A workspace with at most so many leaves in the shard is backfilled before its tokens include
    #: the definition. The tokens of all workspaces wait for that, so it takes a second at most.
    blocking_leaves: int = 2_000

    async def register(
        self, conn: Connection, shard: int, facts: Sequence[AttributedFact], version: int
    ) -> Registration:
        """Save definitions; return the predicates that change, with which these facts are folded.

        Call `save` with the result at the end of the transaction.
        """
        before = await self.predicates.for_shard(conn, shard, version)
        await store.save_broadcast_facts(conn, shard, facts)
        after = await store.load_indexes(conn, shard, before)
        change = plan.index_change(before, after)
        if not change.workspaces:
            if any(fact.concerns_journeys for fact in facts):
                version = await store.change_predicates_version(conn, shard)
                self.predicates.put(shard, version, after)
            return Registration(version)
        empty = await self._empty_workspaces(conn, shard, change)
        backfilled = frozenset(key for key in change.added if key.workspace_id in empty)
        version = await store.change_predicates_version(conn, shard)
        self.predicates.put(shard, version, after)
        log.info(
            "definitions_registered",
            shard=shard,
            offset=facts[0].offset,
            added=len(change.added),
            dropped=len(change.dropped),
        )
        return Registration(version, change.added, change.dropped, backfilled)

    async def save(self, conn: Connection, shard: int, registered: Registration) -> bool:
        """Save the stages of registered predicates and schedule jobs; return whether one blocks.

        The tokens of the shard include the definitions only when a job that blocks has ended. This
        is the end of a transaction: a worker that waits for profiles while it holds a predicate or
        the row of another shard's job would close a cycle with a worker that holds profiles and
        waits for the row.
        """
        if not (registered.added or registered.dropped):
            return False
        if registered.dropped:
            await store.lock_registration(conn)
        waiting = registered.added - registered.backfilled
        await store.save_stages(conn, shard, registered.backfilled, BackfillStage.BACKFILLED)
        await store.save_stages(conn, shard, waiting, BackfillStage.WAITING)
        await store.save_stages(conn, shard, registered.dropped, BackfillStage.DROPPED)
        jobs = await self._required_jobs(conn, shard, waiting, registered.dropped)
        for job in jobs:
            if job.dropped:
                await store.drop_everywhere(conn, job.shards, job.dropped)
            await schedule(
                conn,
                job.shards,
                JOB,
                job.workspace_id,
                version=0,
                blocking=job.blocking,
                restart=False,
            )
        return any(job.blocking for job in jobs)

    async def _empty_workspaces(
        self, conn: Connection, shard: int, change: plan.IndexChange
    ) -> frozenset[WorkspaceId]:
        """Return the workspaces with new predicates that have no leaf in the shard.

        This worker alone adds leaves to it, and folds later events with these predicates.
        """
        added = sorted({key.workspace_id for key in change.added})
        return frozenset(
            [one for one in added if await profile_store.has_at_most(conn, shard, one, 0)]
        )

    async def _required_jobs(
        self,
        conn: Connection,
        shard: int,
        waiting: frozenset[ScopedId],
        dropped: frozenset[ScopedId],
    ) -> list[JobRequest]:
        """Return the jobs that predicates require which wait for a sweep, or are dropped."""
        jobs: list[JobRequest] = []
        for workspace_id in sorted({key.workspace_id for key in waiting}):
            blocking = await profile_store.has_at_most(
                conn, shard, workspace_id, self.blocking_leaves
            )
            jobs.append(JobRequest([shard], workspace_id, blocking))
        gone = dropped - await store.needed_predicates(conn, dropped)
        for workspace_id in sorted({key.workspace_id for key in gone}):
            # The last shard has dropped them: from now on no worker evaluates them.
            own = frozenset(key for key in gone if key.workspace_id == workspace_id)
            jobs.append(JobRequest(range(self.evaluator.shards), workspace_id, dropped=own))
        return jobs

    async def step(self, conn: Connection, job: BackfillJob, at: Checkpoint) -> BackfillStep:
        """Do one page of a workspace's job.

        Raises RetryableError where the log cannot be read now or other workers hold the profiles.
        """
        shard, workspace_id = job.shard, job.workspace_id
        state = await store.load_fold_state(conn, shard, at.log_time_us)
        indexes = await self.predicates.for_shard(conn, shard, state.predicates_version)
        index = indexes.get(workspace_id, EMPTY_INDEX)
        stages = await store.load_stages(conn, shard, workspace_id)
        sweep = await self._next_sweep(conn, workspace_id, stages)
        if not sweep:
            return _step(job, at, None, Publication(), {})
        cursor = plan.BackfillCursor.decode(job.cursor)
        if not _is_under_way(stages):
            cursor = plan.BackfillCursor(cursor.step)
        return await self._sweep_page(conn, job, at, sweep, cursor, index, stages)

    async def _next_sweep(
        self, conn: Connection, workspace_id: WorkspaceId, stages: Mapping[int, BackfillStage]
    ) -> Sweep:
        dropped = {ScopedId(workspace_id, i) for i, s in stages.items() if s > 2}
        needed = await store.needed_predicates(conn, dropped) if dropped else frozenset()
        return plan.next_sweep(stages, {key.id for key in needed})

    async def _sweep_page(
        self,
        conn: Connection,
        job: BackfillJob,
        at: Checkpoint,
        sweep: Sweep,
        cursor: plan.BackfillCursor,
        index: PredicateIndex,
        stages: Mapping[int, BackfillStage],
    ) -> BackfillStep:
        shard, workspace_id, limit = job.shard, job.workspace_id, job.most
        rows = await profile_store.leaf_page(conn, shard, workspace_id, cursor.swept_to, limit)
        states = {row.leaf_id: decode(row.state) for row in rows}
        job.pause()
        incomplete = plan.incomplete_accumulators(index, stages, sweep)
        is_last = len(rows) < limit
        if incomplete:
            counts = [state.event_count for state in states.values()]
            within = plan.page_within(counts, self.events_per_step)
            is_last = is_last and within == len(rows)
            rows = rows[:within]
        if not sweep.added.isdisjoint(index.related_predicates):
            counts = [len(states[row.leaf_id].members) // 16 for row in rows]
            within = plan.page_within(counts, self.evaluator.members_per_transaction)
            is_last = is_last and within == len(rows)
            rows = rows[:within]
        refill = plan.LeafRefill(index, incomplete)
        deltas = await self._refill(conn, job, at, rows, states, refill)
        scopes = plan.sweep_scopes([row.leaf_id for row in rows], states, sweep, index)
        assignments = await profile_store.load_assignments(conn, scopes.keys())
        request = EvaluationRequest(
            {leaf: scope for leaf, scope in scopes.items() if IdentifierId(leaf) in assignments},
            assignments,
            is_stored=True,
        )
        changes = await self.evaluator.evaluate(conn, shard, request, at.log_time_us, states)
        deltas.update(changes.deltas)
        if not _is_under_way(stages):
            # After the locks: a fold of another shard that holds profiles may write these rows.
            await self._save(conn, job, sweep.added, BackfillStage.SWEEPING)
            await self._save(conn, job, sweep.erased, BackfillStage.ERASING)
        if not is_last:
            cursor = cursor.next(swept_to=rows[-1].leaf_id)
            return _step(job, at, cursor, Publication(changes.changed), deltas)
        await self._save(conn, job, sweep.added, BackfillStage.BACKFILLED)
        await store.erase_predicates(conn, shard, _scoped(workspace_id, sweep.erased))
        log.info(
            "predicates_backfilled", shard=shard, added=len(sweep.added), erased=len(sweep.erased)
        )
        publication = Publication(changes.changed, backfilled=_scoped(workspace_id, sweep.added))
        stages = await store.load_stages(conn, shard, workspace_id)
        has_more = await self._next_sweep(conn, workspace_id, stages)
        return _step(job, at, cursor.next() if has_more else None, publication, deltas)

    async def _refill(
        self,
        conn: Connection,
        job: BackfillJob,
        at: Checkpoint,
        rows: Sequence[LeafRow],
        states: Mapping[LeafId, LeafState],
        refill: plan.LeafRefill,
    ) -> Counter[str]:
        """Bring leaves in line with the index; change `states`, and return the digest's change.

        A leaf has the events before `at.next`, as this worker alone writes it.
        """
        leaves = [row.leaf_id for row in rows]
        if leaves and refill.needs_events:
            workspace_id = rows[0].workspace_id
            missing = await load_missing(conn, at.shard, 0, at.next)
            async for events in self.events.read_leaf_events(
                workspace_id, at.shard, leaves, at.next, missing
            ):
                metrics.BACKFILLED_EVENTS.inc(len(events))
                refill.add(events)
                job.pause()
        changed: list[LeafRow] = []
        deltas = Counter[str]()
        for leaf_id, workspace_id, before in rows:
            refill.apply(leaf_id, states[leaf_id])
            after = encode(states[leaf_id])
            if after != before:
                changed.append(LeafRow(leaf_id, workspace_id, after))
                deltas[workspace_id] += leaf_delta(leaf_id, before, after)
        if changed:
            await profile_store.save_leaves(conn, at.shard, changed)
            await store.change_leaves_version(conn, at.shard)
        return deltas

    async def _save(
        self, conn: Connection, job: BackfillJob, ids: Collection[int], stage: BackfillStage
    ) -> None:
        await store.save_stages(conn, job.shard, _scoped(job.workspace_id, ids), stage)


def _is_under_way(stages: Mapping[int, BackfillStage]) -> bool:
    return any(s in (BackfillStage.SWEEPING, BackfillStage.ERASING) for s in stages.values())


def _scoped(workspace_id: WorkspaceId, ids: Collection[int]) -> frozenset[ScopedId]:
    return frozenset(ScopedId(workspace_id, id_) for id_ in ids)


def _step(
    job: BackfillJob,
    at: Checkpoint,
    cursor: plan.BackfillCursor | None,
    publication: Publication,
    deltas: Mapping[str, int],
) -> BackfillStep:
    """Return a step that publishes; the last one (no cursor) publishes the end of the job too."""
    if cursor is not None and not publication:
        return BackfillStep(cursor.encode(), deltas=deltas)
    log_offset = job.log_offset_at_end if cursor is None else at.log_offset
    outputs = encode_outputs(publication, at, log_offset, at.log_time_us)
    return BackfillStep(None if cursor is None else cursor.encode(), outputs, deltas)
