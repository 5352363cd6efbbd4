"""Backfills new definitions: registers their predicates, then works in bounded pages.

The pages of one shard's job fill accumulators with old events, then evaluate every profile that has
a leaf in the shard. Afterwards the predicates are published as backfilled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, Protocol

import structlog
from asyncpg import Connection

from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.chassis.projection.checkpoint import Checkpoint
from services.kernel.fold.leaf import LeafState, combine, decode, encode
from services.kernel.ids import IdentifierId, LeafId, WorkspaceId
from services.profile.codec.bus import Publication, encode_outputs
from services.profile.domain import backfill as plan
from services.profile.domain.evaluation import EvaluationScope, PredicateIndexes
from services.profile.domain.facts import AttributedFact, LogEvent
from services.profile.domain.leaves import leaf_delta
from services.profile.projection import metrics
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.projection.predicates import PredicateIndexCache
from services.profile.store import definitions as store
from services.profile.store import profiles as profile_store

log = structlog.get_logger(__name__)

#: The one job of a shard. It covers all workspaces, so that events are read once for all.
JOB, ALL_WORKSPACES = "predicates", WorkspaceId("")


class EventReader(Protocol):
    """Reads events of the log again."""

    async def read_events(self, shard: int, first: int, end: int) -> Sequence[LogEvent]:
        """Return the events of a shard at offsets in [first, end), in order.

        Raises RetryableError where the log cannot be read now.
        """


class Registration(NamedTuple):
    """The effect of new definitions on a shard."""

    predicates_version: int
    #: No further fact is folded before the definitions are backfilled.
    is_blocked: bool


@dataclass(frozen=True, slots=True)
class Backfiller:
    """Registers definitions and backfills them; the shard's worker is the only caller."""

    predicates: PredicateIndexCache
    evaluator: ProfileEvaluator
    events: EventReader
    _: KW_ONLY
    #: Facts to read in one step.
    events_per_step: int = 5_000
    #: Leaves to evaluate in one step.
    leaves_per_step: int = 500
    #: A definition before this offset is backfilled before the next fact is folded; a later one is
    #: backfilled beside the folding.
    blocking_before: int = 100_000

    async def register(
        self, conn: Connection, shard: int, facts: list[AttributedFact], version: int
    ) -> Registration:
        """Register the predicates of definitions, with which the facts after them are folded.

        Call this before the definitions are saved.
        """
        before = await self.predicates.for_shard(conn, shard, version)
        after = plan.extend_index(
            before, [(fact.workspace_id, fact.rule_predicates or ()) for fact in facts]
        )
        new = plan.new_requirements(before, after)
        if not new.predicates:
            return Registration(version, is_blocked=False)
        is_running = bool(await store.pending_predicates(conn, shard))
        first, end = facts[0].offset, facts[-1].offset + 1
        version = await store.add_requirements(conn, shard, first, new)
        is_blocked = first < self.blocking_before
        # A running job takes the new predicates along. It goes on where it is, so that frequent
        # definitions do not keep it from its end.
        if not is_running:
            await schedule(conn, [shard], JOB, ALL_WORKSPACES, end, blocking=is_blocked)
        log.info(
            "definitions_registered",
            shard=shard,
            offset=first,
            predicates=len(new.predicates),
            accumulators=len(new.accumulators),
        )
        return Registration(version, is_blocked)

    async def step(self, conn: Connection, job: BackfillJob, at: Checkpoint) -> BackfillStep:
        """Do one page of a shard's job.

        Raises RetryableError where the log cannot be read now or other workers hold the profiles.
        """
        state = await store.load_fold_state(conn, job.shard, at.log_time_us)
        indexes = await self.predicates.for_shard(conn, job.shard, state.predicates_version)
        pending = await store.pending_predicates(conn, job.shard)
        task = plan.next_task(pending, await store.pending_accumulators(conn, job.shard), indexes)
        match task:
            case plan.AccumulatorBackfill():
                return await self._backfill_page(conn, job, task, indexes)
            case plan.EvaluationSweep():
                return await self._evaluate_page(conn, job, at, task)
            case None:
                return _step(job, at, None, Publication(), {})

    async def _backfill_page(
        self,
        conn: Connection,
        job: BackfillJob,
        task: plan.AccumulatorBackfill,
        indexes: PredicateIndexes,
    ) -> BackfillStep:
        shard, end = job.shard, min(task.begin + self.events_per_step, task.end)
        events = await self.events.read_events(shard, task.begin, end)
        metrics.BACKFILLED_EVENTS.inc(len(events))
        deltas = await self._add(conn, shard, plan.BackfillFold(task, indexes).fold(events))
        await store.save_filled_to(conn, shard, [a.key for a in task.accumulators], end)
        await store.change_leaves_version(conn, shard)
        log.debug("backfill_page_done", shard=shard, filled_to=end, end=task.end)
        return BackfillStep(plan.BackfillCursor.decode(job.cursor).next().encode(), deltas=deltas)

    async def _add(
        self, conn: Connection, shard: int, added: Mapping[LeafId, tuple[WorkspaceId, LeafState]]
    ) -> Counter[str]:
        """Add to the states of leaves, which exist as their events were folded; return deltas."""
        stored = await profile_store.load_leaves(conn, shard, added.keys())
        rows: list[profile_store.LeafRow] = []
        deltas = Counter[str]()
        for leaf_id, (workspace_id, more) in added.items():
            before = stored[leaf_id]
            after = encode(combine(decode(before), more))
            rows.append(profile_store.LeafRow(leaf_id, workspace_id, after))
            deltas[workspace_id] += leaf_delta(leaf_id, before, after)
        await profile_store.save_leaves(conn, shard, rows)
        return deltas

    async def _evaluate_page(
        self, conn: Connection, job: BackfillJob, at: Checkpoint, task: plan.EvaluationSweep
    ) -> BackfillStep:
        """Evaluate new predicates of the next profiles that have a leaf in the shard."""
        shard, cursor = job.shard, plan.BackfillCursor.decode(job.cursor)
        if task.is_new:
            await store.save_stage(conn, shard, task.predicates, plan.BackfillStage.SWEEPING)
        workspaces = {key.workspace_id for key in task.predicates}
        page = await profile_store.leaf_page(
            conn, shard, cursor.swept_to, workspaces, self.leaves_per_step
        )
        assignments = await profile_store.load_assignments(conn, [leaf for leaf, _ in page])
        scopes = {
            leaf: EvaluationScope(task.of_workspace(workspace))
            for leaf, workspace in page
            if IdentifierId(leaf) in assignments
        }
        request = EvaluationRequest(scopes, assignments)
        changes = await self.evaluator.evaluate(conn, shard, request, at.log_time_us)
        if len(page) == self.leaves_per_step:
            cursor = cursor.next(swept_to=page[-1][0])
            return _step(job, at, cursor, Publication(changes.changed), changes.deltas)
        await store.save_stage(conn, shard, task.predicates, plan.BackfillStage.BACKFILLED)
        log.info("predicates_backfilled", shard=shard, predicates=len(task.predicates))
        publication = Publication(changes.changed, backfilled=task.predicates)
        is_last = not await store.pending_predicates(conn, shard)
        return _step(job, at, None if is_last else cursor.next(), publication, changes.deltas)


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
    return BackfillStep(cursor and cursor.encode(), outputs, deltas)
