"""Packed sets of leaf ids are sets."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.fold.packed_ids import joined_ids, split_ids, with_id

few = st.lists(st.integers(0, 12).map(lambda n: bytes([n]) * 16))


@given(few, few)
def test_they_are_sets_in_one_form(a: list[bytes], b: list[bytes]) -> None:
    packed, other = reduce(with_id, a, b""), reduce(with_id, b, b"")
    assert split_ids(packed) == sorted(set(a))
    assert joined_ids(packed, other) == joined_ids(other, packed)
    assert split_ids(joined_ids(packed, other)) == sorted({*a, *b})


def test_what_is_in_there_changes_nothing() -> None:
    packed = with_id(with_id(b"", b"b" * 16), b"a" * 16)
    assert with_id(packed, b"b" * 16) is packed
    assert joined_ids(packed, b"") is packed
