"""The profile service's fold at work on a real PostgreSQL, shard by shard, without a bus."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import asyncpg
from laws.profile_world import Attributed, Log, batch
from onefold.profile.v1.profile_stream_pb2 import ProfilesChanged

from services.chassis.projection.checkpoint import Checkpoint, digests
from services.kernel.digest import digest_of, to_hex
from services.kernel.errors import ServiceUnavailable
from services.kernel.fold.leaf import decode
from services.kernel.ids import NO_ID
from services.profile.codec import bus as wire
from services.profile.domain.backfill import Past
from services.profile.domain.model import (
    as_int,
    assignment_share,
    leaf_share,
    standing_share,
    unpack_ids,
)
from services.profile.projection.backfill import Grower
from services.profile.projection.evaluate import Settler
from services.profile.projection.fold import Pace, ProfileApp
from services.profile.projection.leaves import Memory
from services.profile.projection.predicates import Rulebook
from services.profile.store.accounts import account_row
from services.profile.store.postgres import standing


class MemoryPast:
    """A log in memory as `PastReader`; it is away now and then."""

    def __init__(self, log: Log, away: float = 0.0) -> None:
        self._log = log
        self._away = away
        self._chance = random.Random(0)

    async def events(self, shard: int, first: int, until: int) -> Sequence[Past]:
        if self._chance.random() < self._away:
            raise ServiceUnavailable("the log is away")
        return list(wire.past(self._log.shards[shard][first:until]))


class Torn(Exception):
    """A transaction was torn off."""


class Works:
    """Folds what identity says; `said` is what it said itself."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        log: Log,
        *,
        chunk: int = 7,
        page: int = 3,
        pace: Pace | None = None,
        tear: float = 0.0,
        seed: int = 0,
    ) -> None:
        shards = len(log.shards)
        self.pool = pool
        self.positions = [Checkpoint(shard) for shard in range(shards)]
        self.said: list[list[ProfilesChanged]] = [[] for _ in range(shards)]
        pace = pace or Pace(due=3, patience=20, few=2, idle_steps=2)
        self.app = _app(log, chunk, page, pace, seed % 3 * 20)
        self._tear = tear
        self._chance = random.Random(seed)

    async def fold(self, shard: int, told: list[Attributed], size: int) -> None:
        """Offer the next facts of a shard; take what was folded of them."""
        position = self.positions[shard]
        left = min(size, len(told) - position.next)
        cut = self._chance.randint(0, left)
        sizes = [n for n in (cut, left - cut) if n]
        overlap = self._chance.randint(0, min(3, position.next))
        offered = batch(shard, told, position.next, sizes, position, overlap)
        try:
            async with self.pool.acquire() as conn, conn.transaction():
                folded = await self.app.fold(conn, offered)
                if self._chance.random() < self._tear:
                    raise Torn
        except (Torn, ServiceUnavailable):
            return
        self.positions[shard] = position.after(folded)
        for output in folded.outputs:
            assert output.first == len(self.said[shard])
            self.said[shard].append(ProfilesChanged.FromString(output.payload))

    async def fold_shard(
        self, shard: int, told: list[Attributed], largest: int, *, yielding: bool = False
    ) -> None:
        """Fold the whole of a shard, in batches of random sizes."""
        for _ in range(100_000):
            if self.positions[shard].next == len(told):
                return
            await self.fold(shard, told, self._chance.randint(1, largest))
            if yielding:
                await asyncio.sleep(0)
        raise AssertionError(f"shard {shard} does not come to its end")

    async def fold_all(self, told: list[list[Attributed]], largest: int) -> None:
        """Fold everything, one worker for all shards, in turns by chance."""
        while open_shards := [
            s for s, facts in enumerate(told) if self.positions[s].next < len(facts)
        ]:
            shard = self._chance.choice(open_shards)
            await self.fold(shard, told[shard], self._chance.randint(1, largest))

    async def fold_side_by_side(self, told: list[list[Attributed]], largest: int) -> None:
        """Fold everything, one worker a shard."""
        async with asyncio.TaskGroup() as group:
            for shard, facts in enumerate(told):
                group.create_task(self.fold_shard(shard, facts, largest, yielding=True))

    async def fold_to_the_end(self, log: Log, told: list[list[Attributed]], end_us: int) -> None:
        """Ticks at one instant, until nothing is left to do."""
        while not await self._idle():
            log.tick(end_us)
            for shard, facts in enumerate(told):
                facts.append(Attributed(log.shards[shard][-1], NO_ID, []))
                await self.fold_shard(shard, facts, 1)

    async def _idle(self) -> bool:
        return await self.pool.fetchval("SELECT coalesce(bool_and(idle), true) FROM growth")

    async def standings(self) -> dict[bytes, frozenset[int]]:
        """What holds for every profile that has leaves."""
        rows = await self.pool.fetch(
            "SELECT profile_id, holds FROM standing WHERE merged_into IS NULL"
        )
        return {row["profile_id"]: unpack_ids(row["holds"]) for row in rows}

    async def digest(self) -> dict[str, str]:
        """The digest as it was kept; checked against the rows that are there."""
        async with self.pool.acquire() as conn:
            kept = await digests(conn)
            assert kept == await _counted(conn)
            await check_accounts(conn)
            return kept

    def heard_last(self) -> dict[bytes, frozenset[int]]:
        """What holds for every profile as those downstream know it: the highest version wins."""
        last = {}
        for shard in self.said:
            for said in shard:
                for change in said.changes:
                    known = last.get(change.profile_id)
                    if known is None or change.version > known.version:
                        last[change.profile_id] = change
        return {p: frozenset(c.true_predicates) for p, c in last.items() if not c.merged_into}

    def live(self, shard: int) -> set[int]:
        """The predicates that a shard said are live."""
        return {p for said in self.said[shard] for p in said.backfilled_predicates}


