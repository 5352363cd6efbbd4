"""The new life of an erased person is complete, whatever is folded while the old one is deleted."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import pytest
from integration.identity.identity_harness import backfill, computed_digest, fold, profiles_of
from integration.identity.identity_log import MemoryEventLog, fact_of
from integration.identity.test_identity_erasure import (
    OverwrittenLog,
    choose_person,
    erased_fact,
    erased_log,
    expected_of,
)
from laws.identity_model import ModelEvent
from onefold.log.v1.log_pb2 import Fact
from service_fixtures import HANG_S, wait_until

from services.chassis.projection.checkpoint import digests
from services.chassis.runtime.tasks import task_scope
from services.cli.commands.development import FAULT_SEEDS
from services.identity.domain.policy import DEFAULT
from services.identity.projection.evidence_cache import EvidenceCache
from services.identity.projection.fold import IdentityProjection
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, shard_of
from tests.index_key import INDEX_KEY

SHARDS = 4
SEEDS = max(6, int(os.environ.get(FAULT_SEEDS, 0)))
LI, MAIL, DEVICE = (
    Identifier("user_id", "li"),
    Identifier("email", "li@mail.example"),
    Identifier("anonymous_id", "device"),
)
WANG, SHARED = Identifier("user_id", "wang"), Identifier("anonymous_id", "shared")
WHOLE = (LI, MAIL, DEVICE)
#: The identifiers of events; each is seen often, so that workers cache it.
SETS = (
    WHOLE,
    (LI,),
    (LI, MAIL),
    (LI, DEVICE),
    (MAIL, DEVICE),
    (LI, SHARED),
    (WANG,),
    (WANG, SHARED),
    (WANG, MAIL),
    (DEVICE,),
)


class PausedLog(OverwrittenLog):
    """Goes on only when it may, once it has read the facts."""

    def __init__(self, facts: Sequence[Fact], old: int) -> None:
        super().__init__(facts, old)
        self.has_read, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def read_leaves(self, *args: Any, **fields: Any) -> list[Any]:
        found = await super().read_leaves(*args, **fields)
        self.has_read.set()
        await self.may_go_on.wait()
        return found


@dataclass
class Life:
    """Facts of a log in which a person was erased, and the projection that folds each shard."""

    pool: asyncpg.Pool
    ids: frozenset[IdentifierId]
    log: MemoryEventLog
    #: The facts as the log has them.
    facts: list[Fact]
    projections: list[IdentityProjection]
    folded: list[int] = field(default_factory=lambda: [0] * SHARDS)

    def append(self, event: ModelEvent) -> int:
        """Append an event; return its shard."""
        fact = fact_of(event)
        self.facts.append(fact)
        self.log.append([fact])
        return shard_of(fact.leaf_id, SHARDS)

    async def fold(self, shard: int, most: int = 1_000) -> None:
        """Fold the next facts of a shard."""
        first = self.folded[shard]
        if size := min(most, len(self.log.shards[shard]) - first):
            self.folded[shard] += size
            await fold(self.pool, self.projections[shard], self.log.batch(shard, first, size))

    async def erase(self) -> None:
        """Run all jobs."""
        for shard, projection in enumerate(self.projections):
            while await backfill(self.pool, projection, shard):
                pass

    async def check(self) -> None:
        """Check the state once all is folded."""
        for shard in range(SHARDS):
            await self.fold(shard)
        await self.erase()
        profiles, digest = expected_of(self.facts, DEFAULT)
        assert await profiles_of(self.pool) == profiles
        assert await computed_digest(self.pool) == digest
        async with self.pool.acquire() as conn:
            assert set((await digests(conn)).values()) == {digest}


def begin(
    pool: asyncpg.Pool,
    old: Sequence[ModelEvent],
    reader: type[OverwrittenLog] = OverwrittenLog,
    ids: frozenset[IdentifierId] | None = None,
) -> Life:
    """Return a life in which a person of the old events, or with some ids, is erased."""
    chance = random.Random(1)
    ids = ids or choose_person(old, DEFAULT, chance)
    log = MemoryEventLog(SHARDS)
    log.append(map(fact_of, old))
    overwritten, changed = erased_log([fact_of(one) for one in old], ids, chance)
    log.append([erased_fact(ids, changed, 1)])
    facts = [*overwritten]
    cache, source = EvidenceCache(200, INDEX_KEY), reader(facts, len(old))
    projections = [
        IdentityProjection(shards=SHARDS, cache=cache, log=source) for _ in range(SHARDS)
    ]
    for shard, projection in enumerate(projections):
        projection.forget(shard)
    return Life(pool, ids, log, facts, projections)


def life_of_li(pool: asyncpg.Pool, reader: type[OverwrittenLog] = OverwrittenLog) -> Life:
    """Return the life of Li, whose three identifiers were seen together often."""
    old = [ModelEvent(WHOLE, 10 + n, n) for n in range(3)]
    ids = frozenset(one.id_in("school", INDEX_KEY) for one in WHOLE)
    return begin(pool, old, reader, ids)


async def fold_old_life(life: Life, shard: int) -> None:
    """Fold all, the shard of Li one by one: so its worker caches what is stored."""
    for each in range(SHARDS):
        while life.folded[each] < len(life.log.shards[each]):
            await life.fold(each, 1 if each == shard else 1_000)


async def new_life_of_li(pool: asyncpg.Pool) -> tuple[Life, int]:
    """Return the life of Li, whose identifiers all live again at the erasure, and the shard."""
    life = life_of_li(pool)
    shard = life.append(ModelEvent((LI, MAIL), 100, 100))
    life.append(ModelEvent((LI, DEVICE), 101, 101))
    await fold_old_life(life, shard)
    await life.erase()
    return life, shard


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_state_follows_from_the_log_in_whatever_order_shards_fold_a_new_life(
    pool: asyncpg.Pool, seed: int
) -> None:
    chance = random.Random(seed)

    def event(number: int) -> ModelEvent:
        return ModelEvent(chance.choice(SETS), chance.randint(1, 1_000), number)

    life = begin(pool, [event(number) for number in range(25)])
    for number in range(25, 50):
        life.append(event(number))
        for _ in range(chance.randrange(4)):
            await life.fold(chance.randrange(SHARDS), chance.randint(1, 8))
        if chance.random() < 0.3:
            await life.erase()
    await life.check()


async def test_evidence_between_identifiers_that_all_live_again_is_added_after_an_erasure(
    pool: asyncpg.Pool,
) -> None:
    life, _ = await new_life_of_li(pool)
    # The worker knew these three together, and each of them is stored.
    life.append(ModelEvent(WHOLE, 102, 102))
    await life.check()


async def test_event_that_is_folded_late_after_an_erasure_adds_its_evidence(
    pool: asyncpg.Pool,
) -> None:
    life, shard = await new_life_of_li(pool)
    life.append(ModelEvent(WHOLE, 102, 102))
    first = life.folded[shard]
    batch = replace(life.log.batch(shard, first, 1), is_late=True)
    await fold(pool, life.projections[shard], batch)
    life.folded[shard] += 1
    await life.check()


@pytest.mark.parametrize("caches", [True, False])
@pytest.mark.parametrize("names", [WHOLE, (WANG, MAIL)])
async def test_event_that_is_folded_while_a_person_is_erased_adds_its_evidence(
    pool: asyncpg.Pool, names: tuple[Identifier, ...], caches: bool
) -> None:
    life = life_of_li(pool, PausedLog)
    reader: Any = life.projections[0]._log
    assert isinstance(reader, PausedLog)
    event = ModelEvent(names, 100, 100)
    shard = shard_of(fact_of(event).leaf_id, SHARDS)
    await fold_old_life(life, shard)
    if not caches:
        life.projections[shard].forget(shard)
    async with asyncio.timeout(HANG_S), task_scope(life.erase()) as erasing:
        await reader.has_read.wait()
        assert life.append(event) == shard
        async with task_scope(life.fold(shard)) as folding:

            async def has_ended_or_waits() -> bool:
                return folding.done() or bool(await waiting(pool))

            await wait_until(has_ended_or_waits)
            reader.may_go_on.set()
            await folding
        await erasing
    await life.check()


async def waiting(pool: asyncpg.Pool) -> int:
    """Return the number of transactions that wait for a lock."""
    return int(
        await pool.fetchval(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
    )
