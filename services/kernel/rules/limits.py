"""Limits the size of one rule, and the number of predicates that are in use together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.kernel.errors import InvalidField, RuleTooLarge
from services.kernel.rules import model
from services.kernel.rules.features import Related
from services.kernel.rules.filters import ANY_EVENT
from services.kernel.rules.forms.json_dump import dump_rule
from services.kernel.rules.inputs import accumulators_of
from services.kernel.rules.values import canonical_json

#: Rules inside of each other.
MAX_DEPTH = 32
#: `all`, `any`, `not`, references and predicates of one rule together.
MAX_RULES = 1_000
#: Predicates of one rule, each time that one is written.
MAX_PREDICATES = 200
#: Property filters of one rule.
MAX_FILTERS = 1_000
#: Characters of the predicates of one rule in canonical JSON.
MAX_TEXT = 65_536
#: Bytes of a rule in a form in which it is sent; more than one of the largest size needs, so that a
#: larger one is refused unread.
MAX_SENT = 600_000
#: Times and records of events that one accumulator keeps of a person.
RETAINED = 1_000
#: Times and records of events that the features of one rule keep of a person.
MAX_RETAINED = 200_000

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
        """Count a rule inside of `depth - 1` others. Raises RuleTooLarge."""
        self._rules += 1
        if depth > MAX_DEPTH or self._rules > MAX_RULES:
            remedy = f"write at most {MAX_RULES} rules, at most {MAX_DEPTH} deep"
            raise RuleTooLarge("the rule is too large", remedy)

    def add(self, leaf: model.Predicate | model.Reference) -> None:
        """Count a predicate or a reference with its filters and texts. Raises RuleTooLarge."""
        if isinstance(leaf, model.Predicate):
            self._predicates += 1
            self._filters += _filters(leaf)
        self._text += len(canonical_json(dump_rule(leaf)))
        if self._predicates > MAX_PREDICATES:
            raise RuleTooLarge(
                f"the rule has more than {MAX_PREDICATES} predicates",
                f"write at most {MAX_PREDICATES}; a trait with one of many values is one predicate"
                " with `in`",
            )
        if self._filters > MAX_FILTERS:
            remedy = f"write at most {MAX_FILTERS} in all its predicates together"
            raise RuleTooLarge(f"the rule has more than {MAX_FILTERS} filters", remedy)
        if self._text > MAX_TEXT:
            remedy = f"write at most {MAX_TEXT} characters of names, values and keywords together"
            raise RuleTooLarge("the texts of the rule are too long", remedy)


def check_sent(size: int) -> None:
    """Check the size of a rule as it is sent, in bytes or characters. Raises RuleTooLarge."""
    if size > MAX_SENT:
        raise RuleTooLarge("the rule is too long", f"send at most {MAX_SENT:,} bytes")


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
    _check(len(existing), len(new), limits.per_workspace, "predicates", "the workspace", field)
    before, more = _Load(existing), _Load(new)
    # A predicate of any event is one more of every event.
    others = set(before.predicates) - {_TRAITS} if ANY_EVENT in more.predicates else set()
    for event in sorted({*more.predicates, *others}):
        place, most = _place(event), limits.filters_per_event
        added_filters = _reached(more.filters, event)
        _check(
            _reached(before.predicates, event),
            _reached(more.predicates, event),
            *(limits.per_event, "predicates", place, field),
        )
        _check(_reached(before.filters, event), added_filters, most, "filters", place, field)
    return len(new)


class _Load:
    """Counts predicates and their filters by the names of the events that they read."""

    def __init__(self, predicates: Iterable[model.Predicate]) -> None:
        self.predicates: Counter[str] = Counter()
        self.filters: Counter[str] = Counter()
        for predicate in predicates:
            number = _filters(predicate)
            for event in _events(predicate):
                self.predicates[event] += 1
                self.filters[event] += number


def _reached(counts: Counter[str], event: str) -> int:
    """Return the number of those that an event of a name reaches."""
    return counts[event] + (0 if event in (_TRAITS, ANY_EVENT) else counts[ANY_EVENT])


def _place(event: str) -> str:
    if event == _TRAITS:
        return "traits"
    return "every event" if event == ANY_EVENT else f"the event `{event}`"


class RuleCost(NamedTuple):
    """What one person costs in the worst case."""

    #: Different features, each computed once.
    features: int
    #: Kept times and records of events, with `RETAINED` for each accumulator.
    retained: int


def cost_of(rule: model.Rule) -> RuleCost:
    """Return what a rule without references costs."""
    read = {leaf.feature for leaf in _leaves(rule) if isinstance(leaf, model.Predicate)}
    specs = {spec for feature in read for spec in accumulators_of(feature)}
    return RuleCost(len(read), RETAINED * len(specs))


def check_cost(rule: model.Rule, *, field: str) -> None:
    """Check what a rule without references costs. Raises InvalidField, with the numbers."""
    cost = cost_of(rule)
    if cost.retained > MAX_RETAINED:
        raise InvalidField(
            f"the rule has {cost.features} features, which keep up to {cost.retained} times and"
            f" records of events per person, and at most {MAX_RETAINED} are allowed: use the same"
            " events and filters in several of its predicates, or write fewer steps",
            field=field,
        )


def check_size(rule: model.Rule) -> None:
    """Check a rule that was not parsed, such as one with its references replaced.

    Raises RuleError.
    """
    _enter(RuleSize(), rule, 1)


def _enter(size: RuleSize, rule: model.Rule, depth: int) -> None:
    size.enter(depth)
    match rule:
        case model.All() | model.Any_():
            for part in rule.rules:
                _enter(size, part, depth + 1)
        case model.Not():
            _enter(size, rule.rule, depth + 1)
        case _:
            size.add(rule)


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
    """Return the number of parts of a rule: `all`, `any`, `not`, references and predicates."""
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


def _events(predicate: model.Predicate) -> set[str]:
    """Return the names of the events that a predicate reads; that of traits if it reads none."""
    specs = accumulators_of(predicate.feature)
    return {name for spec in specs for name in spec.events.names} or {_TRAITS}


def _filters(predicate: model.Predicate) -> int:
    feature = predicate.feature
    own = len(feature.where) if isinstance(feature, Related) else 0
    return own + sum(len(spec.events.where) for spec in accumulators_of(feature))


def _leaves(rule: model.Rule) -> Iterator[model.Predicate | model.Reference]:
    match rule:
        case model.All() | model.Any_():
            for part in rule.rules:
                yield from _leaves(part)
        case model.Not():
            yield from _leaves(rule.rule)
        case _:
            yield rule
