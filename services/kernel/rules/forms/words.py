"""Lists the words of the rule language: its parser, its JSON Schema and its texts use these tables.

A predicate is one entry `KIND: BODY`. The tables list the keys of each body, the comparisons that
it takes, and the words of windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple

from services.kernel.rules import model
from services.kernel.rules.features import DateMeasure, Function, OrderMeasure, TrendMeasure
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import Anchor
from services.kernel.trust import Party

Comparisons = Mapping[str, Operator]

VALUE_COMPARISONS: Final[Comparisons] = {operator.value: operator for operator in Operator}
NUMBER_COMPARISONS: Final[Comparisons] = {o.value: o for o in model.NUMBER_OPERATORS}
LIST_COMPARISONS: Final[Comparisons] = {o.value: o for o in model.LIST_OPERATORS}
AGE_COMPARISONS: Final[Comparisons] = dict(
    zip(("within", "at_most", "longer_than", "at_least"), model.AGE_OPERATORS, strict=True)
)
AGE_WORDS: Final = {operator: word for word, operator in AGE_COMPARISONS.items()}
#: Comparisons that are written with `true` instead of a value.
TRUE_COMPARISONS: Final = (Operator.EXISTS, Operator.MISSING)
#: The key beside a comparison that makes case and width of texts irrelevant.
IGNORE_CASE: Final = "ignore_case"

#: The windows; a body has at most one of them, and none means the whole past.
WINDOWS: Final = ("within", "during", "before", "after")
#: The windows that have a length.
LENGTHS: Final = ("within", "during")
#: All keys that describe a window.
WINDOW_KEYS: Final = (*WINDOWS, "zone")
ANCHORS: Final = {anchor.value: anchor for anchor in Anchor}
PARTIES: Final = {party.name.lower(): party for party in Party}

#: The cleaner in a form or text that says that a trait is compared as it is.
NO_CLEANER: Final = "none"

JOINS: Final[Mapping[str, type[model.All | model.Any_]]] = {"all": model.All, "any": model.Any_}
#: The event that a `consent` reads.
CONSENT_CHANGED: Final = "consent_changed"
#: What follows `is` in a `consent`: the comparison of the property `granted`.
CONSENTS: Final[Mapping[str, tuple[Operator, bool | None]]] = {
    "granted": (Operator.EQ, True),
    "refused": (Operator.EQ, False),
    "unknown": (Operator.MISSING, None),
}


class Compared(NamedTuple):
    """What the predicates of a kind compare, and how."""

    comparisons: Comparisons
    #: The compared value, in errors.
    noun: str
    #: Whether `ignore_case` may be written.
    has_case: bool = False
    #: Whether the value is a whole number from 0 up.
    is_whole: bool = False


VALUES: Final = Compared(VALUE_COMPARISONS, "a value", has_case=True)
NUMBERS: Final = Compared(NUMBER_COMPARISONS, "a number")
COUNTS: Final = Compared(NUMBER_COMPARISONS, "a number", is_whole=True)
LISTS: Final = Compared(LIST_COMPARISONS, "a list of values", has_case=True)
SPANS: Final = Compared(AGE_COMPARISONS, "an age")


class Kind(NamedTuple):
    """The form of the predicates of one kind."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    #: Its comparisons, of which a body has exactly one.
    compared: Compared
    #: If there are any, a body has exactly one, and its value is a mapping with the comparison.
    measures: tuple[str, ...] = ()
    #: Whether the comparison may be omitted; it is `at_least: 1` then.
    is_optional: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys of a body, without those of comparisons."""
        return (*self.required, *self.optional, *self.measures)


_EVENTS: Final = ("where", *WINDOW_KEYS)
_VALUE_FUNCTIONS: Final = (Function.FIRST, Function.LAST)


def _aggregate(function: Function) -> Kind:
    if function is Function.COUNT:
        return Kind(("event",), _EVENTS, COUNTS)
    compared = COUNTS if function is Function.DISTINCT else NUMBERS
    compared = VALUES if function in _VALUE_FUNCTIONS else compared
    return Kind(("event", "property"), _EVENTS, compared)


def _words(measures: Iterable[Enum]) -> tuple[str, ...]:
    return tuple(measure.value for measure in measures)


FUNCTIONS: Final = {function.value: function for function in Function}
#: The functions whose values are numbers, so a trend can compare them.
TREND_FUNCTIONS: Final = {w: f for w, f in FUNCTIONS.items() if f not in _VALUE_FUNCTIONS}
#: The kinds of ages, and whether the first event counts.
AGES: Final = {"last_seen": False, "first_seen": True}

KINDS: Final[Mapping[str, Kind]] = {
    "trait": Kind(("name",), ("party", "from", "clean"), VALUES),
    **{word: _aggregate(function) for word, function in FUNCTIONS.items()},
    **dict.fromkeys(AGES, Kind(("event",), ("where",), SPANS)),
    "sequence": Kind(("steps",), ("same", *WINDOW_KEYS), COUNTS, is_optional=True),
    "trend": Kind((), tuple(TREND_FUNCTIONS), NUMBERS, _words(TrendMeasure)),
    "date": Kind(("trait",), ("zone",), NUMBERS, _words(DateMeasure)),
    "top": Kind(("event", "property", "limit"), _EVENTS, LISTS),
    "orders": Kind((), (*_EVENTS, "definition"), NUMBERS, _words(OrderMeasure)),
    "related": Kind(("type",), ("where",), COUNTS),
}
REFERENCES: Final = {kind.value: kind for kind in model.ReferenceKind}
#: The keys of a reference that is a mapping: the one of its id, then that of its value.
REFERENCE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "segment": ("id",),
    "tag": ("id", "is"),
    "stage": ("of", "is"),
}
#: Every word that begins a rule.
RULES: Final = (*JOINS, "not", *REFERENCES, *KINDS, "consent")

STEP_KEYS: Final = ("event", "where", "within", "without")
ANCHOR_KEYS: Final = ("event", "where", "which", "within")
FILTER_KEYS: Final = ("event", "where")
DEFINITION_KEYS: Final = ("payments", "refunds", "currency", "currency_property")
PAYMENT_KEYS: Final = (*FILTER_KEYS, "order_id", "amount")
REFUND_KEYS: Final = (*PAYMENT_KEYS, "refund_id")

#: Words of other languages that users are likely to try.
SYNONYMS: Final = {
    **dict.fromkeys(("le", "lte", "<="), "at_most"),
    **dict.fromkeys(("ge", "gte", ">="), "at_least"),
    **dict.fromkeys(("=", "==", "equals", "is"), "eq"),
    **dict.fromkeys(("!=", "<>", "is_not"), "ne"),
    **dict.fromkeys(("<", "less_than", "below"), "lt"),
    **dict.fromkeys((">", "greater_than", "more_than", "above"), "gt"),
    **dict.fromkeys(("in_last", "window"), "within"),
    **dict.fromkeys(("avg", "mean"), "average"),
    **dict.fromkeys(("unique", "count_distinct", "uniq"), "distinct"),
    **dict.fromkeys(("not_exists", "absent", "is_null"), "missing"),
    **dict.fromkeys(("prefix", "begins_with"), "starts_with"),
    **dict.fromkeys(("events", "name"), "event"),
    **dict.fromkeys(("source", "sources"), "from"),
    **dict.fromkeys(("timezone", "time_zone", "tz"), "zone"),
    **dict.fromkeys(("filter", "filters"), "where"),
    **dict.fromkeys(("funnel", "path"), "sequence"),
    **dict.fromkeys(("anniversary", "days_to_anniversary"), "days_until_anniversary"),
    **dict.fromkeys(("age", "years"), "years_since"),
    "denied": "refused",
    "withdrawn": "refused",
    "min": "minimum",
    "max": "maximum",
    "and": "all",
    "or": "any",
}
