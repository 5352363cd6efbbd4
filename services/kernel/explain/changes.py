"""Finds what would have to be added for another answer, and evaluates it before it is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice
from typing import Any, NamedTuple

from services.kernel.calendar import local_date
from services.kernel.explain.facts import window_of
from services.kernel.explain.hypothesis import Hypotheses
from services.kernel.explain.model import Change, ExplainedPart, MissingFacts, MissingKind
from services.kernel.explain.samples import (
    sample_correction,
    sample_event,
    sample_score,
    sample_statement,
    values_near,
)
from services.kernel.fold.additions import correction_of
from services.kernel.fold.events import EventView
from services.kernel.rules import features
from services.kernel.rules.features import Aggregate, Feature, Function
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.ids import accumulator_id, predicate_id
from services.kernel.rules.inputs import times_of
from services.kernel.rules.model import All, Any_, Predicate
from services.kernel.rules.names import SCORE, is_reserved_trait
from services.kernel.rules.readings.ranges import before, range_of
from services.kernel.rules.values import Json
from services.kernel.rules.windows import Relative
from services.kernel.time import DAY_US
from services.kernel.trust import Party

#: More facts than this are not tried.
MAX_ADDED = 1_000
#: How many proposals are evaluated for one predicate, and combinations for the answer.
MAX_TRIED, MAX_COMBINED = 120, 40
#: How many proposals are evaluated where a person has more events than the second number.
FEW_TRIED, MANY_EVENTS = 20, 2_000


#: The measures of orders that depend on their amounts.
_OF_MONEY = frozenset(
    {
        *(features.OrderMeasure.NET_SPEND, features.OrderMeasure.MEAN_VALUE),
        *(features.OrderMeasure.MAX_VALUE, features.OrderMeasure.REFUNDED),
    }
)


class Proposal(NamedTuple):
    """Facts that may change the result of a predicate."""

    missing: MissingFacts
    samples: list[EventView]


class Proposer:
    """Proposes facts to add at one instant; each sample has a number of its own."""

    def __init__(self, hypotheses: Hypotheses) -> None:
        self._at_us = hypotheses.at_us
        self._hypotheses = hypotheses
        self._number = 0

    def changes_of(
        self, predicate: Predicate, holds: bool, actual: Json, until_us: int | None
    ) -> list[Change]:
        """Return what changes the result of a predicate, what may occur now first."""
        id_, found = predicate_id(predicate), list[Change]()
        is_large = self._hypotheses.view.event_count > MANY_EVENTS
        proposals = self._everywhere(predicate, actual, until_us)
        for missing, samples in islice(proposals, FEW_TRIED if is_large else MAX_TRIED):
            if self._hypotheses.evaluate(id_, samples) is not holds:
                found.append(Change((missing,), tuple(samples)))
                if len(found) == 3:
                    break
        return found

    def _everywhere(
        self, predicate: Predicate, actual: Json, until_us: int | None
    ) -> Iterator[Proposal]:
        """Yield proposals of facts that occur now, and of facts that occurred earlier."""
        now_us = self._hypotheses.at_us
        anchors = self._anchors(predicate.feature)
        for at_us in self._places(predicate, anchors):
            self._at_us = at_us
            for missing, samples in self._proposals(predicate, actual, until_us):
                occurred_us = None if at_us == now_us else at_us
                missing = replace(missing, occurred_at_us=occurred_us)
                yield Proposal(missing, [*anchors, *samples])
        self._at_us = now_us

    def _places(self, predicate: Predicate, anchors: Sequence[EventView]) -> Iterator[int]:
        """Yield the instants at which facts may have an effect: now, and in an earlier window."""
        hypotheses, feature = self._hypotheses, predicate.feature
        now_us, literal = hypotheses.at_us, predicate.value
        yield now_us
        window = window_of(feature)
        if isinstance(window, Relative) and anchors:
            yield now_us - 2
        elif window is not None:
            ranges = [range_of(window)(hypotheses.view, now_us)]
            if isinstance(feature, features.Trend):
                ranges.append(before(window)(hypotheses.view, now_us))  # type: ignore[arg-type]  # a trend has a window of some length
            yield from (r.end_us - 1 for r in ranges if r.start_us < r.end_us <= now_us)
        if isinstance(literal, int | float):
            if isinstance(feature, features.Elapsed):
                yield from (now_us - int(literal) - 1, now_us - int(literal))
            elif isinstance(feature, features.Orders):
                yield from (now_us - int(n * DAY_US) for n in (literal, literal + 1, 1))

    def _anchors(self, feature: Feature) -> list[EventView]:
        """Return an example of the anchor of a window, where it has none yet."""
        window = window_of(feature)
        if not isinstance(window, Relative):
            return []
        anchor_id = accumulator_id(times_of(window.events))
        if self._hypotheses.view.accumulator(anchor_id) is not None:
            return []
        sample = sample_event(window.events, self._hypotheses.at_us - 1, self._next())
        return [] if sample is None else [sample]

    def _proposals(
        self, predicate: Predicate, actual: Json, until_us: int | None
    ) -> Iterator[Proposal]:
        feature, literal = predicate.feature, predicate.value
        match feature:
            case features.Trait():
                yield from self._statements(feature, literal)
            case features.DateDistance():
                yield from self._dates(feature, literal)
            case Aggregate() if not feature.property or feature.function is Function.DISTINCT:
                for number in _numbers(actual, literal):
                    yield from self._events(feature, number, until_us)
            case Aggregate():
                for value in _amounts(actual, literal):
                    yield from self._valued(feature.events, feature.property, value, until_us)
            case features.Trend():
                yield from self._trend(feature.aggregate, actual, literal, until_us)
            case features.Elapsed():
                yield from self._valued(feature.events, "", None, None)
            case features.TopValues():
                for number in (1, 2, 3, 5, 8, 13):
                    for value in (literal, "another"):
                        own = [(feature.property, value)] * number
                        yield from self._many(feature.events, own, until_us)
            case features.Sequence():
                for number in _numbers(actual, literal):
                    yield from self._completions(feature, number, until_us)
            case features.Orders():
                yield from self._orders(feature, actual, literal, until_us)
            case _:
                return

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _statements(self, feature: features.Trait, literal: Json) -> Iterator[Proposal]:
        """Propose statements; scores of a model, and corrections where the trait is corrected."""
        name, at_us = feature.name, self._at_us
        head, _, model = name.partition(".")
        is_corrected = correction_of(self._hypotheses.view.additions, name) is not None
        for value in values_near(literal):
            missing = MissingFacts(MissingKind.TRAIT, name=name, value=value)
            if is_reserved_trait(name):
                if head == SCORE and isinstance(value, int | float):
                    sample = sample_score(model, float(value), at_us, self._next())
                    yield Proposal(missing, [sample])
                continue
            if is_corrected:
                sample = sample_correction(name, value, at_us, self._next())
                yield Proposal(missing, [sample])
                continue
            for party in feature.parties or (Party.FIRST,):
                sample = sample_statement(name, value, at_us, self._next(), party)
                yield Proposal(missing, [sample])

    def _dates(self, feature: features.DateDistance, literal: Json) -> Iterator[Proposal]:
        today = local_date(self._at_us, feature.zone)
        level = int(literal) if isinstance(literal, int | float) else 0
        for value in _date_texts(today, level, feature.measure):
            missing = MissingFacts(MissingKind.TRAIT, name=feature.trait, value=value)
            sample = sample_statement(feature.trait, value, self._at_us, self._next())
            yield Proposal(missing, [sample])

    def _events(self, feature: Aggregate, number: int, until_us: int | None) -> Iterator[Proposal]:
        """Propose events; for a number of distinct values each has another value."""
        values = [f"new value {n}" if feature.property else None for n in range(number)]
        own = [(feature.property, value) for value in values]
        yield from self._many(feature.events, own, until_us)

    def _valued(
        self, events: EventFilter, name: str, value: Json, until_us: int | None
    ) -> Iterator[Proposal]:
        yield from self._many(events, [(name, value)], until_us)

    def _many(
        self, events: EventFilter, own: Sequence[tuple[str, Json]], until_us: int | None
    ) -> Iterator[Proposal]:
        """Propose an event for each pair of a property (empty = none) and its value."""
        samples = [
            sample_event(events, self._at_us, self._next(), {name: value} if name else None)
            for name, value in own
        ]
        known = [sample for sample in samples if sample is not None]
        if known and len(known) == len(own):
            (name, value), *others = own
            same = all(other == (name, value) for other in others)
            missing = MissingFacts(
                MissingKind.EVENT, len(own), events, name, value if same else None, until_us
            )
            yield Proposal(missing, known)

    def _trend(
        self, aggregate: Aggregate, actual: Json, literal: Json, until_us: int | None
    ) -> Iterator[Proposal]:
        if aggregate.function in (Function.COUNT, Function.DISTINCT):
            for number in (1, 2, 3, 4, 5, *_numbers(actual, literal)):
                yield from self._events(aggregate, number, until_us)
            return
        for value in (*_amounts(actual, literal), 10, -10, 100, 1_000, -1_000, 10**6, -(10**6)):
            yield from self._valued(aggregate.events, aggregate.property, value, until_us)

    def _completions(
        self, feature: features.Sequence, number: int, until_us: int | None
    ) -> Iterator[Proposal]:
        """Propose the events of all steps in turn, in the last microseconds before the instant."""
        steps, samples = feature.steps, list[EventView]()
        start_us = self._at_us - number * len(steps) + 1
        for n in range(number * len(steps)):
            fixed = {feature.same: "the same"} if feature.same else None
            sample = sample_event(steps[n % len(steps)].events, start_us + n, self._next(), fixed)
            if sample is None:
                return
            samples.append(sample)
        missing = MissingFacts(
            MissingKind.EVENT, number, steps[-1].events, feature.same, None, until_us
        )
        yield Proposal(missing, samples)
        # The steps before the last one may have occurred.
        yield from self._many(steps[-1].events, [("", None)], until_us)

    def _orders(
        self, feature: features.Orders, actual: Json, literal: Json, until_us: int | None
    ) -> Iterator[Proposal]:
        """Propose one or more orders, each with an id of its own."""
        own = feature.definition
        events = EventFilter(own.payments.names, (*own.payments.where, *feature.where))
        is_count = feature.measure is features.OrderMeasure.COUNT
        numbers = _numbers(actual, literal) if is_count else (1, 2, 3)
        is_of_money = feature.measure in _OF_MONEY
        amounts = (*_amounts(actual, literal), 0, 1, 1_000_000) if is_of_money else (1,)
        for number in numbers:
            for amount in amounts:
                samples = []
                for n in range(number):
                    fixed = {own.order_id: f"new order {self._next()}", own.amount: amount}
                    if own.currency_property:
                        fixed[own.currency_property] = own.currency
                    at_us = self._at_us - n
                    samples.append(sample_event(events, at_us, self._next(), fixed))
                known = [sample for sample in samples if sample is not None]
                if len(known) == number:
                    missing = MissingFacts(
                        MissingKind.ORDER, number, events, own.amount, amount, until_us
                    )
                    yield Proposal(missing, known)


def change_of(
    root: ExplainedPart, hypotheses: Hypotheses, options: Mapping[int, list[Change]]
) -> Change | None:
    """Return what changes the answer, of the changes of its predicates by their ids."""
    for found in islice(_combined(root, options), MAX_COMBINED):
        if hypotheses.holds(added=found.samples) is not root.holds:
            return found
    return None


def _combined(node: ExplainedPart, options: Mapping[int, list[Change]]) -> Iterator[Change]:
    """Yield changes of the predicates that may together change a node, small ones first."""
    rule = node.rule
    if isinstance(rule, Predicate):
        yield from options.get(predicate_id(rule), ())
        return
    if not isinstance(rule, All | Any_) or len(node.children) == 1:
        for child in node.children:
            yield from _combined(child, options)
        return
    same = [child for child in node.children if child.holds is node.holds]
    # All parts of a true `all`, and of a false `any`, have the result of the whole.
    if isinstance(rule, All) is node.holds:
        found = [list(islice(_combined(child, options), MAX_COMBINED)) for child in same]
        yield from sorted((c for some in found for c in some), key=lambda c: len(c.samples))
        return
    yield from _product([list(islice(_combined(child, options), 3)) for child in same])


def _product(parts: Sequence[Sequence[Change]]) -> Iterator[Change]:
    """Yield unions of one change of each part."""
    if not parts or not all(parts):
        return
    for rank in range(max(map(len, parts))):
        chosen = [part[min(rank, len(part) - 1)] for part in parts]
        missing, samples = list[MissingFacts](), list[EventView]()
        for change in chosen:
            missing += [one for one in change.missing if one not in missing]
            samples += [one for one in change.samples if one not in samples]
        yield Change(tuple(missing), tuple(samples))


def _numbers(actual: Json, literal: Json) -> list[int]:
    """Return how many facts may turn a number into one beyond a literal, ascending."""
    now = actual if isinstance(actual, int | float) else 0
    level = literal if isinstance(literal, int | float) else 0
    found = {1, int(level - now), int(level - now) + 1}
    return sorted(number for number in found if 0 < number <= MAX_ADDED)


def _amounts(actual: Json, literal: Json) -> list[Json]:
    """Return numbers that may turn a sum, mean or extreme into one beyond a literal."""
    now = actual if isinstance(actual, int | float) and not isinstance(actual, bool) else 0
    if isinstance(literal, bool) or not isinstance(literal, int | float):
        return list(values_near(literal))
    gap: Any = literal - now
    found = [gap, gap + 1, gap - 1, literal, literal + 1, literal - 1]
    found += [literal + n * gap for n in (1, 2, 4, 8, 16)]
    found += [literal + n * gap + sign for n in (4, 16) for sign in (1, -1)]
    return list(dict.fromkeys([*found, None]))


def _date_texts(today: date, level: int, measure: features.DateMeasure) -> Iterator[str | None]:
    for near in (0, 1, -1, 2, -2, 10, -10):
        try:
            if measure is features.DateMeasure.YEARS_SINCE:
                yield str(today.replace(day=1, year=today.year - level - near))
            else:
                yield str(today + timedelta(days=level + near))
        except (ValueError, OverflowError):
            continue
    yield None
