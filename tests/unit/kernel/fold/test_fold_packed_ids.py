"""Packed sets of leaf ids are sets."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.id_sets import add_id, combine_ids, split_ids

few = st.lists(st.integers(0, 12).map(lambda n: bytes([n]) * 16))


@given(few, few)
def test_packed_ids_behave_as_sets_with_one_encoding(a: list[bytes], b: list[bytes]) -> None:
    packed, other = reduce(add_id, a, b""), reduce(add_id, b, b"")
    assert split_ids(packed) == sorted(set(a))
    assert combine_ids(packed, other) == combine_ids(other, packed)
    assert split_ids(combine_ids(packed, other)) == sorted({*a, *b})


def test_adding_a_present_id_returns_the_same_object() -> None:
    packed = add_id(add_id(b"", b"b" * 16), b"a" * 16)
    assert add_id(packed, b"b" * 16) is packed
    assert combine_ids(packed, b"") is packed
