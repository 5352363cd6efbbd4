"""The fold against real PostgreSQL."""

from __future__ import annotations

import random

import asyncpg
import pytest
from laws.profile_works import Works
from laws.profile_world import (
    RULES,
    Log,
    People,
    attribute,
    definition,
    expected,
    fill,
    life,
)

from services.kernel.rules.ids import predicate_id, predicates


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("side_by_side", [False, True])
async def test_standings_are_what_a_look_at_everything_finds(
    pool: asyncpg.Pool, seed: int, side_by_side: bool
) -> None:
    chance = random.Random(seed)
    log, people = Log(4), People()
    happenings = life(chance, 250, 25)
    told_rules = [definition(f"s{i}", rule) for i, rule in enumerate(RULES)]
    end_us = fill(log, happenings, chance, told_rules)
    said = attribute(log, people, chance)
    works = Works(pool, log, tear=0.1, seed=seed)
    if side_by_side:
        await works.fold_side_by_side(said, 20)
    else:
        await works.fold_all(said, 20)
    await works.fold_to_the_end(log, said, end_us)

    found = await works.standings()
    assert found == expected(happenings, people.profile_of, RULES, end_us)
    assert works.heard_last() == found
    await works.digest()


async def test_workspaces_that_ask_the_same_are_back_filled_each_for_itself(
    pool: asyncpg.Pool,
) -> None:
    log, people, chance = Log(2), People(), random.Random(3)
    happenings = life(chance, 60, 20)
    fill(log, happenings, chance, [definition("s", RULES[1])], "first")
    end_us = log.shards[0][-1].recorded_at_us
    log.append(definition("s", RULES[1], workspace="college"), end_us)
    log.tick(end_us)
    said = attribute(log, people, chance)
    works = Works(pool, log, seed=3)
    await works.fold_all(said, 50)
    await works.fold_to_the_end(log, said, end_us)
    asked = {predicate_id(p) for p in predicates(RULES[1])}
    for shard in range(2):
        told = [m for m in works.said[shard] if m.backfilled_predicates]
        assert [m.backfilled_workspace_id for m in told] == ["school", "college"]
        assert all(set(m.backfilled_predicates) == asked for m in told)


async def test_what_is_passed_on_is_every_fact_that_concerns_no_person(pool: asyncpg.Pool) -> None:
    log, people, chance = Log(2), People(), random.Random(4)
    rules = [definition(f"s{i}", rule) for i, rule in enumerate(RULES)]
    fill(log, life(chance, 40, 10), chance, rules)
    said = attribute(log, people, chance)
    works = Works(pool, log, seed=4)
    await works.fold_all(said, 9)
    for shard, facts in enumerate(log.shards):
        passed = [f.offset for m in works.said[shard] for f in m.broadcast_facts]
        assert passed == [f.offset for f in facts if not f.leaf_id]
        reached = [m.log_offset for m in works.said[shard]]
        assert reached == sorted(reached)
        assert reached[-1] == len(facts)
        assert works.positions[shard].log_time_us == facts[-1].recorded_at_us
