"""Folds batches of identity's stream into leaves and evaluations: load, decide, save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asyncpg import Connection

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import (
    Batch,
    FoldResult,
    FoldUnit,
    OutboxMessage,
    StreamMessage,
)
from services.chassis.projection.backfill import BackfillJob, BackfillStep
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.parked_facts import fold_parked_facts
from services.kernel.ids import ProfileId
from services.kernel.index_key import IndexKey
from services.profile.codec.bus import (
    DecodedBatch,
    Publication,
    decode_batch,
    encode_outputs,
    encode_position,
    units_of,
)
from services.profile.codec.log import parse_facts
from services.profile.domain.evaluation import DUE_ONLY, EvaluationChanges
from services.profile.domain.event_trace import leaves_apart, own_times
from services.profile.domain.facts import (
    AttributedFact,
    BroadcastFact,
    Reassignment,
    newest_assignments,
)
from services.profile.domain.journeys import leaf_moves
from services.profile.domain.leaves import LeafFold
from services.profile.domain.objects import object_of
from services.profile.domain.scheduling import (
    DueProfile,
    FoldSchedule,
    schedule,
    split_at_definitions,
    split_by_work,
)
from services.profile.projection import due as due_profiles
from services.profile.projection.backfill import Backfiller, Registration
from services.profile.projection.erase import erase_persons, evaluate_again
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.projection.journeys import load_matched
from services.profile.projection.leaves import CachedLeaves, CacheVersion, LeafCache, fold_leaves
from services.profile.projection.objects import evaluate_member_page
from services.profile.projection.predicates import PredicateIndexCache
from services.profile.store.definitions import (
    FoldState,
    change_leaves_version,
    load_fold_state,
    save_broadcast_facts,
)
from services.profile.store.erasure import delete_assignments
from services.profile.store.evaluations import load_due


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileProjection:
    """The projection of this service; see `Projection` and `Backfilling` in the chassis.

    Events go into the states of their leaves first. This needs neither identity nor a lock, because
    only the worker of a shard writes its leaves. Then the profiles whose predicates may have
    changed are evaluated, under locks, because their leaves lie in many shards.
    """

    index_key: IndexKey
    predicates: PredicateIndexCache
    evaluator: ProfileEvaluator
    backfiller: Backfiller
    cache: LeafCache
    #: Called after keys were folded.
    on_access: Callable[[], None] = lambda: None
    #: Called with the facts that the open transaction of a shard folds, in the order of the log.
    on_folded: Callable[[int, Sequence[AttributedFact]], None] = lambda _shard, _facts: None
    #: The most profiles that a fold evaluates because time has passed; a job evaluates more.
    max_due: int = 100

    def forget(self, shard: int) -> None:
        """Forget the leaves and predicates of a shard; see `Remembering` in the chassis."""
        self.cache.forget(shard)
        self.predicates.forget(shard)

    async def fold(self, conn: Connection, batch: Batch) -> FoldResult:
        """Fold as many facts of a batch as one transaction can take; 0 = only time passes."""
        self.on_folded(batch.shard, ())
        decoded = decode_batch(batch, self.index_key)
        facts = decoded.facts[: split_at_definitions(decoded.facts)]
        state = await load_fold_state(conn, batch.shard, facts[-1].recorded_at_us)
        if facts[0].rule_definition is None:
            indexes = await self.predicates.for_shard(conn, batch.shard, state.predicates_version)
            facts = facts[: split_by_work(facts, indexes)]
        due: Sequence[DueProfile] = ()
        if batch.is_late:
            late = FoldSchedule(len(facts), batch.log_time_us, ())
            return await self._consume(conn, batch, decoded, late, state)
        if state.has_due:
            due = await load_due(conn, batch.shard, facts[-1].recorded_at_us, self.max_due + 1)
        scheduled = schedule(facts, due, self.max_due)
        if not scheduled.take:
            return await self._evaluate_due(conn, batch, scheduled)
        return await self._consume(conn, batch, decoded, scheduled, state)

    def units(self, message: StreamMessage, first: int) -> list[FoldUnit]:
        return units_of(message, first)

    def position(
        self, shard: int, sequence: int, log_offset: int, log_time_us: int
    ) -> OutboxMessage:
        return encode_position(shard, sequence, log_offset, log_time_us)

    async def backfill_step(
        self, conn: Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        self.on_folded(job.shard, ())
        if job.name == due_profiles.JOB:
            return await due_profiles.evaluate_due_page(conn, self.evaluator, job, at)
        object_id = object_of(job.name)
        if object_id is None:
            return await self.backfiller.step(conn, job, at)
        return await evaluate_member_page(conn, self.evaluator, job, at, object_id, at.log_time_us)

    async def _evaluate_due(
        self, conn: Connection, batch: Batch, scheduled: FoldSchedule
    ) -> FoldResult:
        """Evaluate due profiles and consume nothing: the worker calls with the same batch again."""
        request = EvaluationRequest(profile_scopes=dict.fromkeys(scheduled.due, DUE_ONLY))
        changes = await self.evaluator.evaluate(conn, batch.shard, request, scheduled.at_us)
        # Publishes even if no profile changed: a fold must consume or publish, to show progress.
        log_offset, log_time_us = batch.log_offset, batch.log_time_us
        outputs = encode_outputs(Publication(changes.changed), batch, log_offset, log_time_us)
        return FoldResult(batch.first, log_offset, log_time_us, outputs, changes.deltas)

    async def _consume(
        self,
        conn: Connection,
        batch: Batch,
        decoded: DecodedBatch,
        scheduled: FoldSchedule,
        state: FoldState,
    ) -> FoldResult:
        shard, facts = batch.shard, decoded.facts[: scheduled.take]
        if not batch.is_late:
            self.on_folded(shard, facts)
        registered = Registration(state.predicates_version)
        if facts[0].rule_definition is not None:
            registered = await self.backfiller.register(
                conn, shard, facts, state.predicates_version
            )
        else:
            await save_broadcast_facts(conn, shard, facts)
        indexes = await self.predicates.for_shard(conn, shard, registered.predicates_version)
        cached = self.cache.take(shard, CacheVersion(batch.first, state.leaves_version))
        if batch.is_late:
            await change_leaves_version(conn, shard)
        leaves, deltas = await fold_leaves(
            *(conn, shard, facts, indexes, self.index_key, cached, self.evaluator.watch),
            leaves_apart(facts, decoded.assignments),
        )
        changes = await self._evaluate(conn, shard, facts, decoded, leaves, scheduled, cached)
        broadcast = [fact.broadcast for fact in facts if fact.broadcast is not None]
        await self._fold_broadcast(conn, shard, broadcast)
        is_backfilling = await self.backfiller.save(conn, shard, registered)
        if scheduled.is_behind:
            await due_profiles.schedule_due(conn, shard)
        end = facts[-1].offset + 1
        is_blocked = is_backfilling or scheduled.is_behind
        is_behind = is_blocked or batch.is_withheld or batch.is_late
        if not batch.is_late:
            self.cache.put(shard, CacheVersion(end, state.leaves_version), cached)
        awaited = await self.predicates.awaited(conn, shard, registered.predicates_version)
        publication = Publication(
            changes.changed,
            broadcast,
            registered.backfilled,
            registered.dropped,
            await load_matched(conn, facts, decoded.calls, awaited),
            await self._moves(conn, changes.reassigned),
        )
        log_offset = batch.log_offset if is_behind else end
        outputs: tuple[OutboxMessage, ...] = ()
        if publication:
            outputs = encode_outputs(publication, batch, log_offset, scheduled.at_us)
        total = Counter(deltas)
        total.update(changes.deltas)
        return FoldResult(end, end, scheduled.at_us, outputs, total)

    async def _evaluate(
        self,
        conn: Connection,
        shard: int,
        facts: Sequence[AttributedFact],
        decoded: DecodedBatch,
        leaves: LeafFold,
        scheduled: FoldSchedule,
        cached: CachedLeaves,
    ) -> EvaluationChanges:
        """Erase persons, and evaluate the profiles that the facts have changed."""
        evaluator, at_us = self.evaluator, scheduled.at_us
        erasures = [fact.erasure for fact in facts if fact.erasure is not None]
        request = _request(leaves, decoded, scheduled.due)
        if erasures:
            # All at once: a worker that waits for one person while it has another would close a
            # cycle with those that take both in order.
            await evaluator.lock(conn, request, {id_ for each in erasures for id_ in each.ids})
        erased = await erase_persons(conn, shard, evaluator.shards, erasures, cached)
        changes = EvaluationChanges(erased.buried, deltas=erased.deltas).then(
            await evaluator.evaluate(conn, shard, request, at_us, leaves.states)
        )
        if erased.again:
            again = await evaluate_again(conn, shard, evaluator, erased.again, at_us)
            changes = changes.then(again)
        if decoded.gone:
            deltas = await delete_assignments(conn, decoded.gone)
            changes = changes.then(EvaluationChanges(deltas=deltas))
        return changes

    async def _moves(
        self, conn: Connection, reassigned: Sequence[Reassignment]
    ) -> list[Reassignment]:
        """Return the moves to publish: another shard may have a journey that this one has not."""
        if all(one.before is None for one in reassigned):
            return []
        return leaf_moves(reassigned, await self.predicates.awaited_anywhere(conn))

    async def _fold_broadcast(
        self, conn: Connection, shard: int, broadcast: Iterable[BroadcastFact]
    ) -> None:
        facts = parse_facts(fact.fact for fact in broadcast if not fact.is_tick)
        if not facts:
            return
        await fold_parked_facts(conn, "profile", shard, facts, counts_in_offsets=True)
        if await fold_access_facts(conn, facts):
            self.on_access()


def _request(
    leaves: LeafFold, decoded: DecodedBatch, due: Iterable[ProfileId]
) -> EvaluationRequest:
    return EvaluationRequest(
        leaves.scopes,
        newest_assignments([*leaves.fallback_assignments.values(), *decoded.assignments]),
        dict.fromkeys(due, DUE_ONLY),
        leaves.new_members,
        # The assignments follow from all events of the batch.
        own_times=own_times(decoded.facts) if decoded.assignments else {},
        traces=leaves.traces,
    )
