"""Compares JSON values in rules with JSON values in data.

A rule compares with a *literal*: a string, a number or a boolean, and for `in` a list of them.
Data is any JSON value. These definitions apply to traits and to properties of events:

* null and absent are the same.
* Types never mix: `"1"` is not `1`, and `true` is not `1`. `1` and `1.0` are the same number.
* A comparison with an absent value, or with one of another type, is false; only the negated ones
  (`ne`, `not_in`, `not_contains`) are true.
* `lt`, `at_most`, `gt`, `at_least` order numbers by size and strings by code points; booleans,
  lists and objects have no order, so these are false.
* `contains` is true if a string has the literal (a string) as a part, or a list has an element
  equal to the literal.
* `starts_with` and `ends_with` compare strings.
* `exists` is true for everything but null, and `missing` for null only.
* With `ignore_case`, strings of both sides are compared without regard to case, width and other
  differences of compatibility: in Unicode form NFKC, case-folded.
* Integers beyond 64 bits are represented by the nearest double.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

from services.kernel.errors import RuleError

Scalar: TypeAlias = str | int | float | bool
#: A scalar; the sorted, distinct elements of an `in`; None if the operator takes no value.
Literal: TypeAlias = Scalar | tuple[Scalar, ...] | None
#: Any decoded JSON value.
Json: TypeAlias = Any
Test: TypeAlias = Callable[[Json], bool]

MAX_ELEMENTS = 1_000
MAX_TEXT = 1_000
#: Lists with this many elements or more are searched by hash.
LONG_LIST = 16
_BIGGEST = 2**63


class Operator(Enum):
    """A comparison; its value is the word in a rule."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "at_most"
    GT = "gt"
    GE = "at_least"
    IN = "in"
    EXISTS = "exists"
    CONTAINS = "contains"
    NOT_IN = "not_in"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    MISSING = "missing"


def literal(operator: Operator, value: Json, *, ignore_case: bool = False) -> Literal:
    """Return the canonical literal of a value. Raises RuleError if it does not fit the operator."""
    if operator in _WITHOUT_VALUE:
        return None
    if operator in (Operator.IN, Operator.NOT_IN):
        return _elements(value, operator, ignore_case)
    if isinstance(value, list | tuple):
        raise RuleError("a list cannot be compared with", _remedy_for_list(operator))
    scalar = _scalar(value)
    if operator in _ORDERS and isinstance(scalar, bool):
        raise RuleError("true and false have no order", "write `eq: true` or `eq: false`")
    if operator in _AFFIXES and not isinstance(scalar, str):
        raise RuleError("this is no text", f"put the value of `{operator.value}` into quotes")
    return fold_case(scalar) if ignore_case else scalar


def fold_case(value: Json) -> Json:
    """Return a string in NFKC, case-folded; any other value as it is."""
    if not isinstance(value, str):
        return value
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())


