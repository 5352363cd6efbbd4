"""Makes random rules of the whole language, of few names, numbers and spans.

The logs of `random_logs` have the same ones, so rules match often. The same functions run on
`random.Random`, which is quick, and on the random of hypothesis, which shrinks.
"""

from __future__ import annotations

from random import Random
from typing import Any

from services.kernel.calendar import PeriodUnit
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
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.trust import Party

NAMES = ("viewed", "viewed", "bought", "refunded", "page")
PATHS = ("p", "n", "n", "o.p", "o.p.q")
TRAITS = ("city", "city", "age", "born", "o", "o.p", "o.p.q", "home")
#: Models of scores, and the members of touches.
MODELS, TOUCHES = ("m1", "m2"), ("source", "medium")
#: Traits that no source states.
RESERVED = (
    *("first_touch", "last_touch", "first_touch.source", "last_touch.source", "last_touch.medium"),
    *("score.m1", "score.m1", "score.m2"),
)
#: Cleaners with a trait that they fit, and texts that have a standard form.
CLEANED = (
    ("place@1", "home", ("北京", "江苏 南京", "江苏省")),
    ("province@1", "home", ("北京市", "江苏", "Shanghai")),
    ("city@1", "home", ("北京", "南京")),
    ("region@1", "home", ("华东", "华北")),
    ("number@1", "spent", (10, 2, "1,200.50", "1.2万")),
)
SOURCES = ("crm", "crm", "web", "vendor")
ZONES = (
    *("UTC", "Asia/Shanghai", "America/New_York", "Africa/Cairo", "Pacific/Apia"),
    *("Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati"),
)
OBJECT_TYPES = ("course", "account")
SPANS = (
    *(1, 2, HOUR_US - 1, HOUR_US, 2 * HOUR_US, 3 * HOUR_US, 12 * HOUR_US),
    *(DAY_US, DAY_US, DAY_US + 1, 2 * DAY_US, 7 * DAY_US, 30 * DAY_US),
)
SCALARS: tuple[Any, ...] = (
    *("a", "a", "ab", "A", "ＡB", "ß", "", "1", "true"),
    *(0, 1, 1, 1.0, 2, 1.5, -3, True, False, 2**70),
)
TEXTS = ("a", "b", "ab", "A", "ＡB", "", "SS")
LIMITS = (0, 0, 1, 1, 2, 3, -1, 0.5, 1.5, 2.5, 0.1, 0.3, 7, 10, 20, 30, 90, 1_199.5, 12_000, 1 / 3)
ORDERS = (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
COUNTS = (Function.COUNT, Function.DISTINCT)
ENDS = (Function.FIRST, Function.LAST)
#: The parts of the language of `make_narrow_predicate`.
NARROW = ("Relative", "Rolling", "Ends", "Refunds", "Corrections")
#: The names of the classes of features.
FEATURES = (
    *("Trait", "Aggregate", "Elapsed", "Sequence", "Trend"),
    *("DateDistance", "TopValues", "Orders", "Related"),
)


def make_rule(random: Random, depth: int = 3) -> Rule:
    """Return a rule at most `depth` deep."""
    kind = random.randrange(10 if depth else 4)
    if kind < 4:
        return make_predicate(random)
    if kind < 6:
        return Not(make_rule(random, depth - 1))
    parts = tuple(make_rule(random, depth - 1) for _ in range(random.randrange(4)))
    return All(parts) if kind < 8 else Any_(parts)


def make_predicate(random: Random, kind: str = "") -> Predicate:
    """Return a predicate over a feature of some class, with a comparison that fits."""
    feature = make_feature(random, kind or random.choice((*FEATURES, "Aggregate", "Aggregate")))
    match feature:
        case Trait() if feature.cleaner:
            return Predicate(feature, *_cleaned_comparison(random, feature.cleaner))
        case Trait() | Aggregate(function=Function.FIRST | Function.LAST):
            return Predicate(feature, *make_comparison(random))
        case Elapsed():
            return Predicate(feature, random.choice(AGE_OPERATORS), random.choice(SPANS))
        case TopValues():
            operator, is_without_case = random.choice(LIST_OPERATORS), random.random() < 0.3
            return Predicate(feature, operator, random.choice(SCALARS), is_without_case)
        case Sequence() | Related():
            limit: Any = random.randrange(3)
        case Aggregate() if feature.function in COUNTS:
            limit = random.randrange(5)
        case _:
            limit = random.choice(LIMITS)
    operators = (*NUMBER_OPERATORS[:6], *NUMBER_OPERATORS)
    return Predicate(feature, random.choice(operators), limit)


def make_comparison(random: Random) -> tuple[Operator, Any, bool]:
    """Return an operator, a literal that fits it, and whether case is ignored."""
    operator, is_without_case = random.choice(tuple(Operator)), random.random() < 0.3
    if operator in (Operator.EXISTS, Operator.MISSING):
        return operator, None, False
    if operator in (Operator.IN, Operator.NOT_IN):
        many = tuple(random.choice(SCALARS) for _ in range(random.randrange(1, 4)))
        return operator, many, is_without_case
    if operator in (Operator.STARTS_WITH, Operator.ENDS_WITH):
        return operator, random.choice(TEXTS), is_without_case
    if operator in ORDERS:
        return operator, random.choice(("a", "ab", "A", "1", 0, 1, 2, 1.5)), is_without_case
    return operator, random.choice(SCALARS), is_without_case


def _cleaned_comparison(random: Random, cleaner: str) -> tuple[Operator, Any, bool]:
    """Return a comparison of a standard form; its literal has one, too."""
    literals = next(texts for name, _, texts in CLEANED if name == cleaner)
    operators = (Operator.EQ, Operator.EQ, Operator.NE, Operator.IN, Operator.EXISTS, *ORDERS)
    operator, is_without_case = random.choice(operators), random.random() < 0.3
    if operator is Operator.EXISTS:
        return operator, None, False
    if operator is Operator.IN:
        many = tuple(random.choice(literals) for _ in range(random.randrange(1, 3)))
        return operator, many, is_without_case
    return operator, random.choice(literals), is_without_case


def make_feature(random: Random, kind: str) -> Feature:
    """Return a feature of the class with this name."""
    match kind:
        case "Trait" if random.random() < 0.2:
            return Trait(random.choice(RESERVED))
        case "Trait" if random.random() < 0.2:
            cleaner, name, _ = random.choice(CLEANED)
            return Trait(name, cleaner=cleaner)
        case "Trait":
            parties: Any = ((), (), (Party.FIRST,), (Party.SECOND, Party.THIRD), (Party.THIRD,))
            sources: Any = random.choice(((), (), ("crm",), ("crm", "web"), ("nothing",)))
            return Trait(random.choice(TRAITS), random.choice(parties), sources=sources)
        case "Aggregate":
            return make_aggregate(random, tuple(Function), make_window(random))
        case "Elapsed":
            return Elapsed(make_events(random), random.random() < 0.4)
        case "Sequence":
            return _make_sequence(random)
        case "Trend":
            functions = tuple(f for f in Function if f not in ENDS)
            length: Any = make_calendar(random) if random.random() < 0.5 else _make_rolling(random)
            aggregate = make_aggregate(random, (*functions, *COUNTS), length)
            return Trend(aggregate, random.choice(tuple(TrendMeasure)))
        case "DateDistance":
            trait = random.choice(("born", "born", "born", "o.p"))
            return DateDistance(trait, random.choice(tuple(DateMeasure)), random.choice(ZONES))
        case "TopValues":
            path = random.choice(("p", "n"))
            return TopValues(make_events(random), path, random.randrange(1, 3), make_window(random))
        case "Orders":
            where = (make_filter(random, ("p", "currency")),) if random.random() < 0.2 else ()
            measure = random.choice(tuple(OrderMeasure))
            return Orders(make_definition(random), measure, where, make_window(random))
        case _:
            number = random.choice((0, 0, 1, 2))
            where = tuple(make_filter(random, ("city", "age", "o.p")) for _ in range(number))
            return Related(random.choice(OBJECT_TYPES), where)


def make_narrow_predicate(random: Random, kind: str) -> Predicate:
    """Return a predicate of few names over one part of the language, so that cases are dense."""
    events = EventFilter(random.choice((("viewed",), ("bought",), (ANY_EVENT,))))
    anchors = EventFilter(random.choice((("viewed",), ("bought",), (ANY_EVENT,))))
    path, window = random.choice(("p", "n")), _make_rolling(random)
    match kind:
        case "Relative":
            within_us = random.choice((0, 1, HOUR_US, HOUR_US, 2 * HOUR_US, DAY_US))
            anchor, is_after = random.choice(tuple(Anchor)), random.random() < 0.5
            relative = Relative(anchors, anchor, is_after, within_us)
            feature: Feature = Aggregate(Function.COUNT, events, "", relative)
        case "Rolling":
            function = random.choice(COUNTS)
            feature = Aggregate(function, events, "" if function is COUNTS[0] else path, window)
        case "Ends":
            feature = Aggregate(random.choice(ENDS), events, path)
            return Predicate(feature, Operator.EXISTS)
        case "Corrections":
            parties: Any = random.choice(((), (), (Party.FIRST,), (Party.SECOND,)))
            return Predicate(Trait("city", parties), *make_comparison(random))
        case _:
            payments, refunds = EventFilter.of("bought"), EventFilter.of("refunded")
            parts = (payments, "id", "amount", refunds, "id", "amount", "refund", "currency")
            feature = Orders(OrderDefinition(*parts), random.choice(tuple(OrderMeasure)))
    return Predicate(feature, random.choice(NUMBER_OPERATORS), random.randrange(4))


def make_aggregate(random: Random, functions: tuple[Function, ...], window: Window) -> Aggregate:
    """Return an aggregate with one of some functions."""
    function = random.choice(functions)
    path = "" if function is Function.COUNT else random.choice(("p", "n", "n", "o.p"))
    return Aggregate(function, make_events(random), path, window)


def make_events(random: Random) -> EventFilter:
    """Return a filter of events; most have no filters of properties."""
    many = ((ANY_EVENT,), (ANY_EVENT,), ("viewed", "bought"), ("bought", "page"))
    names = random.choice((*((name,) for name in NAMES), *many))
    number = random.choice((0, 0, 0, 0, 1, 2))
    return EventFilter(names, tuple(make_filter(random, PATHS) for _ in range(number)))


def make_filter(random: Random, paths: tuple[str, ...]) -> PropertyFilter:
    """Return a filter of one property."""
    return PropertyFilter(random.choice(paths), *make_comparison(random))


def make_window(random: Random) -> Window:
    """Return a window of any kind."""
    kind = random.randrange(5)
    if kind == 0:
        return EVER
    if kind == 1:
        return Relative(
            make_events(random),
            random.choice(tuple(Anchor)),
            random.random() < 0.5,
            random.choice((0, random.choice(SPANS))),
        )
    return make_calendar(random) if kind == 2 else _make_rolling(random)


def make_calendar(random: Random) -> Calendar:
    """Return some calendar periods, the current one among them or not."""
    newest, more = random.choice((0, 0, 0, 1, 2)), random.choice((0, 0, 1, 2, 6))
    unit, zone = random.choice(tuple(PeriodUnit)), random.choice(ZONES)
    return Calendar(unit, newest + more, newest, zone)


def _make_rolling(random: Random) -> Rolling:
    return Rolling(random.choice((*SPANS[2:], *SPANS)))


def _make_sequence(random: Random) -> Sequence:
    steps = [Step(_make_step_events(random))]
    for _ in range(random.choice((1, 1, 1, 2))):
        within_us = random.choice((0, 0, random.choice(SPANS)))
        without = _make_step_events(random) if random.random() < 0.3 else None
        steps.append(Step(_make_step_events(random), within_us, without))
    same = random.choice(("", "", "", "p", "n"))
    return Sequence(tuple(steps), same, make_window(random))


def _make_step_events(random: Random) -> EventFilter:
    """Return a filter of events that selects many, as all steps have to match."""
    if random.random() < 0.3:
        return make_events(random)
    return EventFilter.of(random.choice(("viewed", "viewed", "bought", ANY_EVENT)))


def make_definition(random: Random) -> OrderDefinition:
    """Return a definition of orders over events that `random_logs` makes."""
    payments = EventFilter(random.choice((("bought",), ("bought",), ("bought", "viewed"))))
    if random.random() < 0.25:
        return OrderDefinition(payments, "id", "amount")
    return OrderDefinition(
        payments,
        "id",
        "amount",
        EventFilter.of("refunded") if random.random() < 0.8 else make_events(random),
        "id",
        "amount",
        random.choice(("", "refund")),
        random.choice(("", "currency")),
    )
