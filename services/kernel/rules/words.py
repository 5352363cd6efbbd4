"""Lists the words of the rule language: its parser, its JSON Schema and its texts use these tables.

A predicate is one entry `KIND: BODY`. The tables list the keys of each body, the comparisons that
it takes, and the words of windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
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

JOINS: Final[Mapping[str, type[model.All | model.Any_]]] = {"all": model.All, "any": model.Any_}
#: What follows `is` in a `consent`: the comparison of the property `granted`.
CONSENTS: Final[Mapping[str, tuple[Operator, bool | None]]] = {
    "granted": (Operator.EQ, True),
    "refused": (Operator.EQ, False),
    "unknown": (Operator.MISSING, None),
}


class Kind(NamedTuple):
    """The form of the predicates of one kind."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    #: The comparisons, of which a body has exactly one; none if `measures` has words.
    comparisons: Comparisons = MappingProxyType({})
    #: The measures, of which a body has exactly one; its value is a number comparison.
    measures: tuple[str, ...] = ()
    #: What is compared, in errors.
    noun: str = "a value"
    #: Whether the comparison may be omitted; it is `at_least: 1` then.
    is_optional: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys of a body, without those of comparisons."""
        return (*self.required, *self.optional, *self.measures)


_EVENTS: Final = ("where", *WINDOW_KEYS)
_VALUE_FUNCTIONS: Final = (Function.FIRST, Function.LAST)


def _aggregate(function: Function) -> Kind:
    required = ("event",) if function is Function.COUNT else ("event", "property")
    if function in _VALUE_FUNCTIONS:
        return Kind(required, _EVENTS, VALUE_COMPARISONS)
    return Kind(required, _EVENTS, NUMBER_COMPARISONS, noun="a number")


FUNCTIONS: Final = {function.value: function for function in Function}
#: The functions whose values are numbers, so a trend can compare them.
TREND_FUNCTIONS: Final = {w: f for w, f in FUNCTIONS.items() if f not in _VALUE_FUNCTIONS}
#: The kinds of ages, and whether the first event counts.
AGES: Final = {"last_seen": False, "first_seen": True}

KINDS: Final[Mapping[str, Kind]] = {
    "trait": Kind(("name",), ("party", "clean"), VALUE_COMPARISONS),
    **{word: _aggregate(function) for word, function in FUNCTIONS.items()},
    **dict.fromkeys(AGES, Kind(("event",), ("where",), AGE_COMPARISONS, noun="an age")),
    "sequence": Kind(
        *(("steps",), ("same", *WINDOW_KEYS), NUMBER_COMPARISONS), noun="a number", is_optional=True
    ),
    "trend": Kind((), tuple(TREND_FUNCTIONS), measures=tuple(m.value for m in TrendMeasure)),
    "date": Kind(("trait",), ("zone",), measures=tuple(m.value for m in DateMeasure)),
    "top": Kind(("event", "property", "limit"), _EVENTS, LIST_COMPARISONS, noun="a list of values"),
    "orders": Kind((), (*_EVENTS, "definition"), measures=tuple(m.value for m in OrderMeasure)),
    "related": Kind(("type",), ("where",), NUMBER_COMPARISONS, noun="a number"),
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
