"""Evaluates rules slowly and obviously: plain lists, every event read every time.

Every evaluator of rules (incremental, or over history) must agree with this one. It shares nothing
with them but the tree of the rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.kernel.rules.model import (
    All,
    Any_,
    CountPredicate,
    DistinctPredicate,
    EventFilter,
    LastSeenPredicate,
    Not,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Operator


@dataclass(frozen=True)
class OracleEvent:
    """One decoded event of one profile. `type` is `track`, `page`, `screen`, `identify` …."""

    type: str
    name: str
    occurred_at_us: int
    fact_id: bytes
    properties: dict[str, Any] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)
    #: The trust of the source; the higher number takes precedence.
    trust: int = 0


def rule_holds(rule: Rule, events: list[OracleEvent], as_of_us: int) -> bool:
    """Return whether a rule is true at an instant for the profile with exactly these events."""
    if isinstance(rule, All):
        return all(rule_holds(part, events, as_of_us) for part in rule.rules)
    if isinstance(rule, Any_):
        return any(rule_holds(part, events, as_of_us) for part in rule.rules)
    if isinstance(rule, Not):
        return not rule_holds(rule.rule, events, as_of_us)
    return compare(rule.operator, actual(rule, events, as_of_us), _limit(rule))


def actual(rule: Rule, events: list[OracleEvent], as_of_us: int) -> Any:
    """Return the value that a predicate compares: a trait, a number, an age; None = absent."""
    happened = [event for event in events if event.occurred_at_us <= as_of_us]
    if isinstance(rule, TraitPredicate):
        return trait(rule.trait, happened)
    if isinstance(rule, CountPredicate):
        return len(_within(_matching(rule.events, happened), rule.window_us, as_of_us))
    if isinstance(rule, DistinctPredicate):
        within = _within(_matching(rule.events, happened), rule.window_us, as_of_us)
        values: list[Any] = []
        for event in within:
            value = get(event.properties, rule.property)
            if kind(value) in ("string", "number", "boolean") and not any(
                equal(value, other) for other in values
            ):
                values.append(value)
        return len(values)
    assert isinstance(rule, LastSeenPredicate)
    times = [event.occurred_at_us for event in _matching(rule.events, happened)]
    return as_of_us - max(times) if times else None


def trait(name: str, events: list[OracleEvent]) -> Any:
    """Return the value that the most trusted sources state, and of these the last one by
    (occurred_at, fact id); None = absent."""
    stating = [event for event in events if event.type == "identify" and name in event.traits]
    if not stating:
        return None
    trust = max(event.trust for event in stating)
    trusted = [event for event in stating if event.trust == trust]
    last = max(trusted, key=lambda event: (event.occurred_at_us, event.fact_id))
    return last.traits[name]


def compare(operator: Operator, left: Any, right: Any) -> bool:
    """Return the result of an operator; a tuple has the values of which one has to pass."""
    if isinstance(left, tuple):
        if operator is Operator.NE:
            return not compare(Operator.EQ, left, right)
        if operator is Operator.CONTAINS:
            operator = Operator.EQ
        return any(compare(operator, each, right) for each in left)
    if operator is Operator.EXISTS:
        return left is not None
    if operator is Operator.EQ:
        return equal(left, right)
    if operator is Operator.NE:
        return not equal(left, right)
    if operator is Operator.IN:
        return any(equal(left, element) for element in right)
    if operator is Operator.CONTAINS:
        if kind(left) == "string":
            return kind(right) == "string" and right in left
        return kind(left) == "list" and any(equal(element, right) for element in left)
    if kind(left) != kind(right) or kind(left) not in ("string", "number"):
        return False
    if operator is Operator.LT:
        return bool(left < right)
    if operator is Operator.LE:
        return bool(left <= right)
    if operator is Operator.GT:
        return bool(left > right)
    return bool(left >= right)


def equal(a: Any, b: Any) -> bool:
    """Return whether two values are equal scalars of one kind."""
    return kind(a) == kind(b) and kind(a) in ("string", "number", "boolean") and bool(a == b)


def kind(value: Any) -> str:
    """Return the JSON type of a decoded value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "list"


def get(properties: dict[str, Any], path: str) -> Any:
    """Return the property at a path; a member with the whole path as its name goes first.

    A path through a list has the values of its elements, as a tuple.
    """
    if path in properties:
        return properties[path]
    value: Any = properties
    for step in path.split("."):
        if isinstance(value, list | tuple):
            parts = [
                element[step] for element in value if isinstance(element, dict) and step in element
            ]
            lists = [part if isinstance(part, list) else [part] for part in parts]
            value = tuple(each for part in lists for each in part if each is not None) or None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _limit(rule: Any) -> Any:
    return rule.age_us if isinstance(rule, LastSeenPredicate) else rule.value


def _matching(filter_: EventFilter, events: list[OracleEvent]) -> list[OracleEvent]:
    return [
        event
        for event in events
        if _name(event) == filter_.event
        and all(
            compare(f.operator, get(event.properties, f.property), f.value) for f in filter_.where
        )
    ]


def _name(event: OracleEvent) -> str | None:
    if event.type == "track":
        return event.name
    if event.type in ("page", "screen"):
        return event.name if event.name else event.type
    return None


def _within(events: list[OracleEvent], window_us: int, as_of_us: int) -> list[OracleEvent]:
    if window_us == 0:
        return events
    return [event for event in events if as_of_us - window_us < event.occurred_at_us]
