"""Models rules as values: a frozen tree over one profile, true or false at an instant.

A rule is `All`, `Any_` or `Not` over rules, or a *predicate*: one condition on one profile at one
instant. Their meaning is defined here and tested against the oracle in `tests/oracle`:

* An event *matches* an `EventFilter` if it has its name and all its property filters are true.
* A window of `window_us` at the instant t contains the events with
  t - window_us < occurred_at <= t; 0 = the whole past.
* The instant is never before the profile's newest event (`occurred_at <= recorded_at`, and the
  log's clock never goes back); an earlier instant is replaced with that event's.

Constructing a rule validates it: a RuleError has the mistake and the correct form. Two
values with the same meaning are equal: the filters of an event and the elements of an `in` are
sorted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from services.kernel.errors import RuleError
from services.kernel.rules.values import Json, Literal, Operator, canonical_json, literal

MAX_NAME = 512
MAX_FILTERS = 50
MAX_SPAN_US = 2**62

COUNT_OPERATORS = (Operator.EQ, Operator.NE, Operator.LT, Operator.LE, Operator.GT, Operator.GE)
AGE_OPERATORS = (Operator.LT, Operator.LE, Operator.GT, Operator.GE)


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """A comparison of one property of an event; `a.b` reaches into objects."""

    property: str
    operator: Operator
    value: Json = field(default=None, compare=False)
    #: The value as canonical JSON; it decides equality, as True == 1 in Python.
    text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_name("property", self.property)
        _set_value(self)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects the events with a name for which all filters in `where` are true."""

    event: str
    where: tuple[PropertyFilter, ...] = ()

    def __post_init__(self) -> None:
        _check_name("event", self.event)
        if len(self.where) > MAX_FILTERS:
            raise RuleError("there are too many filters", f"write at most {MAX_FILTERS}").under(
                "where"
            )
        ordered = sorted(set(self.where), key=lambda f: (f.property, f.operator.value, f.text))
        object.__setattr__(self, "where", tuple(ordered))


@dataclass(frozen=True, slots=True)
class TraitPredicate:
    """Compares a stated trait."""

    trait: str
    operator: Operator
    value: Json = field(default=None, compare=False)
    text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_name("name", self.trait)
        _set_value(self)


@dataclass(frozen=True, slots=True)
class CountPredicate:
    """Compares the number of matching events in a window."""

    events: EventFilter
    window_us: int
    operator: Operator
    value: int

    def __post_init__(self) -> None:
        _check_number(self.operator, self.value)
        _check_span("within", self.window_us)


@dataclass(frozen=True, slots=True)
class DistinctPredicate:
    """Compares the number of distinct values of a property, over matching events in a window.

    Values are strings, numbers and booleans; null, lists and objects are no values.
    """

    events: EventFilter
    property: str
    window_us: int
    operator: Operator
    value: int

    def __post_init__(self) -> None:
        _check_name("property", self.property)
        _check_number(self.operator, self.value)
        _check_span("within", self.window_us)


CountingPredicate: TypeAlias = CountPredicate | DistinctPredicate


@dataclass(frozen=True, slots=True)
class LastSeenPredicate:
    """Compares the age of the last matching event: the instant minus its occurred_at.

    If no event matches there is no age, and every comparison is false.
    """

    events: EventFilter
    operator: Operator
    age_us: int

    def __post_init__(self) -> None:
        if self.operator not in AGE_OPERATORS:
            raise RuleError(
                f"an age has no `{self.operator.value}`",
                "write within, at_most, longer_than or at_least",
            )
        _check_span("", self.age_us)
        if self.age_us == 0:
            raise RuleError("an age of 0 means nothing", "write a span such as 30d")


Predicate: TypeAlias = TraitPredicate | CountingPredicate | LastSeenPredicate


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


Rule: TypeAlias = All | Any_ | Not | Predicate


class AccumulatorKind(Enum):
    """The kind of data that an accumulator stores."""

    COUNT = "count"
    DISTINCT = "distinct"


@dataclass(frozen=True, slots=True)
class AccumulatorSpec:
    """The data accumulated from a leaf's events for a predicate, whatever its window."""

    kind: AccumulatorKind
    events: EventFilter
    #: The property whose distinct values are counted; empty for a count.
    property: str = ""


def _set_value(owner: PropertyFilter | TraitPredicate) -> None:
    value: Literal = literal(owner.operator, owner.value)
    object.__setattr__(owner, "value", value)
    object.__setattr__(owner, "text", canonical_json(value))


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        remedy = f"write a text of 1 to {MAX_NAME} characters"
        raise RuleError("the name is missing or no text", remedy).under(what)
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise RuleError("the name is not valid Unicode", "remove lone surrogates").under(what)


def _check_number(operator: Operator, value: int) -> None:
    if operator not in COUNT_OPERATORS:
        raise RuleError(
            f"a number of events has no `{operator.value}`",
            "write eq, ne, lt, at_most, gt or at_least",
        )
    if type(value) is not int or not 0 <= value < 2**63:
        raise RuleError("this is no number of events", "write a whole number from 0 up").under(
            operator.value
        )


def _check_span(what: str, span_us: int) -> None:
    if type(span_us) is not int or not 0 <= span_us <= MAX_SPAN_US:
        raise RuleError("this is no span of time", "write one such as 7d").under(what)
