"""One day of many people gives one ledger: that of the slow player, however it arrives.

The messages are shuffled, doubled and cut otherwise, and played on 1, 4 or 16 shards by one or
three workers. `./onefold test --deep` lives through the day with 5,000 people.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import blake2b
from random import Random
from typing import NamedTuple

import pytest
from integration.activation.journey_fixture import EMPTY, JourneyBench
from integration.activation.ledger_fixture import SHARDS, Ledger, W
from onefold.profile.v1.profile_stream_pb2 import MatchedEvent
from onefold.segment.v1.segment_stream_pb2 import MembershipsChanged
from oracle.journeys_oracle import Contact, Happening, Oracle
from oracle.random_journeys import BEGIN, make_case, make_life, truth
from properties import PROFILE

from services.kernel.ids import LeafId, shard_of
from services.kernel.journeys.inputs import awaited_events
from services.kernel.journeys.model import Journey
from services.kernel.journeys.tree import walk_steps
from services.kernel.rules.filters import matcher
from services.kernel.rules.ids import structure_id
from services.kernel.time import DAY_US

IS_DEEP = os.environ.get(PROFILE) == "deep"
PEOPLE = 5_000 if IS_DEEP else 30
SEED = 1
#: The numbers of shards and of workers.
WAYS = ((1, 1), (4, 3), (16, 1))


class Life(NamedTuple):
    """A person and what happens to it."""

    leaf_id: LeafId
    happenings: Sequence[Happening]


def day(seed: int) -> tuple[Journey, list[Life]]:
    """Return a journey, and one day of people in whose lives it matters."""
    random = Random(seed)
    journey = make_case(random, simple=True).journey
    while len(list(walk_steps(journey.steps))) < 5:
        journey = make_case(random, simple=True).journey
    lives = []
    for number in range(PEOPLE):
        leaf_id = LeafId(blake2b(b"leaf %d" % number, digest_size=16).digest())
        events = [each for each in make_life(random, journey) if each.kind == "event"]
        own = [replace(h, id=blake2b(leaf_id + h.id, digest_size=16).digest()) for h in events]
        lives.append(Life(leaf_id, own))
    return journey, lives


def expected(journey: Journey, lives: Sequence[Life]) -> list[tuple[bytes, str, int, int]]:
    """Return the effects of the slow player: leaf, step, visit, instant."""
    return sorted(
        (life.leaf_id, *effect)
        for life in lives
        for run in Oracle(
            journey, life.happenings, life.leaf_id, truth, Contact(), BEGIN + DAY_US
        ).play()
        for effect in run.effects
    )


@asynccontextmanager
async def resized(ledger: Ledger, shards: int) -> AsyncIterator[None]:
    """Give the empty store another number of shards."""
    pool = ledger.database.pool
    await pool.execute(EMPTY)
    insert = "INSERT INTO checkpoint (shard) SELECT generate_series(0, $1) ON CONFLICT DO NOTHING"
    delete = "DELETE FROM checkpoint WHERE shard >= $1"
    try:
        await pool.execute(insert, shards - 1)
        await pool.execute(delete, shards)
        yield
    finally:
        await pool.execute(insert, SHARDS - 1)
        await pool.execute(delete, SHARDS)


def message_of(journey: Journey, leaf_id: LeafId, happening: Happening) -> MatchedEvent | None:
    """Return an event as profile passes it on; None = the journey does not wait for it."""
    filters = [
        structure_id(events)
        for events in awaited_events(journey)
        if happening.name in events.names and matcher(events.where)(happening.properties)
    ]
    if not filters:
        return None
    names = "".join(f'"{name}": {value}, ' for name, value in happening.properties.items())
    return MatchedEvent(
        workspace_id=W,
        profile_id=leaf_id,
        leaf_id=leaf_id,
        fact_id=happening.id,
        filter_ids=sorted(filters),
        occurred_at_us=happening.at,
        recorded_at_us=happening.at,
        properties=("{" + names.rstrip(", ") + "}").encode(),
    )


async def live(
    bench: JourneyBench, journey: Journey, lives: Sequence[Life], workers: int, random: Random
) -> None:
    """Let the day arrive as it happens, in an order of its own."""
    arriving: defaultdict[int, list[MatchedEvent]] = defaultdict(list)
    for life in lives:
        for happening in life.happenings:
            message = message_of(journey, life.leaf_id, happening)
            if message is not None:
                arriving[happening.at] += [message] * random.choice((1, 1, 2))
    bench.now_us = BEGIN - 1
    await bench.define_journey(journey)
    instants = sorted(arriving.keys() | {BEGIN + DAY_US})
    while instants:
        bench.now_us = at_us = instants.pop(0)
        messages = arriving.pop(at_us, [])
        random.shuffle(messages)
        while messages:
            size = random.randint(1, max(1, len(messages)))
            portion, messages = messages[:size], messages[size:]
            for shard in random.sample(range(bench.shards), bench.shards):
                own = [m for m in portion if shard_of(m.leaf_id, bench.shards) == shard]
                if own:
                    await bench.fold(shard, MembershipsChanged(matched_events=own))
        await bench.pass_time(us=1)
        player = bench.engine.player
        while sum(await asyncio.gather(*(player.look() for _ in range(workers)))):
            pass
        while await bench.engine.publisher.publish_once():
            pass
        bench.now_us = at_us
        await bench.send()
        due_us = await bench.ledger.database.pool.fetchval(
            "SELECT min(due_us) FROM journey_due WHERE due_us > $1", at_us
        )
        if due_us is not None and due_us <= BEGIN + DAY_US and due_us not in instants:
            instants = sorted((*instants, due_us))


@pytest.mark.timeout(3_600 if IS_DEEP else 300)
async def test_ledger_is_that_of_the_slow_player_in_whatever_order_the_day_arrives(
    ledger: Ledger,
) -> None:
    journey, lives = day(SEED)
    wanted = expected(journey, lives)
    assert len(wanted) > PEOPLE // 3
    keys: list[list[bytes]] = []
    for number, (shards, workers) in enumerate(WAYS):
        async with resized(ledger, shards):
            bench = JourneyBench(ledger, shards=shards)
            bench.upstream.truth = lambda question: truth(*question)
            await live(bench, journey, lives, workers, Random(number))
            rows = await bench.ledger.rows(state=3)
        found = sorted(
            (bytes(row["leaf_id"]), row["step_id"], row["visit"], row["changed_at_us"])
            for row in rows
        )
        assert found == wanted, f"{shards} shards, {workers} workers"
        keys.append(sorted(bytes(row["effect_id"]) for row in rows))
    assert all(own == keys[0] for own in keys)


async def test_import_of_five_years_of_history_sends_nothing_with_forty_journeys_live(
    bench: JourneyBench,
) -> None:
    journeys, random = [], Random(21)
    while len(journeys) < 40:
        journey = make_case(random, simple=True).journey
        journeys.append(replace(journey, journey_id=f"j{len(journeys)}"))
    bench.now_us = BEGIN
    for journey in journeys:
        await bench.define_journey(journey)
    history: list[MatchedEvent] = []
    for number in range(300):
        bench.now_us += 1
        name = random.choice(("entered", "looked", "clicked", "paid", "left"))
        at_us = BEGIN - 1 - random.randint(0, 5 * 365) * DAY_US
        event = bench.event(name, number % 20, occurred_at_us=at_us, n=3, k=number % 3)
        history.append(event)
    for shard in range(bench.shards):
        own = [event for event in history if shard_of(event.leaf_id, bench.shards) == shard]
        await bench.fold(shard, MembershipsChanged(matched_events=own))
    await bench.come_to_rest(24 * 400)
    assert await bench.runs() == []
    assert await bench.ledger.rows() == []
    assert bench.log.kinds() == []
    # A journey does act on what happens now.
    for name in ("entered", "looked", "clicked"):
        await bench.happen(name, 1, n=3, k=1)
    await bench.come_to_rest()
    assert len(await bench.runs()) > 10
