"""Laws 1 to 4 for profile, on a real PostgreSQL: one set of facts, many ways to come by it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio
from laws.profile_works import Works
from laws.profile_world import (
    RULES,
    WORKSPACE,
    Attributed,
    Happening,
    Log,
    People,
    attribute,
    definition,
    expected,
    fill,
    life,
)

from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.kernel.identifiers import Identifier
from services.kernel.time import HOUR_US

STATE = "leaf, account, assignment, standing, definition, predicate, series, growth, digest"


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    await migrate(database, "profile", shards=4)
    async with Database(database, "profile") as opened:
        yield opened.pool


async def end_of(
    pool: asyncpg.Pool,
    happenings: list[Happening],
    *,
    seed: int,
    shards: int = 4,
    largest: int = 40,
    where: str = "anywhere",
    side_by_side: bool = False,
) -> tuple[dict[str, str], dict[bytes, frozenset[int]]]:
    """The digest and the standings in which one way ends; they are checked against each other."""
    await pool.execute(f"TRUNCATE {STATE}")
    chance = random.Random(seed)
    log, people = Log(shards), People()
    definitions = [definition(f"s{i}", rule) for i, rule in enumerate(RULES)]
    end_us = fill(log, chance.sample(happenings, len(happenings)), chance, definitions, where)
    said = attribute(log, people, chance)
    works = Works(pool, log, seed=seed)
    await (works.fold_side_by_side if side_by_side else works.fold_all)(said, largest)
    await works.fold_to_the_end(log, said, end_us)
    assert {p for shard in range(shards) for p in works.live(shard)}
    return await works.digest(), await works.standings()


WAYS = [
    {"seed": 1, "where": "last"},
    {"seed": 2, "where": "anywhere"},
    {"seed": 3, "shards": 1},
    {"seed": 4, "shards": 1, "where": "first", "largest": 400},
    {"seed": 5, "side_by_side": True},
    {"seed": 6, "largest": 3},
    {"seed": 7, "shards": 7, "side_by_side": True, "where": "last"},
]


@pytest.mark.parametrize("seed", [11, 12])
async def test_any_order_repetition_batching_and_shards_end_in_one_state(
    pool: asyncpg.Pool, seed: int
) -> None:
    happenings = life(random.Random(seed), 150, 20)
    plain = await end_of(pool, happenings, seed=0, where="first")
    for way in WAYS:
        assert await end_of(pool, happenings, **way) == plain, way


async def test_another_fact_ends_in_another_digest(pool: asyncpg.Pool) -> None:
    happenings = life(random.Random(13), 60, 10)
    asked = next(i for i, h in enumerate(happenings) if (h.type, h.name) == ("track", "viewed"))
    changed = replace(happenings[asked], occurred_at_us=happenings[asked].occurred_at_us + 1)
    others = [*happenings[:asked], changed, *happenings[asked + 1 :]]
    digest, _ = await end_of(pool, happenings, seed=1)
    other, _ = await end_of(pool, others, seed=1)
    assert digest != other


async def test_people_leave_when_time_passes_and_nothing_else_happens(pool: asyncpg.Pool) -> None:
    happenings = life(random.Random(14), 150, 40)
    log, people, chance = Log(4), People(), random.Random(14)
    definitions = [definition(f"s{i}", rule) for i, rule in enumerate(RULES)]
    end_us = fill(log, happenings, chance, definitions, "first")
    said = attribute(log, people, chance)
    works = Works(pool, log, seed=14)
    await works.fold_all(said, 50)
    before = await works.standings()
    assert before == expected(happenings, people.profile_of, RULES, end_us)
    for step in range(1, 16):
        instant = end_us + step * 6 * HOUR_US
        log.tick(instant)
        told = attribute(log, people, chance)
        await works.fold_all(told, 1)
        assert await works.standings() == expected(happenings, people.profile_of, RULES, instant)
    assert await works.standings() != before


async def test_a_merge_moves_no_data_and_gives_each_leaf_back_when_it_is_taken_apart(
    pool: asyncpg.Pool,
) -> None:
    chance = random.Random(21)
    ann, user = Identifier("anonymous_id", "a"), Identifier("user_id", "u")
    alone = [replace(h, identifiers=(chance.choice([ann, user]),)) for h in life(chance, 40, 2)]
    together = replace(alone[0], identifiers=(user, ann), message=99)
    log, people = Log(4), People()
    definitions = [definition(f"s{i}", rule) for i, rule in enumerate(RULES)]
    end_us = fill(log, alone, chance, definitions, "first")
    told = attribute(log, people, chance)
    works = Works(pool, log, seed=21)
    await works.fold_all(told, 50)
    assert len(await works.standings()) == 2
    states = await pool.fetch("SELECT leaf_id, state FROM leaf WHERE leaf_id <> $1", together.leaf)

    log.append(together.fact(), end_us)
    log.tick(end_us)
    continue_with(told, log, people)
    await works.fold_all(told, 50)
    happenings = [*alone, together]
    found = await works.standings()
    assert len(found) == 1
    assert found == expected(happenings, people.profile_of, RULES, end_us)
    assert states == await pool.fetch(
        "SELECT leaf_id, state FROM leaf WHERE leaf_id <> $1", together.leaf
    )

    apart = people.take_apart(ann.id_in(WORKSPACE), user.id_in(WORKSPACE))
    log.tick(end_us)
    continue_with(told, log, people)
    told[1][-1].assignments = apart
    await works.fold_all(told, 50)
    found = await works.standings()
    assert len(found) == 2
    assert found == expected(happenings, people.profile_of, RULES, end_us)
    assert works.heard_last() == found
    await works.digest()


def continue_with(told: list[list[Attributed]], log: Log, people: People) -> None:
    for shard, facts in enumerate(log.shards):
        for fact in facts[len(told[shard]) :]:
            told[shard].append(Attributed(fact, *people.hear(fact)))
