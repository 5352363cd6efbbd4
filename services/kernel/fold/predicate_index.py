"""Indexes the rules in force: which events feed which accumulators and affect which predicates.

An index does not change; a new rule makes a new index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.kernel.cleaning.currencies import clean_currency
from services.kernel.cleaning.numbers import clean_number
from services.kernel.fold.accumulators import distinct_key
from services.kernel.fold.events import EventView, read_object, rule_event_name
from services.kernel.fold.records import recordable
from services.kernel.rules.evaluate import CompiledPredicate, compile_predicate
from services.kernel.rules.filters import ANY_EVENT, matcher, property_getter
from services.kernel.rules.ids import accumulator_id, predicates
from services.kernel.rules.inputs import AccumulatorKind, AccumulatorSpec, StatementParts
from services.kernel.rules.model import Predicate, Rule
from services.kernel.rules.readings.amounts import micro_units

Properties: TypeAlias = dict[str, Any]
#: Returns what an event with these properties adds to an accumulator; None = nothing.
EntryFn: TypeAlias = Callable[[Properties], Any]

#: The entry that a count takes from every matching event.
COUNT_ENTRY = ""
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class AccumulatorBinding:
    """Binds an accumulator to the events of some names."""

    accumulator_id: int
    kind: AccumulatorKind
    #: Whether `entry_of` reads the properties.
    needs_properties: bool
    #: Returns the entry that an event adds: `COUNT_ENTRY`, the key of a distinct value, or a value
    #: to record; None = the event does not match.
    entry_of: EntryFn
    #: The predicates that may change when the accumulator does.
    predicates: frozenset[int]
    #: The number of property filters that an event is tested with.
    filters: int = 0


class PredicateIndex:
    """The predicates of the rules in force, indexed by their inputs."""

    __slots__ = (
        "_any_work",
        "_bindings",
        "_by_trait",
        "_of_any",
        "_timed_by_input",
        "_timed_without_input",
        "_work",
        "accumulator_ids",
        "lasting_predicates",
        "max_work",
        "predicates",
        "related_predicates",
    )

    #: By id.
    predicates: Mapping[int, CompiledPredicate]
    #: All accumulators that the predicates need.
    accumulator_ids: frozenset[int]
    #: The predicates that may change when any related object does.
    related_predicates: frozenset[int]
    #: The predicates that no event makes false; see `CompiledPredicate.is_lasting`.
    lasting_predicates: frozenset[int]
    #: The most that `work_of` returns.
    max_work: int

    def __init__(self, predicates: Iterable[Predicate] = ()) -> None:
        compiled = map(compile_predicate, predicates)
        self.predicates = {predicate.id: predicate for predicate in compiled}
        self._bindings = _bindings_by_event(self.predicates.values())
        self._of_any = self._bindings.pop(ANY_EVENT, ())
        self._by_trait = _predicates_by_trait(self.predicates.values())
        self.related_predicates = frozenset(
            id_ for id_, predicate in self.predicates.items() if predicate.related_types
        )
        self.lasting_predicates = frozenset(p.id for p in self.predicates.values() if p.is_lasting)
        self._timed_by_input = _timed_by_accumulator(self.predicates.values())
        self._timed_without_input = frozenset(
            p.id for p in self.predicates.values() if p.is_timed and not p.accumulators
        )
        self.accumulator_ids = frozenset(
            b.accumulator_id for own in (*self._bindings.values(), self._of_any) for b in own
        )
        self._any_work = sum(map(_work, self._of_any))
        self._work = {name: sum(map(_work, b)) for name, b in self._bindings.items()}
        self._work[""] = sum(map(len, self._by_trait.values()))
        self.max_work = max(self._work.values()) + self._any_work

    @classmethod
    def from_rules(cls, rules: Iterable[Rule]) -> PredicateIndex:
        """Return the index of some rules."""
        return cls(predicate for rule in rules for predicate in predicates(rule))

    def work_of(self, event: EventView) -> int:
        """Return at most how many filters, accumulators and predicates an event concerns.

        Folding takes some microseconds for each, whatever the event holds.
        """
        name = rule_event_name(event)
        return self._work.get(name, 0) + (self._any_work if name else 0)

    def matching_bindings(self, event: EventView) -> list[tuple[AccumulatorBinding, Any]]:
        """Return the bindings that an event matches, each with the entry that it adds.

        The properties are decoded only if a binding needs them.
        """
        name = rule_event_name(event)
        bindings = self._bindings.get(name)
        if self._of_any and name:
            bindings = (*self._of_any, *(bindings or ()))
        if bindings is None:
            return []
        properties: Properties | None = None
        matching: list[tuple[AccumulatorBinding, Any]] = []
        for binding in bindings:
            if properties is None and binding.needs_properties:
                properties = read_object(event.properties)
            entry = binding.entry_of(properties or {})
            if entry is not None:
                matching.append((binding, entry))
        return matching

    def affected_by_time(self, accumulator_ids: Iterable[int]) -> frozenset[int]:
        """Return the ids of the predicates that time alone may change for a profile.

        `accumulator_ids`: those that the profile has. Without events nothing leaves a window.
        """
        timed = self._timed_by_input
        own = [timed[id_] for id_ in accumulator_ids if id_ in timed]
        return self._timed_without_input.union(*own)

    def affected_by_trait(self, name: str) -> frozenset[int]:
        """Return the ids of the predicates that may change when a trait does."""
        return self._by_trait.get(name, _NONE)


def _bindings_by_event(
    compiled: Iterable[CompiledPredicate],
) -> dict[str, tuple[AccumulatorBinding, ...]]:
    """Return the bindings by event name; those that read no properties come first."""
    dependants: dict[AccumulatorSpec, set[int]] = defaultdict(set)
    for predicate in compiled:
        for spec in predicate.accumulators:
            dependants[spec].add(predicate.id)
    by_event: dict[str, list[AccumulatorBinding]] = defaultdict(list)
    for spec, ids in dependants.items():
        binding = _binding(spec, frozenset(ids))
        for name in spec.events.names:
            by_event[name].append(binding)
    return {name: tuple(sorted(bindings, key=_order)) for name, bindings in by_event.items()}


def _work(binding: AccumulatorBinding) -> int:
    return 1 + binding.filters + len(binding.predicates)


def _order(binding: AccumulatorBinding) -> tuple[bool, int]:
    return binding.needs_properties, binding.accumulator_id


def _timed_by_accumulator(compiled: Iterable[CompiledPredicate]) -> dict[int, frozenset[int]]:
    dependants: dict[int, set[int]] = defaultdict(set)
    for predicate in compiled:
        for id_ in predicate.accumulator_ids if predicate.is_timed else ():
            dependants[id_].add(predicate.id)
    return {id_: frozenset(ids) for id_, ids in dependants.items()}


def _predicates_by_trait(compiled: Iterable[CompiledPredicate]) -> dict[str, frozenset[int]]:
    dependants: dict[str, set[int]] = defaultdict(set)
    for predicate in compiled:
        for name in predicate.traits:
            dependants[name].add(predicate.id)
            # `a.b` also reads the member `b` of the trait `a`.
            dependants[name.partition(".")[0]].add(predicate.id)
    return {name: frozenset(ids) for name, ids in dependants.items()}


def _binding(spec: AccumulatorSpec, predicates: frozenset[int]) -> AccumulatorBinding:
    where = spec.events.where
    return AccumulatorBinding(
        accumulator_id=accumulator_id(spec),
        kind=spec.kind,
        needs_properties=bool(where) or spec.kind is not AccumulatorKind.COUNT,
        entry_of=_entry_getter(spec),
        predicates=predicates,
        filters=len(where),
    )


def _entry_getter(spec: AccumulatorSpec) -> EntryFn:
    entry_of, where = _unfiltered_entry_getter(spec), spec.events.where
    if not where:
        return entry_of
    matches = matcher(where)
    return lambda properties: entry_of(properties) if matches(properties) else None


def _unfiltered_entry_getter(spec: AccumulatorSpec) -> EntryFn:
    if spec.parts is not None:
        return _statement_getter(spec.parts)
    if spec.kind is AccumulatorKind.COUNT:
        return lambda properties: COUNT_ENTRY
    value_of = property_getter(spec.property)
    if spec.kind is AccumulatorKind.DISTINCT:
        return lambda properties: distinct_key(value_of(properties))
    return lambda properties: recordable(value_of(properties))


def _statement_getter(parts: StatementParts) -> EntryFn:
    """Return a statement about an order: its id, its own id, its amount in micro-units.

    Without an order id, with an amount below zero or no amount, or in another currency it is none.
    An event without a currency is in the reporting currency. An empty text is no id.
    """
    order_id_of, amount_of = property_getter(parts.order_id), property_getter(parts.amount)
    own_id_of = property_getter(parts.statement_id) if parts.statement_id else None
    currency_of = property_getter(parts.currency_property) if parts.currency_property else None

    def statement(properties: Properties) -> list[Any] | None:
        order_id = _id_key(order_id_of(properties))
        amount = micro_units(clean_number(amount_of(properties)))
        if order_id is None or amount is None or amount < 0:
            return None
        currency = None if currency_of is None else currency_of(properties)
        if currency not in (None, parts.currency) and clean_currency(currency) != parts.currency:
            return None
        own_id = (_id_key(own_id_of(properties)) or "") if own_id_of is not None else ""
        return [order_id, own_id, amount]

    return statement


def _id_key(value: Any) -> str | None:
    """Return the key of an id; None for null, lists, objects and texts without a letter."""
    return None if type(value) is str and not value.strip() else distinct_key(value)
