"""Draws random rules and logs that match often: few names, close instants, many ties."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from oracle.rules_oracle import OracleEvent

from services.kernel.fold import events as event_types
from services.kernel.fold.events import EventView
from services.kernel.rules.model import (
    AGE_OPERATORS,
    COUNT_OPERATORS,
    All,
    Any_,
    CountPredicate,
    DistinctPredicate,
    EventFilter,
    LastSeenPredicate,
    Not,
    Predicate,
    PropertyFilter,
    Rule,
    TraitPredicate,
)
from services.kernel.rules.values import Operator
from services.kernel.trust import SourceTrust

TYPES = {
    "track": event_types.TRACK,
    "identify": event_types.IDENTIFY,
    "page": event_types.PAGE,
    "screen": event_types.SCREEN,
    "group": event_types.GROUP,
}
NAMES = ("viewed", "bought", "page")
PATHS = ("p", "q", "o.p", "o.p.q")
TRAITS = ("city", "age")
#: Instants of logs are in 0..LATEST, spans in 1..LONGEST, so edges and ties are common.
LATEST = 40
LONGEST = 30

scalars: st.SearchStrategy[Any] = st.sampled_from(
    ("a", "ab", "", "1", "true", 0, 1, 1.0, 2, 1.5, -3, True, False, 2**70)
)
texts_and_numbers = st.sampled_from(("a", "ab", "1", 0, 1, 2, 1.5))
values = st.one_of(scalars, st.none(), st.lists(scalars, max_size=2))
objects = st.fixed_dictionaries({}, optional={"p": values})
properties = st.fixed_dictionaries(
    {},
    optional={
        "p": values,
        "q": values,
        "o": st.one_of(values, objects, st.lists(st.one_of(objects, scalars), max_size=3)),
        "o.p": values,
    },
)


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[Operator, Any]:
    operator = draw(st.sampled_from(Operator))
    if operator is Operator.EXISTS:
        return operator, None
    if operator is Operator.IN:
        return operator, tuple(draw(st.lists(scalars, min_size=1, max_size=3)))
    ordering = operator in (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
    return operator, draw(texts_and_numbers if ordering else scalars)


@st.composite
def filters(draw: st.DrawFn) -> PropertyFilter:
    return PropertyFilter(draw(st.sampled_from(PATHS)), *draw(comparisons()))


event_filters = st.builds(
    EventFilter, st.sampled_from(NAMES), st.lists(filters(), max_size=2).map(tuple)
)
windows = st.one_of(st.just(0), st.integers(1, LONGEST))
numbers = st.integers(0, 4)
counts = st.builds(
    CountPredicate, event_filters, windows, st.sampled_from(COUNT_OPERATORS), numbers
)
distincts = st.builds(
    DistinctPredicate,
    event_filters,
    st.sampled_from(PATHS),
    windows,
    st.sampled_from(COUNT_OPERATORS),
    numbers,
)
last_seens = st.builds(
    LastSeenPredicate, event_filters, st.sampled_from(AGE_OPERATORS), st.integers(1, LONGEST)
)


@st.composite
def traits(draw: st.DrawFn) -> TraitPredicate:
    return TraitPredicate(draw(st.sampled_from(TRAITS)), *draw(comparisons()))


predicates: st.SearchStrategy[Predicate] = st.one_of(counts, distincts, last_seens, traits())
rules: st.SearchStrategy[Rule] = st.recursive(
    predicates,
    lambda parts: st.one_of(
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Any_, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=5,
)


@st.composite
def logs(draw: st.DrawFn, max_size: int = 12) -> list[OracleEvent]:
    """Draw events of one profile, each with its own fact id."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(("track", "track", "track", "identify", "page", "group")),
                st.sampled_from(NAMES),
                st.integers(0, LATEST),
                properties,
                st.dictionaries(st.sampled_from(TRAITS), values, max_size=2),
                st.sampled_from(SourceTrust),
            ),
            max_size=max_size,
        )
    )
    ids = draw(st.permutations(range(len(drawn))))
    return [
        _event(type_, name, at_us, id_, props, stated, trust)
        for id_, (type_, name, at_us, props, stated, trust) in zip(ids, drawn, strict=True)
    ]


def _event(
    type_: str,
    name: str,
    at_us: int,
    id_: int,
    props: dict[str, Any],
    stated: dict[str, Any],
    trust: SourceTrust,
) -> OracleEvent:
    named = name if type_ == "track" or (type_ == "page" and name != "page") else ""
    stated = stated if type_ == "identify" else {}
    return OracleEvent(type_, named, at_us, id_.to_bytes(16, "big"), props, stated, trust)


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
