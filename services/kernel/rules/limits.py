"""Limits the size of one rule, and the number of predicates that are in use together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from services.kernel.errors import InvalidField, RuleError
from services.kernel.rules import model

#: Rules inside of each other.
MAX_DEPTH = 32
#: `all`, `any`, `not` and predicates of one rule together.
MAX_RULES = 1_000
#: Predicates of one rule, each time that one is written.
MAX_PREDICATES = 200
#: Property filters of one rule.
MAX_FILTERS = 1_000
#: Characters of the names and values of one rule.
MAX_TEXT = 65_536

#: `all`, `any`, `not` and predicates of all rules of one kind in a workspace: segments, or tags.
MAX_RULES_TOGETHER = 20_000

#: The name that stands for all traits among the events that predicates read.
_TRAITS = ""


class RuleSize:
    """Counts the parts of one rule while it is parsed, so that parsing ends at the first excess."""

    __slots__ = ("_filters", "_predicates", "_rules", "_text")

    def __init__(self) -> None:
        self._rules = self._predicates = self._filters = self._text = 0

    def enter(self, depth: int) -> None:
        """Count a rule inside of `depth - 1` others. Raises RuleError."""
        self._rules += 1
        if depth > MAX_DEPTH or self._rules > MAX_RULES:
            remedy = f"write at most {MAX_RULES} rules, at most {MAX_DEPTH} deep"
            raise RuleError("the rule is too large", remedy)

    def add(self, predicate: model.Predicate) -> None:
        """Count a predicate with its filters and texts. Raises RuleError."""
        self._predicates += 1
        self._filters += _filters(predicate)
        self._text += _text(predicate)
        if self._predicates > MAX_PREDICATES:
            raise RuleError(
                f"the rule has more than {MAX_PREDICATES} predicates",
                f"write at most {MAX_PREDICATES}; a trait with one of many values is one predicate"
                " with `in`",
            )
        if self._filters > MAX_FILTERS:
            remedy = f"write at most {MAX_FILTERS} in all its predicates together"
            raise RuleError(f"the rule has more than {MAX_FILTERS} filters", remedy)
        if self._text > MAX_TEXT:
            remedy = f"write at most {MAX_TEXT} characters in names and values together"
            raise RuleError("the texts of the rule are too long", remedy)


class PredicateLimits(NamedTuple):
    """How many predicates may be in use together in one workspace."""

    #: Predicates over events of one name, or over traits.
    per_event: int = 2_000
    #: Property filters of predicates over events of one name.
    filters_per_event: int = 10_000
    #: Predicates in all.
    per_workspace: int = 10_000


def check_additional(
    limits: PredicateLimits,
    in_use: Iterable[model.Predicate],
    added: Iterable[model.Predicate],
    *,
    field: str,
) -> int:
    """Return how many of `added` are not in use yet; they may be added to those in use.

    Raises InvalidField, with the numbers. Predicates that are in use already are always allowed.
    """
    existing = set(in_use)
    new = set(added) - existing
    if not new:
        return 0
    counts, filters = Counter(map(_event, existing)), Counter[str]()
    for predicate in existing:
        filters[_event(predicate)] += _filters(predicate)
    more, more_filters = Counter(map(_event, new)), Counter[str]()
    for predicate in new:
        more_filters[_event(predicate)] += _filters(predicate)
    _check(len(existing), len(new), limits.per_workspace, "predicates", "the workspace", field)
    for event, number in sorted(more.items()):
        where = f"the event `{event}`" if event != _TRAITS else "traits"
        _check(counts[event], number, limits.per_event, "predicates", where, field)
        most, added_filters = limits.filters_per_event, more_filters[event]
        _check(filters[event], added_filters, most, "filters", where, field)
    return len(new)


def check_together(others: Iterable[model.Rule], rule: model.Rule, *, field: str) -> None:
    """Check the size of a rule beside the other rules of its kind. Raises InvalidField."""
    added, existing = count_rules(rule), sum(map(count_rules, others))
    if existing + added > MAX_RULES_TOGETHER:
        raise InvalidField(
            f"the other rules have {existing} parts, this one has {added}, and at most"
            f" {MAX_RULES_TOGETHER} are allowed: retire some, or write simpler rules",
            field=field,
        )


def count_rules(rule: model.Rule) -> int:
    """Return the number of parts of a rule: `all`, `any`, `not` and predicates."""
    match rule:
        case model.All() | model.Any_():
            return 1 + sum(map(count_rules, rule.rules))
        case model.Not():
            return 1 + count_rules(rule.rule)
        case _:
            return 1


def _check(existing: int, added: int, most: int, what: str, where: str, field: str) -> None:
    if added and existing + added > most:
        raise InvalidField(
            f"the rules of {where} use {existing} {what}, this one adds {added}, and at most {most}"
            " are allowed: use predicates that other rules have too, with the same filters, span"
            " and number; those of earlier versions and retired rules count, as they are still"
            " evaluated; an operator can raise the limit",
            field=field,
        )


def _event(predicate: model.Predicate) -> str:
    return _TRAITS if isinstance(predicate, model.TraitPredicate) else predicate.events.event


def _filters(predicate: model.Predicate) -> int:
    return 0 if isinstance(predicate, model.TraitPredicate) else len(predicate.events.where)


def _text(predicate: model.Predicate) -> int:
    if isinstance(predicate, model.TraitPredicate):
        return len(predicate.trait) + len(predicate.text)
    events = predicate.events
    length = len(events.event) + sum(len(f.property) + len(f.text) for f in events.where)
    if isinstance(predicate, model.DistinctPredicate):
        length += len(predicate.property)
    return length
