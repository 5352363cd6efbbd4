"""Says what features read: accumulators of events, and traits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    Elapsed,
    Feature,
    Function,
    OrderDefinition,
    OrderMeasure,
    Orders,
    Related,
    Sequence,
    TopValues,
    Trait,
    Trend,
)
from services.kernel.rules.filters import EventFilter, PropertyFilter
from services.kernel.rules.windows import Calendar, Relative, Rolling, Window

#: The measures of orders whose value changes with every microsecond.
RUNNING_MEASURES = (OrderMeasure.DAYS_SINCE_LAST, OrderMeasure.DAYS_UNTIL_NEXT)
#: The trait with the person's own time zone.
ZONE_TRAIT = "timezone"


class AccumulatorKind(Enum):
    """The kind of data that an accumulator stores; the value is part of stored ids."""

    #: The time of each event.
    COUNT = "count"
    #: The newest time of each value of a property.
    DISTINCT = "distinct"
    #: The time of each event and its value of a property.
    RECORDS = "records"
    #: The time of each statement about an order: its ids and amount.
    STATEMENTS = "statements"


@dataclass(frozen=True, slots=True)
class StatementParts:
    """Where an event about an order has its parts: the paths of properties."""

    order_id: str
    amount: str
    #: Empty = the statement has no id of its own.
    statement_id: str = ""
    #: Empty = every statement is in `currency`.
    currency_property: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class AccumulatorSpec:
    """The data accumulated from a leaf's events for features, whatever their windows."""

    kind: AccumulatorKind
    events: EventFilter
    #: The property that is read; empty for counts and statements.
    property: str = ""
    #: Of statements only.
    parts: StatementParts | None = None


def times_of(events: EventFilter) -> AccumulatorSpec:
    """Return the accumulator of the times of events."""
    return AccumulatorSpec(AccumulatorKind.COUNT, events)


def records_of(events: EventFilter, property_: str) -> AccumulatorSpec:
    """Return the accumulator of the values of a property."""
    return AccumulatorSpec(AccumulatorKind.RECORDS, events, property_)


def aggregate_input(aggregate: Aggregate, *, all_times: bool = False) -> AccumulatorSpec:
    """Return the accumulator that an aggregate reads, apart from that of its window's anchor.

    `all_times`: also windows that end before the instant are read.
    """
    events, property_ = aggregate.events, aggregate.property
    if aggregate.function is Function.COUNT:
        return times_of(events)
    newest = not all_times and not _needs_all_times(aggregate.window)
    if aggregate.function is Function.DISTINCT and newest:
        return AccumulatorSpec(AccumulatorKind.DISTINCT, events, property_)
    return records_of(events, property_)


def changes_with_time(feature: Feature) -> bool:
    """Return whether time alone may change the value of a feature, with no event."""
    match feature:
        case Trait() | Related():
            return False
        case Aggregate() | TopValues() | Sequence():
            return isinstance(feature.window, Rolling | Calendar)
        case Orders():
            is_running = feature.measure in RUNNING_MEASURES
            return is_running or isinstance(feature.window, Rolling | Calendar)
        case _:
            return True


def is_newest_only(spec: AccumulatorSpec) -> bool:
    """Return whether an accumulator has only the newest time of each value."""
    return spec.kind is AccumulatorKind.DISTINCT


def payments_of(definition: OrderDefinition, where: tuple[PropertyFilter, ...]) -> AccumulatorSpec:
    """Return the accumulator of the payments of orders that match some filters."""
    events = EventFilter(definition.payments.names, (*definition.payments.where, *where))
    parts = StatementParts(
        definition.order_id,
        definition.amount,
        "",
        definition.currency_property,
        definition.currency if definition.currency_property else "",
    )
    return AccumulatorSpec(AccumulatorKind.STATEMENTS, events, parts=parts)


def refunds_of(definition: OrderDefinition) -> AccumulatorSpec | None:
    """Return the accumulator of the refunds of orders; None if the definition has none."""
    if definition.refunds is None:
        return None
    parts = StatementParts(
        definition.refund_order_id,
        definition.refund_amount,
        definition.refund_id,
        definition.currency_property,
        definition.currency if definition.currency_property else "",
    )
    return AccumulatorSpec(AccumulatorKind.STATEMENTS, definition.refunds, parts=parts)


@lru_cache(maxsize=65_536)
def accumulators_of(feature: Feature) -> tuple[AccumulatorSpec, ...]:
    """Return all accumulators that a feature reads."""
    match feature:
        case Aggregate():
            return (aggregate_input(feature), *_anchor(feature.window))
        case Trend():
            return (aggregate_input(feature.aggregate, all_times=True),)
        case Elapsed():
            return (times_of(feature.events),)
        case Sequence():
            return (*_sequence_inputs(feature), *_anchor(feature.window))
        case TopValues():
            return (records_of(feature.events, feature.property), *_anchor(feature.window))
        case Orders():
            refunds = refunds_of(feature.definition)
            own = (payments_of(feature.definition, feature.where), *([refunds] if refunds else []))
            return (*own, *_anchor(feature.window))
        case _:
            return ()


def traits_of(feature: Feature) -> tuple[str, ...]:
    """Return the names of the traits that a feature reads."""
    match feature:
        case Trait():
            return (feature.name,)
        case DateDistance():
            return (feature.trait, ZONE_TRAIT)
        case _:
            return ()


def related_types(feature: Feature) -> tuple[str, ...]:
    """Return the types of the related objects that a feature reads."""
    return (feature.object_type,) if isinstance(feature, Related) else ()


def _needs_all_times(window: Window) -> bool:
    """Return whether a window may end before the instant, so a value's newest time is too few."""
    return isinstance(window, Relative) or (isinstance(window, Calendar) and window.newest > 0)


def _anchor(window: Window) -> tuple[AccumulatorSpec, ...]:
    return (times_of(window.events),) if isinstance(window, Relative) else ()


def _sequence_inputs(sequence: Sequence) -> list[AccumulatorSpec]:
    specs: dict[AccumulatorSpec, None] = {}
    for step in sequence.steps:
        same = sequence.same
        specs[records_of(step.events, same) if same else times_of(step.events)] = None
        if step.without is not None:
            specs[times_of(step.without)] = None
    return list(specs)
