"""Evaluates rules slowly and obviously: plain lists, every event read every time.

Every evaluator of rules (incremental, or over history) must agree with this one. It shares nothing
with them but the tree of the rule.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from services.kernel.cleaning.cleaners import clean
from services.kernel.rules.features import Trait
from services.kernel.rules.filters import EventFilter, PropertyFilter
from services.kernel.rules.model import All, Any_, Not, Predicate, Rule
from services.kernel.rules.names import is_reserved_trait
from services.kernel.rules.values import Operator
from services.kernel.trust import Party

SCALARS = ("string", "number", "boolean")
#: Numbers beyond this are no numbers for sums, means and amounts.
MAX_SUMMAND = 10**15
_NEGATED = {
    Operator.NE: Operator.EQ,
    Operator.NOT_IN: Operator.IN,
    Operator.NOT_CONTAINS: Operator.CONTAINS,
}


@dataclass(frozen=True)
class OracleEvent:
    """One decoded fact of one profile. `type` is `track`, `page`, `screen`, `identify` ….

    Of a `correction` the name is that of the trait, and the properties have the `value`; none = it
    is withdrawn. Of a `score` the name is that of the model, and the properties have the `score`.
    """

    type: str
    name: str
    occurred_at_us: int
    fact_id: bytes
    properties: dict[str, Any] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)
    #: The trust of the source; the higher number takes precedence.
    trust: int = 0
    #: The party class of the source; the lower number takes precedence.
    party: int = 1
    source: str = ""
    #: How the person came.
    touch: Mapping[str, str] = field(default_factory=dict)
    #: Of a `group` event: the leaf of the object.
    account: bytes = b""

    @property
    def is_record(self) -> bool:
        """Whether it is no event of the person: it does not move the instant of an evaluation."""
        return self.type in ("correction", "score")


#: The traits of the related objects, by the type of the object.
RelatedObjects = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Person:
    """What is known of one person at an instant, which is never before the newest event."""

    events: list[OracleEvent]
    now_us: int
    related: RelatedObjects


def rule_holds(
    rule: Rule, events: list[OracleEvent], as_of_us: int, related: RelatedObjects | None = None
) -> bool:
    """Return whether a rule is true at an instant for the profile with exactly these events."""
    if isinstance(rule, All):
        return all(rule_holds(part, events, as_of_us, related) for part in rule.rules)
    if isinstance(rule, Any_):
        return any(rule_holds(part, events, as_of_us, related) for part in rule.rules)
    if isinstance(rule, Not):
        return not rule_holds(rule.rule, events, as_of_us, related)
    assert isinstance(rule, Predicate), "references are replaced before"
    left = actual(rule, events, as_of_us, related)
    return compare(rule.operator, left, rule.value, ignore_case=rule.ignore_case)


def actual(
    predicate: Predicate,
    events: list[OracleEvent],
    as_of_us: int,
    related: RelatedObjects | None = None,
) -> Any:
    """Return the value of the feature of a predicate; None = absent."""
    from oracle.features_oracle import value_of

    times = (event.occurred_at_us for event in events if not event.is_record)
    newest = max(times, default=as_of_us)
    return value_of(predicate.feature, Person(events, max(as_of_us, newest), related or {}))


def trait(feature: Trait, events: list[OracleEvent]) -> Any:
    """Return the value of a trait, in its standard form if it has a cleaner; None = absent."""
    if is_reserved_trait(feature.name):
        value = _reserved(feature.name, events)
    else:
        value = _stated_or_member(feature, events)
    return clean(feature.cleaner, value) if feature.cleaner else value


def _reserved(name: str, events: list[OracleEvent]) -> Any:
    """Return the last score of a model, or how the person came first or last."""
    head, dot, member = name.partition(".")
    if head == "score":
        scores = [e for e in events if e.type == "score" and e.name == member]
        return max(scores, key=_instant).properties["score"] if scores else None
    touched = [event for event in events if event.touch]
    if not touched:
        return None
    chosen = min(touched, key=_instant) if head == "first_touch" else max(touched, key=_instant)
    return chosen.touch.get(member) if dot else dict(chosen.touch)


def _instant(event: OracleEvent) -> tuple[int, bytes]:
    return event.occurred_at_us, event.fact_id


def _stated_or_member(feature: Trait, events: list[OracleEvent]) -> Any:
    """Return the value of a stated trait, or of the member that a name `a.b` reaches."""
    first, dot, _ = feature.name.partition(".")
    statements = _statements(feature, feature.name, events)
    if statements or not dot:
        return _winning(feature, statements)
    return get({first: _winning(feature, _statements(feature, first, events))}, feature.name)


def _statements(feature: Trait, name: str, events: list[OracleEvent]) -> list[tuple[Any, ...]]:
    """Return the statements of a trait: the greatest one wins; its last two are value and source.

    A correction is one of the first party with more trust than any source has.
    """
    found: list[tuple[Any, ...]] = [
        (-event.party, event.trust, *_instant(event), event.traits[name], event.source)
        for event in events
        if event.type == "identify" and name in event.traits
    ]
    corrections = [event for event in events if event.type == "correction" and event.name == name]
    if corrections and "value" in (last := max(corrections, key=_instant)).properties:
        found.append((-Party.FIRST, 1_000, *_instant(last), last.properties["value"], ""))
    return [one for one in found if not feature.parties or -one[0] in feature.parties]


def _winning(feature: Trait, statements: list[tuple[Any, ...]]) -> Any:
    """Return the value that wins; None = absent, or another source than one of those states it."""
    if not statements:
        return None
    *_, value, source = max(statements, key=lambda one: one[:4])
    return value if not feature.sources or source in feature.sources else None


def compare(operator: Operator, left: Any, right: Any, *, ignore_case: bool = False) -> bool:
    """Return the result of an operator; a tuple has the values of which one has to pass."""
    if operator in _NEGATED:
        return not compare(_NEGATED[operator], left, right, ignore_case=ignore_case)
    if isinstance(left, tuple):
        if operator is Operator.CONTAINS:
            operator = Operator.EQ
        return any(compare(operator, each, right, ignore_case=ignore_case) for each in left)
    if operator in (Operator.EXISTS, Operator.MISSING):
        return (left is not None) is (operator is Operator.EXISTS)
    if ignore_case:
        left, right = without_case(left), without_case(right)
    if operator is Operator.EQ:
        return equal(left, right)
    if operator is Operator.IN:
        return any(equal(left, element) for element in right)
    if operator is Operator.CONTAINS:
        if kind(left) == "string":
            return kind(right) == "string" and right in left
        return kind(left) == "list" and any(equal(element, right) for element in left)
    if operator in (Operator.STARTS_WITH, Operator.ENDS_WITH):
        if kind(left) != "string" or kind(right) != "string":
            return False
        part = left[: len(right)] if operator is Operator.STARTS_WITH else left[-len(right) :]
        return right in ("", part)
    return _ordered(operator, left, right)


def _ordered(operator: Operator, left: Any, right: Any) -> bool:
    if kind(left) != kind(right) or kind(left) not in ("string", "number"):
        return False
    left, right = normal(left), normal(right)
    if operator is Operator.LT:
        return bool(left < right)
    if operator is Operator.LE:
        return bool(left <= right)
    if operator is Operator.GT:
        return bool(left > right)
    assert operator is Operator.GE
    return bool(left >= right)


def without_case(value: Any) -> Any:
    """Return a text without case, width and differences of compatibility; a list of such texts."""
    if isinstance(value, list | tuple):
        return [without_case(element) for element in value]
    if not isinstance(value, str):
        return value
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())


def equal(a: Any, b: Any) -> bool:
    """Return whether two values are equal scalars of one kind."""
    return kind(a) == kind(b) and kind(a) in SCALARS and bool(normal(a) == normal(b))


def kind(value: Any) -> str:
    """Return the JSON type of a decoded value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "list"


