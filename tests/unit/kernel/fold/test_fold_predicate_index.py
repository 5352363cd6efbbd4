"""An event affects the predicates that depend on it, and no others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.type.v1 import event_pb2
from oracle import rules_strategies as some
from oracle.rules_oracle import OracleEvent
from properties import examples

from services.kernel.fold import events
from services.kernel.fold.additions import traits_of_addition
from services.kernel.fold.events import GROUP, IDENTIFY, PAGE, SCREEN, TRACK, EventView, raw_members
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex, property_getter
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.model import Rule

VIEWED = parse_rule({"distinct": {"event": "viewed", "property": "id", "within": "7d", "eq": 3}})
PAID = parse_rule({"count": {"event": "viewed", "where": {"paid": True}, "at_least": 1}})
OFTEN = parse_rule({"count": {"event": "viewed", "within": "30d", "at_least": 9}})
CITY = parse_rule({"trait": {"name": "city", "eq": "北京市"}})
INDEX = PredicateIndex.from_rules([VIEWED, PAID, OFTEN, CITY])


def ids(*rules: Rule) -> set[int]:
    return {predicate_id(predicate) for rule in rules for predicate in predicates(rule)}


def affected_predicates(index: PredicateIndex, event: EventView) -> set[int]:
    """Return the ids of the predicates that an event may change, in any state."""
    affected = set[int]().union(*(b.predicates for b, _ in index.matching_bindings(event)))
    affected.update(*map(index.affected_by_trait, traits_of_addition(event)))
    if event.type == GROUP:
        affected |= index.related_predicates
    if event.type == IDENTIFY:
        affected.update(*map(index.affected_by_trait, raw_members(event.traits)))
    return affected


def event(type_: int, name: str = "", **members: Any) -> EventView:
    json = msgspec.json.encode(members)
    return EventView(type_, name, 1, bytes(16), json, json)


@pytest.mark.parametrize(
    ("seen", "rules"),
    [
        (event(TRACK, "viewed"), [OFTEN]),
        (event(TRACK, "viewed", paid=True), [OFTEN, PAID]),
        (event(TRACK, "viewed", id=3, paid="true"), [OFTEN, VIEWED]),
        (event(TRACK, "bought", id=3, paid=True), []),
        (event(TRACK, "viewed", city="x"), [OFTEN]),
        (event(IDENTIFY, city="x", paid=True), [CITY]),
        (event(IDENTIFY, name="x"), []),
        (event(IDENTIFY, "viewed", paid=True), []),
        (event(PAGE, "viewed", id=[1]), [OFTEN]),
    ],
)
def test_event_affects_the_predicates_that_depend_on_it(seen: EventView, rules: list[Rule]) -> None:
    assert affected_predicates(INDEX, seen) == ids(*rules)
    assert fold_event(LeafState(), seen, INDEX) == ids(*rules)


def test_trait_older_than_the_stored_one_affects_nothing() -> None:
    state = LeafState()
    fold_event(state, EventView(IDENTIFY, "", 9, bytes(16), b"", b'{"city":"a"}'), INDEX)
    late = EventView(IDENTIFY, "", 8, bytes(16), b"", b'{"city":"b"}')
    assert fold_event(state, late, INDEX) == frozenset()


def test_unnamed_pages_and_screens_have_default_names() -> None:
    rules = [parse_rule({"count": {"event": name, "eq": 1}}) for name in ("page", "screen")]
    index = PredicateIndex.from_rules(rules)
    assert affected_predicates(index, event(PAGE)) == ids(rules[0])
    assert affected_predicates(index, event(SCREEN)) == ids(rules[1])
    assert affected_predicates(index, event(SCREEN, "home")) == frozenset()


@examples(100)
@given(st.lists(some.rules, max_size=3), some.logs())
def test_event_changes_only_affected_predicates(rules: list[Rule], log: list[OracleEvent]) -> None:
    """Each result that differs after an event, at one instant, is of an affected predicate."""
    index, state, as_of_us = PredicateIndex.from_rules(rules), LeafState(), some.LATEST
    compiled = [c.predicate for c in index.predicates.values()]
    for happened in map(some.view_of, log):
        before = [evaluate_predicate(p, view_of([state]), as_of_us) for p in compiled]
        may_change = affected_predicates(index, happened)
        affected = fold_event(state, happened, index)
        after = [evaluate_predicate(p, view_of([state]), as_of_us) for p in compiled]
        changed = {
            predicate_id(p) for p, a, b in zip(compiled, before, after, strict=True) if a != b
        }
        assert changed <= affected <= may_change


def test_index_of_more_rules_has_their_predicates_once() -> None:
    few = PredicateIndex.from_rules([CITY])
    more = PredicateIndex.from_rules([CITY, OFTEN, CITY])
    assert set(few.predicates) == ids(CITY)
    assert set(more.predicates) == ids(CITY, OFTEN)
    assert (len(few.accumulator_ids), len(more.accumulator_ids)) == (0, 1)
    assert affected_predicates(PredicateIndex(), event(TRACK, "viewed", paid=True)) == set()


def test_predicates_on_the_same_events_share_an_accumulator() -> None:
    last = parse_rule({"last_seen": {"event": "viewed", "within": "3d"}})
    index = PredicateIndex.from_rules([OFTEN, last])
    assert len(index.accumulator_ids) == 1
    assert affected_predicates(index, event(TRACK, "viewed")) == ids(OFTEN, last)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", {"b": 1, "c": {"d": 2}}),
        ("a.b", 1),
        ("a.c.d", 2),
        ("a.c.e", None),
        ("a.b.c", None),
        ("x.y", 3),
        ("l.0", None),
        ("none", None),
        ("none.a", None),
    ],
)
def test_property_getter_reads_nested_and_dotted_names(path: str, value: Any) -> None:
    properties = {"a": {"b": 1, "c": {"d": 2}}, "x.y": 3, "x": {"y": 4}, "l": [5], "none": None}
    assert property_getter(path)(properties) == value


@pytest.mark.parametrize(
    "junk", [b"", b"[]", b"3", b"{", b'{"id":1e999}', b'{"id":"\xff"}', b'{"id":' + b"[" * 9999]
)
def test_malformed_properties_count_as_absent(junk: bytes) -> None:
    seen = EventView(TRACK, "viewed", 1, bytes(16), junk, junk)
    assert affected_predicates(INDEX, seen) == ids(OFTEN)
    stated = EventView(IDENTIFY, "", 1, bytes(16), junk, junk)
    fold_event(LeafState(), stated, INDEX)


def test_event_type_numbers_equal_those_of_the_protos() -> None:
    for name in ("TRACK", "IDENTIFY", "PAGE", "SCREEN", "GROUP", "ALIAS"):
        assert getattr(events, name) == event_pb2.EventType.Value(f"EVENT_TYPE_{name}")
