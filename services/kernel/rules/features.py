"""Models features: what a predicate compares, computed from the facts of one person.

A feature has one value at an instant; null means that there is none. `services.kernel.rules.model`
describes how values are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from services.kernel.cleaning.cleaners import newest_version
from services.kernel.cleaning.currencies import CODES, clean_currency
from services.kernel.errors import RuleError
from services.kernel.local_time import LeapDay
from services.kernel.rules.filters import EventFilter, PropertyFilter, ordered_filters
from services.kernel.rules.names import (
    check_name,
    check_span,
    check_whole,
    check_zone_name,
    is_reserved_trait,
)
from services.kernel.rules.windows import EVER, Calendar, Rolling, Window
from services.kernel.trust import Party

MAX_STEPS = 10
MAX_TOP = 100
MAX_SOURCES = 50


@dataclass(frozen=True, slots=True)
class Trait:
    """A stated trait; `a.b` is the member `b` of the trait `a`. Value: any JSON.

    Of several statements one wins: of the party that takes precedence, of it the one of most trust,
    of these the last one by (occurred_at, fact id). If that one is null, the trait is absent. A
    trait whose own name is `a.b` goes first. A correction by a person is a statement of the first
    party that wins over those of all sources; it comes from no source.

    `first_touch`, `last_touch`, their members and `score.MODEL` are no stated traits: they are how
    the person came, and the last score of a model.
    """

    name: str
    #: Only statements of sources of these party classes count; empty = of all.
    parties: tuple[Party, ...] = ()
    #: The cleaner applied to the value, such as `place@1`; empty = none. Without a version it is
    #: the newest one.
    cleaner: str = ""
    #: The winning statement counts only if it comes from one of these sources; empty = from any.
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name("name", self.name)
        object.__setattr__(self, "parties", tuple(sorted(set(self.parties))))
        for index, source in enumerate(self.sources):
            check_name(f"sources[{index}]", source)
        object.__setattr__(self, "sources", tuple(sorted(set(self.sources))))
        check_whole("sources", len(self.sources), 0, MAX_SOURCES)
        if (self.parties or self.sources) and is_reserved_trait(self.name):
            remedy = "remove the parties and sources"
            raise RuleError("no source states a touch or a score", remedy).under("name")
        if self.cleaner:
            object.__setattr__(self, "cleaner", newest_version(self.cleaner))


class Function(Enum):
    """How events become one value; the enum value is the word in a rule."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "average"
    MIN = "minimum"
    MAX = "maximum"
    FIRST = "first"
    LAST = "last"
    DISTINCT = "distinct"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of the matching events in a window.

    `count` and `distinct` are whole numbers, and 0 for no events. `sum`, `average`, `minimum` and
    `maximum` read numbers between -10^15 and 10^15 only; without one, `sum` is 0 and the others
    are null. `first` and `last` are the value of the earliest and the latest event that has one (of
    equal instants, the least and the greatest by canonical JSON), and null without one. Values are
    strings, numbers and booleans; null, lists and objects are no values.

    Sums are exact in millionths, to which each number is rounded first, half to even, from its
    shortest decimal form. A sum is an integer if it is whole, else the nearest double; an average
    is the exact sum by the count, as the nearest double.
    """

    function: Function
    events: EventFilter
    #: The property that is read; empty for `count` only.
    property: str = ""
    window: Window = EVER

    def __post_init__(self) -> None:
        if self.function is not Function.COUNT:
            check_name("property", self.property)
        elif self.property:
            raise RuleError("a count reads no property", "remove `property`, or write `distinct`")


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time since the last (or the first) matching event, in microseconds; null without one."""

    events: EventFilter
    since_first: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence."""

    events: EventFilter
    #: The longest time after the step before, included, in microseconds; 0 = any.
    within_us: int = 0
    #: No event that matches this occurs strictly between the step before and this one.
    without: EventFilter | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """How many events complete the steps in order, each strictly later than the one before.

    The window selects the events of the last step; the steps before may be older. An event of the
    last step counts once, however many events of the steps before it completes.
    """

    steps: tuple[Step, ...]
    #: A property that has the same value (a string, number or boolean) on the events of all steps;
    #: empty = none.
    same: str = ""
    window: Window = EVER

    def __post_init__(self) -> None:
        if not 2 <= len(self.steps) <= MAX_STEPS:
            remedy = f"write 2 to {MAX_STEPS}"
            raise RuleError("there are too few or too many steps", remedy).under("steps")
        first = self.steps[0]
        if first.within_us or first.without is not None:
            remedy = "write `within` and `without` at a later step"
            raise RuleError("the first step has no step before it", remedy).under("steps[0]")
        for i, step in enumerate(self.steps):
            if step.within_us:
                check_span(f"steps[{i}].within", step.within_us)
        if self.same:
            check_name("same", self.same)


class TrendMeasure(Enum):
    """How a window is compared with the one before it; the value is the word in a rule."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Trend:
    """An aggregate in a window against the same aggregate in the window before it.

    `ratio` is now / before, and null if before is 0 or either has no value; `difference` is now -
    before, and null if either has no value. Both are computed from the values of the aggregates, as
    doubles. The windows are rolling or calendar; the one before has the same length (calendar
    windows: as many periods) and ends where the window begins.
    """

    aggregate: Aggregate
    measure: TrendMeasure

    def __post_init__(self) -> None:
        if not isinstance(self.aggregate.window, Rolling | Calendar):
            remedy = "write `within: 14d` or `during: this month`"
            raise RuleError("a trend needs a window of some length", remedy)
        if self.aggregate.function in (Function.FIRST, Function.LAST):
            raise RuleError("a trend compares numbers", "write count, sum or average")


