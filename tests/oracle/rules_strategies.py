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
}
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
    return EventView(
        type=TYPES[event.type],
        name=event.name,
        occurred_at_us=event.occurred_at_us,
        fact_id=event.fact_id,
        properties=msgspec.json.encode(event.properties),
        traits=msgspec.json.encode(event.traits),
        trust=event.trust,
        party=event.party,
        source_id=event.source,
    )
