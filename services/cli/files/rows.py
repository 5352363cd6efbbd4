"""Reads the rows of a file by the columns that a mapping needs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from services.cli.files.cells import Row
from services.cli.files.csv_rows import CsvReader, CsvRecord, unwrap
from services.cli.files.encodings import FileEncoding, find_encoding, undecodable
from services.cli.files.json_rows import parse_json
from services.cli.files.lines import Line, decode_lines, read_bytes, split_lines
from services.cli.files.mapping import FileMapping
from services.kernel.errors import InvalidField

#: The header is searched in so many lines, for the advice in an error.
_SEARCHED = 50
#: The most columns that an error lists.
_LISTED = 30
_SEPARATOR = re.compile(r'"?sep=([,;|\t])"?,*', re.IGNORECASE)
_CSV, _JSON = (".csv", ".tsv"), (".jsonl", ".ndjson")
#: Characters without a width, which programs leave around names.
_HIDDEN = "\ufeff\u200b\u200e\u200f\u2060\u202a\u202b\u202c\u202d\u202e \t\u00a0\u3000"


class FileRow(NamedTuple):
    """One row of a file."""

    #: Of its first line, counted from 1.
    number: int
    #: None where the row cannot be read.
    row: Row | None
    #: Why it cannot be read, and the name of the reason.
    error: str = ""
    reason: str = ""


class RowFile:
    """A file of rows, of a known encoding."""

    def __init__(self, file: Path, mapping: FileMapping) -> None:
        """Find the encoding. Raises InvalidField."""
        self._file = file
        self._mapping = mapping
        self._kind = file.suffix.lower()
        if self._kind not in _CSV + _JSON:
            raise InvalidField(f"{self._kind or file.name}: send a .csv or a .jsonl file")
        stated = mapping.layout.stated
        if self._kind in _JSON and stated:
            raise InvalidField(f"{stated[0]}: JSON lines have none: remove it", field=stated[0])
        #: The columns that no row has had so far.
        self.unseen = set(mapping.columns)
        try:
            if not file.is_file():
                raise InvalidField("there is no such file")
            self.encoding: FileEncoding = find_encoding(file, mapping.encoding)
        except OSError as error:
            raise InvalidField(f"{file.name} cannot be read: {error.strerror}") from None
        except InvalidField as error:
            raise InvalidField(f"{file.name}: {error.message}", field=error.field) from None

    def __iter__(self) -> Iterator[FileRow]:
        """Yield the rows. Raises InvalidField."""
        try:
            yield from self._csv() if self._kind in _CSV else self._json()
        except OSError as error:
            raise InvalidField(f"{self._file.name} cannot be read: {error.strerror}") from None

    def _lines(self) -> Iterator[Line]:
        lines = split_lines(read_bytes(self._file, self.encoding.name))
        return decode_lines(lines, self.encoding.name, undecodable(self.encoding))

    def _json(self) -> Iterator[FileRow]:
        for line in self._lines():
            if line.error or line.text.strip():
                row = _json_row(line)
                if row.row is not None and self.unseen:
                    self.unseen -= self._mapping.used_values(row.row).keys()
                yield row

    def _csv(self) -> Iterator[FileRow]:
        layout = self._mapping.layout
        delimiter = layout.delimiter or ("\t" if self._kind == ".tsv" else ",")
        lines = self._lines()
        if layout.header_row:
            lines = islice(lines, layout.header_row - 1, None)
        elif layout.header_row == 0 and (first := next(lines, None)):
            # Excel writes and obeys such a line above the header.
            if found := _SEPARATOR.fullmatch(first.text):
                delimiter = layout.delimiter or found[1]
            else:
                lines = chain([first], lines)
        reader = CsvReader(lines, delimiter)
        records = iter(reader)
        header = self._header(records, delimiter)
        self._check_header(header, delimiter)
        self.unseen, reader.header = set(), header
        for record in records:
            if record.error or any(map(str.strip, record.cells)):
                yield _csv_row(record, header)

    def _header(self, records: Iterator[CsvRecord], delimiter: str) -> list[str]:
        """Return the names of the columns; the first record is read where it has them."""
        layout = self._mapping.layout
        if layout.header_row is None:
            return list(layout.columns)
        first = next((r for r in records if r.error or any(map(str.strip, r.cells))), None)
        if first is None:
            raise InvalidField(f"{self._file.name} is empty")
        if first.error:
            raise InvalidField(f"{self._file.name}, line {first.number}: {first.error}")
        names = [_name(cell) for cell in first.cells]
        if layout.columns:
            if len(layout.columns) != len(names):
                raise InvalidField(
                    f"columns: the header in line {first.number} has {len(names)} columns instead "
                    f"of {len(layout.columns)}",
                    field="columns",
                )
            return list(layout.columns)
        return names

    def _check_header(self, header: Sequence[str], delimiter: str) -> None:
        """Raise InvalidField where the columns that the mapping uses are not there once."""
        needed = set(self._mapping.columns)
        if missing := sorted(needed - set(header)):
            names = ", ".join(header[:_LISTED]) + (", …" if len(header) > _LISTED else "")
            raise InvalidField(
                f"the file has no column {missing[0]!r}; its columns are {names}"
                f"{self._advice(needed, header, delimiter)}"
            )
        counts = Counter(header)
        if repeated := sorted(name for name in needed if counts[name] > 1):
            raise InvalidField(
                f"the file has {counts[repeated[0]]} columns {repeated[0]!r}: name all columns, "
                "each differently, with `columns: [...]` in the mapping"
            )

    def _advice(self, needed: set[str], header: Sequence[str], delimiter: str) -> str:
        """Return what to write into the mapping where the header is found another way."""
        for other in (";", "\t", "|", ","):
            if other != delimiter and needed <= {
                _name(n) for n in delimiter.join(header).split(other)
            }:
                return f"; its delimiter seems to be {other!r}: write `delimiter: {other!r}`"
        for record in islice(CsvReader(self._lines(), delimiter), _SEARCHED):
            if needed <= set(map(_name, record.cells)):
                return f"; line {record.number} has them: write `header_row: {record.number}`"
        return ""


def _name(cell: str) -> str:
    return cell.strip(_HIDDEN).strip()


def _csv_row(record: CsvRecord, header: Sequence[str]) -> FileRow:
    number, cells, error = record
    if error:
        return FileRow(number, None, error, "LINE_INVALID")
    try:
        values = map(unwrap, chain(cells, [""] * (len(header) - len(cells))))
        # A column that stands twice is not used by the mapping.
        return FileRow(number, dict(zip(header, values, strict=False)))
    except ValueError as problem:
        return FileRow(number, None, str(problem), "LINE_INVALID")


def _json_row(line: Line) -> FileRow:
    if line.error:
        return FileRow(line.number, None, line.error, "LINE_INVALID")
    try:
        row = parse_json(line.text)
    except ValueError as problem:
        return FileRow(line.number, None, f"the line is not JSON: {problem}", "JSON_INVALID")
    if not isinstance(row, dict):
        return FileRow(line.number, None, "the line is not a JSON object", "JSON_INVALID")
    return FileRow(line.number, row)
