"""Parses the JSON form of predicates and of their parts: features, windows, filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from services.kernel.errors import RuleError, join_path
from services.kernel.rules import features, model
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.features import Function, OrderDefinition
from services.kernel.rules.filters import MAX_FILTERS, EventFilter, PropertyFilter
from services.kernel.rules.forms import words
from services.kernel.rules.forms.json_body import (
    Body,
    Form,
    listed,
    make,
    span_of,
    unknown_word,
    word_of,
)
from services.kernel.rules.names import check_whole
from services.kernel.rules.periods import parse_periods
from services.kernel.rules.values import Json, Operator, number
from services.kernel.rules.windows import EVER, Calendar, Relative, Rolling, Window

#: Lists of filters inside of each other.
_MAX_NESTED = 32


class _Comparison(NamedTuple):
    operator: Operator
    value: Json
    ignore_case: bool
    #: The key of the value, for errors.
    word: str


def parse_predicate(kind: str, form: Json, path: str, defaults: Defaults) -> model.Predicate:
    """Return the predicate of a body. Raises RuleError with its path."""
    body = Body(form, path)
    if kind == "consent":
        return _consent(body)
    table = words.KINDS[kind]
    at, compared = _compared(body, table)
    feature = _FEATURES[kind](body, kind, defaults)
    operator, value, ignore_case, word = compared
    return make(at, word, lambda: model.Predicate(feature, operator, value, ignore_case))


def _compared(body: Body, table: words.Kind) -> tuple[str, _Comparison]:
    """Return the one comparison of a body, and the path of the mapping that has it."""
    if not table.measures:
        _check_keys(body, table.keys, table.compared)
        return body.path, _only_comparison(body, table.compared, table.is_optional)
    body.check_keys(table.keys)
    measure = _measure(body, table)
    inner = Body(body.get(measure), body.at(measure))
    _check_keys(inner, (), table.compared)
    return inner.path, _only_comparison(inner, table.compared, False)


def _check_keys(body: Body, keys: tuple[str, ...], compared: words.Compared) -> None:
    flags = (words.IGNORE_CASE,) if compared.has_case else ()
    valid = (*keys, *compared.comparisons, *flags)
    for key in body.form:
        if key in words.VALUE_COMPARISONS and key not in valid:
            remedy = f"write one of {listed(compared.comparisons)}"
            raise RuleError(f"{compared.noun} has no `{key}`", remedy, field=body.at(key))
    body.check_keys(valid)


def _measure(body: Body, table: words.Kind) -> str:
    measure = body.only(table.measures, "several measures in one place")
    if measure is None:
        remedy = f"write one of {listed(table.measures)}, with a comparison in braces"
        raise RuleError("nothing is measured", remedy, field=body.path)
    return measure


def _only_comparison(body: Body, compared: words.Compared, is_optional: bool) -> _Comparison:
    word = body.only(compared.comparisons, "several comparisons in one place")
    if word is None:
        if is_optional:
            return _Comparison(Operator.GE, 1, False, "at_least")
        remedy = f"write exactly one of {listed(compared.comparisons)}"
        raise RuleError("nothing is compared", remedy, field=body.path)
    operator, value = compared.comparisons[word], body.get(word)
    if compared is words.SPANS:
        return _Comparison(operator, span_of(value, body.at(word)), False, word)
    _check_true(operator, value, body.at(word))
    return _Comparison(operator, value, _ignore_case(body), word)


def _ignore_case(body: Body) -> bool:
    flag = body.form.get(words.IGNORE_CASE, False)
    if not isinstance(flag, bool):
        at = body.at(words.IGNORE_CASE)
        raise RuleError("this is neither true nor false", "write `ignore_case: true`", field=at)
    return flag


def _check_true(operator: Operator, value: Json, path: str) -> None:
    if operator in words.TRUE_COMPARISONS and value is not True:
        remedy = "write `exists: true` for presence, `missing: true` for absence"
        raise RuleError("only `true` is allowed", remedy, field=path)


def _consent(body: Body) -> model.Predicate:
    """Return what a consent stands for: the last answer of the person for a purpose."""
    body.check_keys(("purpose", "is"))
    operator, value = body.word("is", words.CONSENTS)
    purpose = PropertyFilter("purpose", Operator.EQ, body.name("purpose"))
    events = EventFilter.of(words.CONSENT_CHANGED, purpose)
    return model.Predicate(features.Aggregate(Function.LAST, events, "granted"), operator, value)


def _trait(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    listed_parties = body.form.get("party", ())
    at = body.at("party")
    if isinstance(listed_parties, str):
        listed_parties = (listed_parties,)
    if not isinstance(listed_parties, list | tuple) or ("party" in body and not listed_parties):
        remedy = f"write some of {listed(words.PARTIES)} in brackets"
        raise RuleError("this is no list of parties", remedy, field=at)
    parties = tuple(
        word_of(party, words.PARTIES, f"{at}[{i}]") for i, party in enumerate(listed_parties)
    )
    name, sources = body.name("name"), body.names("from")
    cleaner = body.name("clean") if "clean" in body else defaults.cleaners.get(name, "")
    cleaner = "" if cleaner == words.NO_CLEANER else cleaner
    make(body.path, "", lambda: check_whole("from", len(sources), 0, features.MAX_SOURCES))
    return make(body.path, "clean", lambda: features.Trait(name, parties, cleaner, sources))


def _aggregate(body: Body, kind: str, defaults: Defaults) -> features.Aggregate:
    function = words.FUNCTIONS[kind]
    of = "" if function is Function.COUNT else body.name("property")
    events = events_of(body)
    return features.Aggregate(function, events, of, _window(body, defaults))


def _elapsed(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    return features.Elapsed(events_of(body), since_first=words.AGES[kind])


def _sequence(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    steps = body.get("steps")
    if not isinstance(steps, list | tuple):
        remedy = "write the steps in brackets, such as [{event: a}, {event: b, within: 7d}]"
        raise RuleError("this is no list of steps", remedy, field=body.at("steps"))
    if len(steps) > features.MAX_STEPS:
        remedy = f"write 2 to {features.MAX_STEPS}"
        raise RuleError("there are too many steps", remedy, field=body.at("steps"))
    read = tuple(_step(Body(step, f"{body.at('steps')}[{i}]")) for i, step in enumerate(steps))
    same, window = body.optional_name("same"), _window(body, defaults)
    return make(body.path, "steps", lambda: features.Sequence(read, same, window))


def _step(body: Body) -> features.Step:
    body.check_keys(words.STEP_KEYS)
    within_us = body.span("within") if "within" in body else 0
    without = _selection(body, "without") if "without" in body else None
    return features.Step(events_of(body), within_us, without)


def _trend(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    word = body.only(words.TREND_FUNCTIONS, "several aggregates in one place")
    if word is None:
        remedy = f"write one of {listed(words.TREND_FUNCTIONS)}"
        raise RuleError("the trend of what is missing", remedy, field=body.path)
    inner, table = Body(body.get(word), body.at(word)), words.KINDS[word]
    inner.check_keys(table.keys)
    measure = features.TrendMeasure(_measure(body, words.KINDS[kind]))
    aggregate = _aggregate(inner, word, defaults)
    return make(inner.path, "", lambda: features.Trend(aggregate, measure))


def _date(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    measure = features.DateMeasure(_measure(body, words.KINDS[kind]))
    trait, zone = body.name("trait"), _zone(body, defaults)
    return make(body.path, "", lambda: features.DateDistance(trait, measure, zone))


def _top(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    limit, of = body.get("limit"), body.name("property")
    if isinstance(limit, float):
        limit = number(limit)
    events, window = events_of(body), _window(body, defaults)
    return make(body.path, "", lambda: features.TopValues(events, of, limit, window))


def _orders(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    measure = features.OrderMeasure(_measure(body, words.KINDS[kind]))
    if "definition" in body:
        definition = parse_orders(body.get("definition"), body.at("definition"))
    elif defaults.orders is not None:
        definition = defaults.orders
    else:
        remedy = "define the orders of the workspace, or write `definition: {payments: ...}` here"
        raise RuleError("the workspace does not define orders", remedy, field=body.path)
    where, window = _where_of(body), _window(body, defaults)
    return make(body.path, "", lambda: features.Orders(definition, measure, where, window))


def _related(body: Body, kind: str, defaults: Defaults) -> features.Feature:
    type_, where = body.name("type"), _where_of(body)
    return make(body.path, "", lambda: features.Related(type_, where))


_FEATURES: Mapping[str, Callable[[Body, str, Defaults], features.Feature]] = {
    "trait": _trait,
    **dict.fromkeys(words.FUNCTIONS, _aggregate),
    **dict.fromkeys(words.AGES, _elapsed),
    "sequence": _sequence,
    "trend": _trend,
    "date": _date,
    "top": _top,
    "orders": _orders,
    "related": _related,
}


def parse_orders(form: Json, path: str = "") -> OrderDefinition:
    """Return the definition of orders that a form has. Raises RuleError with its path."""
    body = Body(form, path)
    body.check_keys(words.DEFINITION_KEYS)
    paid = Body(body.get("payments"), body.at("payments"))
    paid.check_keys(words.PAYMENT_KEYS)
    parts: Form = {"payments": events_of(paid)}
    parts |= {"order_id": paid.name("order_id"), "amount": paid.name("amount")}
    if "refunds" in body:
        refund = Body(body.get("refunds"), body.at("refunds"))
        refund.check_keys(words.REFUND_KEYS)
        parts["refunds"] = events_of(refund)
        parts["refund_order_id"] = refund.name("order_id")
        parts["refund_amount"] = refund.name("amount")
        parts["refund_id"] = refund.optional_name("refund_id")
    if "currency" in body:
        parts["currency"] = body.text("currency")
    parts["currency_property"] = body.optional_name("currency_property")
    return make(path, "", lambda: OrderDefinition(**parts))


def _window(body: Body, defaults: Defaults) -> Window:
    word = body.only(words.WINDOWS, "several windows in one place")
    if "zone" in body and word != "during":
        remedy = "remove `zone`, or write `during`"
        raise RuleError("only calendar windows have a zone", remedy, field=body.at("zone"))
    if word is None:
        return EVER
    if word == "within":
        return Rolling(body.span("within"))
    if word == "during":
        return _calendar(body, defaults)
    anchor = Body(body.get(word), body.at(word))
    anchor.check_keys(words.ANCHOR_KEYS)
    which = anchor.word("which", words.ANCHORS)
    within_us = anchor.span("within") if "within" in anchor else 0
    return Relative(events_of(anchor), which, word == "after", within_us)


def _calendar(body: Body, defaults: Defaults) -> Window:
    try:
        unit, oldest, newest = parse_periods(body.text("during"))
    except ValueError:
        remedy = (
            "write one such as today, this month, last week, last 3 months, last 3 months to date"
            " or 5 to 3 weeks ago"
        )
        at = body.at("during")
        raise RuleError("these are no calendar periods", remedy, field=at) from None
    zone = _zone(body, defaults)
    return make(body.path, "", lambda: Calendar(unit, oldest, newest, zone))


def _zone(body: Body, defaults: Defaults) -> str:
    return body.name("zone") if "zone" in body else defaults.zone


def _selection(body: Body, key: str) -> EventFilter:
    inner = Body(body.get(key), body.at(key))
    inner.check_keys(words.FILTER_KEYS)
    return events_of(inner)


def events_of(body: Body, key: str = "event") -> EventFilter:
    """Return the events that a body selects: those of the names under `key`, filtered by `where`.

    Raises RuleError with its path.
    """
    names = body.get(key)
    if isinstance(names, list | tuple):
        for i, name in enumerate(names):
            if not isinstance(name, str):
                at = f"{body.at(key)}[{i}]"
                raise RuleError("this is no text", "put it into quotes", field=at)
    else:
        names = (body.text(key),)
    where = _where_of(body)
    return make(body.path, "", lambda: EventFilter(tuple(names), where))


def _where_of(body: Body) -> tuple[PropertyFilter, ...]:
    return _where(body.form.get("where", {}), body.at("where"), 1)


def _where(form: Json, path: str, depth: int) -> tuple[PropertyFilter, ...]:
    if isinstance(form, list | tuple):
        if depth > _MAX_NESTED:
            raise RuleError("the filters are nested too deep", "write one list", field=path)
        parts = (_where(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(form))
        return _first_filters(f for part in parts for f in part)
    named = Body(form, path).form.items()
    lists = (_filters(name, tests, join_path(path, name)) for name, tests in named)
    return _first_filters(f for own in lists for f in own)


def _first_filters(filters: Iterable[PropertyFilter]) -> tuple[PropertyFilter, ...]:
    """Return the filters, or one more than any selection of events may have."""
    return tuple(islice(filters, MAX_FILTERS + 1))


def _filters(name: str, tests: Json, path: str) -> list[PropertyFilter]:
    if not isinstance(tests, Mapping):
        operator = Operator.IN if isinstance(tests, list | tuple) else Operator.EQ
        return [make(path, "", lambda: PropertyFilter(name, operator, tests))]
    body = Body(tests, path)
    compared = [word for word in body.form if word != words.IGNORE_CASE]
    if not compared:
        remedy = f"write one of {listed(words.VALUE_COMPARISONS)}"
        raise RuleError("nothing is compared", remedy, field=path)
    return [_filter(name, word, body) for word in compared]


def _filter(name: str, word: str, body: Body) -> PropertyFilter:
    if word not in words.VALUE_COMPARISONS:
        raise unknown_word(word, (*words.VALUE_COMPARISONS, words.IGNORE_CASE), body.path)
    operator, value, ignore_case = words.VALUE_COMPARISONS[word], body.get(word), _ignore_case(body)
    _check_true(operator, value, body.at(word))
    return make(body.path, word, lambda: PropertyFilter(name, operator, value, ignore_case))
