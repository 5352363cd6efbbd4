"""The catalogue: which events feed which series, and which predicates depend on what.

It is made from the rules that are in force, and does not change; a new rule makes a new catalogue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.kernel.fold.accumulators import distinct_key
from services.kernel.fold.events import (
    IDENTIFY,
    EventView,
    raw_members,
    read_object,
    rule_event_name,
)
from services.kernel.rules.evaluate import CompiledPredicate, compile_predicate
from services.kernel.rules.ids import accumulator_id, predicates
from services.kernel.rules.model import (
    AccumulatorKind,
    AccumulatorSpec,
    Predicate,
    PropertyFilter,
    Rule,
)
from services.kernel.rules.values import test_of

Properties: TypeAlias = dict[str, Any]

#: What a series takes from an event that has no value in it.
COUNT_KEY = ""


@dataclass(frozen=True, slots=True)
class AccumulatorBinding:
    """A series, as seen from an event of the right name."""

    accumulator_id: int
    kind: AccumulatorKind
    #: Whether the properties must be read.
    needs_properties: bool
    #: What the series takes from an event with these properties: COUNTED, a key, or None = nothing.
    key_of: Callable[[Properties], str | None]
    #: The predicates that may change when the series does.
    predicates: frozenset[int]


class PredicateIndex:
    """What a fold must know of the rules in force."""

    __slots__ = ("_by_trait", "_feeds", "accumulator_ids", "predicates")

    #: By id.
    predicates: Mapping[int, CompiledPredicate]
    #: Every series that is kept.
    accumulator_ids: frozenset[int]

    def __init__(self, asked: Iterable[Predicate] = ()) -> None:
        compiled = map(compile_predicate, asked)
        self.predicates = {predicate.id: predicate for predicate in compiled}
        self._feeds = _bindings_by_event(self.predicates.values())
        self._by_trait = _by_trait(self.predicates.values())
        self.accumulator_ids = frozenset(
            f.accumulator_id for feeds in self._feeds.values() for f in feeds
        )

    @classmethod
    def from_rules(cls, rules: Iterable[Rule]) -> PredicateIndex:
        """The catalogue of these rules."""
        return cls(predicate for rule in rules for predicate in predicates(rule))

    def with_rules(self, rules: Iterable[Rule]) -> PredicateIndex:
        """This catalogue with more rules."""
        more = (predicate for rule in rules for predicate in predicates(rule))
        return PredicateIndex([*(known.predicate for known in self.predicates.values()), *more])

    def matching_bindings(self, event: EventView) -> list[tuple[AccumulatorBinding, str]]:
        """The series that take something from an event, and what: COUNTED or a key.

        The properties are only read where a series needs them.
        """
        feeds = self._feeds.get(rule_event_name(event))
        if feeds is None:
            return []
        properties: Properties | None = None
        taken: list[tuple[AccumulatorBinding, str]] = []
        for feed in feeds:
            if properties is None and feed.needs_properties:
                properties = read_object(event.properties)
            what = feed.key_of(properties or {})
            if what is not None:
                taken.append((feed, what))
        return taken

    def affected_by_trait(self, name: str) -> frozenset[int]:
        """The predicates that may change when a trait does."""
        return self._by_trait.get(name, _NONE)

    def affected_predicates(self, event: EventView) -> frozenset[int]:
        """The ids of the predicates that an event may change, whatever the state before it."""
        touched = _NONE.union(*(feed.predicates for feed, _ in self.matching_bindings(event)))
        if event.type == IDENTIFY and self._by_trait:
            touched = touched.union(*map(self.affected_by_trait, raw_members(event.traits)))
        return touched


_NONE: frozenset[int] = frozenset()


def _bindings_by_event(
    known: Iterable[CompiledPredicate],
) -> dict[str, tuple[AccumulatorBinding, ...]]:
    """Event name -> its feeds, those that read no properties first."""
    asking: dict[AccumulatorSpec, set[int]] = defaultdict(set)
    for predicate in known:
        if predicate.accumulator is not None:
            asking[predicate.accumulator].add(predicate.id)
    by_event: dict[str, list[AccumulatorBinding]] = defaultdict(list)
    for series, ids in asking.items():
        by_event[series.events.event].append(_binding(series, frozenset(ids)))
    return {name: tuple(sorted(feeds, key=_order)) for name, feeds in by_event.items()}


def _order(feed: AccumulatorBinding) -> tuple[bool, int]:
    return feed.needs_properties, feed.accumulator_id


def _by_trait(known: Iterable[CompiledPredicate]) -> dict[str, frozenset[int]]:
    asking: dict[str, set[int]] = defaultdict(set)
    for predicate in known:
        if predicate.trait is not None:
            asking[predicate.trait].add(predicate.id)
    return {name: frozenset(ids) for name, ids in asking.items()}


def _binding(series: AccumulatorSpec, touches: frozenset[int]) -> AccumulatorBinding:
    where = series.events.where
    reads = bool(where) or series.kind is AccumulatorKind.DISTINCT
    take = _key_getter(where, series.property)
    return AccumulatorBinding(accumulator_id(series), series.kind, reads, take, touches)


def _key_getter(where: tuple[PropertyFilter, ...], of: str) -> Callable[[Properties], str | None]:
    tests = tuple((property_getter(f.property), test_of(f.operator, f.value)) for f in where)
    value_of = property_getter(of) if of else None

    def take(properties: Properties) -> str | None:
        for value, test in tests:
            if not test(value(properties)):
                return None
        return distinct_key(value_of(properties)) if value_of else COUNT_KEY

    return take


def property_getter(path: str) -> Callable[[Properties], Any]:
    """The function that gives a property by its path; None where it is absent.

    `a.b` is the member `b` of the object `a`; a member that is itself called `a.b` goes first.
    """
    steps = path.split(".")
    if len(steps) == 1:
        return lambda properties: properties.get(path)

    def walk(properties: Properties) -> Any:
        if path in properties:
            return properties[path]
        value: Any = properties
        for step in steps:
            if type(value) is not dict:
                return None
            value = value.get(step)
        return value

    return walk
