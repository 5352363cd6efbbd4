"""Checks the instant at which time alone changes an evaluation: no event arrives, the clock ticks.

One microsecond earlier nothing has changed. The instants are written out, not computed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from laws.profile_harness import ProfileHarness
from laws.profile_model import (
    WORKSPACE,
    MemoryIdentity,
    MemoryLog,
    SourceEvent,
    continue_streams,
    definition,
    publish,
)
from laws.whole_language import tag_fact

from services.kernel.identifiers.model import Identifier
from services.kernel.rules.evaluate import compile_rule
from services.kernel.rules.forms.json_form import parse_orders, parse_rule
from services.kernel.rules.references import Classification, ValueRule
from services.kernel.time import DAY_US, MINUTE_US, to_us
from services.profile.domain.tags import Tag, TagKind
from tests.index_key import INDEX_KEY

USER = Identifier("user_id", "lei")
ZONE = "Asia/Shanghai"
ORDERS = parse_orders({"payments": {"event": "paid", "order_id": "order", "amount": "amount"}})


@dataclass(frozen=True)
class Due:
    """A rule, the events of one person, and when the rule turns true and false, in turns."""

    rule: dict[str, Any]
    #: (instant, call, properties or traits)
    events: tuple[tuple[str, str, dict[str, Any]], ...]
    #: Whether the rule is true after the last event.
    holds: bool
    turns: tuple[str, ...]


def viewed(at: str, **properties: Any) -> tuple[str, str, dict[str, Any]]:
    return at, "viewed", properties


def paid(at: str, order: str, amount: int = 100) -> tuple[str, str, dict[str, Any]]:
    return at, "paid", {"order": order, "amount": amount}


def stated(at: str, **traits: Any) -> tuple[str, str, dict[str, Any]]:
    return at, "", traits


CASES = {
    "event leaves a rolling window": Due(
        {"count": {"event": "viewed", "within": "7d", "at_least": 1}},
        (viewed("2026-03-01T10:00:00.5Z"),),
        True,
        ("2026-03-08T10:00:00.5Z",),
    ),
    "one of two values leaves a rolling window": Due(
        {"distinct": {"event": "viewed", "property": "course", "within": "2h", "at_least": 2}},
        (
            viewed("2026-03-01T10:00:00Z", course="a"),
            viewed("2026-03-01T10:00:01Z", course="b"),
            viewed("2026-03-01T10:00:02Z", course="b"),
        ),
        True,
        ("2026-03-01T12:00:00Z",),
    ),
    "sum in a rolling window falls": Due(
        {"sum": {"event": "viewed", "property": "n", "within": "1d", "lt": 3}},
        (viewed("2026-03-01T10:00:00Z", n=2), viewed("2026-03-01T11:00:00Z", n=1.5)),
        False,
        ("2026-03-02T10:00:00Z",),
    ),
    "favourite leaves a rolling window": Due(
        {
            "top": {
                "event": "viewed",
                "property": "course",
                "limit": 1,
                "within": "1d",
                "contains": "b",
            }
        },
        (
            viewed("2026-03-01T10:00:00Z", course="a"),
            viewed("2026-03-01T10:00:01Z", course="a"),
            viewed("2026-03-01T11:00:00Z", course="b"),
        ),
        False,
        ("2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z"),
    ),
    "month ends at midnight of the zone": Due(
        {"count": {"event": "viewed", "during": "this month", "at_least": 1}},
        (viewed("2026-03-31T15:59:59Z"),),
        True,
        ("2026-03-31T16:00:00Z",),
    ),
    "today becomes yesterday and the day before": Due(
        {"count": {"event": "viewed", "during": "yesterday", "at_least": 1}},
        (viewed("2026-03-05T20:00:00Z"),),
        False,
        ("2026-03-06T16:00:00Z", "2026-03-07T16:00:00Z"),
    ),
    "week begins after the clocks go forward": Due(
        {
            "count": {
                "event": "viewed",
                "during": "last week",
                "zone": "America/New_York",
                "at_least": 1,
            }
        },
        (viewed("2026-03-08T06:00:00Z"),),
        False,
        ("2026-03-09T04:00:00Z", "2026-03-16T04:00:00Z"),
    ),
    "age rises on the birthday": Due(
        {"date": {"trait": "born", "years_since": {"at_least": 26}}},
        (stated("2026-05-01T00:00:00Z", born="2000-05-17"),),
        False,
        ("2026-05-16T16:00:00Z",),
    ),
    "age rises in the zone of the person": Due(
        {"date": {"trait": "born", "years_since": {"at_least": 26}}},
        (stated("2026-05-01T00:00:00Z", born="2000-05-17", timezone="America/New_York"),),
        False,
        ("2026-05-17T04:00:00Z",),
    ),
    "birthday is in three days": Due(
        {"date": {"trait": "born", "days_until_anniversary": {"eq": 3}}},
        (stated("2026-05-01T00:00:00Z", born="2000-05-17"),),
        False,
        ("2026-05-13T16:00:00Z", "2026-05-14T16:00:00Z"),
    ),
    "birthday of 29 February in other years and in a leap year": Due(
        {"date": {"trait": "born", "days_until_anniversary": {"eq": 0}}},
        (stated("2026-12-01T00:00:00Z", born="2000-02-29"),),
        False,
        (
            *("2027-02-27T16:00:00Z", "2027-02-28T16:00:00Z"),
            *("2028-02-28T16:00:00Z", "2028-02-29T16:00:00Z"),
        ),
    ),
    "last event is longer ago than a span": Due(
        {"last_seen": {"event": "viewed", "longer_than": "36h"}},
        (viewed("2026-03-01T10:00:00Z"),),
        False,
        ("2026-03-02T22:00:00.000001Z",),
    ),
    "trend falls when its window moves on": Due(
        {"trend": {"count": {"event": "viewed", "within": "7d"}, "ratio": {"lt": 0.5}}},
        (viewed("2026-03-01T10:00:00Z"),),
        False,
        ("2026-03-08T10:00:00Z", "2026-03-15T10:00:00Z"),
    ),
    "trend of months changes at midnight of the zone": Due(
        {"trend": {"count": {"event": "viewed", "during": "this month"}, "difference": {"lt": 0}}},
        (viewed("2026-03-05T10:00:00Z"),),
        False,
        ("2026-03-31T16:00:00Z", "2026-04-30T16:00:00Z"),
    ),
    "days since the last order": Due(
        {"orders": {"days_since_last": {"at_least": 60}}},
        (paid("2026-03-01T10:00:00Z", "1"), paid("2026-03-02T10:00:00Z", "2")),
        False,
        ("2026-05-01T10:00:00Z",),
    ),
    "expected next order is overdue": Due(
        {"orders": {"days_until_next": {"lt": 0}}},
        (paid("2026-03-01T10:00:00Z", "1"), paid("2026-03-11T10:00:00Z", "2")),
        False,
        ("2026-03-21T10:00:00.000001Z",),
    ),
    "large order leaves the window of the mean": Due(
        {"orders": {"mean_value": {"gt": 1000}, "within": "30d"}},
        (paid("2026-03-01T10:00:00Z", "1", 3_000), paid("2026-03-05T10:00:00Z", "2", 500)),
        True,
        ("2026-03-31T10:00:00Z",),
    ),
    "net spend of a quarter begins at zero": Due(
        {"orders": {"net_spend": {"gt": 0}, "during": "this quarter"}},
        (paid("2026-03-31T15:59:59.999999Z", "1"),),
        True,
        ("2026-03-31T16:00:00Z",),
    ),
    "completed sequence leaves a window": Due(
        {
            "sequence": {
                "steps": [{"event": "viewed"}, {"event": "paid", "within": "7d"}],
                "within": "1d",
            }
        },
        (viewed("2026-03-01T10:00:00Z"), paid("2026-03-02T10:00:00Z", "1")),
        True,
        ("2026-03-03T10:00:00Z",),
    ),
}


def source_events(due: Due) -> list[SourceEvent]:
    """Return the events of the one person of a case."""
    return [
        SourceEvent((USER,), us(at), n, name, "track" if name else "identify", own, own)
        for n, (at, name, own) in enumerate(due.events)
    ]


def us(instant: str) -> int:
    return to_us(datetime.fromisoformat(instant))


class Clock:
    """One person in profile's fold, and a clock that the test moves."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.log, self.identity = MemoryLog(2), MemoryIdentity()
        self.harness = ProfileHarness(pool, self.log)
        self._pool = pool

    async def begin(self, facts: list[Any], events: list[SourceEvent]) -> None:
        """Fold definitions, then events, each when it occurs."""
        for fact in facts:
            self.log.append(fact, events[0].occurred_at_us - MINUTE_US)
        for event in events:
            self.log.append(event.fact(), event.occurred_at_us)
        self.streams = publish(self.log, self.identity, random.Random(1))
        await self.harness.start()
        await self.harness.fold_all(self.streams, 5)
        await self.harness.finish(self.log, self.streams, events[-1].occurred_at_us)

    async def true_at(self, at_us: int) -> frozenset[int]:
        """Let time pass up to an instant, and return the true predicates of the person."""
        self.log.tick(at_us)
        continue_streams(self.streams, self.log, self.identity)
        await self.harness.fold_all(self.streams, 1)
        [true] = (await self.harness.true_predicates()).values()
        return true


