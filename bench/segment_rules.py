"""Measures the processor time of an event against many rules: fold and evaluation, no I/O."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from random import Random

from bench.harness import Contender, Result, compare, interleave
from services.kernel.fold.events import TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import NO_ID, ProfileId, WorkspaceId
from services.kernel.rules.forms.json_dump import Form
from services.kernel.rules.forms.json_form import parse_orders, parse_rule
from services.kernel.rules.model import Rule
from services.kernel.time import DAY_US
from services.profile.domain.evaluation import EvaluationScope, evaluate, initial

EVENTS, PERSONS, ROUNDS = 1_000, 100, 3
NOW_US = 1_790_000_000_000_000
ORDERS = parse_orders({"payments": {"event": "paid-0", "order_id": "order", "amount": "amount"}})
#: Unrelated rules may add this part to the cost of an event.
UNRELATED_GOAL = 1.10
COUNTS = (10, 100, 1_000)


def rules(number: int, prefix: str) -> list[Rule]:
    """Return rules of many kinds, each over the events of one of ten names."""
    return [parse_rule(_form(n, f"{prefix}-{n % 10}"), orders=ORDERS) for n in range(number)]


def _form(n: int, event: str) -> Form:
    days = f"{1 + n // 10}d"
    match n % 5:
        case 0:
            return {"count": {"event": event, "within": days, "at_least": 2}}
        case 1:
            return {"distinct": {"event": event, "property": "item", "within": days, "gt": 2}}
        case 2:
            return {"sum": {"event": event, "property": "amount", "within": days, "gt": 500}}
        case 3:
            return {"last_seen": {"event": event, "longer_than": days}}
        case _:
            where = {"item": f"i-{n % 7}"}
            return {"count": {"event": event, "where": where, "during": "this month", "gt": 1}}


def events() -> list[tuple[int, EventView]]:
    """Return events of some persons, each with the number of the person, in order of time."""
    random = Random(1)
    times = sorted(NOW_US - random.randrange(60 * DAY_US) for _ in range(EVENTS))
    return [
        (
            random.randrange(PERSONS),
            EventView(
                TRACK,
                f"seen-{random.randrange(10)}",
                at_us,
                number.to_bytes(16, "big"),
                b'{"item":"i-%d","amount":%d}' % (random.randrange(9), random.randrange(100)),
            ),
        )
        for number, at_us in enumerate(times)
    ]


async def fold_us(index: PredicateIndex, log: Sequence[tuple[int, EventView]]) -> float:
    """Return the microseconds of processor time of an event: folded, and evaluated."""
    states = [LeafState() for _ in range(PERSONS)]
    profile = initial(ProfileId(NO_ID), WorkspaceId("bench"))._replace(merged_into=None)
    evaluations = [profile] * PERSONS
    began = time.process_time()
    for person, event in log:
        affected = fold_event(states[person], event, index)
        if affected:
            scope, view = EvaluationScope(affected), view_of([states[person]])
            at_us = event.occurred_at_us
            evaluations[person] = evaluate(scope, evaluations[person], view, index, at_us)
    return (time.process_time() - began) / len(log) * 1e6


async def measure() -> list[Result]:
    """Return the cost of an event against 10, 100, 1,000 rules, and beside 1,000 unrelated ones."""
    log = events()
    sets = {str(number): rules(number, "seen") for number in COUNTS}
    sets["unrelated"] = sets["100"] + rules(1_000, "other")
    contenders: dict[str, Contender] = {
        name: partial(fold_us, PredicateIndex.from_rules(own), log) for name, own in sets.items()
    }
    figures = await interleave(ROUNDS, contenders)
    results = [
        compare(
            f"event_{number}_rules",
            figures[str(number)],
            figures["10"],
            # Ten times the rules of its name may cost an event ten times as much, and no more.
            goal=number / 10,
            unit="us",
            note=f"less is better; an event concerns {number // 10} of the rules",
        )
        for number in COUNTS
    ]
    beside = compare(
        "event_unrelated_rules",
        figures["unrelated"],
        figures["100"],
        goal=UNRELATED_GOAL,
        unit="us",
        note="less is better; 100 rules, and 1,000 over other events",
    )
    return [result.with_holds(result.ratio <= result.goal) for result in (*results, beside)]
