"""Draws random rules as they are written: all features, references, and names of any characters."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from oracle import random_rules
from oracle import rules_strategies as some

from services.kernel.calendar import PeriodUnit
from services.kernel.rules.features import Aggregate, Function, Trait
from services.kernel.rules.filters import EventFilter, PropertyFilter
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import EVER, Anchor, Calendar, Relative, Rolling, Window
from services.kernel.trust import Party

#: Words of the language, and names with spaces, quotes, brackets and dots.
HARD_NAMES = (
    *("and", "or", "not", "where", "in", "days", "count", "次数", "并且", "最近", "没有", "true"),
    *(
        "订单 完成",
        "a b",
        'say "hi"',
        "x\\y",
        "(",
        "a.b.c",
        "1st",
        "课程id",
        "城市=北京",
        ",",
        "7d",
    ),
    *("last", "to date", "用户_id", "a-b", "$page", "是", "的", "天", "\n", "ａ", "e\u0301", "🙂"),
)
names = st.one_of(
    st.sampled_from(("viewed", "city", "课程")),
    st.sampled_from(HARD_NAMES),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)
scalars: st.SearchStrategy[Any] = st.one_of(
    names,
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[Operator, Any, bool]:
    """Draw an operator, a value that fits, and a flag of case."""
    operator = draw(st.sampled_from(Operator))
    flag = draw(st.booleans())
    if operator in (Operator.EXISTS, Operator.MISSING):
        return operator, None, flag
    if operator in (Operator.IN, Operator.NOT_IN):
        return operator, tuple(draw(st.lists(scalars, min_size=1, max_size=3))), flag
    if operator in (Operator.STARTS_WITH, Operator.ENDS_WITH):
        return operator, draw(names), flag
    ordered = operator in (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
    value = draw(scalars.filter(lambda v: not isinstance(v, bool)) if ordered else scalars)
    return operator, value, flag


filters = st.builds(lambda name, parts: PropertyFilter(name, *parts), names, comparisons())
event_filters = st.builds(
    EventFilter,
    st.lists(names, min_size=1, max_size=3).map(tuple),
    st.lists(filters, max_size=3).map(tuple),
)
spans = st.one_of(st.sampled_from(random_rules.SPANS), st.integers(1, 2**62))
windows: st.SearchStrategy[Window] = st.one_of(
    st.just(EVER),
    st.builds(Rolling, spans),
    st.builds(
        lambda unit, newest, more, zone: Calendar(unit, newest + more, newest, zone),
        st.sampled_from(PeriodUnit),
        st.integers(0, 3) | st.integers(0, 600),
        st.integers(0, 3) | st.integers(0, 600),
        st.sampled_from(random_rules.ZONES),
    ),
    st.builds(Relative, event_filters, st.sampled_from(Anchor), st.booleans(), st.just(0) | spans),
)
traits = st.builds(
    Trait,
    names,
    st.lists(st.sampled_from(Party), max_size=3).map(tuple),
    st.just(""),
    st.lists(names, max_size=3).map(tuple),
)
cleaned = st.builds(
    lambda name, cleaner, value: Predicate(Trait(name, (), cleaner), Operator.EQ, value),
    names,
    st.sampled_from(("place", "place@1")),
    st.sampled_from(("北京", "Jiangsu", "南京市鼓楼区")),
)
value_features = st.one_of(
    traits,
    st.builds(
        Aggregate, st.sampled_from((Function.FIRST, Function.LAST)), event_filters, names, windows
    ),
)
counts = st.builds(
    lambda events, window, number: Predicate(
        Aggregate(Function.COUNT, events, "", window), Operator.GE, number
    ),
    event_filters,
    windows,
    st.integers(0, 2**63 - 1),
)
references = st.one_of(
    st.builds(Reference, st.just(ReferenceKind.SEGMENT), names),
    st.builds(Reference, st.just(ReferenceKind.TAG), names, st.one_of(st.just(""), names)),
    st.builds(Reference, st.just(ReferenceKind.STAGE), names, names),
)
leaves: st.SearchStrategy[Rule] = st.one_of(
    some.predicates,
    some.predicates,
    st.builds(lambda feature, parts: Predicate(feature, *parts), value_features, comparisons()),
    counts,
    cleaned,
    references,
)
rules: st.SearchStrategy[Rule] = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Any_, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=5,
)
