"""Reads the records of CSV: quotes that are not closed reject their line and swallow no other."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from services.cli.files.lines import Line

#: The longest record, in lines and in characters.
MAX_LINES, MAX_CHARACTERS = 100_000, 4 << 20
#: From so many lines on, a quoted cell whose lines all look like rows is taken for a mistake.
_SWALLOWED = 3

NOT_CLOSED = "the quote that opens in this line is not closed: close it, or double it"
NOT_DOUBLED = "the line has a quote inside a quoted cell: double it"
INSIDE = "the line is inside the quotes that open in line {}, and that row is rejected"
NOT_UNWRAPPED = 'a cell starts with =" and has no " at its end'

#: How spreadsheets and shops write a long number as text: ="0001", '13800138000, `1234.
_FORMULA = re.compile(r'="((?:[^"]|"")*)"')
_MARKED = re.compile(r"['`]([+\d][\d ()+./-]*)")


class CsvRecord(NamedTuple):
    """One record, or why a line is none."""

    #: The number of its first line.
    number: int
    cells: list[str]
    #: Empty = the record can be used.
    error: str = ""


class CsvReader:
    """Reads records from lines."""

    def __init__(self, lines: Iterable[Line], delimiter: str) -> None:
        self._lines = iter(lines)
        #: Lines that were read to find the end of a quote, and are read again.
        self._again: deque[Line] = deque()
        #: Up to this line the rows may be the inside of a quoted cell.
        self._doubtful_until = 0
        self._delimiter = delimiter
        #: The names of the columns; empty = they are unknown.
        self.header: Sequence[str] = ()

    def __iter__(self) -> Iterator[CsvRecord]:
        """Yield the records. Each line of a record that cannot be used is rejected."""
        while (line := self._next()) is not None:
            if '"' not in line.text:
                cells = line.text.split(self._delimiter)
                yield CsvRecord(line.number, cells, line.error or self._width_error(cells))
            else:
                yield from self._quoted(line)

    def _next(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def _quoted(self, first: Line) -> Iterator[CsvRecord]:
        scan = _Scan(self._delimiter)
        lines, characters = [first], 0
        while not scan.read_line(lines[-1]):
            characters += len(lines[-1].text)
            is_short = len(lines) < MAX_LINES and characters < MAX_CHARACTERS
            following = self._next() if is_short else None
            if following is None:
                yield self._reject(lines, NOT_CLOSED)
                return
            lines.append(following)
        is_doubtful = scan.is_malformed or scan.has_bare_quote
        if len(lines) == 1:
            yield self._single(first, scan)
        elif is_doubtful and self._starts_rows(lines[-1]):
            yield self._reject(lines, NOT_CLOSED)
        else:
            yield from self._several(lines, scan, NOT_DOUBLED if is_doubtful else "")

    def _single(self, line: Line, scan: _Scan) -> CsvRecord:
        error = line.error
        is_doubtful = scan.has_quoted_cell or line.number <= self._doubtful_until
        if scan.is_malformed or (scan.has_bare_quote and is_doubtful):
            error = error or NOT_DOUBLED
        return CsvRecord(line.number, scan.cells, error or self._width_error(scan.cells))

    def _several(self, lines: list[Line], scan: _Scan, error: str) -> Iterator[CsvRecord]:
        """Yield a record of several lines; each of them is rejected where it cannot be used."""
        errors = (line.error for line in lines if line.error)
        error = error or next(errors, "") or self._width_error(scan.cells) or self._swallowed(lines)
        yield CsvRecord(lines[0].number, scan.cells, error)
        if error:
            for line in lines[1:]:
                yield CsvRecord(line.number, [], line.error or INSIDE.format(lines[0].number))

    def _reject(self, lines: list[Line], error: str) -> CsvRecord:
        """Reject the first line, and read the others again."""
        self._again.extendleft(reversed(lines[1:]))
        self._doubtful_until = max(self._doubtful_until, lines[-1].number)
        return CsvRecord(lines[0].number, [], lines[0].error or error)

    def _starts_rows(self, line: Line) -> bool:
        """Return whether a line is one of its own, and not the end of a quoted cell."""
        scan = _Scan(self._delimiter)
        scan.read_line(line)
        return not (scan.is_malformed or scan.has_bare_quote)

    def _width_error(self, cells: Sequence[str]) -> str:
        """Return why a record has not the width of the header; empty cells may be too many."""
        most = len(self.header)
        if len(cells) == most or not most or not any(map(str.strip, cells)):
            return ""
        least = most
        while least and not self.header[least - 1]:
            least -= 1
        if len(cells) >= least and not any(map(str.strip, cells[most:])):
            return ""
        return f"the line has {len(cells)} cells instead of {most}"

    def _swallowed(self, lines: list[Line]) -> str:
        """Return why a record of many lines that look like rows is taken for a mistake."""
        marks = len(self.header) - 1
        if len(lines) < _SWALLOWED or marks < 1:
            return ""
        if any(line.text.count(self._delimiter) != marks for line in lines):
            return ""
        last = lines[-1].number
        return (
            f"the quote that opens in this line closes in line {last} only, and all lines between "
            "look like rows: close it where its cell ends"
        )


class _Scan:
    """Collects the cells of one record line by line."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        #: The parts of the quoted cell that is open; None = none is.
        self._parts: list[str] | None = None
        self.cells: list[str] = []
        self.is_malformed = False
        #: Whether a cell without quotes has one inside, such as 5".
        self.has_bare_quote = False
        self.has_quoted_cell = False

    def read_line(self, line: Line) -> bool:
        """Read a line; return whether the record ends with it."""
        text, at = line.text, 0
        while True:
            if self._parts is None:
                start = at
                while text.startswith(" ", start):
                    start += 1
                if not text.startswith('"', start):
                    end = text.find(self._delimiter, at)
                    cell = text[at:] if end < 0 else text[at:end]
                    self.has_bare_quote |= '"' in cell and not _FORMULA.fullmatch(cell.strip())
                    self.cells.append(cell)
                    if end < 0:
                        return True
                    at = end + 1
                    continue
                self._parts, at = [], start + 1
                self.has_quoted_cell = True
            at = self._read_quoted(self._parts, text, at)
            if at < 0:
                self._parts.append(line.end)
                return False
            self.cells.append("".join(self._parts))
            self._parts = None
            while text[at : at + 1] in ("\t", " ") and text[at] != self._delimiter:
                at += 1
            self.is_malformed = at < len(text) and text[at] != self._delimiter
            if self.is_malformed or at == len(text):
                return True
            at += 1

    def _read_quoted(self, parts: list[str], text: str, at: int) -> int:
        """Collect the cell that is open; return the place behind its quote, -1 = it goes on."""
        while (end := text.find('"', at)) >= 0:
            parts.append(text[at:end])
            if not text.startswith('"', end + 1):
                return end + 1
            parts.append('"')
            at = end + 2
        parts.append(text[at:])
        return -1


def unwrap(cell: str) -> str:
    """Return a cell without what marks it as a text. Raises ValueError for half a wrapping."""
    cell = cell.strip()
    if cell.startswith('="'):
        found = _FORMULA.fullmatch(cell)
        if found is None:
            raise ValueError(NOT_UNWRAPPED)
        return found[1].replace('""', '"')
    if cell[:1] in ("'", "`") and (found := _MARKED.fullmatch(cell)):
        return found[1]
    return cell
