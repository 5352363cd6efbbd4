"""Reads what a mapping says about the lines of a file: delimiter, header, names of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.kernel.errors import InvalidField

#: What only CSV has.
CSV_KEYS = ("delimiter", "skip_lines", "header_row", "columns")
_MAX_LINES = 10_000


@dataclass(frozen=True, slots=True)
class FileLayout:
    """The layout of a CSV file."""

    #: One character; empty = a tab in .tsv files, else a comma.
    delimiter: str = ""
    #: The line of the header, from 1; 0 = the first line that is not blank, None = there is none.
    header_row: int | None = 0
    #: The names of the columns, in place of those in the header.
    columns: tuple[str, ...] = ()
    #: The keys of the mapping that say something here.
    stated: tuple[str, ...] = ()


def read_layout(document: Mapping[str, Any]) -> FileLayout:
    """Return the layout in a mapping. Raises InvalidField, which names the path."""
    columns = document.get("columns", [])
    if not isinstance(columns, list) or not all(isinstance(c, str) and c.strip() for c in columns):
        raise InvalidField("write a list of names", field="columns")
    return FileLayout(
        delimiter=_delimiter(document["delimiter"]) if "delimiter" in document else "",
        header_row=_header_row(document),
        columns=tuple(column.strip() for column in columns),
        stated=tuple(key for key in CSV_KEYS if key in document),
    )


def _header_row(document: Mapping[str, Any]) -> int | None:
    if "skip_lines" in document and "header_row" in document:
        raise InvalidField("write either skip_lines or header_row", field="skip_lines")
    if "skip_lines" in document:
        return _count(document["skip_lines"], "skip_lines") + 1
    if "header_row" not in document:
        return 0
    row = _count(document["header_row"], "header_row")
    if row == 0 and "columns" not in document:
        raise InvalidField("a file without a header needs `columns`", field="header_row")
    return row or None


def _count(value: Any, key: str) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_LINES:
        raise InvalidField(f"write a number of lines, at most {_MAX_LINES:,}", field=key)
    return value


def _delimiter(value: object) -> str:
    if not isinstance(value, str) or len(value) != 1 or value in '"\r\n\0 ':
        raise InvalidField('write one character, such as ";" or "\\t"', field="delimiter")
    return value
