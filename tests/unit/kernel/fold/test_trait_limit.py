"""The names of traits of a leaf are bounded, in one way for all orders of the facts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold import trait_limit
from services.kernel.fold.events import IDENTIFY, EventView
from services.kernel.fold.leaf import LeafState, combine, decode, encode, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.fold.traits import TraitValue
from services.kernel.rules.ids import predicate_id
from services.kernel.rules.values import Operator
from services.kernel.trust import SourceTrust
from tests.rule_builders import trait_is

LIMIT = 5
PUBLIC, SERVER = int(SourceTrust.PUBLIC), int(SourceTrust.SERVER)

facts = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 9),
        st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 3), max_size=4),
    ),
    max_size=14,
)


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trait_limit, "MAX_TRAITS", LIMIT)


def identify(at_us: int, fact: int, trust: int, traits: dict[str, Any]) -> EventView:
    stated = msgspec.json.encode(traits)
    return EventView(IDENTIFY, "", at_us, fact.to_bytes(16, "big"), b"", stated, trust=trust)


def folded(events: list[EventView], index: PredicateIndex | None = None) -> LeafState:
    state = LeafState()
    for event in events:
        fold_event(state, event, index or PredicateIndex())
    return state


def expected(events: list[EventView]) -> dict[str, TraitValue]:
    """Return the greatest names of all statements, which are never forgotten here."""
    greatest: dict[str, TraitValue] = {}
    for event in events:
        for name, json in msgspec.json.decode(event.traits, type=dict[str, msgspec.Raw]).items():
            value = (event.trust, event.occurred_at_us, event.fact_id, bytes(json), "")
            greatest[name] = max(value, greatest.get(name, value))
    ranked = sorted(greatest, key=lambda name: (greatest[name], name), reverse=True)
    return {name: greatest[name] for name in sorted(ranked[:LIMIT])}


@given(facts=facts, random=st.randoms(use_true_random=False), cut=st.integers(0, 14))
def test_traits_in_any_order_and_split_are_the_greatest_of_all_statements(
    facts: list[tuple[int, int, dict[str, Any]]], random: Any, cut: int
) -> None:
    events = [identify(at, fact, trust, t) for fact, (trust, at, t) in enumerate(facts)]
    state = folded(events)
    assert state.traits == expected(events)
    names = {name for _, _, traits in facts for name in traits}
    assert state.dropped_traits == (len(names) > LIMIT)
    shuffled = list(events)
    random.shuffle(shuffled)
    assert encode(folded(shuffled)) == encode(state)
    assert encode(combine(folded(shuffled[:cut]), folded(shuffled[cut:]))) == encode(state)
    assert decode(encode(state)) == state


def test_flood_of_public_names_drops_no_name_of_a_more_trusted_source() -> None:
    trusted = [identify(n, n, SERVER, {f"plan{n}": n}) for n in range(LIMIT - 1)]
    flood = [identify(100 + n, 100 + n, PUBLIC, {f"seen{n}": True}) for n in range(50)]
    state = folded([*trusted, *flood])
    assert list(state.traits) == ["plan0", "plan1", "plan2", "plan3", "seen49"]
    assert view_of([state]).has_dropped_traits


def test_dropped_name_comes_back_with_its_next_statement() -> None:
    flood = [identify(10 + n, 10 + n, PUBLIC, {f"seen{n}": True}) for n in range(50)]
    state = folded([identify(1, 1, PUBLIC, {"city": "a"}), *flood])
    assert "city" not in state.traits
    fold_event(state, identify(99, 99, PUBLIC, {"city": "b"}), PredicateIndex())
    assert state.traits["city"][3] == b'"b"'
    assert len(state.traits) == LIMIT


def test_predicates_over_a_dropped_name_are_evaluated_again() -> None:
    local = trait_is("city", Operator.EQ, "a")
    index = PredicateIndex([local])
    state = folded([identify(1, 1, PUBLIC, {"city": "a"})], index)
    affected: set[int] = set()
    for n in range(LIMIT):
        affected |= fold_event(state, identify(9, 9 + n, PUBLIC, {f"seen{n}": 1}), index)
    assert affected == {predicate_id(local)}


def test_leaf_keeps_a_thousand_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    state = folded([identify(n, n, PUBLIC, {f"n{n}": 1}) for n in range(1_003)])
    assert len(state.traits) == trait_limit.MAX_TRAITS == 1_000