class DateMeasure(Enum):
    """What is read from a date; the value is the word in a rule."""

    #: Days from the local date of the instant to the date; negative after it.
    DAYS_UNTIL = "days_until"
    #: Days to the next return of month and day: 0 on the day itself, at most 365.
    DAYS_UNTIL_ANNIVERSARY = "days_until_anniversary"
    #: Whole years since the date, as an age is counted; null before it.
    YEARS_SINCE = "years_since"


@dataclass(frozen=True, slots=True)
class DateDistance:
    """A whole number read from a trait that is a date, at the local date of the instant.

    The trait is a text: a date of ISO 8601 or one that the cleaner `date@1` reads, or an instant,
    whose local date counts; a time without a zone is a local one. Anything else is null.
    The zone is that in the person's trait `timezone` if it is an IANA name, else `zone`. In years
    without 29 February the anniversary of that day is 28 February in rules; journeys may choose.
    """

    trait: str
    measure: DateMeasure
    zone: str
    leap_day: LeapDay = LeapDay.FEB_28
    #: Whether `zone` counts for all persons, whatever their trait says; journeys need that.
    same_zone: bool = False

    def __post_init__(self) -> None:
        check_name("trait", self.trait)
        check_zone_name("zone", self.zone)


@dataclass(frozen=True, slots=True)
class TopValues:
    """The values of a property that occur most often in a window, at most `limit`.

    Value: a list, or null without a value. Equally frequent values are ordered by their last
    occurrence, newest first, then by canonical JSON.
    """

    events: EventFilter
    property: str
    limit: int
    window: Window = EVER

    def __post_init__(self) -> None:
        check_name("property", self.property)
        check_whole("limit", self.limit, 1, MAX_TOP)


@dataclass(frozen=True, slots=True)
class OrderDefinition:
    """Which events are payments and refunds of orders, and where their parts are.

    Amounts are numbers, or texts that are numbers. An order exists once it is paid: a payment with
    a valid amount >= 0 in the reporting currency. Of several payments of one order id the last by
    (occurred_at, amount) counts, so a repeated or corrected payment is no second order. Of several
    refunds of an order with one refund id the last counts, and so it does of those without an id. A
    refund may occur before the payment. A refund without an order in the same profile has no
    effect, and the refunds of an order never exceed its amount. Ids are strings, numbers or
    booleans; events with another id, amount or currency are neither payments nor refunds. An event
    without a currency is in the reporting one.
    """

    payments: EventFilter
    order_id: str
    amount: str
    refunds: EventFilter | None = None
    refund_order_id: str = ""
    refund_amount: str = ""
    #: Empty = an order has one refund, and the last one counts.
    refund_id: str = ""
    #: The property of payments and refunds with the currency; empty = all are in `currency`.
    currency_property: str = ""
    #: The ISO 4217 code of the reporting currency; orders in another one are not counted.
    currency: str = "CNY"

    def __post_init__(self) -> None:
        check_name("order_id", self.order_id)
        check_name("amount", self.amount)
        if self.refunds is None:
            for part in ("refund_order_id", "refund_amount", "refund_id"):
                object.__setattr__(self, part, "")
        else:
            check_name("refund_order_id", self.refund_order_id)
            check_name("refund_amount", self.refund_amount)
        if self.currency not in CODES:
            written = clean_currency(self.currency) or "CNY"
            remedy = f"write an ISO 4217 code such as {written}"
            raise RuleError("the currency is not known", remedy).under("currency")


class OrderMeasure(Enum):
    """What is read from the orders of a person; the value is the word in a rule."""

    #: The number of paid orders.
    COUNT = "count"
    #: The sum of the amounts less the refunds; 0 without an order.
    NET_SPEND = "net_spend"
    #: The net spend by order; null without an order.
    MEAN_VALUE = "mean_value"
    #: The largest net value of an order; null without one.
    MAX_VALUE = "maximum_value"
    #: The sum of the refunds; 0 without one.
    REFUNDED = "refunded"
    #: Days since the last order, as a fraction; null without one.
    DAYS_SINCE_LAST = "days_since_last"
    #: The mean time between consecutive orders in days, rounded down to a microsecond; null with
    #: fewer than two.
    MEAN_INTERVAL = "mean_interval_days"
    #: Days from the instant to the last order plus the mean interval; negative after it.
    DAYS_UNTIL_NEXT = "days_until_next"
    #: When the last order was, in days since 1970 began in UTC, as a fraction; null without one.
    #: Other than the days since it, this stays the same as time passes.
    LAST_AT = "last_at"


@dataclass(frozen=True, slots=True)
class Orders:
    """A measure of a person's orders. An order is in the window by the time of its payment."""

    definition: OrderDefinition
    measure: OrderMeasure
    #: Only payments whose properties match take part, so no other one corrects them.
    where: tuple[PropertyFilter, ...] = ()
    window: Window = EVER

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", ordered_filters(self.where))


@dataclass(frozen=True, slots=True)
class Related:
    """How many related objects of a type (accounts, courses, vehicles …) have matching traits."""

    #: The namespace of the object's identifiers, such as `account_id` or `course`.
    object_type: str
    #: Filters over the traits of the object.
    where: tuple[PropertyFilter, ...] = ()

    def __post_init__(self) -> None:
        check_name("type", self.object_type)
        object.__setattr__(self, "where", ordered_filters(self.where))


Feature: TypeAlias = (
    Trait | Aggregate | Elapsed | Sequence | Trend | DateDistance | TopValues | Orders | Related
)


def compared_name(feature: Feature) -> str:
    """Return the trait or the property whose values a feature reads; empty = it reads none."""
    match feature:
        case Trait():
            return feature.name
        case Aggregate() | TopValues():
            return feature.property
        case Trend():
            return feature.aggregate.property
        case DateDistance():
            return feature.trait
        case _:
            return ""