@pytest.mark.parametrize("name", CASES)
async def test_time_alone_changes_an_evaluation_at_the_due_and_no_microsecond_earlier(
    pool: asyncpg.Pool, name: str
) -> None:
    due = CASES[name]
    rule = parse_rule(due.rule, zone=ZONE, orders=ORDERS)
    holds, test, clock = due.holds, compile_rule(rule), Clock(pool)
    events = source_events(due)
    await clock.begin([definition("s", rule)], events)
    assert test(await clock.true_at(events[-1].occurred_at_us)) is holds
    for turn in due.turns:
        assert test(await clock.true_at(us(turn) - 1)) is holds
        holds = not holds
        assert test(await clock.true_at(us(turn))) is holds
    assert test(await clock.true_at(us(due.turns[-1]) + 1)) is holds


async def test_stage_is_silent_after_90_days_without_an_event_and_active_with_the_next_one(
    pool: asyncpg.Pool,
) -> None:
    silent = parse_rule({"last_seen": {"event": "*", "at_least": "90d"}})
    stages = Classification((ValueRule("silent", silent),), "active")
    tests = {stage: compile_rule(stages.rule_of(stage) or silent) for stage in stages.names}
    clock = Clock(pool)

    async def stage_at(at: str, less_us: int = 0) -> list[str]:
        true = await clock.true_at(us(at) - less_us)
        return [stage for stage, test in tests.items() if test(true)]

    await clock.begin(
        [tag_fact(Tag(WORKSPACE, "lifecycle", 1, "", stages, TagKind.STAGE))],
        [SourceEvent((USER,), us("2026-03-01T10:00:00Z"), 1)],
    )
    assert await stage_at("2026-05-30T10:00:00Z", 1) == ["active"]
    assert await stage_at("2026-05-30T10:00:00Z") == ["silent"]
    back = SourceEvent((USER,), us("2026-06-02T10:00:00Z"), 2, "bought")
    clock.log.append(back.fact(), back.occurred_at_us)
    assert await stage_at("2026-06-02T10:00:00Z") == ["active"]
    assert await stage_at("2026-08-31T10:00:00Z", 1) == ["active"]
    assert await stage_at("2026-08-31T10:00:00Z") == ["silent"]


