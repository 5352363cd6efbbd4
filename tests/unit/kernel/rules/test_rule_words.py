"""An evaluator that takes one word of the rule language for another is found by the cases."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from random import Random
from typing import Any, TypeVar

import pytest
from oracle import differential
from oracle.differential import Case, disagreement, make_case
from oracle.mutants import mutated
from oracle.random_logs import make_value
from oracle.random_rules import make_comparison
from oracle.rules_oracle import compare

from services.kernel.calendar import PeriodUnit
from services.kernel.rules import values
from services.kernel.rules.evaluate import CompiledPredicate, compile_predicate
from services.kernel.rules.features import DateMeasure, Function, OrderMeasure, TrendMeasure
from services.kernel.rules.model import Predicate
from services.kernel.rules.values import Operator, comparison_of, literal
from services.kernel.rules.windows import Anchor

#: The most cases that are tried until one of them finds the mistake.
CASES, COMPARISONS = 2_000, 20_000

_E = TypeVar("_E", bound=Enum)


def _pairs(words: type[_E], but: _E | None = None) -> list[tuple[_E, _E]]:
    """Return each word with the next one; the last one with the first."""
    all_ = [word for word in words if word is not but]
    return list(zip(all_, [*all_[1:], all_[0]], strict=True))


#: Of each word another one, and the part of the language whose cases tell them apart. A count reads
#: no property, so it cannot be taken for another function.
CONFUSED: dict[Enum, tuple[Enum, str]] = {
    **{one: (other, "Aggregate") for one, other in _pairs(Function, Function.COUNT)},
    Function.LAST: (Function.FIRST, "Aggregate"),  # a number of values has other literals
    **{one: (other, "Aggregate") for one, other in _pairs(PeriodUnit)},
    **{one: (other, "Relative") for one, other in _pairs(Anchor)},
    **{one: (other, "Trend") for one, other in _pairs(TrendMeasure)},
    **{one: (other, "DateDistance") for one, other in _pairs(DateMeasure)},
    **{one: (other, "Orders") for one, other in _pairs(OrderMeasure)},
}
OTHER_OPERATORS = dict(_pairs(Operator))


def _confuse(part: Any, one: Enum, other: Enum) -> Any:
    """Return a part of a rule with one word taken for another."""
    if part is one:
        return other
    if isinstance(part, tuple):
        return tuple(_confuse(each, one, other) for each in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    own = {field.name: getattr(part, field.name) for field in fields(part) if field.init}
    changed = {name: _confuse(value, one, other) for name, value in own.items()}
    return replace(part, **changed) if changed != own else part


@pytest.mark.parametrize("word", CONFUSED, ids=str)
def test_word_that_is_taken_for_another_is_found(
    word: Enum, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, kind = CONFUSED[word]

    def confused(predicate: Predicate) -> CompiledPredicate:
        return compile_predicate(_confuse(predicate, word, other))

    monkeypatch.setattr(differential, "compile_predicate", confused)
    assert any(_is_found(_case(kind, seed)) for seed in range(CASES))


@pytest.mark.parametrize("operator", Operator, ids=str)
def test_operator_that_is_taken_for_another_is_found(operator: Operator) -> None:
    other, own = OTHER_OPERATORS[operator].name, operator.name
    after = f"_test_of(Operator.{other} if operator is Operator.{own} else operator, value)"
    with mutated(values.comparison_of, "_test_of(operator, value)", after):
        assert any(map(_is_operator_wrong, range(COMPARISONS)))


@cache
def _case(kind: str, seed: int) -> Case:
    return make_case(seed, kind)


def _is_operator_wrong(seed: int) -> bool:
    random = Random(seed)
    left, (operator, value, is_without_case) = make_value(random), make_comparison(random)
    right = literal(operator, value, ignore_case=is_without_case)
    try:
        test = comparison_of(operator, right, ignore_case=is_without_case)
        return test(left) is not compare(operator, left, right, ignore_case=is_without_case)
    except (AttributeError, TypeError):
        return True


def _is_found(case: Case) -> bool:
    try:
        return bool(disagreement(case))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return True
