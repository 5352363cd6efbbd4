"""Indexes the rules in force: which events feed which accumulators and affect which predicates.

An index does not change; a new rule makes a new index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.kernel.fold.accumulators import distinct_key
from services.kernel.fold.events import EventView, read_object, rule_event_name
from services.kernel.rules.evaluate import CompiledPredicate, compile_predicate
from services.kernel.rules.ids import accumulator_id, predicates
from services.kernel.rules.model import (
    AccumulatorKind,
    AccumulatorSpec,
    Predicate,
    PropertyFilter,
    Rule,
)
from services.kernel.rules.values import Members, test_at

Properties: TypeAlias = dict[str, Any]

#: The key that a count takes from every matching event.
COUNT_KEY = ""
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class AccumulatorBinding:
    """Binds an accumulator to the events of one name."""

    accumulator_id: int
    kind: AccumulatorKind
    #: Whether `key_of` reads the properties.
    needs_properties: bool
    #: Returns the key that an event with these properties adds: `COUNT_KEY`, or that of a distinct
    #: value; None = the event does not match.
    key_of: Callable[[Properties], str | None]
    #: The predicates that may change when the accumulator does.
    predicates: frozenset[int]
    #: The number of property filters that an event is tested with.
    filters: int = 0


class PredicateIndex:
    """The predicates of the rules in force, indexed by their inputs."""

    __slots__ = ("_bindings", "_by_trait", "_work", "accumulator_ids", "max_work", "predicates")

    #: By id.
    predicates: Mapping[int, CompiledPredicate]
    #: All accumulators that the predicates need.
    accumulator_ids: frozenset[int]
    #: The most that `work_of` returns.
    max_work: int

    def __init__(self, predicates: Iterable[Predicate] = ()) -> None:
        compiled = map(compile_predicate, predicates)
        self.predicates = {predicate.id: predicate for predicate in compiled}
        self._bindings = _bindings_by_event(self.predicates.values())
        self._by_trait = _predicates_by_trait(self.predicates.values())
        self.accumulator_ids = frozenset(
            b.accumulator_id for bindings in self._bindings.values() for b in bindings
        )
        self._work = {name: sum(map(_work, b)) for name, b in self._bindings.items()}
        self._work[""] = sum(map(len, self._by_trait.values()))
        self.max_work = max(self._work.values())

    @classmethod
    def from_rules(cls, rules: Iterable[Rule]) -> PredicateIndex:
        """Return the index of some rules."""
        return cls(predicate for rule in rules for predicate in predicates(rule))

    def work_of(self, event: EventView) -> int:
        """Return at most how many filters, accumulators and predicates an event concerns.

        Folding takes some microseconds for each, whatever the event holds.
        """
        return self._work.get(rule_event_name(event), 0)

    def matching_bindings(self, event: EventView) -> list[tuple[AccumulatorBinding, str]]:
        """Return the bindings that an event matches, each with the key that it adds.

        The properties are decoded only if a binding needs them.
        """
        bindings = self._bindings.get(rule_event_name(event))
        if bindings is None:
            return []
        properties: Properties | None = None
        matching: list[tuple[AccumulatorBinding, str]] = []
        for binding in bindings:
            if properties is None and binding.needs_properties:
                properties = read_object(event.properties)
            key = binding.key_of(properties or {})
            if key is not None:
                matching.append((binding, key))
        return matching

    def affected_by_trait(self, name: str) -> frozenset[int]:
        """Return the ids of the predicates that may change when a trait does."""
        return self._by_trait.get(name, _NONE)


def _bindings_by_event(
    compiled: Iterable[CompiledPredicate],
) -> dict[str, tuple[AccumulatorBinding, ...]]:
    """Return the bindings by event name; those that read no properties come first."""
    dependants: dict[AccumulatorSpec, set[int]] = defaultdict(set)
    for predicate in compiled:
        if predicate.accumulator is not None:
            dependants[predicate.accumulator].add(predicate.id)
    by_event: dict[str, list[AccumulatorBinding]] = defaultdict(list)
    for spec, ids in dependants.items():
        by_event[spec.events.event].append(_binding(spec, frozenset(ids)))
    return {name: tuple(sorted(bindings, key=_order)) for name, bindings in by_event.items()}


def _work(binding: AccumulatorBinding) -> int:
    return 1 + binding.filters + len(binding.predicates)


def _order(binding: AccumulatorBinding) -> tuple[bool, int]:
    return binding.needs_properties, binding.accumulator_id


def _predicates_by_trait(compiled: Iterable[CompiledPredicate]) -> dict[str, frozenset[int]]:
    dependants: dict[str, set[int]] = defaultdict(set)
    for predicate in compiled:
        if predicate.trait is not None:
            dependants[predicate.trait].add(predicate.id)
            # `a.b` also reads the member `b` of the trait `a`.
            dependants[predicate.trait.partition(".")[0]].add(predicate.id)
    return {name: frozenset(ids) for name, ids in dependants.items()}


def _binding(spec: AccumulatorSpec, predicates: frozenset[int]) -> AccumulatorBinding:
    where = spec.events.where
    return AccumulatorBinding(
        accumulator_id=accumulator_id(spec),
        kind=spec.kind,
        needs_properties=bool(where) or spec.kind is AccumulatorKind.DISTINCT,
        key_of=_key_getter(where, spec.property),
        predicates=predicates,
        filters=len(where),
    )


def _key_getter(where: tuple[PropertyFilter, ...], of: str) -> Callable[[Properties], str | None]:
    tests = tuple(
        (property_getter(f.property), test_at(f.property, f.operator, f.value)) for f in where
    )
    value_of = property_getter(of) if of else None

    def key_of(properties: Properties) -> str | None:
        for value, test in tests:
            if not test(value(properties)):
                return None
        return distinct_key(value_of(properties)) if value_of else COUNT_KEY

    return key_of


def property_getter(path: str) -> Callable[[Properties], Any]:
    """Return a function that reads a property by its path; it returns None if it is absent.

    `a.b` is the member `b` of the object `a`; a member whose own name is `a.b` goes first. Where
    `a` is a list, it is the `Members` of its elements.
    """
    steps = path.split(".")
    if len(steps) == 1:
        return lambda properties: properties.get(path)

    def walk(properties: Properties) -> Any:
        if path in properties:
            return properties[path]
        value: Any = properties
        for at, step in enumerate(steps):
            if type(value) is list:
                return _members_of(value, steps[at:])
            if type(value) is not dict:
                return None
            value = value.get(step)
        return value

    return walk


#: The list that a path led through last, and its members by the rest of the path.
_last_list: tuple[list[Any], dict[tuple[str, ...], Members | None]] = ([], {})


def _members_of(elements: list[Any], steps: Sequence[str]) -> Members | None:
    """Return the values at a path below each element; None if there is none.

    The predicates over one list read it in a row, so that it is walked once for all of them.
    """
    global _last_list
    if _last_list[0] is not elements:
        _last_list = (elements, {})
    found, key = _last_list[1], tuple(steps)
    if key not in found:
        values = elements
        for step in steps:
            members = (value.get(step) for value in values if type(value) is dict)
            values = [each for member in members for each in _flat(member)]
        found[key] = Members(values) if values else None
    return found[key]


def _flat(value: Any) -> list[Any]:
    """Return the elements of a list, or a list of any other value; null has none."""
    if type(value) is list:
        return [element for element in value if element is not None]
    return [] if value is None else [value]
