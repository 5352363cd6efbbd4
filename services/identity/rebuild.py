"""The state of identity, built anew from the log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import asyncpg

from services.chassis.messaging.stream import Batch, FoldResult
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.checkpoint import add_digest, load_checkpoints
from services.chassis.projection.rebuild import differing_digest_rows
from services.chassis.projection.replay import LogReplay
from services.identity.codec import bus as wire
from services.identity.domain.rows import Evidence, StoredEvidence
from services.identity.projection.apply_evidence import apply_evidence
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import apply_batch
from services.identity.projection.matches import fold_matches
from services.identity.projection.policy_rollout import fold_policies, is_resettling, next_step
from services.identity.store.postgres import REBUILDING, PostgresEvidence
from services.identity.upstream import LogUpstream
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import LeafId, shard_of
from services.kernel.tokens import Token

#: Seconds to wait until the live state has looked at everybody by its policies, and between looks.
PATIENCE = 600.0
PAUSE = 0.3

_IDENTIFIER = "encode(identifier_id, 'hex')"
_PAIR = "encode(a, 'hex') || ' ' || encode(b, 'hex')"


class IdentityRebuilder:
    """See chassis.rebuild.Rebuilder."""

    def __init__(self, upstream: LogUpstream, live: Database, *, remembered: int) -> None:
        self._upstream = upstream
        self._live = live
        self._remembered = remembered

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        until: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """See chassis.rebuild.Rebuilder.

        The newest policies are learnt first, so that people are settled by them from the start.
        """
        async with acquire(pool) as conn:
            is_begun = any(p.log_offset for p in await load_checkpoints(conn))
        if not is_begun:
            await self._wait_until_settled()
        await self._learn_policies(pool, until, shards, anew=is_begun)
        memory = EvidenceCache(self._remembered)
        replay = LogReplay(Refold(memory, shards), self._upstream)
        if shards != len(until.offsets):
            # A batch then learns once a shard, and workers that lock twice wait in a circle.
            workers = 1
        await replay.rebuild(pool, until, workers=workers, progress=progress)
        await _resettle(pool, shards)

    async def _wait_until_settled(self) -> None:
        """While people are looked at anew, the live state is neither of the old policy nor of the
        new one, and nothing can be compared with it. Raises ServiceUnavailable."""
        for _ in range(round(PATIENCE / PAUSE)):
            async with acquire(self._live.pool) as conn:
                if not await is_resettling(conn):
                    return
            await asyncio.sleep(PAUSE)
        raise ServiceUnavailable("people are still looked at anew by a policy; try again later")

    async def _learn_policies(
        self, pool: asyncpg.Pool, until: Token, shards: int, *, anew: bool
    ) -> None:
        for shard, offset in enumerate(until.offsets):
            if not offset:
                continue
            async for facts in self._upstream.facts(shard, offset, [wire.POLICY_DEFINED]):
                told = [wire.decode_policy(fact) for fact in facts]
                async with transaction(pool) as conn:
                    await fold_policies(conn, shard, shards, told, anew=anew)

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """Nothing to carry over: versions come from a sequence that outlasts generations."""

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """See chassis.rebuild.Rebuilder."""
        columns = "identifier_id, profile_id, first_seen_us, first_fact"
        rows = await differing_digest_rows(
            conn, live, new, "identifier", _IDENTIFIER, columns, limit
        )
        columns = "strength, first_seen_us, first_fact, last_day, held, held_namespace"
        rows += await differing_digest_rows(conn, live, new, "edge", _PAIR, columns, limit)
        columns = "occurred_at_us, fact_id, verdict"
        rows += await differing_digest_rows(conn, live, new, "decision", _PAIR, columns, limit)
        columns = "occurred_at_us, fact_id, message"
        return rows + await differing_digest_rows(conn, live, new, "match", _PAIR, columns, limit)


class Refold:
    """The fold without what others hear of it: only what follows from the facts is kept.

    `shards`: each batch is cut by leaf as if the log had so many.
    """

    def __init__(self, memory: EvidenceCache, shards: int) -> None:
        self._memory = memory
        self._shards = shards

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        """See chassis.stream.Projection."""
        heard = wire.decode_batch(batch)
        await self._memory.regions.load(conn, heard.leafless, heard.workspaces)
        by_shard: dict[int, wire.Observations] = {}
        for names, span in heard.observations.items():
            shard = shard_of(LeafId(names[1]), self._shards)
            by_shard.setdefault(shard, {})[names] = span
        if heard.decisions:
            by_shard.setdefault(0, {})
        deltas: Counter[str] = Counter()
        for shard, sightings in sorted(by_shard.items()):
            tables = PostgresEvidence(conn, shards=self._shards, space=REBUILDING)
            decisions = heard.decisions if shard == min(by_shard) else ()
            learnt = await apply_batch(tables, self._memory, sightings, decisions)
            deltas.update(learnt.deltas)
        deltas.update(await fold_matches(conn, self._shards, self._memory, heard.matches))
        now = heard.log_time_us or batch.log_time_us
        return FoldResult(batch.next, batch.next, now, deltas=deltas)


async def _resettle(pool: asyncpg.Pool, shards: int) -> None:
    """Look at everybody who still has to be, by a policy that came while the state was built."""
    for shard in range(shards):
        while await _look_at_some(pool, shard, shards):
            pass


async def _look_at_some(pool: asyncpg.Pool, shard: int, shards: int) -> bool:
    async with transaction(pool) as conn:
        step = await next_step(conn, shard)
        if step is None:
            return False
        tables = PostgresEvidence(conn, shards=shards, space=REBUILDING)
        learnt = await apply_evidence(
            tables, Evidence(), StoredEvidence(), {step.workspace_id: step.profiles}
        )
        await add_digest(conn, shard, learnt.deltas)
        await step.end(conn)
        return True
