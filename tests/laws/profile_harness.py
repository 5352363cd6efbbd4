"""Drives profile's projection on a real PostgreSQL, shard by shard, without a bus."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence

import asyncpg
from laws.profile_model import IdentityOutput, MemoryLog, make_batch
from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged

from services.chassis.messaging.stream import OutboxMessage, UnitId
from services.chassis.projection import backfill
from services.chassis.projection.backfill import run_step
from services.chassis.projection.checkpoint import Backlog, Checkpoint, digests, save_checkpoint
from services.kernel.digest import digest_of, to_hex
from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import decode
from services.kernel.ids import NO_ID, LeafId, WorkspaceId
from services.kernel.rules.ids import unpack_ids
from services.profile.codec.log import decode_log_events
from services.profile.domain.facts import LogEvent, assignment_share
from services.profile.domain.leaves import leaf_delta
from services.profile.projection.backfill import Backfiller
from services.profile.projection.evaluate import ProfileEvaluator
from services.profile.projection.fold import ProfileProjection
from services.profile.projection.leaves import LeafCache
from services.profile.projection.predicates import PredicateIndexCache
from services.profile.store import definitions, evaluations
from services.profile.store.evaluations import evaluation_from_row
from services.profile.store.profiles import account_row
from tests.index_key import INDEX_KEY

TABLES = """
    checkpoint, digest, backfill, outbox, leaf, account, assignment, evaluation, broadcast_fact,
    predicate, cache_version, failed_fact