def normal(scalar: Any) -> Any:
    """Return a scalar; whole numbers as integers, those beyond 64 bits as the nearest double."""
    if kind(scalar) != "number":
        return scalar
    if abs(scalar) >= 2**63:
        return float(scalar)
    return int(scalar) if scalar == int(scalar) else scalar


def text_of(scalar: Any) -> str:
    """Return the canonical JSON of a scalar."""
    return json.dumps(normal(scalar), ensure_ascii=False)


def units_of(value: Any) -> int | None:
    """Return a number in units of 1e-6, rounded half to even; None if it is none to be summed."""
    if kind(value) != "number" or abs(value) > MAX_SUMMAND:
        return None
    return int((Decimal(repr(value)) * 10**6).to_integral_value(ROUND_HALF_EVEN))


def number_of(units: int) -> int | float:
    """Return a sum of units of 1e-6 as an integer, or as the nearest double."""
    exact = Fraction(units, 10**6)
    return int(exact) if exact.denominator == 1 else float(exact)


def get(properties: dict[str, Any], path: str) -> Any:
    """Return the property at a path; a member with the whole path as its name goes first.

    A path through a list has the values of its elements, as a tuple.
    """
    if path in properties:
        return properties[path]
    value: Any = properties
    for step in path.split("."):
        if isinstance(value, list | tuple):
            parts = [
                element[step] for element in value if isinstance(element, dict) and step in element
            ]
            lists = [part if isinstance(part, list) else [part] for part in parts]
            value = tuple(each for part in lists for each in part if each is not None) or None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def passes(where: tuple[PropertyFilter, ...], properties: dict[str, Any]) -> bool:
    """Return whether all filters are true for some properties."""
    return all(
        compare(f.operator, get(properties, f.property), f.value, ignore_case=f.ignore_case)
        for f in where
    )


def matching(filter_: EventFilter, events: Iterable[OracleEvent]) -> list[OracleEvent]:
    """Return the events that a filter selects."""
    return [event for event in events if is_match(filter_, event)]


def is_match(filter_: EventFilter, event: OracleEvent) -> bool:
    """Return whether a filter selects an event."""
    name = _name(event)
    is_named = name is not None and (filter_.names == ("*",) or name in filter_.names)
    return is_named and passes(filter_.where, event.properties)


def _name(event: OracleEvent) -> str | None:
    if event.type == "track":
        return event.name or None
    if event.type in ("page", "screen"):
        return event.name if event.name else event.type
    return None
