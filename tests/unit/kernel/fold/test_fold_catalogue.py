"""An event touches what depends on it, and nothing else."""

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
from services.kernel.fold.events import IDENTIFY, PAGE, SCREEN, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex, property_getter
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.ids import predicate_id, predicates
from services.kernel.rules.json_form import parse_rule
from services.kernel.rules.model import Rule

VIEWED = parse_rule({"distinct": {"event": "viewed", "property": "id", "within": "7d", "eq": 3}})
PAID = parse_rule({"count": {"event": "viewed", "where": {"paid": True}, "at_least": 1}})
OFTEN = parse_rule({"count": {"event": "viewed", "within": "30d", "at_least": 9}})
CITY = parse_rule({"trait": {"name": "city", "eq": "北京市"}})
CATALOGUE = PredicateIndex.from_rules([VIEWED, PAID, OFTEN, CITY])


def ids(*rules: Rule) -> set[int]:
    return {predicate_id(predicate) for rule in rules for predicate in predicates(rule)}


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
def test_what_an_event_touches(seen: EventView, rules: list[Rule]) -> None:
    assert CATALOGUE.affected_predicates(seen) == ids(*rules)
    assert fold_event(LeafState(), seen, CATALOGUE) == ids(*rules)


def test_a_trait_that_loses_touches_nothing() -> None:
    state = LeafState()
    fold_event(state, EventView(IDENTIFY, "", 9, bytes(16), b"", b'{"city":"a"}'), CATALOGUE)
    late = EventView(IDENTIFY, "", 8, bytes(16), b"", b'{"city":"b"}')
    assert fold_event(state, late, CATALOGUE) == frozenset()


def test_pages_and_screens_without_a_name() -> None:
    rules = [parse_rule({"count": {"event": name, "eq": 1}}) for name in ("page", "screen")]
    catalogue = PredicateIndex.from_rules(rules)
    assert catalogue.affected_predicates(event(PAGE)) == ids(rules[0])
    assert catalogue.affected_predicates(event(SCREEN)) == ids(rules[1])
    assert catalogue.affected_predicates(event(SCREEN, "home")) == frozenset()


@examples(100)
@given(st.lists(some.rules, max_size=3), some.logs())
def test_only_what_is_touched_changes(rules: list[Rule], log: list[OracleEvent]) -> None:
    """Each verdict that differs after an event, at one instant, is of a touched predicate."""
    catalogue, state, at_us = PredicateIndex.from_rules(rules), LeafState(), some.LATEST
    asked = [known.predicate for known in catalogue.predicates.values()]
    for happened in map(some.view_of, log):
        before = [evaluate_predicate(p, view_of([state]), at_us) for p in asked]
        may_change = catalogue.affected_predicates(happened)
        touched = fold_event(state, happened, catalogue)
        after = [evaluate_predicate(p, view_of([state]), at_us) for p in asked]
        changed = {predicate_id(p) for p, a, b in zip(asked, before, after, strict=True) if a != b}
        assert changed <= touched <= may_change


def test_rules_are_added_to_a_new_catalogue() -> None:
    few = PredicateIndex.from_rules([CITY])
    more = few.with_rules([OFTEN, CITY])
    assert set(few.predicates) == ids(CITY)
    assert set(more.predicates) == ids(CITY, OFTEN)
    assert (len(few.accumulator_ids), len(more.accumulator_ids)) == (0, 1)
    assert PredicateIndex().affected_predicates(event(TRACK, "viewed", paid=True)) == frozenset()


def test_predicates_share_series() -> None:
    last = parse_rule({"last_seen": {"event": "viewed", "within": "3d"}})
    catalogue = PredicateIndex.from_rules([OFTEN, last])
    assert len(catalogue.accumulator_ids) == 1
    assert catalogue.affected_predicates(event(TRACK, "viewed")) == ids(OFTEN, last)


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
def test_paths(path: str, value: Any) -> None:
    properties = {"a": {"b": 1, "c": {"d": 2}}, "x.y": 3, "x": {"y": 4}, "l": [5], "none": None}
    assert property_getter(path)(properties) == value


@pytest.mark.parametrize(
    "junk", [b"", b"[]", b"3", b"{", b'{"id":1e999}', b'{"id":"\xff"}', b'{"id":' + b"[" * 9999]
)
def test_unreadable_properties_are_none(junk: bytes) -> None:
    seen = EventView(TRACK, "viewed", 1, bytes(16), junk, junk)
    assert CATALOGUE.affected_predicates(seen) == ids(OFTEN)
    stated = EventView(IDENTIFY, "", 1, bytes(16), junk, junk)
    fold_event(LeafState(), stated, CATALOGUE)


def test_the_numbers_of_types_are_those_of_the_treaty() -> None:
    for name in ("TRACK", "IDENTIFY", "PAGE", "SCREEN", "GROUP", "ALIAS"):
        assert getattr(events, name) == event_pb2.EventType.Value(f"EVENT_TYPE_{name}")
