"""Models the filters that select events by name and by properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.kernel.errors import RuleError
from services.kernel.rules.names import check_name
from services.kernel.rules.values import (
    Json,
    Members,
    Operator,
    canonical_json,
    comparison_at,
    literal,
)

MAX_FILTERS = 50
MAX_EVENT_NAMES = 50
#: The name that stands for every named event: track, page and screen.
ANY_EVENT: Final = "*"


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """A comparison of one property of an event; `a.b` reaches into objects."""

    property: str
    operator: Operator
    value: Json = field(default=None, compare=False)
    #: Whether texts are compared without regard to case and width.
    ignore_case: bool = False
    #: The value as canonical JSON; it decides equality, as True == 1 in Python.
    text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_name("property", self.property)
        set_literal(self, self.operator, self.value, self.ignore_case)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects the events that have one of some names and for which all filters are true."""

    #: At least one, ascending; `(ANY_EVENT,)` selects events of every name.
    names: tuple[str, ...]
    where: tuple[PropertyFilter, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < len(self.names) <= MAX_EVENT_NAMES:
            remedy = f"write 1 to {MAX_EVENT_NAMES} names"
            raise RuleError("there are too few or too many names", remedy).under("event")
        for name in self.names:
            check_name("event", name)
        names = {ANY_EVENT} if ANY_EVENT in self.names else set(self.names)
        object.__setattr__(self, "names", tuple(sorted(names)))
        object.__setattr__(self, "where", ordered_filters(self.where))

    @classmethod
    def of(cls, name: str, *where: PropertyFilter) -> EventFilter:
        """Return the filter of the events of one name."""
        return cls((name,), where)


def ordered_filters(where: tuple[PropertyFilter, ...]) -> tuple[PropertyFilter, ...]:
    """Return filters in canonical order, each once. Raises RuleError if there are too many."""
    if len(where) > MAX_FILTERS:
        remedy = f"write at most {MAX_FILTERS}"
        raise RuleError("there are too many filters", remedy).under("where")
    by = sorted(set(where), key=lambda f: (f.property, f.operator.value, f.text, f.ignore_case))
    return tuple(by)


def set_literal(owner: object, operator: Operator, value: Json, ignore_case: bool) -> None:
    """Set the canonical literal and its text on a frozen comparison. Raises RuleError.

    A literal without a text has no case, so `ignore_case` becomes False.
    """
    canonical = literal(operator, value, ignore_case=ignore_case)
    scalars = canonical if isinstance(canonical, tuple) else (canonical,)
    has_text = any(isinstance(scalar, str) for scalar in scalars)
    object.__setattr__(owner, "ignore_case", ignore_case and has_text)
    object.__setattr__(owner, "value", canonical)
    object.__setattr__(owner, "text", canonical_json(canonical))


def matcher(where: tuple[PropertyFilter, ...]) -> Callable[[Mapping[str, Json]], bool]:
    """Return whether all filters are true of some properties, as a function of these."""
    tests = tuple(
        (
            property_getter(f.property),
            comparison_at(f.property, f.operator, f.value, ignore_case=f.ignore_case),
        )
        for f in where
    )
    if len(tests) == 1:  # the usual case, and this runs for every event of some name
        [(only_value, only_test)] = tests
        return lambda properties: only_test(only_value(properties))

    def matches(properties: Mapping[str, Json]) -> bool:
        for value, test in tests:  # noqa: SIM110 - `all` with a generator takes twice as long
            if not test(value(properties)):
                return False
        return True

    return matches


def property_getter(path: str) -> Callable[[Mapping[str, Json]], Json]:
    """Return a function that reads a property by its path; it returns None if it is absent.

    `a.b` is the member `b` of the object `a`; a member whose own name is `a.b` goes first. Where
    `a` is a list, it is the `Members` of its elements.
    """
    steps = path.split(".")
    if len(steps) == 1:
        return lambda properties: properties.get(path)

    def walk(properties: Mapping[str, Json]) -> Json:
        if path in properties:
            return properties[path]
        value: Json = properties
        for at, step in enumerate(steps):
            if type(value) is list:
                return _members_of(value, steps[at:])
            if type(value) is not dict:
                return None
            value = value.get(step)
        return value

    return walk


#: The list that a path led through last, and its members by the rest of the path.
_last_list: tuple[list[Json], dict[tuple[str, ...], Members | None]] = ([], {})


def _members_of(elements: list[Json], steps: Sequence[str]) -> Members | None:
    """Return the values at a path below each element; None if there is none.

    The predicates over one list read it in a row, so that it is walked once for all of them.
    """
    global _last_list
    # Read once: rules are also evaluated in other threads.
    last = _last_list
    if last[0] is not elements:
        last = _last_list = (elements, {})
    found, key = last[1], tuple(steps)
    if key not in found:
        values = elements
        for step in steps:
            members = (value.get(step) for value in values if type(value) is dict)
            values = [each for member in members for each in _flat(member)]
        found[key] = Members(values) if values else None
    return found[key]


def _flat(value: Json) -> list[Json]:
    """Return the elements of a list, or a list of any other value; null has none."""
    if type(value) is list:
        return [element for element in value if element is not None]
    return [] if value is None else [value]
