"""The oracle of rules gives the values and results that were computed by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from oracle import rules_oracle as oracle
from oracle.rules_oracle import OracleEvent

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
from services.kernel.rules.model import All, Any_, Not, Predicate
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import EVER, Anchor, Calendar, Relative, Rolling, Window
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.trust import Party, SourceTrust

SHANGHAI = "Asia/Shanghai"
VIEWED, BOUGHT = EventFilter.of("viewed"), EventFilter.of("bought")
LEAVES = EventFilter.of("refunded")


def at(text: str, zone: str = SHANGHAI) -> int:
    """Return the instant of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1e6)


NOON = at("2026-11-27T12:00")


def event(name: str, at_us: int, **properties: Any) -> OracleEvent:
    return OracleEvent("track", name, at_us, at_us.to_bytes(16, "big"), properties)


def stated(at_us: int, party: int, trust: int, **traits: Any) -> OracleEvent:
    id_ = bytes([party, trust]) * 8
    return OracleEvent("identify", "", at_us, id_, {}, traits, trust, party)


def value(feature: Feature, log: list[OracleEvent], now_us: int = NOON, **more: Any) -> Any:
    predicate = Predicate(feature, *(_comparison(feature)))
    return oracle.actual(predicate, log, now_us, **more)


def _comparison(feature: Feature) -> tuple[Operator, Any]:
    return (Operator.LT, 1) if isinstance(feature, Elapsed) else (Operator.EXISTS, None)


def _viewed(*ages_us: int, **properties: Any) -> list[OracleEvent]:
    return [event("viewed", NOON - age_us, **properties) for age_us in ages_us]


@pytest.mark.parametrize(
    ("operator", "left", "right", "holds"),
    [
        (Operator.EQ, 1.0, 1, True),
        (Operator.EQ, True, 1, False),
        (Operator.NE, None, "a", True),
        (Operator.LT, "a", "b", True),
        (Operator.LT, True, 2, False),
        (Operator.LE, 2, 2, True),
        (Operator.GT, "2", 1, False),
        (Operator.GE, 2, 2.5, False),
        (Operator.IN, "b", ("a", "b"), True),
        (Operator.NOT_IN, None, ("a", "b"), True),
        (Operator.CONTAINS, [1, "a"], "a", True),
        (Operator.CONTAINS, "cab", "a", True),
        (Operator.NOT_CONTAINS, ["A"], "a", True),
        (Operator.STARTS_WITH, "abc", "ab", True),
        (Operator.STARTS_WITH, ["ab"], "ab", False),
        (Operator.ENDS_WITH, "abc", "bc", True),
        (Operator.ENDS_WITH, "abc", "ab", False),
        (Operator.EXISTS, False, None, True),
        (Operator.MISSING, None, None, True),
    ],
)
def test_operator_compares(operator: Operator, left: Any, right: Any, holds: bool) -> None:
    assert oracle.compare(operator, left, right) is holds


def test_comparison_without_case_ignores_case_and_width() -> None:
    assert oracle.compare(Operator.EQ, "ＡB", "ab", ignore_case=True)
    assert oracle.compare(Operator.CONTAINS, ["Straße"], "STRASSE", ignore_case=True)
    assert not oracle.compare(Operator.NE, "AB", "ab", ignore_case=True)


def test_all_any_and_not_combine_results() -> None:
    yes = Predicate(Trait("city"), Operator.MISSING)
    assert oracle.rule_holds(All((yes, Not(Any_(())))), [], NOON)
    assert not oracle.rule_holds(All((yes, Not(yes))), [], NOON)


def test_trait_of_the_best_party_then_trust_then_time_wins() -> None:
    log = [
        stated(9, Party.SECOND, SourceTrust.SYSTEM_OF_RECORD, city="b"),
        stated(1, Party.FIRST, SourceTrust.SERVER, city="a"),
        stated(2, Party.FIRST, SourceTrust.SERVER, city="c"),
        stated(5, Party.FIRST, SourceTrust.PUBLIC, city="d"),
    ]
    assert value(Trait("city"), log) == "c"
    assert value(Trait("city", (Party.SECOND, Party.THIRD)), log) == "b"
    assert value(Trait("city", (Party.THIRD,)), log) is None


def test_null_that_wins_is_absent_and_hides_other_parties() -> None:
    log = [stated(1, Party.FIRST, 1, city=None), stated(2, Party.SECOND, 3, city="b")]
    assert value(Trait("city"), log) is None


