"""What is written in one stroke reads as the rows that it was made of."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.facts import Row
from services.ingest.log.copy_format import binary

_IDS = st.binary(min_size=16, max_size=16)
_LONG = st.integers(-(2**63), 2**63 - 1)
_SHORT = st.integers(-(2**15), 2**15 - 1)
_NUMBERS = {0: 8, 1: 8, 2: 8, 3: 2, 4: 2}
_TEXTS = {7, 8, 9}

_ROWS = st.builds(
    Row,
    *(_LONG, _LONG, _LONG, _SHORT, _SHORT, _IDS, st.none() | _IDS),
    *(st.text(max_size=9), st.sampled_from(["", "网站"]), st.text(max_size=3), st.binary()),
)


@given(st.lists(_ROWS, max_size=20))
def test_rows_are_read_back(rows: list[Row]) -> None:
    assert list(_read(binary(rows))) == rows


def _read(data: bytes) -> Iterator[Row]:
    """Rows of PostgreSQL's binary COPY."""
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at = 19
    while (count := int.from_bytes(data[at : at + 2], "big", signed=True)) != -1:
        at += 2
        values: list[object] = []
        for column in range(count):
            length = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            raw = data[at : at + length] if length >= 0 else None
            at += max(0, length)
            values.append(_value(column, raw))
        yield Row(*values)  # type: ignore[arg-type]  # what is of another type is not equal
    assert at + 2 == len(data)


def _value(column: int, raw: bytes | None) -> object:
    if raw is None:
        return None
    if column in _NUMBERS:
        assert len(raw) == _NUMBERS[column]
        return int.from_bytes(raw, "big", signed=True)
    return raw.decode() if column in _TEXTS else raw