async def test_facts_go_ahead_of_many_profiles_that_are_due_at_one_instant(
    pool: asyncpg.Pool,
) -> None:
    """Three of ten are evaluated at a time; the tokens of the shard wait for all of them."""
    log, identity, begin_us = MemoryLog(1), MemoryIdentity(), us("2026-03-01T10:00:00Z")
    rule = parse_rule({"count": {"event": "viewed", "within": "7d", "at_least": 1}})
    persons = [Identifier("user_id", f"u-{n}") for n in range(11)]
    log.append(definition("s", rule), begin_us - MINUTE_US)
    for n, person in enumerate(persons[:10]):
        log.append(SourceEvent((person,), begin_us, n).fact(), begin_us)
    harness, streams = ProfileHarness(pool, log), publish(log, identity, random.Random(1))
    await harness.start()
    await harness.fold_all(streams, 5)
    await harness.finish(log, streams, begin_us)
    due_us, before = begin_us + 7 * DAY_US, harness.checkpoints[0]
    assert sum(map(bool, (await harness.true_predicates()).values())) == 10
    log.tick(due_us)
    late = SourceEvent((persons[10],), due_us, 10)
    log.append(late.fact(), due_us + MINUTE_US)
    continue_streams(streams, log, identity)
    published = len(harness.outputs[0])
    await harness.fold(0, streams[0], 2)
    assert harness.checkpoints[0].next == len(streams[0]), "all facts are folded at once"
    true = await harness.true_predicates()
    assert true[persons[10].id_in(WORKSPACE, INDEX_KEY)], "the new person is evaluated"
    assert 4 <= sum(map(bool, true.values())) - 1 <= 10, "and not all that are due"
    assert harness.checkpoints[0].log_offset == before.log_offset, "tokens wait"
    await harness.finish(log, streams, due_us + 2 * MINUTE_US)
    true = await harness.true_predicates()
    assert [id_ for id_, own in true.items() if own] == [persons[10].id_in(WORKSPACE, INDEX_KEY)]
    messages = harness.outputs[0][published:]
    ended = [c for message in messages for c in message.changes if not c.true_predicates]
    assert {change.changed_at_us for change in ended} == {due_us}
    assert len(ended) == 10
    assert harness.checkpoints[0].log_offset == len(streams[0])
