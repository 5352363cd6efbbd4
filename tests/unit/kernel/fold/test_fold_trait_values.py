"""Tests that a trait has one form, however its sender wrote the event."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.fold.events import IDENTIFY, EventView
from services.kernel.fold.leaf import LeafState, encode, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.fold.trait_values import canonical_value

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab北", max_size=2), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (b'"\\u5317\\u4eac"', '"北京"'.encode()),
        ('"北京"'.encode(), '"北京"'.encode()),
        (b'"a\\/b\\u0022"', b'"a/b\\""'),
        (b"1.0", b"1"),
        (b"1e3", b"1000"),
        (b"1.50", b"1.5"),
        (b"-0.0", b"0"),
        (b"007", b"007"),
        (b"9007199254740993", b"9007199254740993"),
        (b"-12", b"-12"),
        (b"null", b"null"),
        (b'{ "b": [1.0, 2],  "a": "\\u0041" }', b'{"a":"A","b":[1,2]}'),
        (b"[1, 2]", b"[1,2]"),
        (b'"\\ud800"', b'"\\ud800"'),
        (b"1e999", b"1e999"),
        (b"[1e999]", b"[1e999]"),
        (b"", b""),
    ],
)
def test_value_has_one_form(written: bytes, canonical: bytes) -> None:
    assert canonical_value(written) == canonical


@examples(200)
@given(VALUES)
def test_every_way_to_write_a_value_has_the_same_form(value: object) -> None:
    ways = {
        canonical_value(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())
        for ascii_only in (True, False)
        for indent in (None, 2)
    } | {canonical_value(msgspec.json.encode(value))}
    assert len(ways) == 1
    (form,) = ways
    assert canonical_value(form) == form
    assert json.loads(form) == value


def test_state_does_not_depend_on_how_an_event_was_written() -> None:
    states = []
    for traits in (
        b'{"city": "\\u5317\\u4eac", "score": 1.0, "home": {"b": 1, "a": 2}}',
        '{"home":{"a":2,"b":1},"score":1,"city":"北京"}'.encode(),
    ):
        state = LeafState()
        event = EventView(IDENTIFY, "", 1, bytes(16), traits=traits)
        fold_event(state, event, PredicateIndex())
        states.append(encode(state))
    assert states[0] == states[1]