def test_member_of_a_trait_is_read_unless_a_trait_has_the_whole_name() -> None:
    log = [stated(1, Party.FIRST, 1, a={"b": 1})]
    assert value(Trait("a.b"), log) == 1
    assert value(Trait("a.b"), [*log, stated(2, Party.THIRD, 1, **{"a.b": 2})]) == 2


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Function.COUNT, 5),
        (Function.SUM, 0.3),
        (Function.MEAN, 0.15),
        (Function.MIN, 0.1),
        (Function.MAX, 0.2),
        (Function.FIRST, 0.1),
        (Function.LAST, "x"),
        (Function.DISTINCT, 3),
    ],
)
def test_function_of_events(function: Function, expected: Any) -> None:
    values = {5: 0.1, 4: "x", 3: 0.2, 2: "x", 1: [7]}
    log = [event("viewed", NOON - age, n=n) for age, n in values.items()]
    feature = Aggregate(function, VIEWED, "" if function is Function.COUNT else "n")
    assert value(feature, log) == expected
    is_zero = function in (Function.COUNT, Function.SUM, Function.DISTINCT)
    assert value(feature, []) == (0 if is_zero else None)


def test_sum_is_exact_in_millionths_and_ignores_large_numbers() -> None:
    log = _viewed(1, n=0.0000005) + _viewed(2, n=0.0000015) + _viewed(3, n=1e15)
    log += _viewed(4, n=-1e15) + _viewed(5, n=1.1e15) + _viewed(6, n=True)
    assert value(Aggregate(Function.SUM, VIEWED, "n"), log) == 0.000002
    assert value(Aggregate(Function.MAX, VIEWED, "n"), log) == 1e15
    assert value(Aggregate(Function.SUM, VIEWED, "n"), _viewed(1, n=0.5) + _viewed(2, n=0.5)) == 1


def test_first_and_last_of_equal_instants_are_least_and_greatest_by_canonical_json() -> None:
    log = _viewed(1, n=10) + _viewed(1, n=9) + _viewed(1, n="a")
    assert value(Aggregate(Function.FIRST, VIEWED, "n"), log) == "a"
    assert value(Aggregate(Function.LAST, VIEWED, "n"), log) == 9


def test_filter_selects_by_any_name_and_by_properties() -> None:
    log = [*_viewed(1, n=1), event("bought", NOON, n=2), stated(1, 1, 1), event("viewed", 5, n=2)]
    log.append(OracleEvent("page", "", NOON, b"p" * 16, {"n": 2}))
    assert value(Aggregate(Function.COUNT, EventFilter.of(ANY_EVENT)), log) == 4
    filters = (PropertyFilter("n", Operator.GE, 2),)
    assert value(Aggregate(Function.COUNT, EventFilter(("viewed", "page"), filters)), log) == 2


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (EVER, 6),
        (Rolling(DAY_US), 3),
        (Rolling(DAY_US + 1), 4),
        (Calendar(PeriodUnit.DAY, 0, 0, SHANGHAI), 3),
        (Calendar(PeriodUnit.DAY, 0, 0, "UTC"), 2),
        (Calendar(PeriodUnit.DAY, 1, 1, SHANGHAI), 1),
        (Calendar(PeriodUnit.WEEK, 0, 0, SHANGHAI), 5),
        (Calendar(PeriodUnit.MONTH, 2, 1, SHANGHAI), 1),
        (Calendar(PeriodUnit.QUARTER, 0, 0, SHANGHAI), 6),
        (Calendar(PeriodUnit.YEAR, 1, 1, SHANGHAI), 0),
    ],
)
def test_window_contains(window: Window, expected: int) -> None:
    today = [0, HOUR_US, 12 * HOUR_US]  # the last one at midnight in Shanghai
    log = _viewed(
        *today, DAY_US, 4 * DAY_US + 12 * HOUR_US, 40 * DAY_US
    )  # Friday, Thursday, Monday
    assert value(Aggregate(Function.COUNT, VIEWED, "", window), log) == expected


@pytest.mark.parametrize(
    ("after", "anchor", "within_us", "expected"),
    [
        (False, Anchor.FIRST, 0, 2),
        (False, Anchor.FIRST, 2, 1),
        (False, Anchor.LAST, 0, 4),
        (True, Anchor.FIRST, 0, 3),
        (True, Anchor.LAST, 0, 1),
        (True, Anchor.LAST, 5, 1),
        (True, Anchor.LAST, 4, 0),
    ],
)
def test_window_relative_to_an_event(
    after: bool, anchor: Anchor, within_us: int, expected: int
) -> None:
    log = [event("viewed", t) for t in (1, 3, 7, 9, 15)]
    log += [event("bought", 5), event("bought", 10)]
    window = Relative(BOUGHT, anchor, after, within_us)
    assert value(Aggregate(Function.COUNT, VIEWED, "", window), log) == expected
    assert value(Aggregate(Function.COUNT, VIEWED, "", window), log[:5]) == 0


