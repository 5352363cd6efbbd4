"""Consents per purpose: the last answer in any order and grouping, as the rules read it."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.consents import MAX_PURPOSES, fold_consent
from services.kernel.fold.events import ALIAS, PAGE, TRACK, EventView
from services.kernel.fold.leaf import LeafState, combine, decode, encode, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import Predicate

PURPOSES = ("marketing", "analytics")


def rule(purpose: str, answer: str) -> Predicate:
    parsed = parse_rule({"consent": {"purpose": purpose, "is": answer}})
    assert isinstance(parsed, Predicate)
    return parsed


ANSWERS = {p: {a: rule(p, a) for a in ("granted", "refused", "unknown")} for p in PURPOSES}
INDEX = PredicateIndex(r for rules in ANSWERS.values() for r in rules.values())


def changed(at_us: int, number: int, type_: int = TRACK, **properties: Any) -> EventView:
    raw = msgspec.json.encode(properties)
    name, source = "consent_changed", f"s{number}"
    return EventView(type_, name, at_us, number.to_bytes(16, "big"), raw, source_id=source)


def folded(*events: EventView) -> LeafState:
    state = LeafState()
    for event in events:
        fold_event(state, event, INDEX)
    return state


@given(st.randoms(use_true_random=False))
def test_consents_in_any_order_and_grouping_are_those_that_rules_read(rng: random.Random) -> None:
    events = [
        changed(rng.randrange(5), i, purpose=rng.choice(PURPOSES), granted=rng.random() < 0.5)
        for i in range(rng.randrange(12))
    ]
    state = folded(*events)
    rng.shuffle(events)
    cut = rng.randrange(len(events) + 1)
    halves = folded(*events[:cut]), folded(*events[cut:])
    assert encode(combine(*halves)) == encode(state)
    view = view_of(halves)
    assert view.consents == view_of([decode(encode(state))]).consents
    for purpose, rules in ANSWERS.items():
        true = [a for a, r in rules.items() if evaluate_predicate(r, view, 9).holds]
        answer = view.consents.get(purpose)
        assert true == ["unknown" if answer is None else ("refused", "granted")[answer[1]]]


def test_consent_has_its_time_fact_and_source() -> None:
    state = folded(
        changed(5, 2, purpose="sms", granted=False), changed(3, 1, purpose="sms", granted=True)
    )
    assert state.consents == {"sms": (5, 0, (2).to_bytes(16, "big"), "s2")}


@pytest.mark.parametrize(
    "properties",
    [
        *({}, {"purpose": "sms"}, {"granted": True}, {"purpose": "sms", "granted": "yes"}),
        *({"purpose": 7, "granted": True}, {"purpose": "", "granted": True}),
        {"purpose": "x" * 257, "granted": True},
    ],
    ids=lambda properties: f"{len(properties)}-{str(properties)[:30]}",
)
def test_event_without_a_purpose_and_an_answer_changes_no_consent(
    properties: dict[str, Any],
) -> None:
    assert folded(changed(1, 1, **properties)).consents == {}


def test_consent_is_read_from_the_events_that_rules_can_name() -> None:
    answer = {"purpose": "sms", "granted": True}
    assert folded(changed(1, 1, PAGE, **answer)).consents
    assert not folded(changed(1, 1, ALIAS, **answer)).consents


def test_consents_beyond_the_limit_are_those_answered_last_in_any_order() -> None:
    events = [changed(i, i, purpose=f"p{i}", granted=True) for i in range(MAX_PURPOSES + 3)]
    orders = events, events[::-1], events[50:] + events[:50]
    states = [folded(*order) for order in orders]
    assert {encode(s) for s in states} == {encode(states[0])}
    assert sorted(states[0].consents) == sorted(f"p{i}" for i in range(3, MAX_PURPOSES + 3))


def test_repeated_answer_changes_nothing() -> None:
    consents = folded(event := changed(1, 1, purpose="sms", granted=True)).consents
    assert fold_consent(consents, event) is consents
