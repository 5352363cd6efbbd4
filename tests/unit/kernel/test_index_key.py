"""Tests of keyed ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.identifiers.model import Identifier
from services.kernel.index_key import IndexKey
from tests.index_key import INDEX_KEY, INDEX_KEY_TEXT

OTHER_KEY = IndexKey(1, b"x" * 32)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def test_id_of_an_identifier_is_the_same_in_every_process() -> None:
    again = IndexKey.parse(INDEX_KEY_TEXT)
    for key in (INDEX_KEY, again):
        assert Identifier("phone", "+8613800000000").id_in("w", key) == INDEX_KEY.identifier_id(
            "w", "phone", "+8613800000000"
        )


def test_id_differs_between_keys_workspaces_namespaces_and_values() -> None:
    ids = {
        key.identifier_id(*parts)
        for key in (INDEX_KEY, OTHER_KEY)
        for parts in (("w", "a", "b"), ("v", "a", "b"), ("w", "ab", ""), ("w", "a", "c"))
    }
    assert len(ids) == 8


def test_equal_bytes_have_unrelated_ids_for_each_purpose() -> None:
    raw = b"source\0message\0"
    ids = {
        INDEX_KEY.identifier_id("w", "source", "message\0"),
        INDEX_KEY.event_fact_id("w", "source", "message", b""),
        INDEX_KEY.content_tag("w", raw),
        INDEX_KEY.quarantine_id("w", ("source", "message"), b""),
    }
    assert len(ids) == 4


@given(TEXT, TEXT, st.binary(max_size=8), TEXT, TEXT, st.binary(max_size=8))
def test_quarantine_ids_are_equal_only_for_equal_parts(
    one: str, other: str, raw: bytes, a: str, b: str, c: bytes
) -> None:
    equal = ((one, other), raw) == ((a, b), c)
    ids = [
        INDEX_KEY.quarantine_id("w", parts, r) for parts, r in (((one, other), raw), ((a, b), c))
    ]
    assert (ids[0] == ids[1]) is equal


def test_check_differs_between_keys_and_does_not_hold_the_secret() -> None:
    assert INDEX_KEY.check != OTHER_KEY.check
    assert INDEX_KEY.check == IndexKey.parse(INDEX_KEY_TEXT).check
    assert INDEX_KEY.check not in b"\x5a" * 64


def test_key_is_not_in_its_representation() -> None:
    assert "5a5a" not in repr(INDEX_KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5a" * 32,
        "1." + "5a" * 31,
        "1." + "5A" * 32,
        "0." + "5a" * 32,
        "1.5a" * 2,
        "x." + "5a" * 32,
    ],
)
def test_malformed_key_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as error:
        IndexKey.parse(text)
    assert "5a5a" not in str(error.value)


def test_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        IndexKey(1, b"short")
