"""Rebuilds identity's state from the log, beside the live one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from onefold.log.v1.log_pb2 import FactBatch

from services.chassis.codec.erasures import erasures_in
from services.chassis.messaging.stream import Batch, FoldResult, UnitId
from services.chassis.postgres.database import acquire, transaction
from services.chassis.projection.backfill import BackfillJob, BackfillStep, schedule
from services.chassis.projection.checkpoint import Checkpoint, load_checkpoints, save_checkpoint
from services.chassis.projection.differing_rows import differing_table_rows
from services.chassis.projection.failed_facts import load_left_out
from services.chassis.projection.parked_facts import add_parked_facts
from services.chassis.projection.rebuild import FROM_LOG, RebuildSource
from services.chassis.projection.replay import LogReplay, for_each_shard, without
from services.chassis.projection.row_load import check_rows, checkpoints_of
from services.chassis.rpc.clients import LogClient
from services.identity.codec.bus import Observations, decode_batch
from services.identity.codec.policy import POLICY_DEFINED, decode_policy
from services.identity.projection.erase import LeafFacts, erase_person, is_erasure, note_erasures
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import apply_batch
from services.identity.projection.matches import fold_matches
from services.identity.projection.policy_rollout import resolve_page
from services.identity.projection.upstream import LogUpstream
from services.identity.rebuild.bulk_load import EvidenceLoader
from services.identity.rebuild.page_share import PageShare
from services.identity.rebuild.row_load import load_rows
from services.identity.store.evidence import REBUILD, PostgresEvidence
from services.identity.store.policy import ROLLOUT, save_policy
from services.kernel.ids import LeafId, shard_of
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token

_IDENTIFIER = "encode(identifier_id, 'hex')"
_PAIR = "encode(a, 'hex') || ' ' || encode(b, 'hex')"


@dataclass(frozen=True, slots=True)
class IdentityRebuilder:
    """Implements services.chassis.projection.rebuild.Rebuilder."""

    upstream: LogUpstream
    log: LogClient
    #: Passes the pages of the log on.
    share: PageShare
    cache_size: int
    #: Identifier sets that are held at once.
    max_sets: int
    index_key: IndexKey
    source: RebuildSource = FROM_LOG

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        end: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """Fold the log up to `end`. The policies are loaded first, so that all evidence is
        resolved with the newest one from the start."""
        async with acquire(pool) as conn:
            is_begun = any(one.log_offset for one in await load_checkpoints(conn))
        await add_parked_facts(pool, "identity", end, self.log)
        cache = EvidenceCache(self.cache_size, self.index_key)
        if self.source.rows is not None and not is_begun:
            await self._load_rows(pool, self.source.rows, end, shards, cache)
            is_begun = True
        await self._load_policies(pool, end, roll_out=is_begun)
        if not is_begun:
            loader = EvidenceLoader(pool, shards, cache, self.max_sets)
            await self._bulk_load(pool, loader, end, workers, progress)
            return
        fold = IdentityReplayFold(cache, shards, log_shards=len(end.offsets), log=self.log)
        replay = LogReplay(fold, self.upstream)
        if shards != len(end.offsets):
            # A batch then locks once per shard, and two workers could wait for each other.
            workers = 1
        await replay.rebuild(pool, end, workers=workers, progress=progress)

    async def _load_rows(
        self, pool: asyncpg.Pool, folder: Path, end: Token, shards: int, cache: EvidenceCache
    ) -> None:
        manifest = await check_rows(pool, folder, "identity", end)
        await self._load_policies(pool, manifest.end, roll_out=False)
        await load_rows(pool, folder, shards, cache)
        async with transaction(pool) as conn:
            for checkpoint in checkpoints_of(manifest):
                await save_checkpoint(conn, checkpoint)

    async def _bulk_load(
        self,
        pool: asyncpg.Pool,
        loader: EvidenceLoader,
        end: Token,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        async def read(shard: int, end_offset: int) -> Checkpoint:
            at = Checkpoint(shard)
            if not end_offset:
                return at
            async with acquire(pool) as conn:
                left_out = await load_left_out(conn, shard, 0, end_offset)
            async for batch, life in self.upstream.read_facts(shard, 0, end_offset):
                await share(batch)
                page = batch.facts
                await loader.add(without(page, left_out))
                offset, time_us = page[-1].offset + 1, page[-1].recorded_at_us
                at = Checkpoint(shard, offset, 0, offset, time_us, upstream_life=life)
                progress(len(page))
            return at

        sharing = self.share.sharing() if self.source.together else nullcontext(_share_nothing)
        async with sharing as share:
            checkpoints = await for_each_shard(end, workers, read)
        await loader.flush()
        async with transaction(pool) as conn:
            for checkpoint in checkpoints:
                await save_checkpoint(conn, checkpoint)

    async def _load_policies(self, pool: asyncpg.Pool, end: Token, *, roll_out: bool) -> None:
        for shard, offset in enumerate(end.offsets):
            if not offset:
                continue
            async with acquire(pool) as conn:
                left_out = await load_left_out(conn, shard, 0, offset)
            async for facts in self.log.read(shard, 0, offset, kinds=[POLICY_DEFINED]):
                folded = (fact for fact in facts if UnitId(fact.offset) not in left_out)
                async with transaction(pool) as conn:
                    for policy in map(decode_policy, folded):
                        if await save_policy(conn, shard, policy) and roll_out:
                            key = (ROLLOUT, policy.workspace_id, policy.version)
                            await schedule(conn, [0], *key)

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """Copy the assignments that are still to be published. The versions need no copy: their
        sequence outlasts the generations."""
        await conn.execute(
            f"INSERT INTO {new}.unpublished_assignment SELECT * FROM {live}.unpublished_assignment"
        )

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """Return names of rows that differ; see Rebuilder."""
        rows: list[str] = []
        for table, key, columns in (
            (
                "identifier",
                _IDENTIFIER,
                "identifier_id, profile_id, first_seen_us, first_fact, namespace, value, flags",
            ),
            (
                "edge",
                _PAIR,
                "kind, first_seen_us, first_fact, last_seen_day, held_reason, held_namespace",
            ),
            ("decision", _PAIR, "occurred_at_us, fact_id, kind, actor, reason"),
            ("match", _PAIR, "occurred_at_us, fact_id, message"),
        ):
            rows += await differing_table_rows(conn, live, new, table, key, columns, limit)
        return rows


async def _share_nothing(batch: FactBatch) -> None:
    """Pass a page on to no one."""


class IdentityReplayFold:
    """The fold for rebuilds: writes state, publishes nothing. A rollout has one job, on shard 0,
    for all shards.

    `shards`: each batch is split by leaf as if the log had this many.
    """

    def __init__(
        self, cache: EvidenceCache, shards: int, *, log_shards: int, log: LeafFacts
    ) -> None:
        self._cache = cache
        self._shards = shards
        self._log_shards = log_shards
        self._log = log

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """Fold one batch; see `services.chassis.messaging.stream.Projection`."""
        decoded = decode_batch(batch)
        await self._cache.regions.load(conn, decoded.broadcast, decoded.workspaces)
        by_shard: dict[int, Observations] = {}
        for identifier_set, span in decoded.observations.items():
            _, leaf_id, _, _ = identifier_set
            shard = shard_of(LeafId(leaf_id), self._shards) if leaf_id else 0
            by_shard.setdefault(shard, {})[identifier_set] = span
        if decoded.decisions:
            by_shard.setdefault(0, {})
        deltas: Counter[str] = Counter()
        decisions = decoded.decisions
        for _, observations in sorted(by_shard.items()):
            store = PostgresEvidence(conn, shards=self._shards, space=REBUILD)
            applied = await apply_batch(store, self._cache, observations, decisions)
            deltas.update(applied.deltas)
            decisions = []
        deltas.update(await fold_matches(conn, self._shards, self._cache, decoded.matches))
        await note_erasures(conn, batch.shard, self._log_shards, erasures_in(decoded.broadcast))
        log_time_us = decoded.log_time_us or batch.log_time_us
        return FoldResult(batch.next, batch.next, log_time_us, deltas=deltas)

    async def backfill_step(
        self, conn: asyncpg.Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        """Roll out a policy, or erase a person; see
        `services.chassis.projection.backfill.Backfilling`."""
        store = PostgresEvidence(conn, shards=self._shards, space=REBUILD)
        if is_erasure(job):
            ends = {one.shard: one.log_offset for one in await load_checkpoints(conn)}
            at_end = Token.from_offsets(ends)
            cache = self._cache.emptied(1)
            return await erase_person(conn, store, cache, self._log, job, shards=0, before=at_end)
        cursor, applied = await resolve_page(conn, store, job, shard=None)
        return BackfillStep(cursor, deltas=applied.deltas)
