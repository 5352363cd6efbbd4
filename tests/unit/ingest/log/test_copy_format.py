"""Tests that rows in the binary format of COPY are read back unchanged."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.facts import FactRow
from services.ingest.log.copy_format import encode_copy

_IDS = st.binary(min_size=16, max_size=16)
_LONG = st.integers(-(2**63), 2**63 - 1)
_SHORT = st.integers(-(2**15), 2**15 - 1)
#: The columns of integers and their sizes in bytes, and the columns of texts.
_NUMBERS = {0: 8, 1: 8, 2: 8, 3: 2, 4: 2}
_TEXTS = {7, 8, 9}

_ROWS = st.builds(
    FactRow,
    *(_LONG, _LONG, _LONG, _SHORT, _SHORT, _IDS, st.none() | _IDS),
    *(st.text(max_size=9), st.sampled_from(["", "网站"]), st.text(max_size=3), st.binary()),
    _IDS,
)


@given(st.lists(_ROWS, max_size=20))
def test_encoded_rows_decode_to_themselves(rows: list[FactRow]) -> None:
    assert list(_decode_copy(encode_copy(rows))) == rows


def _decode_copy(data: bytes) -> Iterator[FactRow]:
    """Yield the rows of a binary COPY."""
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    index = 19
    while (count := int.from_bytes(data[index : index + 2], "big", signed=True)) != -1:
        index += 2
        values: list[object] = []
        for column in range(count):
            length = int.from_bytes(data[index : index + 4], "big", signed=True)
            index += 4
            raw = data[index : index + length] if length >= 0 else None
            index += max(0, length)
            values.append(_value(column, raw))
        yield FactRow(*values)  # type: ignore[arg-type]  # a value of another type is not equal
    assert index + 2 == len(data)


def _value(column: int, raw: bytes | None) -> object:
    if raw is None:
        return None
    if column in _NUMBERS:
        assert len(raw) == _NUMBERS[column]
        return int.from_bytes(raw, "big", signed=True)
    return raw.decode() if column in _TEXTS else raw
