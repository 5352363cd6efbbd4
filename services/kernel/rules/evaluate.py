"""Evaluates predicates over a profile, and rules over the predicates that are true.

Pure and total: no data makes it raise. A rule is compiled once and evaluated many times.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from services.kernel.cleaning.cleaners import clean
from services.kernel.rules import model
from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    Elapsed,
    Function,
    Orders,
    Related,
    Sequence,
    TopValues,
    Trait,
    Trend,
)
from services.kernel.rules.filters import matcher
from services.kernel.rules.ids import accumulator_id, predicate_id
from services.kernel.rules.inputs import (
    AccumulatorSpec,
    accumulators_of,
    aggregate_input,
    changes_with_time,
    is_newest_only,
    related_types,
    times_of,
    traits_of,
)
from services.kernel.rules.readings.aggregates import (
    FeatureFn,
    Reading,
    read_aggregate,
    read_top,
    read_trend,
)
from services.kernel.rules.readings.dates import read_date
from services.kernel.rules.readings.orders import read_orders
from services.kernel.rules.readings.sequences import read_sequence
from services.kernel.rules.readings.views import ProfileFacts
from services.kernel.rules.values import Json, Operator, comparison_at, comparison_of
from services.kernel.rules.windows import Ever, Rolling


class PredicateResult(NamedTuple):
    """The result of a predicate at an instant."""

    holds: bool
    #: The value of the feature; a span in microseconds; None = absent.
    actual: Json
    #: The earliest later instant at which time alone changes `holds`; None = never.
    next_due_us: int | None


PredicateFn: TypeAlias = Callable[[ProfileFacts, int], PredicateResult]


@dataclass(frozen=True, slots=True)
class CompiledPredicate:
    """A predicate prepared for many evaluations."""

    id: int
    predicate: model.Predicate
    #: Its inputs.
    accumulators: tuple[AccumulatorSpec, ...]
    accumulator_ids: frozenset[int]
    traits: tuple[str, ...]
    related_types: tuple[str, ...]
    #: Whether time alone may change it.
    is_timed: bool
    #: Whether more events may make it true, but never false before its due, and put that off.
    is_lasting: bool
    #: Evaluates it over a profile at an instant (Unix microseconds).
    evaluate: PredicateFn


@lru_cache(maxsize=65_536)
def compile_predicate(predicate: model.Predicate) -> CompiledPredicate:
    """Prepare a predicate for many evaluations."""
    specs = accumulators_of(predicate.feature)
    return CompiledPredicate(
        predicate_id(predicate),
        predicate,
        specs,
        frozenset(map(accumulator_id, specs)),
        traits_of(predicate.feature),
        related_types(predicate.feature),
        changes_with_time(predicate.feature),
        _is_lasting(predicate),
        _compile(predicate),
    )


def evaluate_predicate(
    predicate: model.Predicate, profile: ProfileFacts, as_of_us: int
) -> PredicateResult:
    """Evaluate a predicate over a profile at an instant (Unix microseconds)."""
    return compile_predicate(predicate).evaluate(profile, as_of_us)


RuleTest: TypeAlias = Callable[[Set[int]], bool]


def compile_rule(rule: model.Rule) -> RuleTest:
    """Return the rule, without references, as a function of the ids of its true predicates."""
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
        case model.Reference():
            raise TypeError("a reference is replaced before the rule is compiled")
        case _:
            id_ = predicate_id(rule)
            return lambda true_predicates: id_ in true_predicates


def _is_lasting(predicate: model.Predicate) -> bool:
    """Return whether it asks for at least so many events, or for one that is not too old."""
    match predicate.feature:
        case Aggregate(function=Function.COUNT, window=Rolling() | Ever()):
            return predicate.operator in (Operator.GE, Operator.GT)
        case Elapsed(since_first=False):
            return predicate.operator in (Operator.LE, Operator.LT)
        case _:
            return False


def _compile(predicate: model.Predicate) -> PredicateFn:
    feature = predicate.feature
    match feature:
        case Aggregate(window=Rolling()) if _is_falling_count(feature):
            return _compile_falling_count(predicate, feature)
        case Aggregate(window=Ever()) if _is_falling_count(feature):
            return _compile_total(predicate, feature)
        case Trait(cleaner=""):
            return _compile_trait(predicate, feature)
        case Elapsed():
            return _compile_age(predicate, feature)
        case _:
            return _compile_reading(predicate, _reader(predicate))


def _reader(predicate: model.Predicate) -> FeatureFn:
    match predicate.feature:
        case Aggregate() as aggregate:
            return read_aggregate(aggregate)
        case Trend() as trend:
            return read_trend(trend)
        case TopValues() as top:
            return read_top(top)
        case Sequence() as sequence:
            return read_sequence(sequence)
        case DateDistance() as distance:
            return read_date(distance, predicate.value)
        case Orders() as orders:
            return read_orders(orders, predicate.value)
        case Related() as related:
            return _read_related(related)
        case Trait() as trait:
            return _read_cleaned_trait(trait)
        case feature:
            raise TypeError(f"{type(feature).__name__} has a reader of its own")


def _compile_reading(predicate: model.Predicate, read: FeatureFn) -> PredicateFn:
    """Compile any feature: the first turn with another result is the due."""
    test = comparison_of(predicate.operator, predicate.value, ignore_case=predicate.ignore_case)

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        instant_us = _instant(profile, as_of_us)
        value_at, turns = read(profile, instant_us)
        actual = value_at(instant_us)
        holds = test(actual)
        for turn_us in turns:
            if test(value_at(turn_us)) is not holds:
                return PredicateResult(holds, actual, turn_us)
        return PredicateResult(holds, actual, None)

    return evaluate


def _compile_trait(predicate: model.Predicate, trait: Trait) -> PredicateFn:
    name, parties, sources = trait.name, trait.parties, trait.sources
    ignore_case = predicate.ignore_case
    test = comparison_at(name, predicate.operator, predicate.value, ignore_case=ignore_case)

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        actual = profile.trait(name, parties, sources)
        return PredicateResult(test(actual), actual, None)

    return evaluate


def _compile_total(predicate: model.Predicate, aggregate: Aggregate) -> PredicateFn:
    if predicate.operator in (Operator.EXISTS, Operator.MISSING):
        return _compile_reading(predicate, read_aggregate(aggregate))
    accumulator, limit = accumulator_id(aggregate_input(aggregate)), predicate.value
    compare = _COMPARE[predicate.operator]
    empty = PredicateResult(compare(0, limit), 0, None)

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        times = profile.accumulator(accumulator)
        if times is None:
            return empty
        actual = times.total()
        return PredicateResult(compare(actual, limit), actual, None)

    return evaluate


def _read_cleaned_trait(trait: Trait) -> FeatureFn:
    name, parties, sources, cleaner = trait.name, trait.parties, trait.sources, trait.cleaner

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        value = clean(cleaner, profile.trait(name, parties, sources))
        return Reading(lambda at_us: value, iter(()))

    return read


def _read_related(related: Related) -> FeatureFn:
    object_type, matches = related.object_type, matcher(related.where)

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        number = sum(map(matches, profile.related(object_type)))
        return Reading(lambda at_us: number, iter(()))

    return read


def _is_falling_count(aggregate: Aggregate) -> bool:
    return aggregate.function is Function.COUNT or (
        aggregate.function is Function.DISTINCT and is_newest_only(aggregate_input(aggregate))
    )


def _compile_falling_count(predicate: model.Predicate, aggregate: Aggregate) -> PredicateFn:
    """Compile a number of events or values in a rolling window, which only falls with time."""
    if predicate.operator in (Operator.EXISTS, Operator.MISSING):
        return _compile_reading(predicate, read_aggregate(aggregate))
    assert isinstance(aggregate.window, Rolling)  # noqa: S101 - the caller has checked it
    accumulator = accumulator_id(aggregate_input(aggregate))
    operator_, limit, window_us = predicate.operator, predicate.value, aggregate.window.span_us
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


def _compile_age(predicate: model.Predicate, elapsed: Elapsed) -> PredicateFn:
    operator_, age_us, since_first = predicate.operator, predicate.value, elapsed.since_first
    accumulator, compare = accumulator_id(times_of(elapsed.events)), _COMPARE[predicate.operator]
    # The first age with another result than a younger one.
    turn_us = age_us + 1 if operator_ in _ABOVE else age_us
    empty = PredicateResult(False, None, None)

    def evaluate(profile: ProfileFacts, as_of_us: int) -> PredicateResult:
        times = profile.accumulator(accumulator)
        if times is None:
            return empty
        seen_us = times.first() if since_first else times.nth_most_recent(1)
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