async def check_accounts(conn: asyncpg.Connection) -> None:
    """What is kept of accounts is what the states of their leaves say; none of them stands."""
    found = await conn.fetch(
        "SELECT shard, leaf_id, workspace_id, parent_at, parent_fact, parent_leaf FROM account"
    )
    told = {}
    for leaf in await conn.fetch("SELECT * FROM leaf"):
        state = decode(leaf["state"])
        if state.members:
            row = account_row(leaf["leaf_id"], leaf["workspace_id"], state)
            told[leaf["shard"], row.leaf_id, row.workspace_id] = row.parent or (None, None, None)
    assert {tuple(row)[:3]: tuple(row)[3:] for row in found} == told
    assert not await conn.fetchval(
        "SELECT count(*) FROM account c JOIN assignment a ON a.identifier_id = c.leaf_id"
        " JOIN standing s ON s.profile_id = a.profile_id"
    )


def _app(log: Log, chunk: int, page: int, pace: Pace, remembered: int) -> ProfileApp:
    rulebook = Rulebook()
    settler = Settler(rulebook, len(log.shards))
    grower = Grower(rulebook, settler, MemoryPast(log, away=0.2), chunk=chunk, page=page)
    return ProfileApp(
        rulebook=rulebook, settler=settler, grower=grower, memory=Memory(remembered), pace=pace
    )


async def _counted(conn: asyncpg.Connection) -> dict[str, str]:
    """The digests, counted over all rows."""
    shares: dict[str, list[int]] = {}
    for row in await conn.fetch("SELECT * FROM leaf"):
        share = leaf_share(row["leaf_id"], row["state"])
        shares.setdefault(row["workspace_id"], []).append(as_int(share))
    for row in await conn.fetch("SELECT * FROM assignment"):
        share = assignment_share(row["identifier_id"], row["profile_id"])
        shares.setdefault(row["workspace_id"], []).append(share)
    query = "SELECT profile_id, workspace_id, version, holds, due, at, merged_into FROM standing"
    for row in await conn.fetch(query):
        share = standing_share(standing(row))
        shares.setdefault(row["workspace_id"], []).append(share)
    return {w: to_hex(total) for w, rows in shares.items() if (total := digest_of(rows))}
