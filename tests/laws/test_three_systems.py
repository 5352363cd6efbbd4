"""Laws 1 and 2 through every door: systems with the same facts have the same digests.

The facts are the same; their order, their batches, their doors, the number of shards and of
replicas, and the moments at which tags, segments and policies are defined differ. The digests are
those that `./onefold verify` prints. The suite compares two systems, `--deep` three larger ones.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pytest
from faults.running_system import SETTINGS, RunningSystem, close_system, open_system
from laws.mixed_facts import (
    FILE,
    GRPC,
    HTTP,
    NATS,
    WORKSPACES,
    Doors,
    MixedEvent,
    make_events,
    make_scores,
    open_doors,
    run_command,
)
from properties import DEPTH, PROFILE
from service_fixtures import wait_until

from services.cli.commands.packs import apply_pack
from services.cli.commands.rebuild import REBUILT
from services.cli.definitions import Pack, read_pack
from services.cli.demo.receiver import WebhookReceiver
from services.client.client import Client
from services.devstack.stack import Stack
from services.kernel.errors import RetryableError
from services.kernel.time import HOUR_US

pytestmark = pytest.mark.usefixtures("forked_services")

IS_DEEP = DEPTH[os.environ.get(PROFILE, "default")] > 1
FACTS = 3_000 if IS_DEEP else 300
#: The settings stand in every pack, as each is read on its own.
SETTINGS_OF_RULES = """
settings:
  zone: ${ZONE}
  orders:
    payments: {event: bought, order_id: order, amount: amount}
    refunds: {event: returned, order_id: order, amount: amount}
  cleaners: {city: city}
  computed_traits:
    - {name: spent, feature: {sum: {event: bought, property: amount, within: 10d, gt: 0}}}
"""
#: Settings that some systems have before these.
DRAFT = """
settings:
  cleaners: {city: region}
  computed_traits:
    - {name: spent, feature: {average: {event: viewed, property: amount, gt: 0}}}
segments:
  - {id: big, title: Draft, rule: {trait: {name: city, eq: 华东}}}
"""
PACKS = (
    """
identity_policy:
  namespaces:
    - {name: user_id, limit: 2}
    - {name: phone, limit: 3, shared_after: 3}
    - {name: email, limit: 1}
    - {name: anonymous_id, shared_after: 3}
tags:
  - {id: buyer, title: Buyer, rule: {count: {event: bought, at_least: 1}}}
  - id: spending
    title: Spending
    values:
      - {value: high, rule: {orders: {net_spend: {at_least: 900}, within: 10d}}}
      - {value: some, rule: {orders: {mean_value: {gt: 0}, during: this month}}}
    default: none
stages:
  - id: lifecycle
    title: Lifecycle
    stages:
      - {stage: silent, rule: {last_seen: {event: [viewed, bought, page, screen], at_least: 5d}}}
      - {stage: loyal, rule: {all: [{tag: buyer}, {tag: {id: spending, is: high}}]}}
      - {stage: adult, rule: {date: {trait: born, years_since: {at_least: 30}}}}
    default: visitor
segments:
  - id: loyal-or-silent
    title: Loyal or silent
    rule:
      any:
        - {stage: {of: lifecycle, is: loyal}}
        - {all: [{stage: {of: lifecycle, is: silent}}, {not: {tag: {id: spending, is: none}}}]}
""",
    """
segments:
  - {id: big, title: Big, rule: {count: {event: bought, where: {item: i-1}, at_least: 1}}}
  - {id: recent, title: Recent, rule: {count: {event: viewed, within: 7d, at_least: 2}}}
  - id: weekly
    title: Weekly
    rule: {sum: {event: bought, property: amount, during: last week, gt: 9}}
  - id: completed
    title: Completed
    rule:
      sequence:
        steps: [{event: viewed}, {event: bought, within: 2d, without: {event: returned}}]
        same: item
  - {id: both, title: Both, rule: {all: [{segment: recent}, {not: {segment: big}}]}}
""",
    """
tags:
  - {id: northern, title: Northern, rule: {trait: {name: city, clean: city, eq: 北京市}}}
segments:
  - {id: wide, title: Wide, rule: {distinct: {event: viewed, property: item, at_least: 3}}}
  - {id: idle, title: Idle, rule: {not: {count: {event: bought, within: 30d, at_least: 1}}}}
  - id: falling
    title: Falling
    rule: {trend: {count: {event: viewed, within: 6d}, ratio: {lt: 1}}}
  - id: favourite
    title: Favourite
    rule: {top: {event: viewed, property: item, limit: 1, contains: i-2}}
  - {id: paid, title: Paid, rule: {orders: {days_since_last: {lt: 4}}}}
  - {id: north, title: North, rule: {any: [{tag: northern}, {segment: paid}]}}
  - {id: risky, title: Risky, rule: {trait: {name: score.churn, at_least: 0.5}}}
  - id: learner
    title: Learner
    rule:
      any:
        - related: {type: course, where: {plan: pro}, at_least: 2}
        - related: {type: account, where: {plan: {ne: pro}}, at_least: 1}
