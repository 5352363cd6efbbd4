"""Evaluates predicates over a profile, and rules over the predicates that are true.

Pure and total: no data makes it raise. A rule is compiled once and evaluated many times.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeAlias

from services.kernel.rules import model
from services.kernel.rules.ids import accumulator_id, accumulator_of, predicate_id
from services.kernel.rules.values import Json, Operator, test_at


class AccumulatorView(Protocol):
    """The occurred_at of the events in an accumulator, or of each value's newest event."""

    def total(self) -> int:
        """Return the number of events or values."""

    def count_after(self, start_us: int) -> int:
        """Return the number of those later than `start_us`."""

    def nth_most_recent(self, n: int) -> int:
        """Return the occurred_at of the n-th newest, 1 <= n <= total()."""


class ProfileFacts(Protocol):
    """The state of one profile, as far as rules read it."""

    @property
    def last_seen_us(self) -> int:
        """The occurred_at of its newest event; 0 if there is none."""

    def trait(self, name: str) -> Json:
        """Return the decoded value of a trait; None if it is absent."""

    def accumulator(self, accumulator_id: int) -> AccumulatorView | None:
        """Return an accumulator; None if it is empty."""


class PredicateResult(NamedTuple):
    """The result of a predicate at an instant."""

    holds: bool
    #: The compared value: the trait, the number, the age in microseconds; None = absent.
    actual: Json
    #: The earliest later instant at which time alone changes `holds`; None = never.
    next_due_us: int | None


PredicateFn: TypeAlias = Callable[[ProfileFacts, int], PredicateResult]


@dataclass(frozen=True, slots=True)
class CompiledPredicate:
    """A predicate prepared for many evaluations."""

    id: int
    predicate: model.Predicate
    #: Its input: an accumulator or a trait.
    accumulator: model.AccumulatorSpec | None
    accumulator_id: int | None
    trait: str | None
    #: Evaluates it over a profile at an instant (Unix microseconds).
    evaluate: PredicateFn


@lru_cache(maxsize=65_536)
def compile_predicate(predicate: model.Predicate) -> CompiledPredicate:
    """Prepare a predicate for many evaluations."""
    spec = accumulator_of(predicate)
    spec_id = None if spec is None else accumulator_id(spec)
    trait = predicate.trait if isinstance(predicate, model.TraitPredicate) else None
    evaluate = _compile(predicate, spec_id or 0)
    return CompiledPredicate(predicate_id(predicate), predicate, spec, spec_id, trait, evaluate)


def evaluate_predicate(
    predicate: model.Predicate, profile: ProfileFacts, as_of_us: int
) -> PredicateResult:
    """Evaluate a predicate over a profile at an instant (Unix microseconds)."""
    return compile_predicate(predicate).evaluate(profile, as_of_us)


RuleTest: TypeAlias = Callable[[Set[int]], bool]


def compile_rule(rule: model.Rule) -> RuleTest:
    """Return the rule as a function of the ids of the predicates that are true."""
    match rule:
        case model.All():
            tests = tuple(map(compile_rule, rule.rules))
            return lambda true_predicates: all(test(true_predicates) for test in tests)
        case model.Any_():
            tests = tuple(map(compile_rule, rule.rules))
            return lambda true_predicates: any(test(true_predicates) for test in tests)
        case model.Not():
            test = compile_rule(rule.rule)
            return lambda true_predicates: not test(true_predicates)
        case _:
            id_ = predicate_id(rule)
            return lambda true_predicates: id_ in true_predicates


def _compile(predicate: model.Predicate, accumulator: int) -> PredicateFn:
    match predicate:
        case model.TraitPredicate():
            return _compile_trait(predicate)
        case model.CountPredicate() | model.DistinctPredicate() if predicate.window_us:
            return _compile_windowed(predicate, accumulator)
        case model.CountPredicate() | model.DistinctPredicate():
            return _compile_unwindowed(predicate, accumulator)
        case model.LastSeenPredicate():
            return _compile_age(predicate, accumulator)


def _compile_trait(predicate: model.TraitPredicate) -> PredicateFn:
    name = predicate.trait
    test = test_at(name, predicate.operator, predicate.value)

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        actual = profile.trait(name)
        return PredicateResult(test(actual), actual, None)

    return evaluate


def _compile_unwindowed(predicate: model.CountingPredicate, accumulator: int) -> PredicateFn:
    compare, limit = _COMPARE[predicate.operator], predicate.value

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        times = profile.accumulator(accumulator)
        actual = 0 if times is None else times.total()
        return PredicateResult(compare(actual, limit), actual, None)

    return evaluate


def _compile_windowed(predicate: model.CountingPredicate, accumulator: int) -> PredicateFn:
    operator_, limit, window_us = predicate.operator, predicate.value, predicate.window_us
    compare, can_jump = _COMPARE[operator_], operator_ in _EQUAL
    empty = PredicateResult(compare(0, limit), 0, None)

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        times = profile.accumulator(accumulator)
        if times is None:
            return empty
        actual = times.count_after(_instant(profile, as_of_us) - window_us)
        holds, level = compare(actual, limit), _next_level(operator_, limit, actual)
        if level < 0:
            return PredicateResult(holds, actual, None)
        left_us = times.nth_most_recent(level + 1)
        # If several leave the window at once, the number may jump past `limit`.
        if can_jump and compare(times.count_after(left_us), limit) is holds:
            return PredicateResult(holds, actual, None)
        return PredicateResult(holds, actual, left_us + window_us)

    return evaluate


def _next_level(operator_: Operator, limit: int, actual: int) -> int:
    """Return the largest number below `actual` with the other result; negative if there is none.

    With time alone the number in a window only falls.
    """
    if operator_ in _ABOVE:
        return limit if actual > limit else -1
    if operator_ in _EQUAL and actual > limit:
        return limit
    return limit - 1 if actual >= limit else -1


def _compile_age(predicate: model.LastSeenPredicate, accumulator: int) -> PredicateFn:
    operator_, age_us = predicate.operator, predicate.age_us
    compare = _COMPARE[operator_]
    # The first age with another result than a younger one.
    turn_us = age_us + 1 if operator_ in _ABOVE else age_us
    empty = PredicateResult(False, None, None)

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        times = profile.accumulator(accumulator)
        if times is None:
            return empty
        seen_us = times.nth_most_recent(1)
        actual = _instant(profile, as_of_us) - seen_us
        next_due_us = seen_us + turn_us if actual < turn_us else None
        return PredicateResult(compare(actual, age_us), actual, next_due_us)

    return evaluate


def _instant(profile: ProfileFacts, as_of_us: int) -> int:
    """Return the instant of the evaluation, which is never before the newest event."""
    seen_us = profile.last_seen_us
    return as_of_us if as_of_us > seen_us else seen_us


_COMPARE: dict[Operator, Callable[[int, int], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}
#: The result changes between the limit and the number above it.
_ABOVE = (Operator.GT, Operator.LE)
_EQUAL = (Operator.EQ, Operator.NE)
