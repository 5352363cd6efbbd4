"""Renders rules as readable text: in messages, explanations and lists.

An example is `count(attended_trial in 7d) >= 1 and not count(purchased_course) >= 1`. Names that
are not plain words are quoted.
"""

from __future__ import annotations

import re

from services.kernel.rules import model
from services.kernel.rules.values import Operator, canonical_json
from services.kernel.time import format_span

_SIGNS = {
    Operator.EQ: "=",
    Operator.NE: "!=",
    Operator.LT: "<",
    Operator.LE: "<=",
    Operator.GT: ">",
    Operator.GE: ">=",
    Operator.IN: "in",
    Operator.CONTAINS: "contains",
}
_PLAIN = re.compile(r"[^\W\d][\w.]*")
_WORDS = frozenset({"and", "or", "not", "in", "where", "exists", "contains", "always", "never"})


def to_text(rule: model.Rule) -> str:
    """Return one line; equal rules have equal lines."""
    match rule:
        case model.All():
            return _joined(rule.rules, " and ", "always")
        case model.Any_():
            return _joined(rule.rules, " or ", "never")
        case model.Not():
            return f"not {_part(rule.rule)}"
        case model.TraitPredicate():
            return _comparison(rule.trait, rule)
        case model.CountPredicate():
            return f"count({_events(rule.events)}{_in(rule.window_us)}) {_number(rule)}"
        case model.DistinctPredicate():
            events = _events(rule.events, f".{_name(rule.property)}")
            return f"distinct({events}{_in(rule.window_us)}) {_number(rule)}"
        case model.LastSeenPredicate():
            age = format_span(rule.age_us)
            return f"last_seen({_events(rule.events)}) {_SIGNS[rule.operator]} {age} ago"


def _joined(rules: tuple[model.Rule, ...], word: str, nothing: str) -> str:
    if len(rules) == 1:
        return to_text(rules[0])
    return word.join(map(_part, rules)) if rules else nothing


def _part(rule: model.Rule) -> str:
    """Return the text of a rule inside another one, in brackets if it joins several rules."""
    match rule:
        case model.All() | model.Any_() if len(rule.rules) == 1:
            return _part(rule.rules[0])
        case model.All() | model.Any_() if rule.rules:
            return f"({to_text(rule)})"
        case _:
            return to_text(rule)


def _events(events: model.EventFilter, of: str = "") -> str:
    filters = " and ".join(_comparison(f.property, f) for f in events.where)
    return _name(events.event) + of + (f" where {filters}" if filters else "")


def _comparison(name: str, owner: model.PropertyFilter | model.TraitPredicate) -> str:
    if owner.operator is Operator.EXISTS:
        return f"{_name(name)} exists"
    return f"{_name(name)} {_SIGNS[owner.operator]} {owner.text}"


def _number(rule: model.CountingPredicate) -> str:
    return f"{_SIGNS[rule.operator]} {rule.value}"


def _in(window_us: int) -> str:
    return f" in {format_span(window_us)}" if window_us else ""


def _name(name: str) -> str:
    plain = _PLAIN.fullmatch(name) and name not in _WORDS
    return name if plain else canonical_json(name)
