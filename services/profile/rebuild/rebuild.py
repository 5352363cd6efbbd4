"""The state of profile, built anew from the log and from whose identifiers are.

Events are folded from the log itself. Whose identifiers are comes from identity, whose own rebuild
proves it: one state of it, then what identity said after that state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

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
from services.chassis.projection.replay import LogReplay
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient, ProjectionClient
from services.kernel.errors import ServiceUnavailable
from services.kernel.ids import ProfileId
from services.kernel.tokens import Token
from services.profile.codec import bus as wire
from services.profile.domain.backfill import grown
from services.profile.domain.evaluation import TIME
from services.profile.domain.model import Catalogues
from services.profile.projection.evaluate import Asking
from services.profile.rebuild.bulk_load import Bulk
from services.profile.rebuild.replay import Refold, settler_by
from services.profile.rebuild.resync import say_replaced
from services.profile.store import postgres as store
from services.profile.upstream import IdentityUpstream

#: Facts in one answer of the log.
READ = 5_000
#: Profiles that are looked at in one transaction.
PAGE = 2_000
#: Seconds to wait until the live state has taken in what identity knew at the start.
PATIENCE = 120.0
#: What the new state continues and no digest covers.
CARRIED = ("growth", "predicate", "series", "definition")


class ProfileRebuilder:
    """See chassis.rebuild.Rebuilder."""

    def __init__(
        self,
        upstream: IdentityUpstream,
        log: LogClient,
        identity: ProjectionClient,
        live: Database,
        runner: ProjectionRunner,
    ) -> None:
        self._upstream = upstream
        self._identity = identity
        self._log = log
        self._live = live
        self._runner = runner

    async def rebuild(
        self,
        pool: asyncpg.Pool,
        until: Token,
        *,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> None:
        """See chassis.rebuild.Rebuilder."""
        await self._refuse_growing()
        known = await self._build(pool, until, shards, workers, progress)
        # Only from there on is there a token at which both states can stand.
        await self._runner.wait_for(known, PATIENCE)

    async def upstream_head(self) -> Token:
        """See chassis.rebuild.Replacer."""
        return await self._identity.reached()

    async def build(
        self, pool: asyncpg.Pool, until: Token, *, workers: int, progress: Callable[[int], None]
    ) -> None:
        """See chassis.rebuild.Replacer."""
        await self._build(pool, until, len(until.offsets), workers, progress)

    async def difference(
        self, conn: asyncpg.Connection, replaced: StateSwap
    ) -> Mapping[int, Sequence[OutboxMessage]]:
        """See chassis.rebuild.Replacer."""
        return await say_replaced(conn, replaced)

    async def carry_over(self, conn: asyncpg.Connection, live: str, new: str) -> None:
        """What was learnt is carried over. Versions come from a sequence that outlasts
        generations."""
        for table in CARRIED:
            await conn.execute(f"DELETE FROM {new}.{table}")
            await conn.execute(f"INSERT INTO {new}.{table} SELECT * FROM {live}.{table}")

    async def differing_rows(
        self, conn: asyncpg.Connection, live: str, new: str, limit: int
    ) -> list[str]:
        """See chassis.rebuild.Rebuilder."""
        differing: list[str] = []
        for table, key, columns in (
            ("leaf", "leaf_id", "workspace_id, state"),
            ("assignment", "identifier_id", "workspace_id, profile_id"),
            ("present_standing", "profile_id", "workspace_id, holds"),
        ):
            named = f"encode({key}, 'hex')"
            differing += await differing_digest_rows(conn, live, new, table, named, columns, limit)
        return differing

    async def _refuse_growing(self) -> None:
        async with acquire(self._live.pool) as conn:
            if await store.is_growing(conn):
                raise ServiceUnavailable("definitions are being back-filled; try again later")

    async def _build(
        self,
        pool: asyncpg.Pool,
        until: Token,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> Token:
        """Fold up to `until`; the state of which something may have been seen."""
        known = until
        async with acquire(pool) as conn:
            positions = await load_checkpoints(conn)
        if any(p.log_offset for p in positions):
            await self._follow(pool, until, shards, progress)
        else:
            known = await self._from_nothing(pool, until, shards, workers, progress)
        await self._pass_time(pool, shards)
        return known

    async def _from_nothing(
        self,
        pool: asyncpg.Pool,
        until: Token,
        shards: int,
        workers: int,
        progress: Callable[[int], None],
    ) -> Token:
        catalogues = await self._learn(until)
        bulk = Bulk(pool, catalogues, shards)
        room = asyncio.Semaphore(workers)

        async def read(shard: int) -> Checkpoint:
            async with room:
                return await self._read(pool, bulk, shard, until.offset(shard), progress)

        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(read(shard)) for shard in range(len(until.offsets))]
        await bulk.flush()
        known = Token()
        async for token, page in self._upstream.assignments(until):
            known = token
            await bulk.assign(page)
        positions = [task.result() for task in reading]
        await bulk.settle(_common_time(positions))
        async with transaction(pool) as conn:
            for position in positions:
                await save_checkpoint(conn, position)
        return known

    async def _learn(self, until: Token) -> Catalogues:
        """What all definitions before a token ask for."""
        facts = []
        for shard, offset in enumerate(until.offsets):
            if offset:
                async for page in self._log.read(shard, 0, offset, kinds=wire.RULE_KINDS):
                    facts += [fact.SerializeToString() for fact in page]
        return grown({}, wire.definitions(facts))

    async def _read(
        self,
        pool: asyncpg.Pool,
        bulk: Bulk,
        shard: int,
        until: int,
        progress: Callable[[int], None],
    ) -> Checkpoint:
        """Fold a shard of the log, and keep its facts that concern no person."""
        log_time_us = 0
        if until:
            async for facts in self._log.read(shard, 0, until, page=READ):
                await bulk.take(wire.past(facts))
                async with acquire(pool) as conn:
                    await store.save_definitions(conn, shard, wire.lasting(facts))
                log_time_us = facts[-1].recorded_at_us
                progress(len(facts))
        return Checkpoint(shard, until, 0, until, log_time_us)

    async def _follow(
        self, pool: asyncpg.Pool, until: Token, shards: int, progress: Callable[[int], None]
    ) -> None:
        async with acquire(pool) as conn:
            at_us = _common_time(await load_checkpoints(conn))
        refold = Refold(await _catalogues(pool), shards, at_us)
        # One shard at a time: each writes leaves of all shards where the cut is another one.
        await LogReplay(refold, self._upstream).rebuild(pool, until, workers=1, progress=progress)

    async def _pass_time(self, pool: asyncpg.Pool, shards: int) -> None:
        """Look at those whom time alone may have changed since they were looked at.

        The shards of the log stand at instants that differ a little. Where it matters which one is
        gone by, the live state knows whose worker looks next at a profile: it goes by that one's.
        """
        async with acquire(pool) as conn:
            clocks = {p.shard: p.log_time_us for p in await load_checkpoints(conn)}
        common_us = min((us for us in clocks.values() if us), default=0)
        while due := await self._due(pool, common_us):
            await self._settle(pool, due, common_us, shards)
        for clock_us in sorted(set(clocks.values())):
            doubtful = await self._due(pool, clock_us)
            async with acquire(self._live.pool) as conn:
                looks = await store.due_shards(conn, doubtful)
            due = [p for p in doubtful if clocks.get(looks.get(p, -1)) == clock_us]
            await self._settle(pool, due, clock_us, shards)

    async def _due(self, pool: asyncpg.Pool, at_us: int) -> list[ProfileId]:
        async with acquire(pool) as conn:
            positions = await load_checkpoints(conn)
            found: list[ProfileId] = []
            for position in positions:
                dues = await store.load_dues(conn, position.shard, at_us, PAGE)
                found += [due.profile_id for due in dues]
        return found

    async def _settle(
        self, pool: asyncpg.Pool, due: Sequence[ProfileId], at_us: int, shards: int
    ) -> None:
        settler = settler_by(await _catalogues(pool), shards)
        async with transaction(pool) as conn:
            asking = Asking(profiles=dict.fromkeys(due, TIME))
            decided = await settler.settle(conn, 0, asking, at_us)
            await add_digest(conn, 0, decided.deltas)


async def _catalogues(pool: asyncpg.Pool) -> Catalogues:
    """What the definitions ask for that the new state has taken in."""
    async with acquire(pool) as conn:
        facts = await store.load_definitions(conn, None, wire.RULE_KINDS)
    return grown({}, wire.definitions(facts))


def _common_time(positions: Sequence[Checkpoint]) -> int:
    """The instant that every shard of the log has reached, Unix microseconds."""
    return min((p.log_time_us for p in positions if p.log_offset), default=0)
