"""Names the facts that the value of a predicate comes from, and the window that was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from services.kernel.explain.hypothesis import Entry, Hypotheses
from services.kernel.explain.model import PredicateFacts
from services.kernel.fold.additions import reserved_fact
from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import ProfileView
from services.kernel.ids import FactId
from services.kernel.rules import features
from services.kernel.rules.features import Aggregate, Feature, Function
from services.kernel.rules.ids import accumulator_id
from services.kernel.rules.inputs import (
    accumulators_of,
    aggregate_input,
    payments_of,
    records_of,
    refunds_of,
    times_of,
    traits_of,
)
from services.kernel.rules.model import Predicate
from services.kernel.rules.names import is_reserved_trait
from services.kernel.rules.readings.ranges import EVERYTHING, Range, before, range_of
from services.kernel.rules.readings.sequences import completions
from services.kernel.rules.values import Json, scalar_key
from services.kernel.rules.windows import EVER, Anchor, Relative, Window
from services.kernel.trust import Party

#: The events that each accumulator has, oldest first.
Entries: TypeAlias = Mapping[int, Sequence[Entry]]


def window_of(feature: Feature) -> Window | None:
    """Return the window of a feature; None if it has none."""
    match feature:
        case features.Trend():
            return feature.aggregate.window
        case Aggregate() | features.Sequence() | features.TopValues() | features.Orders():
            return feature.window
        case _:
            return None


def predicate_facts(predicate: Predicate, actual: Json, hypotheses: Hypotheses) -> PredicateFacts:
    """Return the value of a predicate with the facts that it comes from."""
    feature, view, at_us = predicate.feature, hypotheses.view, hypotheses.at_us
    window = window_of(feature)
    range_ = EVERYTHING if window is None else range_of(window)(view, at_us)
    if isinstance(feature, features.Related):
        found = hypotheses.relating(feature)
    else:
        found = _events_of(feature, view, range_, hypotheses.entries, at_us, actual)
    ids = dict.fromkeys(event.fact_id for event in sorted(found, key=_newest_first))
    ids |= dict.fromkeys(_statements(feature, view))
    is_bounded = window is not None and window != EVER
    return PredicateFacts(actual, range_ if is_bounded else None, tuple(map(FactId, ids)))


def _newest_first(event: EventView) -> tuple[int, bytes]:
    return -event.occurred_at_us, event.fact_id


def _events_of(
    feature: Feature, view: ProfileView, range_: Range, entries: Entries, at_us: int, actual: Json
) -> list[EventView]:
    """Return the events that a value comes from."""
    window = window_of(feature)
    anchors = _anchor(window, entries) if isinstance(window, Relative) else []
    match feature:
        case Aggregate():
            counted = _within(entries.get(accumulator_id(aggregate_input(feature)), ()), range_)
            return [*_aggregated(feature.function, counted, actual), *anchors]
        case features.Trend():
            earlier = before(feature.aggregate.window)(view, at_us)  # type: ignore[arg-type]  # a trend has a window of some length
            spec = aggregate_input(feature.aggregate, all_times=True)
            own = entries.get(accumulator_id(spec), ())
            return _events([*_within(own, range_), *_within(own, earlier)])
        case features.TopValues():
            spec = records_of(feature.events, feature.property)
            return [*_events(_within(entries.get(accumulator_id(spec), ()), range_)), *anchors]
        case features.Elapsed():
            own = entries.get(accumulator_id(times_of(feature.events)), ())
            return _events(own[:1] if feature.since_first else own[-1:])
        case features.Sequence():
            return [*_completing(feature, view, range_, entries), *anchors]
        case features.Orders():
            return [*_order_facts(feature, range_, entries), *anchors]
        case _:
            return []


def _aggregated(function: Function, own: Sequence[Entry], actual: Json) -> list[EventView]:
    """Return the events of an aggregate: all, or those that have the value that was chosen."""
    match function:
        case Function.FIRST:
            return _events(own[:1])
        case Function.LAST:
            return _events(own[-1:])
        case Function.MIN | Function.MAX:
            key = scalar_key(actual)
            return _events(one for one in own if scalar_key(one.entry) == key)
        case _:
            return _events(own)


def _completing(
    feature: features.Sequence, view: ProfileView, range_: Range, entries: Entries
) -> list[EventView]:
    """Return the events of the last step that complete a sequence in the window."""
    last = feature.steps[-1].events
    spec = records_of(last, feature.same) if feature.same else times_of(last)
    times = set(completions(feature, view))
    own = _within(entries.get(accumulator_id(spec), ()), range_)
    return [event for event, _ in own if event.occurred_at_us in times]


def _order_facts(feature: features.Orders, range_: Range, entries: Entries) -> list[EventView]:
    """Return the payments of orders in the window, and the refunds of these orders."""
    payments = accumulator_id(payments_of(feature.definition, feature.where))
    paid = _within(entries.get(payments, ()), range_)
    orders = {entry[0] for _, entry in paid}
    spec = refunds_of(feature.definition)
    returned = () if spec is None else entries.get(accumulator_id(spec), ())
    return _events([*paid, *(one for one in returned if one.entry[0] in orders)])


def _anchor(window: Relative, entries: Entries) -> list[EventView]:
    own = entries.get(accumulator_id(times_of(window.events)), ())
    return _events(own[:1] if window.anchor is Anchor.FIRST else own[-1:])


def _within(own: Iterable[Entry], range_: Range) -> list[Entry]:
    return [one for one in own if range_.start_us <= one.event.occurred_at_us < range_.end_us]


def _events(own: Iterable[Entry]) -> list[EventView]:
    return [one.event for one in own]


def _statements(feature: Feature, view: ProfileView) -> list[bytes]:
    """Return the facts that state the traits of a feature."""
    parties: tuple[Party, ...] = feature.parties if isinstance(feature, features.Trait) else ()
    found = []
    for name in traits_of(feature):
        if is_reserved_trait(name):
            fact_id = reserved_fact(view.additions, name)
            found += [fact_id] if fact_id is not None else []
            continue
        value = view.trait_value(name, parties)
        if value is None:
            value = view.trait_value(name.partition(".")[0], parties)
        if value is not None:
            found.append(value[2])
    return found


def earliest_counted_us(feature: Feature, facts: PredicateFacts, entries: Entries) -> int | None:
    """Return when the oldest of the facts of a predicate occurred; None without one."""
    counted = frozenset(facts.fact_ids)
    times = (
        event.occurred_at_us
        for spec in accumulators_of(feature)
        for event, _ in entries.get(accumulator_id(spec), ())
        if event.fact_id in counted
    )
    return min(times, default=None)
