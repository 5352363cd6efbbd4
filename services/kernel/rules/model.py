"""Models rules as values: a frozen tree over one profile, true or false at an instant.

A rule is `All`, `Any_` or `Not` over rules, a `Reference` to another named rule, or a *predicate*:
the comparison of one feature of one profile at one instant. Their meaning is defined here, in
`services.kernel.rules.features`, `windows` and `values`, and tested against the oracle in
`tests/oracle`.

The instant is never before the profile's newest event (`occurred_at <= recorded_at`, and the log's
clock never goes back); an earlier instant is replaced with that event's.

Constructing a rule validates it: a RuleError has the mistake and the correct form. Two values with
the same meaning are equal: event names, filters and the elements of an `in` are sorted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from services.kernel.cleaning.cleaners import clean_literal
from services.kernel.errors import RuleError
from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    Elapsed,
    Feature,
    Function,
    Orders,
    Related,
    Sequence,
    TopValues,
    Trait,
    Trend,
)
from services.kernel.rules.filters import set_literal
from services.kernel.rules.names import check_name
from services.kernel.rules.values import Json, Operator

NUMBER_OPERATORS = (
    *(Operator.EQ, Operator.NE, Operator.LT, Operator.LE, Operator.GT, Operator.GE),
    *(Operator.EXISTS, Operator.MISSING),
)
AGE_OPERATORS = (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
LIST_OPERATORS = (*(Operator.CONTAINS, Operator.NOT_CONTAINS, Operator.EXISTS, Operator.MISSING),)
#: The operators that compare whole values, so with a cleaned trait their literal is cleaned too.
_STANDARD_OPERATORS = (
    *(Operator.EQ, Operator.NE, Operator.LT, Operator.LE, Operator.GT, Operator.GE),
    *(Operator.IN, Operator.NOT_IN),
)


@dataclass(frozen=True, slots=True)
class Predicate:
    """Compares a feature with a literal; `services.kernel.rules.values` defines the comparisons."""

    feature: Feature
    operator: Operator
    value: Json = field(default=None, compare=False)
    #: Whether texts are compared without regard to case and width.
    ignore_case: bool = False
    #: The value as canonical JSON; it decides equality, as True == 1 in Python.
    text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        value = _standard(self.feature, self.operator, self.value)
        set_literal(self, self.operator, value, self.ignore_case)
        _check_comparison(self)


@dataclass(frozen=True, slots=True)
class All:
    """True if all rules are; an empty `All` is true."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """True if at least one rule is; an empty `Any_` is false."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True if the rule is false."""

    rule: Rule


class ReferenceKind(Enum):
    """What a reference names; the value is the word in a rule."""

    SEGMENT = "segment"
    TAG = "tag"
    STAGE = "stage"


@dataclass(frozen=True, slots=True)
class Reference:
    """True if the person is in a segment, has a tag, or is in a stage.

    `services.kernel.rules.references` replaces it with the rule that it names.
    """

    kind: ReferenceKind
    #: The id of the segment, of the tag, or of the set of stages.
    id: str
    #: The value of the tag, or the stage; empty = any value of the tag. Always empty for a segment.
    value: str = ""

    def __post_init__(self) -> None:
        check_name("id", self.id)
        if self.value:
            check_name("is", self.value)
        if self.kind is ReferenceKind.SEGMENT and self.value:
            raise RuleError("a segment has no values", "write `segment: ID`")
        if self.kind is ReferenceKind.STAGE and not self.value:
            remedy = "write `stage: {of: lifecycle, is: silent}`"
            raise RuleError("the stage is missing", remedy).under("is")


Rule: TypeAlias = All | Any_ | Not | Reference | Predicate


def is_number(feature: Feature) -> bool:
    """Return whether all values of a feature are numbers or null."""
    match feature:
        case Aggregate():
            return feature.function not in (Function.FIRST, Function.LAST)
        case Sequence() | Trend() | DateDistance() | Orders() | Related():
            return True
        case _:
            return False


def _standard(feature: Feature, operator: Operator, value: Json) -> Json:
    """Return a literal in the form of the cleaned trait with which it is compared."""
    if not isinstance(feature, Trait) or not feature.cleaner or isinstance(value, bool):
        return value
    return clean_literal(feature.cleaner, value) if operator in _STANDARD_OPERATORS else value


def _check_comparison(predicate: Predicate) -> None:
    feature, operator, value = predicate.feature, predicate.operator, predicate.value
    if isinstance(feature, Elapsed):
        _check_age(operator, value)
    elif isinstance(feature, TopValues):
        if operator not in LIST_OPERATORS:
            remedy = "write contains or not_contains"
            raise RuleError(f"a list of values has no `{operator.value}`", remedy)
    elif is_number(feature):
        _check_number(feature, predicate)
    elif isinstance(feature, Trait) and feature.cleaner and isinstance(value, bool):
        raise RuleError("a standardised trait is compared with texts or numbers", "write one")


def _check_number(feature: Feature, predicate: Predicate) -> None:
    operator, value = predicate.operator, predicate.value
    if operator not in NUMBER_OPERATORS:
        remedy = "write eq, ne, lt, at_most, gt or at_least"
        raise RuleError(f"a number has no `{operator.value}`", remedy)
    if operator in (Operator.EXISTS, Operator.MISSING):
        return
    if _is_count(feature) and (type(value) is not int or not 0 <= value < 2**63):
        raise RuleError("this is no number of events", "write a whole number from 0 up").under(
            operator.value
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuleError("this is no number", "write one such as 3").under(operator.value)


def _is_count(feature: Feature) -> bool:
    match feature:
        case Aggregate():
            return feature.function in (Function.COUNT, Function.DISTINCT)
        case Sequence() | Related():
            return True
        case _:
            return False


def _check_age(operator: Operator, value: Json) -> None:
    if operator not in AGE_OPERATORS:
        remedy = "write within, at_most, longer_than or at_least"
        raise RuleError(f"an age has no `{operator.value}`", remedy)
    if type(value) is not int or not 0 < value <= 2**62:
        raise RuleError("this is no span of time", "write one such as 30d")