def test_window_of_a_day_without_midnight() -> None:
    cairo = "Africa/Cairo"  # after 25 April 23:59:59 comes 26 April 01:00
    start = at("2024-04-26T01:00", cairo)
    log = [event("viewed", start - 1), event("viewed", start)]
    window = Calendar(PeriodUnit.DAY, 0, 0, cairo)
    assert value(Aggregate(Function.COUNT, VIEWED, "", window), log, start + HOUR_US) == 1


def test_elapsed_is_the_time_since_the_last_or_first_event() -> None:
    assert value(Elapsed(VIEWED), _viewed(3, 8)) == 3
    assert value(Elapsed(VIEWED, since_first=True), _viewed(3, 8)) == 8
    assert value(Elapsed(BOUGHT), _viewed(3, 8)) is None


def test_instant_before_the_newest_event_is_that_of_the_event() -> None:
    assert value(Elapsed(VIEWED), [*_viewed(3), event("bought", NOON)], NOON - 9) == 3


def _steps(*, within_us: int = 0, without: EventFilter | None = None) -> tuple[Step, Step]:
    return Step(VIEWED), Step(BOUGHT, within_us, without)


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        (Sequence(_steps()), 2),
        (Sequence(_steps(within_us=2)), 1),
        (Sequence(_steps(without=LEAVES)), 1),
        (Sequence(_steps(), same="c"), 1),
        (Sequence(_steps(), window=Rolling(NOON - 5)), 1),
        (Sequence((*_steps(), Step(VIEWED))), 0),
        (Sequence((*_steps(), Step(BOUGHT))), 1),
    ],
)
def test_sequence_counts_the_events_that_complete_it(sequence: Sequence, expected: int) -> None:
    log = [event("bought", 1, c=1), event("viewed", 1, c=2), event("viewed", 2, c=1)]
    log += [event("bought", 4, c=1), event("refunded", 5), event("bought", 6, c=3)]
    assert value(sequence, log) == expected


def test_sequence_whose_value_is_no_scalar_is_not_completed() -> None:
    log = [event("viewed", 1, c=None), event("bought", 2, c=None)]
    assert value(Sequence(_steps(), same="c"), log) == 0


def test_trend_compares_a_window_with_the_one_before_it() -> None:
    log = _viewed(0, DAY_US - 1, DAY_US, DAY_US + 1, 2 * DAY_US - 1, 2 * DAY_US)
    rolling = Aggregate(Function.COUNT, VIEWED, "", Rolling(DAY_US))
    assert value(Trend(rolling, TrendMeasure.RATIO), log) == 2 / 3
    assert value(Trend(rolling, TrendMeasure.DIFFERENCE), log) == -1
    assert value(Trend(rolling, TrendMeasure.RATIO), log[:2]) is None
    days = Aggregate(Function.COUNT, VIEWED, "", Calendar(PeriodUnit.DAY, 1, 0, SHANGHAI))
    assert value(Trend(days, TrendMeasure.DIFFERENCE), log) == 4 - 2
    mean = Aggregate(Function.MEAN, VIEWED, "n", Rolling(DAY_US))
    assert value(Trend(mean, TrendMeasure.DIFFERENCE), _viewed(1, n=2)) is None


@pytest.mark.parametrize(
    ("date", "measure", "expected"),
    [
        ("2026-11-30", DateMeasure.DAYS_UNTIL, 3),
        ("2026-11-20", DateMeasure.DAYS_UNTIL, -7),
        ("1990-11-27", DateMeasure.DAYS_UNTIL_ANNIVERSARY, 0),
        ("1990-11-26", DateMeasure.DAYS_UNTIL_ANNIVERSARY, 364),
        ("2000-02-29", DateMeasure.DAYS_UNTIL_ANNIVERSARY, 93),
        ("1990-11-27", DateMeasure.YEARS_SINCE, 36),
        ("1990-11-28", DateMeasure.YEARS_SINCE, 35),
        ("2027-01-01", DateMeasure.YEARS_SINCE, None),
        ("2026-11-27T16:30:00Z", DateMeasure.DAYS_UNTIL, 1),
        ("2026-11-27T16:30:00", DateMeasure.DAYS_UNTIL, 0),
        ("2026-02-30", DateMeasure.DAYS_UNTIL, None),
        (1990, DateMeasure.YEARS_SINCE, None),
    ],
)
def test_distance_of_a_date(date: Any, measure: DateMeasure, expected: int | None) -> None:
    assert value(DateDistance("born", measure, SHANGHAI), [stated(1, 1, 1, born=date)]) == expected