"""


class MemoryEventReader:
    """Reads events of a log in memory; fails at random."""

    def __init__(self, log: MemoryLog, failure_rate: float) -> None:
        self._log = log
        self._failure_rate = failure_rate
        self._rng = random.Random(0)
        #: By workspace.
        self.events_read: Counter[str] = Counter()

    async def read_leaf_events(
        self,
        workspace_id: WorkspaceId,
        shard: int,
        leaves: Sequence[LeafId],
        end: int,
        left_out: Collection[UnitId],
    ) -> AsyncIterator[Sequence[LogEvent]]:
        if self._rng.random() < self._failure_rate:
            raise ServiceUnavailable("the log is unavailable")
        wanted = set(leaves)
        facts = [
            fact
            for at, fact in enumerate(self._log.shards[shard][:end])
            if UnitId(at) not in left_out
            and fact.leaf_id in wanted
            and fact.workspace_id == workspace_id
        ]
        self.events_read[workspace_id] += len(facts)
        self._rng.shuffle(facts)
        for start in range(0, len(facts), 5):
            yield list(decode_log_events(facts[start : start + 5], INDEX_KEY))


class RolledBack(Exception):
    """A transaction is rolled back on purpose."""


#: A worker folds the same batch again after these; see `services.chassis.projection.worker`.
_RETRIED = (RolledBack, ServiceUnavailable)


class LockOrder:
    """Checks the statements of a transaction: no profile is waited for once a shared row is held.

    Rows of jobs and predicates are shared: other workers hold profiles when they write them, so the
    other order deadlocks.
    """

    _SHARED = frozenset(
        {backfill.Q.schedule_backfill, definitions.Q.save_stages, definitions.Q.drop_everywhere}
    )

    def __init__(self) -> None:
        self.is_broken = False
        self._holds_row = False

    def __call__(self, statement: asyncpg.connection.LoggedQuery) -> None:
        """Take the next statement; a logger of asyncpg."""
        self._holds_row |= statement.query in self._SHARED
        if self._holds_row and statement.query == evaluations.Q.lock:
            self.is_broken = True


class ProfileHarness:
    """Folds identity's stream as the chassis's workers do; `outputs` has the published messages."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        log: MemoryLog,
        *,
        events_per_step: int = 7,
        rows_per_step: int = 3,
        max_due: int = 3,
        blocking_leaves: int = 5,
        rollback_rate: float = 0.0,
        seed: int = 0,
    ) -> None:
        shards = len(log.shards)
        self.pool = pool
        self.reader = MemoryEventReader(log, failure_rate=0.2)
        self.checkpoints = [Checkpoint(shard) for shard in range(shards)]
        self.outputs: list[list[ProfilesChanged]] = [[] for _ in range(shards)]
        self._backlogs = [Backlog()] * shards
        predicates = PredicateIndexCache()
        # Members of objects are evaluated at once, by jobs, and by jobs of several pages.
        evaluator = ProfileEvaluator(predicates, shards, members_per_transaction=1 + seed % 3 * 3)
        self.projection = ProfileProjection(
            index_key=INDEX_KEY,
            predicates=predicates,
            evaluator=evaluator,
            backfiller=Backfiller(
                predicates,
                evaluator,
                self.reader,
                events_per_step=events_per_step,
                blocking_leaves=blocking_leaves,
            ),
            cache=LeafCache(seed % 3 * 20),
            max_due=max_due,
        )
        self._rows_per_step = rows_per_step
        self._rollback_rate = rollback_rate
        self._rng = random.Random(seed)

    async def start(self) -> None:
        """Empty the state, for as many shards as the log has."""
        await self.pool.execute(f"TRUNCATE {TABLES}")
        await self.pool.execute(
            "INSERT INTO checkpoint (shard) SELECT generate_series(0, $1::int - 1)",
            len(self.checkpoints),
        )

    async def fold(self, shard: int, stream: list[IdentityOutput], size: int) -> None:
        """Fold at most `size` facts of a shard once, then run some steps of its backfill."""
        checkpoint = self.checkpoints[shard]
        left = min(size, len(stream) - checkpoint.next)
        cut = self._rng.randint(0, left)
        sizes = [n for n in (cut, left - cut) if n]
        overlap = self._rng.randint(0, min(3, checkpoint.next))
        batch = make_batch(shard, stream, sizes, checkpoint, overlap)
        try:
            async with self.pool.acquire() as conn, conn.transaction():
                order = LockOrder()
                with conn.query_logger(order):
                    result = await self.projection.fold(conn, batch)
                assert not order.is_broken, "a fold waits for profiles and holds a shared row"
                after = checkpoint.after(result)
                after, backlog = await save_checkpoint(conn, after, result.outputs, result.deltas)
                self._roll_back_sometimes()
        except _RETRIED:
            return
        assert after != checkpoint, "the fold made no progress"
        self._commit(after, backlog, result.outputs)
        for _ in range(self._rng.randint(0, 2)):
            await self._step(shard)

    async def _step(self, shard: int) -> None:
        try:
            async with self.pool.acquire() as conn, conn.transaction():
                done = await run_step(
                    conn, self.projection, self.checkpoints[shard], most=self._rows_per_step
                )
                self._roll_back_sometimes()
        except _RETRIED:
            return
        if done is not None:
            step, after, backlog = done
            self._commit(after, backlog, step.outputs)

    def _commit(
        self, after: Checkpoint, backlog: Backlog, outputs: Sequence[OutboxMessage]
    ) -> None:
        self.checkpoints[after.shard], self._backlogs[after.shard] = after, backlog
        for output in outputs:
            assert output.first == len(self.outputs[after.shard])
            message = ProfilesChanged.FromString(output.payload)
            assert message.log_offset <= after.log_offset, "a message is ahead of a blocking job"
            self.outputs[after.shard].append(message)

    def _roll_back_sometimes(self) -> None:
        if self._rng.random() < self._rollback_rate:
            raise RolledBack

    async def fold_shard(
        self, shard: int, stream: list[IdentityOutput], max_size: int, *, yielding: bool = False
    ) -> None:
        """Fold a whole shard, in batches of random sizes."""
        for _ in range(100_000):
            if self.checkpoints[shard].next == len(stream):
                return
            await self.fold(shard, stream, self._rng.randint(1, max_size))
            if yielding:
                await asyncio.sleep(0)
        raise AssertionError(f"shard {shard} does not reach its end")

    async def fold_all(self, streams: list[list[IdentityOutput]], max_size: int) -> None:
        """Fold all shards with one worker, which changes shards at random."""
        while rest := [
            shard
            for shard, stream in enumerate(streams)
            if self.checkpoints[shard].next < len(stream)
        ]:
            shard = self._rng.choice(rest)
            await self.fold(shard, streams[shard], self._rng.randint(1, max_size))

    async def fold_concurrently(self, streams: list[list[IdentityOutput]], max_size: int) -> None:
        """Fold all shards, with one worker each."""
        async with asyncio.TaskGroup() as group:
            for shard, stream in enumerate(streams):
                group.create_task(self.fold_shard(shard, stream, max_size, yielding=True))

    async def finish(
        self, log: MemoryLog, streams: list[list[IdentityOutput]], end_us: int
    ) -> None:
        """Tick once, and run all backfills to their ends."""
        log.tick(end_us)
        for shard, stream in enumerate(streams):
            stream.append(IdentityOutput(log.shards[shard][-1], NO_ID, []))
            await self.fold_shard(shard, stream, 1)
        # Its last step may schedule jobs of shards that have none.
        while await self.pool.fetchval("SELECT count(*) FROM backfill"):
            for shard in range(len(streams)):
                await self._step(shard)

    async def true_predicates(self) -> dict[bytes, frozenset[int]]:
        """Return the stored evaluation of every profile that has leaves."""
        rows = await self.pool.fetch("SELECT profile_id, true_predicates FROM current_evaluation")
        return {row["profile_id"]: unpack_ids(row["true_predicates"]) for row in rows}

    async def digest(self) -> dict[str, str]:
        """Return the stored digest, after comparing it with the stored rows."""
        async with self.pool.acquire() as conn:
            stored = await digests(conn)
            assert stored == await _digest_of_rows(conn)
            await check_accounts(conn)
            return stored

    def published_predicates(self) -> dict[bytes, frozenset[int]]:
        """Return the evaluations as a consumer stores them: the highest version wins."""
        newest = {}
        for messages in self.outputs:
            for change in (change for message in messages for change in message.changes):
                known = newest.get(change.profile_id)
                if known is None or change.version > known.version:
                    newest[change.profile_id] = change
        return {p: frozenset(c.true_predicates) for p, c in newest.items() if not c.merged_into}

    def backfilled(self, shard: int) -> set[int]:
        """Return the predicates that a shard published as backfilled."""
        return {p for message in self.outputs[shard] for p in message.backfilled_predicates}


