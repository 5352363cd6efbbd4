"""Checks laws 1 to 4 for profile on a real PostgreSQL: one set of facts, many ways to fold it."""

from __future__ import annotations

import random
from dataclasses import replace

import asyncpg
import pytest
from laws.profile_harness import ProfileHarness
from laws.profile_model import (
    RULES,
    WORKSPACE,
    MemoryIdentity,
    MemoryLog,
    SourceEvent,
    continue_streams,
    definitions,
    drafts,
    expected_predicates,
    fill,
    publish,
    random_events,
)

from services.kernel.identifiers.model import Identifier
from services.kernel.time import HOUR_US
from tests.index_key import INDEX_KEY


async def final_state(
    pool: asyncpg.Pool,
    events: list[SourceEvent],
    *,
    seed: int,
    shards: int = 4,
    max_size: int = 40,
    where: str = "anywhere",
    concurrent: bool = False,
    with_drafts: bool = False,
) -> tuple[dict[str, str], dict[bytes, frozenset[int]]]:
    """Return the digest, checked against the rows, and the evaluations after one way to fold."""
    rng = random.Random(seed)
    log, identity = MemoryLog(shards), MemoryIdentity()
    defined = drafts() if with_drafts else definitions()
    end_us = fill(log, rng.sample(events, len(events)), rng, defined, where)
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=seed)
    await harness.start()
    await (harness.fold_concurrently if concurrent else harness.fold_all)(streams, max_size)
    await harness.finish(log, streams, end_us)
    assert {p for shard in range(shards) for p in harness.backfilled(shard)}
    return await harness.digest(), await harness.true_predicates()


WAYS = [
    {"seed": 1, "where": "last"},
    {"seed": 2, "where": "anywhere"},
    {"seed": 3, "shards": 1},
    {"seed": 4, "shards": 1, "where": "first", "max_size": 400},
    {"seed": 5, "concurrent": True},
    {"seed": 6, "max_size": 3},
    {"seed": 7, "shards": 7, "concurrent": True, "where": "last"},
    {"seed": 8, "with_drafts": True},
    {"seed": 9, "with_drafts": True, "concurrent": True, "max_size": 5},
    {"seed": 10, "with_drafts": True, "shards": 1, "where": "last"},
]


@pytest.mark.parametrize("seed", [11, 12])
async def test_fold_in_any_order_batching_and_number_of_shards_ends_in_one_state(
    pool: asyncpg.Pool, seed: int
) -> None:
    events = random_events(random.Random(seed), 150, 20)
    reference = await final_state(pool, events, seed=0, where="first")
    for way in WAYS:
        assert await final_state(pool, events, **way) == reference, way


async def test_digest_with_another_fact_differs(pool: asyncpg.Pool) -> None:
    events = random_events(random.Random(13), 60, 10)
    index = next(i for i, e in enumerate(events) if (e.type, e.name) == ("track", "viewed"))
    changed = replace(events[index], occurred_at_us=events[index].occurred_at_us + 1)
    others = [*events[:index], changed, *events[index + 1 :]]
    digest, _ = await final_state(pool, events, seed=1)
    other, _ = await final_state(pool, others, seed=1)
    assert digest != other


async def test_evaluations_change_when_only_time_passes(pool: asyncpg.Pool) -> None:
    events = random_events(random.Random(14), 150, 40)
    log, identity, rng = MemoryLog(4), MemoryIdentity(), random.Random(14)
    end_us = fill(log, events, rng, definitions(), "first")
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=14)
    await harness.start()
    await harness.fold_all(streams, 50)
    before = await harness.true_predicates()
    assert before == expected_predicates(events, identity.profile_of, RULES, end_us)
    for step in range(1, 16):
        now_us = end_us + step * 6 * HOUR_US
        log.tick(now_us)
        continue_streams(streams, log, identity)
        await harness.fold_all(streams, 1)
        expected = expected_predicates(events, identity.profile_of, RULES, now_us)
        assert await harness.true_predicates() == expected
    assert await harness.true_predicates() != before


async def test_merge_moves_no_data_and_unmerge_restores_the_data_of_each_profile(
    pool: asyncpg.Pool,
) -> None:
    rng = random.Random(21)
    ann, user = Identifier("anonymous_id", "a"), Identifier("user_id", "u")
    separate = [
        replace(e, identifiers=(rng.choice([ann, user]),)) for e in random_events(rng, 40, 2)
    ]
    link = replace(separate[0], identifiers=(user, ann), message=99)
    log, identity = MemoryLog(4), MemoryIdentity()
    end_us = fill(log, separate, rng, definitions(), "first")
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=21)
    await harness.start()
    await harness.fold_all(streams, 50)
    assert len(await harness.true_predicates()) == 2
    other_leaves = "SELECT leaf_id, state FROM leaf WHERE leaf_id <> $1"
    states = await pool.fetch(other_leaves, link.leaf)

    log.append(link.fact(), end_us)
    log.tick(end_us)
    continue_streams(streams, log, identity)
    await harness.fold_all(streams, 50)
    events = [*separate, link]
    merged = await harness.true_predicates()
    assert len(merged) == 1
    assert merged == expected_predicates(events, identity.profile_of, RULES, end_us)
    assert states == await pool.fetch(other_leaves, link.leaf)

    assignments = identity.split(ann.id_in(WORKSPACE, INDEX_KEY), user.id_in(WORKSPACE, INDEX_KEY))
    log.tick(end_us)
    continue_streams(streams, log, identity)
    streams[1][-1].assignments = assignments
    await harness.fold_all(streams, 50)
    unmerged = await harness.true_predicates()
    assert len(unmerged) == 2
    assert unmerged == expected_predicates(events, identity.profile_of, RULES, end_us)
    assert harness.published_predicates() == unmerged
    await harness.digest()
