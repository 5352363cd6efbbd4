"""When predicates hold for a profile, and when rules hold given the predicates that do.

Pure and total: no data makes it raise. What is compiled once is asked many times.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeAlias

from services.kernel.rules.ids import accumulator_id, accumulator_of, predicate_id
from services.kernel.rules.model import (
    AccumulatorSpec,
    All,
    Any_,
    CountPredicate,
    DistinctPredicate,
    LastSeenPredicate,
    Not,
    Predicate,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Json, Operator, test_of


class AccumulatorView(Protocol):
    """The occurred_at of what a series holds: of each event, or of each value's newest event."""

    def total(self) -> int:
        """How many there are."""
        ...

    def count_after(self, edge_us: int) -> int:
        """How many are later than `edge_us`."""
        ...

    def nth_most_recent(self, n: int) -> int:
        """The n-th newest, 1 <= n <= count()."""
        ...


class ProfileFacts(Protocol):
    """What is known of one profile."""

    @property
    def last_seen_us(self) -> int:
        """The occurred_at of its newest event; 0 where there is none."""
        ...

    def trait(self, name: str) -> Json:
        """The decoded value of a trait; None where it is absent."""
        ...

    def accumulator(self, series_id: int) -> AccumulatorView | None:
        """What a series holds; None where that is nothing."""
        ...


class PredicateResult(NamedTuple):
    """How a predicate comes out at an instant."""

    holds: bool
    #: What was compared: the trait's value, the number, the age in microseconds; None = absent.
    actual: Json
    #: The earliest later instant at which time alone changes `holds`; None = never.
    next_due_us: int | None


PredicateFn: TypeAlias = Callable[[ProfileFacts, int], PredicateResult]


@dataclass(frozen=True, slots=True)
class CompiledPredicate:
    """A predicate made ready to be asked often."""

    id: int
    predicate: Predicate
    #: What it looks at: one of the two.
    accumulator: AccumulatorSpec | None
    accumulator_id: int | None
    trait: str | None
    #: Its verdict over a view at an instant (Unix microseconds).
    evaluate: PredicateFn


@lru_cache(maxsize=65_536)
def compile_predicate(predicate: Predicate) -> CompiledPredicate:
    """Make a predicate ready to be asked."""
    series = accumulator_of(predicate)
    looked_at = None if series is None else accumulator_id(series)
    trait = predicate.trait if isinstance(predicate, TraitPredicate) else None
    judge = _compile(predicate, looked_at or 0)
    return CompiledPredicate(predicate_id(predicate), predicate, series, looked_at, trait, judge)


def evaluate_predicate(predicate: Predicate, view: ProfileFacts, at_us: int) -> PredicateResult:
    """How a predicate comes out over a view at an instant (Unix microseconds)."""
    return compile_predicate(predicate).evaluate(view, at_us)


RuleTest: TypeAlias = Callable[[Set[int]], bool]


def compile_rule(rule: Rule) -> RuleTest:
    """The rule as a function of the ids of the predicates that hold."""
    match rule:
        case All():
            tests = tuple(map(compile_rule, rule.rules))
            return lambda holds: all(test(holds) for test in tests)
        case Any_():
            tests = tuple(map(compile_rule, rule.rules))
            return lambda holds: any(test(holds) for test in tests)
        case Not():
            test = compile_rule(rule.rule)
            return lambda holds: not test(holds)
        case _:
            id_ = predicate_id(rule)
            return lambda holds: id_ in holds


def evaluate_rule(rule: Rule, holds: Set[int]) -> bool:
    """Whether a rule holds, given the ids of its predicates that do."""
    return compile_rule(rule)(holds)


def _compile(predicate: Predicate, looked_at: int) -> PredicateFn:
    match predicate:
        case TraitPredicate():
            return _compile_trait(predicate)
        case CountPredicate() | DistinctPredicate() if predicate.window_us:
            return _compile_windowed(predicate, looked_at)
        case CountPredicate() | DistinctPredicate():
            return _compile_unwindowed(predicate, looked_at)
        case LastSeenPredicate():
            return _compile_age(predicate, looked_at)


def _compile_trait(predicate: TraitPredicate) -> PredicateFn:
    name, test = predicate.trait, test_of(predicate.operator, predicate.value)

    def judge(view: ProfileFacts, at_us: int) -> PredicateResult:
        actual = view.trait(name)
        return PredicateResult(test(actual), actual, None)

    return judge


def _compile_unwindowed(
    predicate: CountPredicate | DistinctPredicate, looked_at: int
) -> PredicateFn:
    compare, asked = _COMPARE[predicate.operator], predicate.value

    def judge(view: ProfileFacts, at_us: int) -> PredicateResult:
        times = view.accumulator(looked_at)
        held = 0 if times is None else times.total()
        return PredicateResult(compare(held, asked), held, None)

    return judge


def _compile_windowed(predicate: CountPredicate | DistinctPredicate, looked_at: int) -> PredicateFn:
    asks, asked, window_us = predicate.operator, predicate.value, predicate.window_us
    compare, can_jump = _COMPARE[asks], asks in _EQUAL
    nothing = PredicateResult(compare(0, asked), 0, None)

    def judge(view: ProfileFacts, at_us: int) -> PredicateResult:
        times = view.accumulator(looked_at)
        if times is None:
            return nothing
        held = times.count_after(_instant(view, at_us) - window_us)
        holds, level = compare(held, asked), _next_level(asks, asked, held)
        if level < 0:
            return PredicateResult(holds, held, None)
        left_us = times.nth_most_recent(level + 1)
        # Where several leave at once, the number may jump past the one that is asked for.
        if can_jump and compare(times.count_after(left_us), asked) is holds:
            return PredicateResult(holds, held, None)
        return PredicateResult(holds, held, left_us + window_us)

    return judge


def _next_level(asks: Operator, asked: int, held: int) -> int:
    """The largest number below `held` with the other verdict; negative where there is none.

    With time alone the number in a window only falls.
    """
    if asks in _ABOVE:
        return asked if held > asked else -1
    if asks in _EQUAL and held > asked:
        return asked
    return asked - 1 if held >= asked else -1


def _compile_age(predicate: LastSeenPredicate, looked_at: int) -> PredicateFn:
    asks, age_us = predicate.operator, predicate.age_us
    compare = _COMPARE[asks]
    # The first age with the other verdict than a younger one.
    turn_us = age_us + 1 if asks in _ABOVE else age_us
    nothing = PredicateResult(False, None, None)

    def judge(view: ProfileFacts, at_us: int) -> PredicateResult:
        times = view.accumulator(looked_at)
        if times is None:
            return nothing
        seen_us = times.nth_most_recent(1)
        actual = _instant(view, at_us) - seen_us
        due_us = seen_us + turn_us if actual < turn_us else None
        return PredicateResult(compare(actual, age_us), actual, due_us)

    return judge


def _instant(view: ProfileFacts, at_us: int) -> int:
    """The instant asked about, which is never before the newest event."""
    seen_us = view.last_seen_us
    return at_us if at_us > seen_us else seen_us


_COMPARE: dict[Operator, Callable[[int, int], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}
#: The verdict changes between `asked` and the number above it.
_ABOVE = (Operator.GT, Operator.LE)
_EQUAL = (Operator.EQ, Operator.NE)
