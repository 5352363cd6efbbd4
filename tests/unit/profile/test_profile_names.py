"""Tests the forms of names by which persons are found."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.events import CORRECTION, IDENTIFY, TRACK, EventView
from services.kernel.fold.leaf import LeafState, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.trust import Party
from services.profile.domain.names import forms_of, forms_of_leaf, may_change_names, plain_form

FACT = b"f" * 16
NAMES = st.text(alphabet="张李王伟单曾 ·Aa-éß1", max_size=12)


def leaf(*events: EventView) -> LeafState:
    state = LeafState()
    for event in events:
        fold_event(state, event, PredicateIndex())
    return state


def named(traits: str, at_us: int = 1, party: Party = Party.FIRST) -> EventView:
    return EventView(IDENTIFY, "", at_us, FACT, traits=traits.encode(), party=int(party), trust=2)


@pytest.mark.parametrize(
    ("name", "searches"),
    [
        ("张伟明", ["张", "张伟", "伟明", "明", "zhang", "zhangwei", "weiming", "zwm", "zw"]),
        ("单雄信", ["shan", "shanxiong", "dan", "sxx"]),
        ("曾国藩", ["zeng", "zengguofan", "zgf"]),
        ("吕布", ["lv", "lvbu", "lb"]),
        ("Wei Zhang", ["wei", "zhang", "Zhang Wei", "WEI ZH"]),
        ("阿卜杜拉·买买提", ["阿卜杜拉", "买买提", "maimaiti"]),
        ("Ｌｉ", ["li", "LI"]),
    ],
    ids=range(7),
)
def test_name_is_found_by_each_of_its_beginnings(name: str, searches: list[str]) -> None:
    for search in searches:
        assert any(form.startswith(plain_form(search)) for form in forms_of(name)), search


def test_name_is_not_found_by_what_it_does_not_have() -> None:
    assert not any(form.startswith(("王", "wang", "伟张")) for form in forms_of("张伟明"))


@given(NAMES)
def test_forms_of_any_name_are_letters_and_digits_and_begin_with_the_name(name: str) -> None:
    forms = forms_of(name)
    assert all(form.isalnum() and form == form.casefold() for form in forms), forms
    whole = plain_form(name)
    assert not whole or whole in forms
    assert forms == forms_of(name)


def test_forms_of_a_leaf_are_of_all_parties_and_corrections() -> None:
    correction = EventView(
        CORRECTION, "name", 3, FACT, record=(3, FACT, '"黎明"'.encode(), "key", "typo")
    )
    state = leaf(
        named('{"name": "李雷", "city": "北京"}'),
        named('{"nickname": "Lilly"}', party=Party.THIRD),
        correction,
    )
    forms = forms_of_leaf(state)
    assert {"李雷", "lilei", "lilly", "黎明", "lm"} <= set(forms)
    assert "北京" not in forms
    assert all(a < b for a, b in pairwise(forms))
    assert forms_of_leaf(leaf(named('{"name": null}', 9))) == []
    assert forms_of_leaf(leaf(named('{"name": {"a": 1}, "nickname": 7}'))) == []


def test_event_without_traits_changes_no_name() -> None:
    assert may_change_names(named("{}"))
    assert not may_change_names(EventView(TRACK, "name", 1, FACT))
    assert not may_change_names(EventView(CORRECTION, "city", 1, FACT))