def canonical_json(value: Json) -> str:
    """Return JSON with sorted keys and no spaces: equal values have equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def comparison_of(operator: Operator, value: Literal, *, ignore_case: bool = False) -> Test:
    """Return `LEFT operator value` as a function of the left side; it never raises."""
    test = _test_of(operator, value)
    return (lambda left: test(_folded(left))) if ignore_case else test


def _test_of(operator: Operator, value: Literal) -> Test:
    match operator:
        case Operator.EXISTS:
            return lambda left: left is not None
        case Operator.MISSING:
            return lambda left: left is None
        case Operator.IN:
            return _one_of(value if isinstance(value, tuple) else ())
        case Operator.EQ:
            return _equal_to(value)
        case Operator.CONTAINS:
            return _containing(value)
        case Operator.NE | Operator.NOT_IN | Operator.NOT_CONTAINS:
            holds = _test_of(_NEGATED[operator], value)
            return lambda left: not holds(left)
        case Operator.STARTS_WITH:
            return lambda left: type(left) is str and left.startswith(str(value))
        case Operator.ENDS_WITH:
            return lambda left: type(left) is str and left.endswith(str(value))
        case _:
            return _ordered(operator, value)


def _folded(left: Json) -> Json:
    return list(map(fold_case, left)) if type(left) is list else fold_case(left)


class Members(list[Json]):
    """The values at a path that leads through a list: those of its elements, at least one."""


def comparison_at(
    path: str, operator: Operator, value: Literal, *, ignore_case: bool = False
) -> Test:
    """Return the comparison of the value at a path.

    Where the path leads through a list, one of the values has to pass; a negated comparison is true
    if none does.
    """
    compare = comparison_of(operator, value, ignore_case=ignore_case)
    if "." not in path:
        return compare
    any_passes = _comparison_of_members(operator, value)
    if ignore_case:
        return lambda left: (
            any_passes(Members(map(fold_case, left))) if type(left) is Members else compare(left)
        )
    return lambda left: any_passes(left) if type(left) is Members else compare(left)


def _comparison_of_members(operator: Operator, value: Literal) -> Callable[[Members], bool]:
    if operator in _NEGATED:
        holds = _comparison_of_members(_NEGATED[operator], value)
        return lambda members: not holds(members)
    if operator in (Operator.EQ, Operator.CONTAINS):
        key = scalar_key(value)
        return lambda members: key in _keys_of(members)
    if operator is Operator.IN:
        keys = frozenset(map(scalar_key, value if isinstance(value, tuple) else ()))
        return lambda members: not keys.isdisjoint(_keys_of(members))
    test = _test_of(operator, value)
    return lambda members: any(map(test, members))


def scalar_key(value: Json) -> str | None:
    """Return a text that is equal for equal scalars only; None for null, lists and objects."""
    kind = type(value)
    if kind is str:
        return "s" + value
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return "n" + repr(number(value))
    return None


def number(value: int | float) -> int | float:
    """Return the canonical form of a number: whole ones below 2^63 are ints, others doubles."""
    if -_BIGGEST < value < _BIGGEST:
        return int(value) if value == int(value) else value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _scalar(value: Json) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _finite(value)
    if value is None:
        raise RuleError("null cannot be compared with", "write `exists: true`, or `not` around it")
    if isinstance(value, list | tuple):
        raise RuleError("a list cannot be compared with", "write `in: [...]`")
    if isinstance(value, dict):
        raise RuleError("an object cannot be compared with", "compare one of its parts: `a.b`")
    raise RuleError("this is no JSON value", "put it into quotes to make it a text")


def _remedy_for_list(operator: Operator) -> str:
    if operator in (Operator.EQ, Operator.NE):
        return "write `in: [...]`" if operator is Operator.EQ else "write `not_in: [...]`"
    word = operator.value
    if operator is Operator.NOT_CONTAINS:
        return f"write one value; for several, write `all` with one `{word}` for each"
    return f"write one value; for one of several, write `any` with one `{word}` for each"


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise RuleError("the text is too long", f"write at most {MAX_TEXT} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RuleError("the text is not valid Unicode", "remove lone surrogates") from None
    return value


def _finite(value: int | float) -> int | float:
    canonical = number(value)
    if isinstance(canonical, float) and not math.isfinite(canonical):
        raise RuleError("the number is too large or no number", "write one below 1.7e308")
    return canonical


def _elements(value: Json, operator: Operator, ignore_case: bool) -> tuple[Scalar, ...]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_ELEMENTS:
        raise RuleError(
            f"`{operator.value}` needs a list", f"write 1 to {MAX_ELEMENTS} values in brackets"
        )
    scalars = map(_scalar, value)
    by_text = {canonical_json(s): s for s in (map(fold_case, scalars) if ignore_case else scalars)}
    return tuple(by_text[text] for text in sorted(by_text))


def _equal_to(value: Literal) -> Test:
    if isinstance(value, bool):
        return lambda left: left is value
    if isinstance(value, str):
        return lambda left: type(left) is str and left == value
    return lambda left: type(left) in _NUMBERS and number(left) == value


def _one_of(values: tuple[Scalar, ...]) -> Test:
    keys = frozenset(map(scalar_key, values))
    return lambda left: scalar_key(left) in keys


def _containing(value: Literal) -> Test:
    equal, key = _equal_to(value), scalar_key(value)

    def contains(left: Json) -> bool:
        if type(left) is str:
            return type(value) is str and value in left
        if type(left) is not list:
            return False
        if len(left) < LONG_LIST:
            return any(map(equal, left))
        return key in _keys_of(left)

    return contains


#: The long list that was searched last, and the keys of its elements.
_last_list: tuple[list[Json], frozenset[str | None]] = ([], frozenset())


def _keys_of(elements: list[Json]) -> frozenset[str | None]:
    """Return the keys of a list's elements; the predicates of one list search it in a row."""
    global _last_list
    cached, keys = _last_list
    if cached is not elements:
        keys = frozenset(map(scalar_key, elements))
        _last_list = (elements, keys)
    return keys


def _ordered(operator: Operator, value: Literal) -> Test:
    compare = _ORDERS[operator]
    if isinstance(value, str):
        return lambda left: type(left) is str and compare(left, value)
    return lambda left: type(left) in _NUMBERS and compare(number(left), value)


_NUMBERS = (int, float)
_WITHOUT_VALUE = (Operator.EXISTS, Operator.MISSING)
_AFFIXES = (Operator.STARTS_WITH, Operator.ENDS_WITH)
_NEGATED = {
    Operator.NE: Operator.EQ,
    Operator.NOT_IN: Operator.IN,
    Operator.NOT_CONTAINS: Operator.CONTAINS,
}
_ORDERS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.LT: lambda left, right: left < right,
    Operator.LE: lambda left, right: left <= right,
    Operator.GT: lambda left, right: left > right,
    Operator.GE: lambda left, right: left >= right,
}