def test_distance_of_a_date_is_read_in_the_zone_of_the_person() -> None:
    feature = DateDistance("born", DateMeasure.DAYS_UNTIL, SHANGHAI)
    log = [stated(1, 1, 1, born="2026-11-27", timezone="Pacific/Honolulu")]
    assert value(feature, log) == 1
    assert value(feature, [stated(1, 1, 1, born="2026-11-27", timezone="nowhere")]) == 0


def test_top_values_are_ordered_by_number_then_time_then_text() -> None:
    log = _viewed(9, 8, n="a") + _viewed(5, n=1) + _viewed(5, n="1") + _viewed(6, n="z")
    assert value(TopValues(VIEWED, "n", 3), log) == ["a", "1", 1]
    assert value(TopValues(VIEWED, "n", 3, Rolling(6)), log) == ["1", 1]
    assert value(TopValues(BOUGHT, "n", 3), log) is None


ORDERS = OrderDefinition(
    BOUGHT, "id", "amount", EventFilter.of("refunded"), "of", "amount", "ref", "currency"
)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (OrderMeasure.COUNT, 2),
        (OrderMeasure.NET_SPEND, 12_190),
        (OrderMeasure.MEAN_VALUE, 6_095.0),
        (OrderMeasure.MAX_VALUE, 12_000),
        (OrderMeasure.REFUNDED, 1_010.5),
        (OrderMeasure.DAYS_SINCE_LAST, 1.0),
        (OrderMeasure.MEAN_INTERVAL, 2.0),
        (OrderMeasure.DAYS_UNTIL_NEXT, 1.0),
        (OrderMeasure.LAST_AT, (NOON - DAY_US) / DAY_US),
    ],
)
def test_measure_of_orders(measure: OrderMeasure, expected: float) -> None:
    log = [
        event("bought", NOON - 4 * DAY_US, id="A", amount=5),
        event("bought", NOON - 3 * DAY_US, id="A", amount="1,200.50", currency="CNY"),
        event("bought", NOON - DAY_US, id="B", amount="１.２万"),
        event("bought", NOON, id="A", amount=-5),
        event("bought", NOON, id="C", amount=9, currency="USD"),
        event("bought", NOON, id=None, amount=9),
        event("refunded", 7, of="A", amount=900, ref=1),
        event("refunded", 8, of="A", amount=1_000, ref=1),
        event("refunded", 8, of="A", amount=10.5, ref=2),
        event("refunded", 8, of="X", amount=1, ref=3),
    ]
    assert value(Orders(ORDERS, measure), log) == expected


def test_refunds_never_exceed_the_amount_and_the_last_one_counts() -> None:
    log = [event("bought", 5, id=1, amount=10), event("refunded", 9, of=1, amount=30, ref="a")]
    assert value(Orders(ORDERS, OrderMeasure.NET_SPEND), log) == 0
    assert value(Orders(ORDERS, OrderMeasure.REFUNDED), log) == 10
    log.append(event("refunded", 9, of=1, amount="31", ref="a"))
    log.append(event("refunded", 10, of=1, amount="4", ref="a"))
    assert value(Orders(ORDERS, OrderMeasure.REFUNDED), log) == 4


def test_orders_are_selected_by_the_properties_and_the_time_of_the_payment() -> None:
    log = [event("bought", 5, id=1, amount=10, ch="web"), event("bought", 7, id=2, amount=1)]
    where = (PropertyFilter("ch", Operator.EQ, "web"),)
    assert value(Orders(ORDERS, OrderMeasure.NET_SPEND, where), log) == 10
    window = Rolling(NOON - 6)
    assert value(Orders(ORDERS, OrderMeasure.NET_SPEND, (), window), log) == 1
    assert value(Orders(ORDERS, OrderMeasure.MEAN_VALUE), []) is None


def test_related_objects_are_counted_by_their_traits() -> None:
    where = (PropertyFilter("level.a", Operator.GE, 2),)
    objects = {"course": [{"level": {"a": 2}}, {"level": {"a": 1}}, {}]}
    assert value(Related("course", where), [], related=objects) == 1
    assert value(Related("course"), [], related=objects) == 3
    assert value(Related("vehicle"), [], related=objects) == 0