""",
)
Digests = dict[tuple[str, str], str]


@dataclass(frozen=True)
class Feed:
    """How one of the systems gets the facts."""

    shards: int
    replicas: int
    doors: tuple[str, ...]
    batch: int
    #: The packs in the order of their definition: before the facts, in the middle, and after them.
    packs: tuple[int, int, int]
    #: None = in the order of sending, without repeats.
    seed: int | None = None


FEEDS = (
    Feed(1, 1, (GRPC,), 50, (0, 1, 2)),
    # The policy of identities comes last here, and in the middle of the facts in the third system.
    Feed(3, 2, (HTTP, NATS, GRPC, FILE), 7, (2, 1, 0), seed=1),
    *([Feed(4, 1, (NATS, HTTP, FILE), 200, (1, 0, 2), seed=2)] if IS_DEEP else []),
)


def zone_at_noon(now_us: int) -> str:
    """Return a zone without a midnight in the next hours, when calendar windows would change."""
    hour = now_us // HOUR_US % 24
    return f"Etc/GMT{hour - 12:+d}"


def pack_of(number: int) -> str:
    """Return one of the packs, with the settings that its rules go by."""
    return SETTINGS_OF_RULES + PACKS[number]


async def define(doors: Doors, folder: Path, pack: str, zone: str) -> None:
    file = folder / "pack.yaml"
    file.write_text(pack, encoding="utf-8")
    for admin in doors.admins.values():
        await wait_until(partial(_is_applied, admin, read_pack(file, {"ZONE": zone})), 300.0)


async def _is_applied(admin: Client, pack: Pack) -> bool:
    """Apply a pack; return False where services are too far behind, and it is to be tried again."""
    with suppress(RetryableError):
        await apply_pack(admin, pack)
        return True
    return False


async def send(doors: Doors, feed: Feed, events: Sequence[MixedEvent], chance: Random) -> None:
    """Send each event through a random door of the feed."""
    parts: dict[str, list[MixedEvent]] = {}
    for event in events:
        fitting = [door for door in feed.doors if door != FILE or event.may_be_filed]
        parts.setdefault(chance.choice(fitting), []).append(event)
    for door, part in parts.items():
        await doors.send(door, part, feed.batch)


def order(feed: Feed, events: Sequence[MixedEvent], chance: Random) -> list[MixedEvent]:
    """Return the events in the order of a feed, some of them twice."""
    if feed.seed is None:
        return list(events)
    ordered = [*events, *chance.sample(list(events), len(events) // 5)]
    chance.shuffle(ordered)
    return ordered


async def digests_of(feed: Feed, events: Sequence[MixedEvent], folder: Path, zone: str) -> Digests:
    """Feed a new system, and return the digests that `./onefold verify` prints."""
    settings = {**SETTINGS, "ONEFOLD_SHARDS": str(feed.shards)}
    async with (
        WebhookReceiver() as receiver,
        Stack(folder, settings=settings | receiver.settings, replicas=feed.replicas) as stack,
    ):
        system = await open_system(stack, receiver)
        doors = await open_doors(stack, system.client, system.internal)
        chance = Random(feed.seed or 0)
        ordered = order(feed, events, chance)
        middle = len(ordered) // 2
        packs = list(map(pack_of, feed.packs))
        if feed.seed is not None:
            await define(doors, folder, DRAFT, zone)
        await define(doors, folder, packs[0], zone)
        await send(doors, feed, ordered[:middle], chance)
        await define(doors, folder, packs[1], zone)
        await send(doors, feed, ordered[middle:], chance)
        await define(doors, folder, packs[2], zone)
        await wait_for_facts(system, events)
        await system.drain()
        # A score is of a person that is known already.
        await doors.record(
            make_scores(events, max(e.call["at"] for e in events)), chance, feed.batch
        )
        await system.drain()
        printed = run_command(stack, "verify", "--data", str(folder))
        await doors.admins[WORKSPACES[1]].close()
        await close_system(system)
    return read_digests(printed)


async def wait_for_facts(system: RunningSystem, events: Sequence[MixedEvent]) -> None:
    """Wait until the log has every event, each once; those of NATS arrive later."""
    # The log has an event of a group for the person, and for the account.
    expected = Counter(e.message_id for e in events) + Counter(
        e.message_id for e in events if e.call["type"] == "group"
    )

    async def are_logged() -> bool:
        return Counter(await system.logged_message_ids()) >= expected

    await wait_until(are_logged)
    assert Counter(await system.logged_message_ids()) == expected


def read_digests(printed: str) -> Digests:
    """Return the live digests of a table by projection and workspace."""
    row = re.compile(
        rf"({'|'.join(REBUILT)})\W+({'|'.join(WORKSPACES)})\W+(\w+)\W+(\w+)\W+(yes|NO)"
    )
    found = {(m[1], m[2]): m[3] for m in row.finditer(printed) if m[5] == "yes"}
    assert set(found) == {(service, each) for service in REBUILT for each in WORKSPACES}, printed
    return found


@pytest.mark.timeout(1_800)
async def test_digests_are_equal_for_any_order_batches_doors_shards_and_definitions(
    tmp_path: Path,
) -> None:
    now_us = int(time.time()) * 1_000_000
    events, zone = make_events(FACTS, now_us - HOUR_US), zone_at_noon(now_us)
    kinds = {event.call["type"] for event in events}
    assert kinds == {"track", "identify", "page", "screen", "group", "alias"}
    first, *others = [
        await digests_of(feed, events, tmp_path / str(number), zone)
        for number, feed in enumerate(FEEDS)
    ]
    assert others == [first] * len(others)
