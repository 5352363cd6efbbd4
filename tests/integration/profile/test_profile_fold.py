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


@pytest.mark.parametrize("seed", range(6))
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
