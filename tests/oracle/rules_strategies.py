"""Draws random rules and logs that match often: few names, close instants, many ties.

The instants of a log are near one of a few `BASES`: changes of summer time, ends of years, a day
that a zone does not have. So small offsets of hours and days cross the edges of all windows.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st
from oracle.rules_oracle import OracleEvent

from services.kernel.calendar import PeriodUnit
from services.kernel.fold import events as event_types
from services.kernel.fold.events import EventView
from services.kernel.rules.features import (
    Aggregate,
    DateDistance,
    DateMeasure,
    Elapsed,
    Feature,
    Function,
    OrderDefinition,
    OrderMeasure,
    Orders,
    Related,
    Sequence,
    Step,
    TopValues,
    Trait,
    Trend,
    TrendMeasure,
)
from services.kernel.rules.filters import ANY_EVENT, EventFilter, PropertyFilter
from services.kernel.rules.model import (
    AGE_OPERATORS,
    LIST_OPERATORS,
    NUMBER_OPERATORS,
    All,
    Any_,
    Not,
    Predicate,
    Rule,
)
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import EVER, Anchor, Calendar, Relative, Rolling, Window
from services.kernel.time import DAY_US, HOUR_US, to_us
from services.kernel.trust import Party, SourceTrust

TYPES = {
    "track": event_types.TRACK,
    "identify": event_types.IDENTIFY,
    "page": event_types.PAGE,
    "screen": event_types.SCREEN,
    "group": event_types.GROUP,
}
NAMES = ("viewed", "bought", "refunded", "page")
PATHS = ("p", "n", "o.p", "o.p.q")
TRAITS = ("city", "age", "born", "o")
ZONES = (
    *("UTC", "Asia/Shanghai", "America/New_York", "Africa/Cairo", "Pacific/Apia"),
    *("Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati"),
)
BASES = tuple(
    to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))
    for text in (
        "2026-12-31T16:00",  # midnight and the end of a year in Shanghai
        "2026-03-08T07:00",  # summer time begins in New York
        "2026-11-01T06:00",  # it ends in New York
        "2024-04-25T22:00",  # it begins in Cairo, which has no midnight on this day
        "2024-02-29T23:00",  # midnight in Berlin after a leap day
        "2011-12-30T10:00",  # Apia has no 30 December
    )
)
SPANS = (
    *(1, 2, HOUR_US - 1, HOUR_US, 2 * HOUR_US, 3 * HOUR_US, 12 * HOUR_US),
    *(DAY_US, DAY_US + 1, 2 * DAY_US, 7 * DAY_US, 30 * DAY_US),
)
DAYS = (0, 0, 0, 0, 0, 0, 1, 1, -1, -1, 2, -2, 7, -7, 30, -31, 91, -365)
HOURS = (0, 0, 0, 1, -1, 2, -3, 12)
#: No instant of a log is later.
LATEST = max(BASES) + 92 * DAY_US

scalars: st.SearchStrategy[Any] = st.sampled_from(
    ("a", "ab", "A", "ＡB", "ß", "", "1", "true", 0, 1, 1.0, 2, 1.5, -3, True, False, 2**70)
)
texts_and_numbers = st.sampled_from(("a", "ab", "A", "1", 0, 1, 2, 1.5))
texts = st.sampled_from(("a", "b", "ab", "A", "ＡB", "", "SS"))
values = st.one_of(scalars, scalars, st.none(), st.lists(scalars, max_size=2))
#: Numbers whose sums are exact in decimal fractions only, ties of rounding, and one too large.
numbers = st.sampled_from(
    (0, 1, 2, -3, 1.0, 1.5, 0.1, 0.2, 0.3, 0.0000005, 0.0000015, 1e15, 1.1e15)
)
_LIMITS = (0, 1, 2, 3, -1, 0.5, 1.5, 2.5, 0.1, 0.3, 7, 10, 30, 90, 1_199.5, 12_000, 1 / 3)
spans = st.sampled_from(SPANS)

order_ids = st.sampled_from(("1", "1", "1", "2", "2", 1, 3, None))
amounts = st.sampled_from(
    (
        10,
        10,
        0,
        2.5,
        0.1,
        0.2,
        "1,200.50",
        "１２００",
        "1.2万",
        " 7 ",
        -5,
        "-5",
        "abc",
        "",
        None,
        True,
        1e16,
    )
)
_numbered = st.one_of(values, numbers, numbers)
properties = st.fixed_dictionaries(
    {},
    optional={
        "p": values,
        "n": _numbered,
        "o": st.one_of(values, st.fixed_dictionaries({}, optional={"p": values})),
        "o.p": values,
    },
)
order_properties = st.fixed_dictionaries(
    {"id": order_ids, "amount": amounts},
    optional={
        "refund": order_ids,
        "currency": st.sampled_from(("CNY", "CNY", "USD", None)),
        "p": scalars,
    },
)
dates = st.sampled_from(
    (
        *("1990-01-01", "2000-02-29", "2000-03-01", "1999-12-31", "2026-03-08", "2027-01-02"),
        *("2000-02-29T23:30:00Z", "2011-12-30T10:00:00+00:00", "2026-11-01T00:30:00-04:00"),
        *("1990-13-01", "soon", 1990, None, True),
    )
)
trait_values = {
    "city": values,
    "age": values,
    "born": dates,
    "o": st.one_of(values, st.fixed_dictionaries({}, optional={"p": values})),
    "o.p": values,
    "timezone": st.sampled_from((*ZONES, "nowhere", None, 8)),
}
traits_stated = st.fixed_dictionaries({}, optional=trait_values)


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[Operator, Any]:
    operator = draw(st.sampled_from(Operator))
    if operator in (Operator.EXISTS, Operator.MISSING):
        return operator, None
    if operator in (Operator.IN, Operator.NOT_IN):
        return operator, tuple(draw(st.lists(scalars, min_size=1, max_size=3)))
    if operator in (Operator.STARTS_WITH, Operator.ENDS_WITH):
        return operator, draw(texts)
    ordering = operator in (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
    return operator, draw(texts_and_numbers if ordering else scalars)


cases = st.sampled_from((False, False, True))


@st.composite
def filters(draw: st.DrawFn, paths: tuple[str, ...] = PATHS) -> PropertyFilter:
    return PropertyFilter(draw(st.sampled_from(paths)), *draw(comparisons()), draw(cases))


wheres = st.one_of(st.just(()), st.just(()), st.lists(filters(), max_size=2).map(tuple))
event_names = st.one_of(
    st.sampled_from(NAMES).map(lambda name: (name,)),
    st.sampled_from(((ANY_EVENT,), ("viewed", "bought"), ("bought", "page"))),
)
event_filters = st.builds(EventFilter, event_names, wheres)

calendars = st.builds(
    lambda unit, newest, more, zone: Calendar(unit, newest + more, newest, zone),
    st.sampled_from(PeriodUnit),
    st.sampled_from((0, 0, 1, 2)),
    st.sampled_from((0, 0, 1, 6)),
    st.sampled_from(ZONES),
)
rollings = st.builds(Rolling, spans)
relatives = st.builds(
    Relative, event_filters, st.sampled_from(Anchor), st.booleans(), st.one_of(st.just(0), spans)
)
lengths: st.SearchStrategy[Any] = st.one_of(rollings, calendars)
windows: st.SearchStrategy[Window] = st.one_of(st.just(EVER), rollings, calendars, relatives)


@st.composite
def aggregates(
    draw: st.DrawFn,
    functions: SequenceOf[Function] = tuple(Function),
    window: st.SearchStrategy[Window] = windows,
) -> Aggregate:
    function = draw(st.sampled_from(functions))
    path = "" if function is Function.COUNT else draw(st.sampled_from(("p", "n", "n", "o.p")))
    return Aggregate(function, draw(event_filters), path, draw(window))


@st.composite
def steps(draw: st.DrawFn, *, first: bool) -> Step:
    events = draw(event_filters)
    if first:
        return Step(events)
    within_us = draw(st.one_of(st.just(0), spans))
    return Step(events, within_us, draw(st.one_of(st.none(), event_filters)))


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    later = draw(st.lists(steps(first=False), min_size=1, max_size=2))
    same = draw(st.sampled_from(("", "", "p", "n")))
    return Sequence((draw(steps(first=True)), *later), same, draw(windows))


trends = st.builds(
    Trend,
    aggregates(
        tuple(f for f in Function if f not in (Function.FIRST, Function.LAST)), window=lengths
    ),
    st.sampled_from(TrendMeasure),
)
date_distances = st.builds(
    DateDistance,
    st.sampled_from(("born", "born", "born", "o.p")),
    st.sampled_from(DateMeasure),
    st.sampled_from(ZONES),
)
top_values = st.builds(
    TopValues, event_filters, st.sampled_from(("p", "n")), st.integers(1, 2), windows
)
payment_filters = st.one_of(
    st.sampled_from((EventFilter.of("bought"), EventFilter(("bought", "viewed")))), event_filters
)
definitions = st.one_of(
    st.builds(
        OrderDefinition,
        payment_filters,
        st.just("id"),
        st.just("amount"),
        st.sampled_from((EventFilter.of("refunded"), EventFilter.of("page"))),
        st.just("id"),
        st.just("amount"),
        st.sampled_from(("", "refund")),
        st.sampled_from(("", "currency")),
    ),
    st.builds(OrderDefinition, payment_filters, st.just("id"), st.just("amount")),
)
orders = st.builds(
    Orders,
    definitions,
    st.sampled_from(OrderMeasure),
    st.one_of(st.just(()), st.lists(filters(("p", "currency")), max_size=1).map(tuple)),
    windows,
)
related_features = st.builds(
    Related,
    st.sampled_from(("course", "account_id")),
    st.lists(filters(("city", "age", "o.p")), max_size=2).map(tuple),
)
traits = st.builds(
    Trait,
    st.sampled_from((*TRAITS, "o.p", "o.p.q")),
    st.sampled_from(((), (), (Party.FIRST,), (Party.SECOND, Party.THIRD), (Party.THIRD,))),
)
elapsed_features = st.builds(Elapsed, event_filters, st.booleans())
COUNTS = (Function.COUNT, Function.DISTINCT)

#: By the name of the feature's class.
FEATURES: dict[str, st.SearchStrategy[Any]] = {
    "Trait": traits,
    "Aggregate": aggregates(),
    "Elapsed": elapsed_features,
    "Sequence": sequences(),
    "Trend": trends,
    "DateDistance": date_distances,
    "TopValues": top_values,
    "Orders": orders,
    "Related": related_features,
}


@st.composite
def predicates_of(draw: st.DrawFn, features: st.SearchStrategy[Any]) -> Predicate:
    """Draw a predicate over some features, with a comparison that fits."""
    feature: Feature = draw(features)
    match feature:
        case Trait() | Aggregate(function=Function.FIRST | Function.LAST):
            return Predicate(feature, *draw(comparisons()), draw(cases))
        case Elapsed():
            return Predicate(feature, draw(st.sampled_from(AGE_OPERATORS)), draw(spans))
        case TopValues():
            operator = draw(st.sampled_from(LIST_OPERATORS))
            return Predicate(feature, operator, draw(scalars), draw(cases))
        case Sequence() | Related():
            limits = st.integers(0, 2)
        case Aggregate() if feature.function in COUNTS:
            limits = st.integers(0, 3)
        case _:
            limits = st.sampled_from(_LIMITS)
    return Predicate(feature, draw(st.sampled_from(NUMBER_OPERATORS)), draw(limits))


predicates: st.SearchStrategy[Predicate] = st.one_of(
    *(predicates_of(feature) for feature in FEATURES.values()),
    predicates_of(aggregates()),
    predicates_of(aggregates(COUNTS)),
)
rules: st.SearchStrategy[Rule] = st.recursive(
    predicates,
    lambda parts: st.one_of(
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Any_, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=5,
)
related_objects = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("course", "account_id"), st.lists(traits_stated, max_size=3))
)


@st.composite
def instants(draw: st.DrawFn, base_us: int) -> int:
    """Draw an instant near a base."""
    day, hour = draw(st.sampled_from(DAYS)), draw(st.sampled_from(HOURS))
    return base_us + day * DAY_US + hour * HOUR_US + draw(st.sampled_from((0, 0, 0, -1, 1)))


@st.composite
def logs(draw: st.DrawFn, max_size: int = 12) -> list[OracleEvent]:
    """Draw events of one profile, each with its own fact id."""
    base_us = draw(st.sampled_from(BASES))
    drawn = draw(st.lists(events(base_us), max_size=max_size))
    ids = draw(st.permutations(range(len(drawn))))
    return [
        replace(event, fact_id=id_.to_bytes(16, "big"))
        for id_, event in zip(ids, drawn, strict=True)
    ]


@st.composite
def events(draw: st.DrawFn, base_us: int) -> OracleEvent:
    """Draw an event near a base; half of the events of orders are payments or refunds."""
    type_ = draw(st.sampled_from(("track", "track", "track", "track", "identify", "page", "group")))
    name = draw(st.sampled_from(NAMES)) if type_ in ("track", "page") else ""
    is_order = name in ("bought", "refunded") and draw(st.booleans())
    return OracleEvent(
        type_,
        "" if (type_, name) == ("page", "page") else name,
        draw(instants(base_us)),
        b"",
        draw(order_properties if is_order else properties),
        draw(traits_stated) if type_ in ("identify", "group") else {},
        draw(st.sampled_from(SourceTrust)),
        draw(st.sampled_from(Party)),
    )


def newest(log: list[OracleEvent]) -> int:
    """Return the instant of the newest event; that of a base without one."""
    return max((event.occurred_at_us for event in log), default=BASES[0])


def later_instants(log: list[OracleEvent], random: Random, number: int) -> list[int]:
    """Return instants after a log at which windows are likely to change, ascending."""
    start_us = newest(log)
    times = [event.occurred_at_us for event in log] or [start_us]
    edges = [start_us]
    hour_us = start_us // HOUR_US * HOUR_US
    found = []
    for _ in range(number):
        edges.append(random.choice(times) + random.choice((1, 1, 2)) * random.choice(SPANS))
        edges.append(
            hour_us + random.choice((1, 24, 7 * 24, 24 * 30)) * random.randrange(40) * HOUR_US
        )
        found.append(random.choice(edges) + random.choice((-1, 0, 1)))
    return sorted({max(start_us, at_us) for at_us in found})


def view_of(event: OracleEvent) -> EventView:
    """Return the same event as the folds read it."""
    return EventView(
        type=TYPES[event.type],
        name=event.name,
        occurred_at_us=event.occurred_at_us,
        fact_id=event.fact_id,
        properties=msgspec.json.encode(event.properties),
        traits=msgspec.json.encode(event.traits),
        trust=event.trust,
    )
