"""Checks that what journeys wait for is published once, whichever way the facts are folded."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import asyncpg
from laws.profile_harness import ProfileHarness
from laws.profile_model import (
    WORKSPACE,
    MemoryIdentity,
    MemoryLog,
    SourceEvent,
    definitions,
    fill,
    publish,
    random_events,
)
from onefold.activation.v1 import journey_facts_pb2 as pb
from onefold.log.v1.log_pb2 import Fact

from services.chassis.codec.journey_facts import JOURNEY_DEFINED
from services.chassis.codec.journeys import journey_to_proto
from services.kernel.ids import WorkspaceId, definition_fact_id
from services.kernel.journeys.journey_form import parse_journey

JOURNEYS: list[dict[str, Any]] = [
    {
        "id": "trial",
        "enter": {"event": {"name": "trial", "where": {"price": {"at_least": 1}}}, "per": "course"},
        "goal": [{"event": {"name": "bought", "same": "course"}}],
        "steps": [{"wait": "1d"}],
    },
    {"id": "any", "enter": {"event": "*"}, "steps": [{"wait": "1d"}]},
]


class Published(NamedTuple):
    """What a consumer of profile's stream knows of journeys."""

    #: Each matched event, in any order.
    events: list[tuple[Any, ...]]
    #: The profile of each leaf with a matched event.
    profiles: dict[bytes, bytes]


def journey_facts() -> list[Fact]:
    facts = []
    for form in JOURNEYS:
        message = pb.JourneyDefined(journey=journey_to_proto(parse_journey(form)))
        message.journey.version = 1
        fact_id = definition_fact_id(WorkspaceId(WORKSPACE), JOURNEY_DEFINED, form["id"], 1)
        payload = message.SerializeToString()
        facts.append(
            Fact(workspace_id=WORKSPACE, fact_id=fact_id, kind=JOURNEY_DEFINED, payload=payload)
        )
    return facts


def published(harness: ProfileHarness) -> Published:
    """Return what the messages of all shards say, where the highest version of a leaf counts."""
    events = []
    owners: dict[bytes, tuple[int, bytes]] = {}
    messages = [message for shard in harness.outputs for message in shard]
    for message in messages:
        for event in message.matched_events:
            properties = json.loads(event.properties)
            filters = tuple(event.filter_ids)
            at_us = event.occurred_at_us
            events.append(
                (event.fact_id, event.leaf_id, filters, at_us, sorted(properties.items()))
            )
            owner = (event.assignment_version, event.profile_id)
            owners[event.leaf_id] = max(owner, owners.get(event.leaf_id, owner))
    for message in messages:
        for move in message.leaf_moves:
            if move.leaf_id in owners:
                owners[move.leaf_id] = max((move.version, move.profile_id), owners[move.leaf_id])
    return Published(sorted(events), {leaf: profile for leaf, (_, profile) in owners.items()})


async def folded(
    pool: asyncpg.Pool,
    events: list[SourceEvent],
    *,
    seed: int,
    shards: int = 4,
    max_size: int = 40,
    concurrent: bool = False,
    defined_first: bool = True,
) -> tuple[Published, dict[bytes, bytes]]:
    """Return what one way to fold publishes, and the final profiles of identity."""
    rng = random.Random(seed)
    log, identity = MemoryLog(shards), MemoryIdentity()
    for fact in journey_facts() if defined_first else ():
        log.append(fact, 1)
    later = [] if defined_first else journey_facts()
    fill(log, rng.sample(events, len(events)), rng, [*definitions(), *later])
    streams = publish(log, identity, rng)
    harness = ProfileHarness(pool, log, seed=seed, rollback_rate=0.2)
    await harness.start()
    await (harness.fold_concurrently if concurrent else harness.fold_all)(streams, max_size)
    return published(harness), identity.profile_of


WAYS: list[dict[str, Any]] = [
    {"seed": 2, "shards": 1},
    {"seed": 3, "concurrent": True},
    {"seed": 4, "max_size": 3},
    {"seed": 5, "shards": 7, "concurrent": True, "max_size": 5},
]


async def test_matched_events_and_their_persons_are_the_same_in_any_order_and_number_of_shards(
    pool: asyncpg.Pool,
) -> None:
    events = random_events(random.Random(11), 120, 20)
    reference, profile_of = await folded(pool, events, seed=1)
    assert reference.events
    # An event is in the log once, so it is published once.
    assert len({event[:2] for event in reference.events}) == len(reference.events)
    assert reference.profiles == {leaf: profile_of[leaf] for leaf in reference.profiles}
    for way in WAYS:
        found, _ = await folded(pool, events, **way)
        assert found == reference, way
    # Moves before the definition are not published; an event has its person of today all the same.
    for seed in (6, 7, 8):
        found, profile_of = await folded(pool, events, seed=seed, defined_first=False)
        assert found.profiles == {leaf: profile_of[leaf] for leaf in found.profiles}
