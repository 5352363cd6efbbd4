"""Draws the rules of `random_rules` and the logs of `random_logs` with hypothesis."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from oracle import random_logs, random_rules
from oracle.random_logs import LATEST, newest
from oracle.rules_oracle import OracleEvent

from services.kernel.fold import events as event_types
from services.kernel.fold.events import EventView
from services.kernel.rules.model import Predicate, Rule
from services.kernel.rules.values import Operator

__all__ = ["LATEST", "newest"]

TYPES = {
    "track": event_types.TRACK,
    "identify": event_types.IDENTIFY,
    "page": event_types.PAGE,
    "screen": event_types.SCREEN,
    "group": event_types.GROUP,
    "correction": event_types.CORRECTION,
    "score": event_types.SCORE,
}
NAMES = {number: name for name, number in TYPES.items()}
PATHS = random_rules.PATHS

_random = st.randoms(use_true_random=False)
scalars: st.SearchStrategy[Any] = st.sampled_from(random_rules.SCALARS)
values: st.SearchStrategy[Any] = st.builds(random_logs.make_value, _random)
predicates: st.SearchStrategy[Predicate] = st.builds(random_rules.make_predicate, _random)
rules: st.SearchStrategy[Rule] = st.builds(random_rules.make_rule, _random)
related: st.SearchStrategy[dict[str, Any]] = st.builds(random_logs.make_related, _random)


def comparisons() -> st.SearchStrategy[tuple[Operator, Any, bool]]:
    """Return the strategy of an operator, a literal, and whether case is ignored."""
    return st.builds(random_rules.make_comparison, _random)


def predicates_of(kind: str) -> st.SearchStrategy[Predicate]:
    """Return the strategy of predicates over features of one class."""
    return st.builds(random_rules.make_predicate, _random, st.just(kind))


def logs(max_size: int = 12, theme: str = "") -> st.SearchStrategy[list[OracleEvent]]:
    """Return the strategy of the events of one profile, each with its own fact id."""
    return st.builds(random_logs.make_log, _random, st.just(theme), st.just(max_size))


def view_of(event: OracleEvent) -> EventView:
    """Return the same event as the folds read it."""
    at_us, fact_id = event.occurred_at_us, event.fact_id
    if event.is_record:
        return EventView(TYPES[event.type], event.name, at_us, fact_id, record=_record_of(event))
    return EventView(
        type=TYPES[event.type],
        name=event.name,
        occurred_at_us=at_us,
        fact_id=fact_id,
        properties=msgspec.json.encode(event.properties),
        traits=msgspec.json.encode(event.traits),
        trust=event.trust,
        party=event.party,
        source_id=event.source,
        touch=msgspec.json.encode(event.touch) if event.touch else b"",
        account_leaf=event.account,
    )


def _record_of(event: OracleEvent) -> tuple[Any, ...]:
    first = (event.occurred_at_us, event.fact_id)
    if event.type == "score":
        return (*first, float(event.properties["score"]), "v1")
    has_value = "value" in event.properties
    value = msgspec.json.encode(event.properties["value"]) if has_value else b""
    return (*first, value, "ann", "she called")


def oracle_event(view: EventView) -> OracleEvent:
    """Return what a fold reads as the oracle reads it."""
    decode, name, at_us = msgspec.json.decode, NAMES[view.type], view.occurred_at_us
    if view.type == event_types.SCORE:
        own: dict[str, Any] = {"score": view.record[2]}
        return OracleEvent(name, view.name, at_us, view.fact_id, own)
    if view.type == event_types.CORRECTION:
        own = {"value": decode(view.record[2])} if view.record[2] else {}
        return OracleEvent(name, view.name, at_us, view.fact_id, own)
    own, stated = decode(view.properties), decode(view.traits)
    touch = decode(view.touch) if view.touch else {}
    first = (name, view.name, at_us, view.fact_id, own, stated, view.trust, view.party or 1)
    return OracleEvent(*first, view.source_id, touch, view.account_leaf)
