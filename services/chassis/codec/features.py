"""Translates the features and windows of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onefold.rule.v1 import rule_pb2 as pb
from onefold.type.v1 import source_trust_pb2

from services.chassis.codec.comparisons import (
    EnumNumbers,
    below,
    events_from_proto,
    events_to_proto,
    filters_from_proto,
    filters_to_proto,
)
from services.kernel.calendar import PeriodUnit
from services.kernel.errors import RuleError
from services.kernel.rules import features as kernel
from services.kernel.rules import windows
from services.kernel.rules.filters import EventFilter
from services.kernel.trust import Party

_UNITS = EnumNumbers(PeriodUnit, pb.PeriodUnit, "unit")
_ANCHORS = EnumNumbers(windows.Anchor, pb.Anchor, "anchor")
_FUNCTIONS = EnumNumbers(kernel.Function, pb.Function, "function")
_TRENDS = EnumNumbers(kernel.TrendMeasure, pb.TrendMeasure, "measure")
_DATES = EnumNumbers(kernel.DateMeasure, pb.DateMeasure, "measure")
_ORDERS = EnumNumbers(kernel.OrderMeasure, pb.OrderMeasure, "measure")
_PARTIES = EnumNumbers(Party, source_trust_pb2.Party, "party")


def feature_to_proto(feature: kernel.Feature) -> pb.Predicate:
    """Return the message of a predicate that has only its feature."""
    match feature:
        case kernel.Trait():
            return pb.Predicate(trait=_trait_to_proto(feature))
        case kernel.Aggregate():
            return pb.Predicate(aggregate=_aggregate_to_proto(feature))
        case kernel.Elapsed():
            events = events_to_proto(feature.events)
            return pb.Predicate(elapsed=pb.Elapsed(events=events, since_first=feature.since_first))
        case kernel.Sequence():
            return pb.Predicate(sequence=_sequence_to_proto(feature))
        case kernel.Trend():
            aggregate, measure = feature.aggregate, _TRENDS.to_proto(feature.measure)
            trend = pb.Trend(aggregate=_aggregate_to_proto(aggregate), measure=measure)
            return pb.Predicate(trend=trend)
        case kernel.DateDistance():
            measure = _DATES.to_proto(feature.measure)
            date = pb.DateDistance(trait=feature.trait, measure=measure, zone=feature.zone)
            return pb.Predicate(date_distance=date)
        case kernel.TopValues():
            return pb.Predicate(top_values=_top_values_to_proto(feature))
        case kernel.Orders():
            return pb.Predicate(orders=_orders_to_proto(feature))
        case kernel.Related():
            where = filters_to_proto(feature.where)
            return pb.Predicate(related=pb.Related(object_type=feature.object_type, where=where))


def feature_from_proto(message: pb.Predicate) -> kernel.Feature:
    """Return the feature of the message of a predicate. Raises RuleError with the path."""
    name = message.WhichOneof("feature")
    if name is None:
        raise RuleError("there is no feature", "set exactly one of the features")
    with below(name):
        return _FROM_PROTO[name](getattr(message, name))


def _trait_to_proto(trait: kernel.Trait) -> pb.Trait:
    parties = map(_PARTIES.to_proto, trait.parties)
    return pb.Trait(name=trait.name, parties=parties, cleaner=trait.cleaner, sources=trait.sources)


def _trait(message: pb.Trait) -> kernel.Trait:
    parties = tuple(
        _PARTIES.from_proto(number, f"parties[{index}]")
        for index, number in enumerate(message.parties)
    )
    return kernel.Trait(message.name, parties, message.cleaner, tuple(message.sources))


def _aggregate_to_proto(aggregate: kernel.Aggregate) -> pb.Aggregate:
    return pb.Aggregate(
        function=_FUNCTIONS.to_proto(aggregate.function),
        events=events_to_proto(aggregate.events),
        property=aggregate.property,
        window=_window_to_proto(aggregate.window),
    )


def _aggregate(message: pb.Aggregate) -> kernel.Aggregate:
    return kernel.Aggregate(
        _FUNCTIONS.from_proto(message.function, "function"),
        events_from_proto(message.events, "events"),
        message.property,
        _window(message),
    )


def _elapsed(message: pb.Elapsed) -> kernel.Elapsed:
    return kernel.Elapsed(events_from_proto(message.events, "events"), message.since_first)


def _sequence_to_proto(sequence: kernel.Sequence) -> pb.Sequence:
    steps = [
        pb.Step(
            events=events_to_proto(step.events),
            within_us=step.within_us,
            without=None if step.without is None else events_to_proto(step.without),
        )
        for step in sequence.steps
    ]
    return pb.Sequence(steps=steps, same=sequence.same, window=_window_to_proto(sequence.window))


def _sequence(message: pb.Sequence) -> kernel.Sequence:
    steps = []
    for index, part in enumerate(message.steps[: kernel.MAX_STEPS + 1]):
        with below(f"steps[{index}]"):
            without = _optional_events(part, "without")
            events = events_from_proto(part.events, "events")
            steps.append(kernel.Step(events, part.within_us, without))
    return kernel.Sequence(tuple(steps), message.same, _window(message))


def _trend(message: pb.Trend) -> kernel.Trend:
    with below("aggregate"):
        aggregate = _aggregate(message.aggregate)
    return kernel.Trend(aggregate, _TRENDS.from_proto(message.measure, "measure"))


def _date_distance(message: pb.DateDistance) -> kernel.DateDistance:
    measure = _DATES.from_proto(message.measure, "measure")
    return kernel.DateDistance(message.trait, measure, message.zone)


def _top_values_to_proto(top: kernel.TopValues) -> pb.TopValues:
    return pb.TopValues(
        events=events_to_proto(top.events),
        property=top.property,
        limit=top.limit,
        window=_window_to_proto(top.window),
    )


def _top_values(message: pb.TopValues) -> kernel.TopValues:
    events = events_from_proto(message.events, "events")
    return kernel.TopValues(events, message.property, message.limit, _window(message))


def _orders_to_proto(orders: kernel.Orders) -> pb.Orders:
    return pb.Orders(
        definition=order_definition_to_proto(orders.definition),
        measure=_ORDERS.to_proto(orders.measure),
        where=filters_to_proto(orders.where),
        window=_window_to_proto(orders.window),
    )


def _orders(message: pb.Orders) -> kernel.Orders:
    with below("definition"):
        definition = order_definition_from_proto(message.definition)
    measure = _ORDERS.from_proto(message.measure, "measure")
    return kernel.Orders(definition, measure, filters_from_proto(message.where), _window(message))


def order_definition_to_proto(definition: kernel.OrderDefinition) -> pb.OrderDefinition:
    """Return the message of a definition of orders."""
    refunds = definition.refunds
    return pb.OrderDefinition(
        payments=events_to_proto(definition.payments),
        order_id=definition.order_id,
        amount=definition.amount,
        refunds=None if refunds is None else events_to_proto(refunds),
        refund_order_id=definition.refund_order_id,
        refund_amount=definition.refund_amount,
        refund_id=definition.refund_id,
        currency_property=definition.currency_property,
        currency=definition.currency,
    )


def order_definition_from_proto(message: pb.OrderDefinition) -> kernel.OrderDefinition:
    """Return the definition of orders of a message. Raises RuleError."""
    return kernel.OrderDefinition(
        payments=events_from_proto(message.payments, "payments"),
        order_id=message.order_id,
        amount=message.amount,
        refunds=_optional_events(message, "refunds"),
        refund_order_id=message.refund_order_id,
        refund_amount=message.refund_amount,
        refund_id=message.refund_id,
        currency_property=message.currency_property,
        currency=message.currency,
    )


def _related(message: pb.Related) -> kernel.Related:
    return kernel.Related(message.object_type, filters_from_proto(message.where))


def _optional_events(message: Any, field: str) -> EventFilter | None:
    if not message.HasField(field):
        return None
    return events_from_proto(getattr(message, field), field)


def _window_to_proto(window: windows.Window) -> pb.Window | None:
    match window:
        case windows.Ever():
            return None
        case windows.Rolling():
            return pb.Window(rolling_us=window.span_us)
        case windows.Calendar():
            calendar = pb.CalendarWindow(
                unit=_UNITS.to_proto(window.unit),
                oldest=window.oldest,
                newest=window.newest,
                zone=window.zone,
            )
            return pb.Window(calendar=calendar)
        case windows.Relative():
            relative = pb.RelativeWindow(
                events=events_to_proto(window.events),
                anchor=_ANCHORS.to_proto(window.anchor),
                after=window.after,
                within_us=window.within_us,
            )
            return pb.Window(relative=relative)


def _window(message: Any) -> windows.Window:
    """Return the window in the field `window` of a message; the whole past if there is none."""
    kind = message.window.WhichOneof("kind")
    if kind is None:
        return windows.EVER
    part = getattr(message.window, kind)
    with below(f"window.{kind}"):
        if kind == "rolling_us":
            return windows.Rolling(part)
        if kind == "calendar":
            unit = _UNITS.from_proto(part.unit, "unit")
            return windows.Calendar(unit, part.oldest, part.newest, part.zone)
        anchor = _ANCHORS.from_proto(part.anchor, "anchor")
        events = events_from_proto(part.events, "events")
        return windows.Relative(events, anchor, part.after, part.within_us)


_FROM_PROTO: dict[str, Callable[[Any], kernel.Feature]] = {
    "trait": _trait,
    "aggregate": _aggregate,
    "elapsed": _elapsed,
    "sequence": _sequence,
    "trend": _trend,
    "date_distance": _date_distance,
    "top_values": _top_values,
    "orders": _orders,
    "related": _related,
}
