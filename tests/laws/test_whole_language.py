"""Checks laws 1 to 4 for rules of the whole language, folded by profile on a real PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Sequence

import asyncpg
import pytest
from laws.profile_harness import ProfileHarness
from laws.profile_model import (
    IdentityOutput,
    MemoryIdentity,
    MemoryLog,
    SourceEvent,
    continue_streams,
    expected_predicates,
    publish,
)
from laws.whole_language import (
    Language,
    append_all,
    end_of,
    later_instants,
    make_facts,
    make_language,
)
from onefold.log.v1.log_pb2 import Fact

from services.kernel.rules.features import Feature
from services.kernel.rules.ids import predicates
from services.kernel.trust import Party
from tests.index_key import INDEX_KEY

SEEDS = range(6)
EVENTS, IDENTIFIERS = 70, 9

Streams = list[list[IdentityOutput]]


def shuffled(
    events: Sequence[SourceEvent], defined: Sequence[Fact], rng: random.Random, where: str
) -> list[Fact | SourceEvent]:
    """Return facts in any order; definitions come "first", "last" or "anywhere"."""
    content: list[Fact | SourceEvent] = rng.sample(list(events), len(events))
    rules = rng.sample(list(defined), len(defined))
    if where == "anywhere":
        return rng.sample([*content, *rules], len(content) + len(rules))
    return [*rules, *content] if where == "first" else [*content, *rules]


async def fold(
    pool: asyncpg.Pool,
    language: Language,
    events: Sequence[SourceEvent],
    *,
    seed: int,
    shards: int = 4,
    max_size: int = 20,
    where: str = "anywhere",
    concurrent: bool = False,
) -> tuple[ProfileHarness, MemoryLog, MemoryIdentity, Streams]:
    """Fold a new log with these facts up to `end_of` them, in one of many ways."""
    rng, end_us = random.Random(seed), end_of(events)
    log, identity = MemoryLog(shards), MemoryIdentity()
    append_all(log, shuffled(events, language.facts, rng, where), rng, end_us)
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, rollback_rate=0.05, seed=seed)
    await harness.start()
    await (harness.fold_concurrently if concurrent else harness.fold_all)(streams, max_size)
    await harness.finish(log, streams, end_us)
    return harness, log, identity, streams


def seeded_facts(seed: int) -> list[SourceEvent]:
    """Return the facts that the tests fold for a seed."""
    rng = random.Random(seed)
    make_language(rng)
    return make_facts(rng, EVENTS, IDENTIFIERS)


WAYS = (
    {"seed": 1, "where": "last"},
    {"seed": 2, "shards": 1, "max_size": 200},
    {"seed": 3, "shards": 7, "concurrent": True},
    {"seed": 4, "max_size": 3, "where": "first"},
)


@pytest.mark.parametrize("seed", [31, 61])
async def test_whole_language_in_any_order_and_number_of_shards_ends_in_one_state(
    pool: asyncpg.Pool, seed: int
) -> None:
    rng = random.Random(seed)
    language, events = make_language(rng), make_facts(rng, EVENTS, IDENTIFIERS)
    states = []
    for way in WAYS:
        harness, *_ = await fold(pool, language, events, **way)
        states.append((await harness.digest(), await harness.true_predicates()))
    assert states[1:] == states[:-1]


@pytest.mark.parametrize("seed", SEEDS)
async def test_evaluations_of_the_whole_language_equal_the_oracle_as_time_passes_and_after_unmerge(
    pool: asyncpg.Pool, seed: int
) -> None:
    rng = random.Random(seed)
    language, events = make_language(rng), make_facts(rng, EVENTS, IDENTIFIERS)
    harness, log, identity, streams = await fold(
        pool, language, events, seed=seed, concurrent=seed % 2 == 1
    )

    async def check(at_us: int) -> None:
        evaluations = await harness.true_predicates()
        rules = language.rules
        assert evaluations == expected_predicates(events, identity.profile_of, rules, at_us)
        assert harness.published_predicates() == evaluations
        await harness.digest()

    at_us = end_of(events)
    await check(at_us)
    for at_us in later_instants(events, rng, 6):
        log.tick(at_us)
        continue_streams(streams, log, identity)
        await harness.fold_all(streams, 1)
        await check(at_us)

    linking = next(event for event in events if len(event.identifiers) == 2)
    one, other = (i.id_in("school", INDEX_KEY) for i in linking.identifiers)
    assignments = identity.split(one, other)
    log.tick(at_us)
    continue_streams(streams, log, identity)
    streams[-1][-1].assignments = assignments
    await harness.fold_all(streams, 20)
    await check(at_us)


def test_seeds_of_the_whole_language_have_features_of_every_class() -> None:
    features: set[type[Feature]] = set()
    for seed in SEEDS:
        language = make_language(random.Random(seed))
        features |= {type(p.feature) for rule in language.rules for p in predicates(rule)}
    names = {feature.__name__ for feature in features}
    assert names >= {"Trait", "Aggregate", "Elapsed", "Sequence", "Trend", "DateDistance"}
    assert names >= {"TopValues", "Orders", "Related"}


def test_seeds_of_the_whole_language_have_facts_of_every_kind() -> None:
    events = [event for seed in SEEDS for event in seeded_facts(seed)]
    kinds = {event.type for event in events}
    assert kinds == {"track", "identify", "page", "group", "correction", "score"}
    assert any(event.touch for event in events)
    assert {event.party for event in events} == set(Party)
