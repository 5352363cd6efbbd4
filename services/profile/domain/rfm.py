"""Models value by recency, frequency and monetary value: quantiles of all persons with an order.

The edges of the quantiles are fitted once a period, over the persons as of one state of the log,
and stay until the next fit: the edges of recency as instants, so that time alone moves no
person. A tag that goes by them has ordinary rules.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.kernel.calendar import PeriodUnit, period_start
from services.kernel.errors import InvalidField
from services.kernel.fold.leaf import ProfileView
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.features import OrderDefinition, OrderMeasure, Orders
from services.kernel.rules.model import All, Any_, Predicate, Rule
from services.kernel.rules.names import check_name
from services.kernel.rules.readings.amounts import from_micro_units, micro_units
from services.kernel.rules.references import MAX_VALUES, Classification, ValueRule
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US
from services.kernel.tokens import Token

MIN_QUANTILES, MAX_QUANTILES = 2, 10


class OrderFeatures(NamedTuple):
    """What a model reads of one person with at least one order."""

    #: Microseconds since the last order.
    recency_us: int
    #: The number of orders.
    frequency: int
    #: The net spend in micro-units.
    monetary: int


class MinimumScores(NamedTuple):
    """A value of the tag: the persons with at least these scores, from 1 to the quantiles."""

    value: str
    recency: int = 1
    frequency: int = 1
    monetary: int = 1


@dataclass(frozen=True, slots=True)
class RfmFit:
    """The edges of the quantiles; a person's features fall between them."""

    #: The state of the log with the persons, and its clock in Unix microseconds.
    token: Token
    at_us: int
    #: How many persons have an order.
    persons: int
    #: Ascending, one less than there are quantiles; empty without persons.
    recency_us: tuple[int, ...] = ()
    frequency: tuple[int, ...] = ()
    monetary: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RfmModel:
    """A model of a tag, with its last fit."""

    quantiles: int
    #: It is fitted once in each period of this kind, in the zone of the workspace.
    period: PeriodUnit
    #: In order: the first whose minimum scores a person reaches counts.
    values: tuple[MinimumScores, ...]
    fit: RfmFit | None = None

    def is_fitted_in(self, at_us: int, zone: str) -> bool:
        """Return whether the period that contains an instant has a fit."""
        if self.fit is None:
            return False
        return self.fit.at_us >= period_start(at_us, self.period, 0, zone)

    def with_fit(self, fit: RfmFit | None) -> RfmModel:
        """Return the model with another fit."""
        return replace(self, fit=fit)


def check_model(model: RfmModel, field: str) -> None:
    """Raise InvalidField where a model cannot be defined; `field` is its place."""
    if not MIN_QUANTILES <= model.quantiles <= MAX_QUANTILES:
        problem = f"write {MIN_QUANTILES} to {MAX_QUANTILES} quantiles"
        raise InvalidField(problem, field=f"{field}.quantiles")
    if not 0 < len(model.values) <= MAX_VALUES:
        raise InvalidField(f"write 1 to {MAX_VALUES} values", field=f"{field}.values")
    for i, minimum in enumerate(model.values):
        check_name(f"{field}.values[{i}].value", minimum.value)
        for name, score in zip(minimum._fields[1:], minimum[1:], strict=True):
            if not 1 <= score <= model.quantiles:
                problem = f"a score is 1 to {model.quantiles}, the number of quantiles"
                raise InvalidField(problem, field=f"{field}.values[{i}].{name}")


def features_of(definition: OrderDefinition, view: ProfileView, at_us: int) -> OrderFeatures | None:
    """Return what a model reads of a person at an instant; None without an order."""
    days, count, net = (
        evaluate_predicate(_exists(definition, measure), view, at_us).actual
        for measure in (OrderMeasure.DAYS_SINCE_LAST, OrderMeasure.COUNT, OrderMeasure.NET_SPEND)
    )
    if days is None:
        return None
    return OrderFeatures(round(days * DAY_US), count, micro_units(net) or 0)


def fit(persons: Iterable[OrderFeatures], quantiles: int, token: Token, at_us: int) -> RfmFit:
    """Fit the edges of the quantiles. The order of the persons does not matter."""
    found = list(persons)
    if not found:
        return RfmFit(token, at_us, 0)
    edges = [quantile_edges(values, quantiles) for values in zip(*found, strict=True)]
    return RfmFit(token, at_us, len(found), *edges)


def quantile_edges(values: Sequence[int], quantiles: int) -> tuple[int, ...]:
    """Return the edges between quantiles, ascending, one less than there are quantiles.

    The edge j of k is the value at the rank ceil(j * n / k) of n values: the least one that at
    least j of k parts of the values do not exceed. At least one value.
    """
    ordered, n = sorted(values), len(values)
    return tuple(ordered[-(-j * n // quantiles) - 1] for j in range(1, quantiles))


def band_of(value: int, edges: Sequence[int]) -> int:
    """Return the number of the quantile with a value, from 1.

    A value that equals an edge is below it. So equal values are in one quantile, the lowest that
    has room for one of them, and with many equal values some quantiles are empty.
    """
    return 1 + bisect_left(edges, value)


def scores_of(features: OrderFeatures, edges: RfmFit) -> tuple[int, int, int]:
    """Return the scores of recency, frequency and monetary value: 1 is the least valuable."""
    best = len(edges.recency_us) + 1
    return (
        best + 1 - band_of(features.recency_us, edges.recency_us),
        band_of(features.frequency, edges.frequency),
        band_of(features.monetary, edges.monetary),
    )


def classification_of(
    model: RfmModel, definition: OrderDefinition, default: str = ""
) -> Classification:
    """Return the values of the tag as rules over orders.

    Without a fit the rules are never true, but read what the model will be fitted over.
    """
    values = tuple(ValueRule(own.value, _rule(model, own, definition)) for own in model.values)
    return Classification(values, default)


def _rule(model: RfmModel, minimum: MinimumScores, definition: OrderDefinition) -> Rule:
    edges = model.fit
    if edges is None or not edges.persons:
        measures = (OrderMeasure.DAYS_SINCE_LAST, OrderMeasure.COUNT, OrderMeasure.NET_SPEND)
        return All((*(_exists(definition, measure) for measure in measures), Any_(())))

    def compare(measure: OrderMeasure, operator: Operator, limit: float) -> Predicate:
        return Predicate(Orders(definition, measure), operator, limit)

    parts = [compare(OrderMeasure.COUNT, Operator.GE, 1)]
    if minimum.recency > 1:
        # The most recent quantile has the highest score.
        earliest_us = edges.at_us - edges.recency_us[model.quantiles - minimum.recency]
        parts.append(compare(OrderMeasure.LAST_AT, Operator.GE, earliest_us / DAY_US))
    if minimum.frequency > 1:
        below = edges.frequency[minimum.frequency - 2]
        parts.append(compare(OrderMeasure.COUNT, Operator.GT, below))
    if minimum.monetary > 1:
        net = from_micro_units(edges.monetary[minimum.monetary - 2])
        parts.append(compare(OrderMeasure.NET_SPEND, Operator.GT, net))
    return All(tuple(parts))


def _exists(definition: OrderDefinition, measure: OrderMeasure) -> Predicate:
    return Predicate(Orders(definition, measure), Operator.EXISTS)