async def check_accounts(conn: asyncpg.Connection) -> None:
    """Check that `account` follows from the states of leaves, and that no account is evaluated."""
    stored = await conn.fetch(
        "SELECT shard, leaf_id, workspace_id, parent_at, parent_fact, parent_leaf, parent_trust"
        " FROM account"
    )
    expected = {}
    for leaf in await conn.fetch("SELECT * FROM leaf"):
        state = decode(leaf["state"])
        if state.members:
            row = account_row(leaf["leaf_id"], leaf["workspace_id"], state, INDEX_KEY)
            key = (leaf["shard"], row.leaf_id, row.workspace_id)
            expected[key] = row.stated or (None, None, None, None)
    assert {tuple(row)[:3]: tuple(row)[3:] for row in stored} == expected
    assert not await conn.fetchval(
        "SELECT count(*) FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id"
        " JOIN evaluation e ON e.profile_id = a.profile_id"
    )


async def _digest_of_rows(conn: asyncpg.Connection) -> dict[str, str]:
    shares: dict[str, list[int]] = {}
    for row in await conn.fetch("SELECT * FROM leaf"):
        share = leaf_delta(row["leaf_id"], None, row["state"])
        shares.setdefault(row["workspace_id"], []).append(share)
    for row in await conn.fetch("SELECT * FROM assignment"):
        share = assignment_share(row["identifier_id"], row["profile_id"])
        shares.setdefault(row["workspace_id"], []).append(share)
    for row in await conn.fetch(
        "SELECT profile_id, workspace_id, version, true_predicates, next_due, changed_at,"
        " merged_into FROM evaluation"
    ):
        share = evaluation_from_row(row).digest_share
        shares.setdefault(row["workspace_id"], []).append(share)
    return {w: to_hex(total) for w, rows in shares.items() if (total := digest_of(rows))}
