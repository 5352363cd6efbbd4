"""Dumps rules in their canonical JSON form: equal rules have equal forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.kernel.rules import features, model
from services.kernel.rules.defaults import NO_CLEANERS, Defaults
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.filters import EventFilter, PropertyFilter
from services.kernel.rules.forms import words
from services.kernel.rules.periods import Periods, format_periods
from services.kernel.rules.values import Json, Operator
from services.kernel.rules.windows import Calendar, Ever, Relative, Rolling, Window
from services.kernel.time import format_span

Form = dict[str, Any]


def dump_rule(
    rule: model.Rule,
    *,
    zone: str = "",
    orders: OrderDefinition | None = None,
    cleaners: Mapping[str, str] = NO_CLEANERS,
) -> Form:
    """Return the canonical form: equal rules have equal forms, and `parse_rule` reads it back.

    What is equal to `zone`, `orders` and `cleaners`, which the reader of the form has, is left out.
    """
    return _rule_form(rule, Defaults(zone, orders, cleaners))


def _rule_form(rule: model.Rule, defaults: Defaults) -> Form:
    match rule:
        case model.All():
            return {"all": [_rule_form(part, defaults) for part in rule.rules]}
        case model.Any_():
            return {"any": [_rule_form(part, defaults) for part in rule.rules]}
        case model.Not():
            return {"not": _rule_form(rule.rule, defaults)}
        case model.Reference():
            return {rule.kind.value: _reference_form(rule)}
        case model.Predicate():
            return _predicate_form(rule, defaults)


def _feature_form(feature: features.Feature, defaults: Defaults) -> tuple[str, Form]:
    """Return the kind of a feature, and the body of its predicates without the comparison."""
    match feature:
        case features.Trait():
            return "trait", _trait_form(feature, defaults.cleaners)
        case features.Aggregate():
            read = {"property": feature.property} if feature.property else {}
            body = events_form(feature.events) | read | _window_form(feature.window, defaults)
            return feature.function.value, body
        case features.Elapsed():
            return _AGE_KINDS[feature.since_first], events_form(feature.events)
        case features.Sequence():
            body = {"steps": [_step_form(step) for step in feature.steps]}
            same = {"same": feature.same} if feature.same else {}
            return "sequence", body | same | _window_form(feature.window, defaults)
        case features.Trend():
            kind, body = _feature_form(feature.aggregate, defaults)
            return "trend", {kind: body}
        case features.DateDistance():
            return "date", {"trait": feature.trait} | _zone_form(feature.zone, defaults)
        case features.TopValues():
            of: Form = {"property": feature.property, "limit": feature.limit}
            window = _window_form(feature.window, defaults)
            return "top", events_form(feature.events) | of | window
        case features.Orders():
            is_default = feature.definition == defaults.orders
            definition = {} if is_default else {"definition": orders_form(feature.definition)}
            body = _where(feature.where) | _window_form(feature.window, defaults)
            return "orders", body | definition
        case features.Related():
            return "related", {"type": feature.object_type} | _where(feature.where)


def events_form(events: EventFilter) -> Form:
    """Return the part of a form that selects events."""
    names = list(events.names)
    return {"event": names[0] if len(names) == 1 else names} | _where(events.where)


def orders_form(definition: features.OrderDefinition) -> Form:
    """Return the form of a definition of orders, as `parse_orders` reads it."""
    paid = {"order_id": definition.order_id, "amount": definition.amount}
    form: Form = {"payments": events_form(definition.payments) | paid}
    if definition.refunds is not None:
        refund = {"order_id": definition.refund_order_id, "amount": definition.refund_amount}
        form["refunds"] = events_form(definition.refunds) | refund
        if definition.refund_id:
            form["refunds"]["refund_id"] = definition.refund_id
    form["currency"] = definition.currency
    if definition.currency_property:
        form["currency_property"] = definition.currency_property
    return form


def _window_form(window: Window, defaults: Defaults) -> Form:
    """Return the part of a form that is a window; nothing for the whole past."""
    match window:
        case Ever():
            return {}
        case Rolling():
            return {"within": format_span(window.span_us)}
        case Calendar():
            periods = Periods(window.unit, window.oldest, window.newest)
            return {"during": format_periods(periods)} | _zone_form(window.zone, defaults)
        case Relative():
            anchor = events_form(window.events) | {"which": window.anchor.value}
            return {"after" if window.after else "before": anchor | _within(window.within_us)}


def _zone_form(zone: str, defaults: Defaults) -> Form:
    return {} if zone == defaults.zone else {"zone": zone}


def _predicate_form(predicate: model.Predicate, defaults: Defaults) -> Form:
    feature = predicate.feature
    kind, body = _feature_form(feature, defaults)
    if isinstance(feature, features.Elapsed):
        span = format_span(predicate.value)
        return {kind: body | {words.AGE_WORDS[predicate.operator]: span}}
    comparison = _comparison_form(predicate)
    if isinstance(feature, features.Trend | features.DateDistance | features.Orders):
        comparison = {feature.measure.value: comparison}
    return {kind: body | comparison}


def _comparison_form(owner: PropertyFilter | model.Predicate) -> Form:
    flag = {words.IGNORE_CASE: True} if owner.ignore_case else {}
    return {owner.operator.value: _value_form(owner)} | flag


def _value_form(owner: PropertyFilter | model.Predicate) -> Json:
    if owner.operator in words.TRUE_COMPARISONS:
        return True
    return list(owner.value) if isinstance(owner.value, tuple) else owner.value


def _reference_form(reference: model.Reference) -> Json:
    if reference.kind is not model.ReferenceKind.STAGE and not reference.value:
        return reference.id
    keys = words.REFERENCE_KEYS[reference.kind.value]
    return dict(zip(keys, (reference.id, reference.value), strict=True))


def _trait_form(trait: features.Trait, cleaners: Mapping[str, str]) -> Form:
    form: Form = {"name": trait.name}
    if trait.parties:
        form["party"] = [party.name.lower() for party in trait.parties]
    if trait.sources:
        form["from"] = list(trait.sources)
    cleaner = trait.cleaner or (words.NO_CLEANER if trait.name in cleaners else "")
    return form | ({"clean": cleaner} if cleaner else {})


def _step_form(step: features.Step) -> Form:
    without = {} if step.without is None else {"without": events_form(step.without)}
    return events_form(step.events) | _within(step.within_us) | without


def _within(span_us: int) -> Form:
    return {"within": format_span(span_us)} if span_us else {}


def _where(filters: tuple[PropertyFilter, ...]) -> Form:
    return {"where": _where_form(filters)} if filters else {}


def _where_form(filters: tuple[PropertyFilter, ...]) -> Form | list[Form]:
    """Return a mapping by property; a list where a property needs a comparison or flag twice."""
    grouped: dict[str, Form] = {}
    flags: dict[str, bool] = {}
    for f in filters:
        tests = grouped.setdefault(f.property, {})
        if (
            f.operator.value in tests
            or flags.setdefault(f.property, f.ignore_case) != f.ignore_case
        ):
            return [{g.property: _comparison_form(g)} for g in filters]
        tests.update(_comparison_form(f))
    return {name: _shortest(tests) for name, tests in grouped.items()}


def _shortest(tests: Mapping[str, Json]) -> Json:
    if tests.keys() in ({Operator.EQ.value}, {Operator.IN.value}):
        return next(iter(tests.values()))
    return tests


_AGE_KINDS = {since_first: kind for kind, since_first in words.AGES.items()}
