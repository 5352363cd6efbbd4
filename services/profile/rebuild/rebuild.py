"""Rebuilds profile's state from the log and identity's assignments.

Events are folded from the log itself. Assignments come from identity, whose own rebuild proves
them: one state of identity, then the messages that identity published after that state.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from asyncpg import Connection, Pool

from services.chassis.access.tables import fold_access_facts
from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage, UnitId
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.backfill import BackfillJob, BackfillStep
from services.chassis.projection.checkpoint import (
    Checkpoint,
    add_digest,
    load_checkpoints,
    save_checkpoint,
)
from services.chassis.projection.differing_rows import differing_table_rows
from services.chassis.projection.failed_facts import load_left_out
from services.chassis.projection.parked_facts import add_parked_facts
from services.chassis.projection.rebuild import FROM_LOG, RebuildSource, StateSwap
from services.chassis.projection.replay import LogReplay
from services.chassis.projection.row_load import check_rows, checkpoints_of
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient, ProjectionClient
from services.kernel.errors import Conflict, ServiceUnavailable
from services.kernel.fold.leaf import LeafState, decode
from services.kernel.ids import NO_ID, LeafId, ProfileId, shard_of
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token
from services.profile.codec import definitions as definitions_codec
from services.profile.codec import log as log_codec
from services.profile.codec.bus import Publication, decode_batch, encode_outputs
from services.profile.domain.backfill import ScopedId, index_change, index_of, scoped_ids, union_of
from services.profile.domain.evaluation import (
    DUE_ONLY,
    Evaluation,
    EvaluationScope,
    PredicateIndexes,
)
from services.profile.domain.facts import AttributedFact, RuleDefinition, newest_assignments
from services.profile.domain.objects import object_of
from services.profile.projection.evaluate import EvaluationRequest, ProfileEvaluator
from services.profile.projection.leaves import fold_leaves
from services.profile.projection.objects import evaluate_member_page
from services.profile.projection.upstream import IdentityUpstream
from services.profile.rebuild.bulk_load import BulkLoader
from services.profile.rebuild.log_reader import Progress, RebuildLogReader
from services.profile.rebuild.row_load import load_rows
from services.profile.rebuild.timers import late_timers
from services.profile.store import definitions as definition_store
from services.profile.store.erasure import delete_assignments
from services.profile.store.evaluations import (
    evaluating_shards,
    load_due,
    load_profile_leaves,
    replace_evaluations,
    unowned_timers,
)

#: Profiles of one shard that are evaluated in one transaction because they are due.
DUE_PAGE = 2_000
#: Profiles that differ whose leaves are loaded together.
DIFFERING_PAGE = 1_000
#: Seconds to wait until the live state includes the assignments that the new one was built from.
CATCH_UP_S = 120.0
#: Tables that the new state continues and no digest covers.
CARRIED_OVER_TABLES = ("cache_version", "predicate", "broadcast_fact")
ACCOUNT_COLUMNS = (
    "workspace_id, parent_trust, parent_at, parent_fact, parent_leaf, object_type, traits"
)


@dataclass(frozen=True, slots=True)
class ProfileRebuilder:
    """Rebuilds the state; see `Rebuilder` and `Resync` in the chassis."""

    upstream: IdentityUpstream
    log: LogClient
    identity: ProjectionClient
    live: Database
    runner: ProjectionRunner
    index_key: IndexKey
    source: RebuildSource = FROM_LOG

    async def rebuild(
        self, pool: Pool, end: Token, *, shards: int, workers: int, progress: Progress
    ) -> None:
        included = await self._build(pool, end, shards, workers, progress)
        # Both states can only be at one token after the live one includes these assignments.
        await self.runner.wait_for(included, CATCH_UP_S)

    async def upstream_head(self) -> Token:
        return await self.identity.reached()

    async def build(self, pool: Pool, end: Token, *, workers: int, progress: Progress) -> None:
        await self._build(pool, end, len(end.offsets), workers, progress)

    async def difference(
        self, conn: Connection, swap: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """Return the messages that lead the services downstream from the old state to the new one.

        They have every evaluation that differs, every broadcast fact that was not published yet,
        and all predicates as backfilled, because the new state has folded the whole log with them.
        """
        backfilled = await _complete_backfill(conn, swap.after)
        evaluations = await _changed_evaluations(conn, swap)
        outputs: dict[int, Sequence[OutboxMessage]] = {}
        for before, after in zip(swap.before, swap.after, strict=True):
            facts = log_codec.parse_facts(
                await definition_store.shard_broadcast_facts(conn, after.shard, before.log_offset)
            )
            await fold_access_facts(conn, facts)
            broadcast = list(map(log_codec.broadcast_fact, facts))
            publication = Publication(evaluations.get(after.shard, ()), broadcast, backfilled)
            time_us = max(before.log_time_us, after.log_time_us)
            outputs[after.shard] = encode_outputs(publication, before, after.log_offset, time_us)
        return outputs

    async def carry_over(self, conn: Connection, live: str, new: str) -> None:
        """Copy the registered definitions; versions come from a sequence outside generations."""
        for table in CARRIED_OVER_TABLES:
            await conn.execute(f"DELETE FROM {new}.{table}")
            await conn.execute(f"INSERT INTO {new}.{table} SELECT * FROM {live}.{table}")

    async def differing_rows(self, conn: Connection, live: str, new: str, limit: int) -> list[str]:
        differing: list[str] = []
        for table, id_column, columns in (
            ("leaf", "leaf_id", "workspace_id, state"),
            ("account", "leaf_id", ACCOUNT_COLUMNS),
            ("name", "leaf_id", "workspace_id, forms::text"),
            ("assignment", "identifier_id", "workspace_id, profile_id, namespace, value"),
            ("current_evaluation", "profile_id", "workspace_id, true_predicates"),
        ):
            key = f"encode({id_column}, 'hex')"
            differing += await differing_table_rows(conn, live, new, table, key, columns, limit)
        now_us = max(at.log_time_us for at in await load_checkpoints(conn))
        late = await late_timers(conn, live, new, now_us, limit)
        late += await unowned_timers(conn, limit)
        return differing + [f"timer {profile_id.hex()}" for profile_id in late]

    async def _build(
        self, pool: Pool, end: Token, shards: int, workers: int, progress: Progress
    ) -> Token:
        """Build the state up to `end`; return the newest state of the log that it may include."""
        included = end
        await add_parked_facts(pool, "profile", end, self.log)
        async with acquire(pool) as conn:
            checkpoints = await load_checkpoints(conn)
        if any(checkpoint.log_offset for checkpoint in checkpoints):
            await self._replay(pool, end, shards, progress)
        else:
            included = await self._bulk_load(pool, end, shards, workers, progress)
        await self._evaluate_due(pool, shards)
        return included

    async def _bulk_load(
        self, pool: Pool, end: Token, shards: int, workers: int, progress: Progress
    ) -> Token:
        loader = BulkLoader(pool, await self._read_indexes(pool, end), shards, self.index_key)

        reader = RebuildLogReader(pool, loader, end, self.index_key, progress)
        if self.source.rows is not None:
            manifest = await check_rows(pool, self.source.rows, "profile", end)
            computed = await self._read_indexes(pool, manifest.end)
            if index_change(computed, loader.indexes).workspaces:
                raise Conflict(
                    "rules have changed since the log was exported, and the rows lack what they"
                    " need: export the log again"
                )
            await load_rows(loader, self.source.rows)
            reader.begin_at(checkpoints_of(manifest))
        elif self.source.together:
            async with aclosing(self.upstream.rebuild_pages()) as pages:
                await reader.follow(pages)
        checkpoints = await reader.read(self.log, workers)
        await loader.flush()
        included = Token()
        async for token, page in self.upstream.assignments(end):
            included = token
            await loader.add_assignments(page)
        await loader.assign_lone_leaves()
        await loader.evaluate(_common_time_us(checkpoints))
        async with transaction(pool) as conn:
            for checkpoint in checkpoints:
                await save_checkpoint(conn, checkpoint)
        return included

    async def _read_indexes(self, pool: Pool, end: Token) -> PredicateIndexes:
        """Return the predicates of all definitions before a token."""
        indexes: list[PredicateIndexes] = []
        for shard, offset in enumerate(end.offsets):
            definitions: list[RuleDefinition] = []
            if offset:
                left_out = await _load_left_out(pool, shard, offset)
                async for page in self.log.read(
                    shard, 0, offset, kinds=definitions_codec.RULE_KINDS
                ):
                    folded = (fact for fact in page if UnitId(fact.offset) not in left_out)
                    rules = map(definitions_codec.rule_definition, folded)
                    definitions += [rule for rule in rules if rule is not None]
            indexes.append(index_of(definitions, indexes[-1] if indexes else None))
        return union_of(indexes)

    async def _replay(self, pool: Pool, end: Token, shards: int, progress: Progress) -> None:
        async with acquire(pool) as conn:
            at_us = _common_time_us(await load_checkpoints(conn))
            indexes = await definition_store.load_indexes(conn)
        fold = ReplayFold(indexes, shards, at_us, self.index_key)
        # One shard at a time: with another number of shards each one writes leaves of all shards.
        await LogReplay(fold, self.upstream).rebuild(pool, end, workers=1, progress=progress)

    async def _evaluate_due(self, pool: Pool, shards: int) -> None:
        """Evaluate the profiles that time alone may have changed since their evaluation.

        The clocks of the shards differ a little at a token, and a live worker evaluates as of the
        clock of its own shard. So a profile that falls due between two clocks is evaluated here as
        of the clock of the shard that evaluates it in the live state. With the common time alone,
        the states would differ whenever any profile falls due between the clocks.
        """
        async with acquire(pool) as conn:
            clocks = {c.shard: c.log_time_us for c in await load_checkpoints(conn)}
        common_us = min((us for us in clocks.values() if us), default=0)
        while due := await _load_due(pool, clocks, common_us):
            await _evaluate(pool, due, common_us, shards)
        for clock_us in sorted(set(clocks.values())):
            due = await _load_due(pool, clocks, clock_us)
            async with acquire(self.live.pool) as conn:
                workers = await evaluating_shards(conn, due)
            due = [p for p in due if clocks.get(workers.get(p, -1)) == clock_us]
            await _evaluate(pool, due, clock_us, shards)


async def _load_left_out(pool: Pool, shard: int, end: int) -> frozenset[UnitId]:
    """Return the facts of a shard before an offset that the new state leaves out."""
    async with acquire(pool) as conn:
        return await load_left_out(conn, shard, 0, end)


async def _load_due(pool: Pool, shards: Iterable[int], at_us: int) -> list[ProfileId]:
    """Return the first profiles of each shard that are due by an instant."""
    async with acquire(pool) as conn:
        return [
            due.profile_id
            for shard in shards
            for due in await load_due(conn, shard, at_us, DUE_PAGE)
        ]


async def _evaluate(pool: Pool, due: Sequence[ProfileId], at_us: int, shards: int) -> None:
    async with transaction(pool) as conn:
        evaluator = offline_evaluator(await definition_store.load_indexes(conn), shards)
        request = EvaluationRequest(profile_scopes=dict.fromkeys(due, DUE_ONLY))
        changes = await evaluator.evaluate(conn, 0, request, at_us)
        await add_digest(conn, 0, changes.deltas)


def _common_time_us(checkpoints: Iterable[Checkpoint]) -> int:
    """Return the instant that every shard of the log has reached, Unix microseconds."""
    return min((c.log_time_us for c in checkpoints if c.log_offset), default=0)


async def _complete_backfill(
    conn: Connection, checkpoints: Sequence[Checkpoint]
) -> frozenset[ScopedId]:
    """Save that every shard has backfilled all definitions, and return their predicates."""
    needed = scoped_ids(await definition_store.load_indexes(conn))
    shards = [at.shard for at in checkpoints]
    await definition_store.replace_predicates(conn, shards, needed)
    for shard in shards:
        await definition_store.change_predicates_version(conn, shard)
    return needed


async def _changed_evaluations(conn: Connection, swap: StateSwap) -> dict[int, list[Evaluation]]:
    """Return the evaluations that differ from the live state's, by shard.

    They are learnt now. It is not known which event has made a difference: it has the own time of
    the newest one of the person.
    """
    now_us = max(at.log_time_us for at in swap.after)
    by_shard: dict[int, list[Evaluation]] = defaultdict(list)
    differing = await replace_evaluations(conn, swap.live, now_us)
    for start in range(0, len(differing), DIFFERING_PAGE):
        page = differing[start : start + DIFFERING_PAGE]
        leaves = await load_profile_leaves(conn, [each.profile_id for each in page])
        for evaluation in page:
            own = [decode(leaf.state) for leaf in leaves.get(evaluation.profile_id, ())]
            occurred_at_us = max((state.last_seen_us for state in own), default=None)
            shard = shard_of(evaluation.profile_id, len(swap.after))
            learnt = evaluation._replace(changed_at_us=now_us, occurred_at_us=occurred_at_us)
            by_shard[shard].append(learnt)
    return by_shard


@dataclass(frozen=True, slots=True)
class FixedPredicates:
    """Predicates that do not change during a rebuild; see `PredicateSource`."""

    indexes: PredicateIndexes

    async def for_all_shards(self, conn: Connection) -> PredicateIndexes:
        return self.indexes


def offline_evaluator(indexes: PredicateIndexes, shards: int) -> ProfileEvaluator:
    """Return an evaluator with fixed predicates, whose locks do not block the live state."""
    return ProfileEvaluator(FixedPredicates(indexes), shards, lock_space="profile rebuild")


@dataclass(frozen=True, slots=True)
class ReplayFold:
    """The fold for rebuilds, as of one instant; see `Projection` and `Backfilling`."""

    indexes: PredicateIndexes
    #: Leaves are stored as if the log had this many shards.
    shards: int
    #: Unix microseconds.
    at_us: int
    index_key: IndexKey

    async def fold(self, conn: Connection, batch: Batch) -> FoldResult:
        """Fold a batch. Raises ServiceUnavailable where it changes which predicates are needed, or
        erases a person."""
        decoded = decode_batch(batch, self.index_key)
        if any(fact.erasure is not None for fact in decoded.facts):
            raise ServiceUnavailable("a person was erased during the rebuild; retry")
        await definition_store.save_broadcast_facts(conn, batch.shard, decoded.facts)
        if any(fact.rule_definition is not None for fact in decoded.facts):
            await self._check_definitions(conn)
        deltas = Counter[str]()
        scopes: dict[LeafId, EvaluationScope] = {}
        states: dict[LeafId, LeafState] = {}
        members = dict[LeafId, EvaluationScope]()
        assignments = list(decoded.assignments)
        by_shard: dict[int, list[AttributedFact]] = defaultdict(list)
        for fact in decoded.facts:
            by_shard[shard_of(fact.leaf_id, self.shards)].append(fact)
        for shard, facts in by_shard.items():
            leaves, shard_deltas = await fold_leaves(
                conn, shard, facts, self.indexes, self.index_key
            )
            deltas.update(shard_deltas)
            scopes |= leaves.scopes
            states |= leaves.states
            members |= leaves.new_members
            assignments += leaves.fallback_assignments.values()
        evaluator = offline_evaluator(self.indexes, self.shards)
        request = EvaluationRequest(scopes, newest_assignments(assignments), members=members)
        changes = await evaluator.evaluate(conn, batch.shard, request, self.at_us, states)
        deltas.update(changes.deltas)
        if decoded.gone:
            deltas.update(await delete_assignments(conn, decoded.gone))
        log_time_us = decoded.facts[-1].recorded_at_us
        return FoldResult(batch.next, batch.next, log_time_us, deltas=deltas)

    async def backfill_step(
        self, conn: Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        """Evaluate a page of members: no other job is scheduled during a rebuild."""
        evaluator = offline_evaluator(self.indexes, self.shards)
        object_id = object_of(job.name) or ProfileId(NO_ID)
        return await evaluate_member_page(conn, evaluator, job, at, object_id, self.at_us)

    async def _check_definitions(self, conn: Connection) -> None:
        change = index_change(
            self.indexes, await definition_store.load_indexes(conn, None, self.indexes)
        )
        if change.workspaces:
            raise ServiceUnavailable("a rule was defined during the rebuild; retry")
