"""Reads the records of CSV: quotes that are not closed reject their line and swallow no other."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.cli.files.lines import Line

#: The longest record, in lines and in characters.
MAX_LINES, MAX_CHARACTERS = 100_000, 4 << 20
#: From so many lines on, a quoted cell whose lines all look like rows is taken for a mistake.
_SWALLOWED = 3

NOT_CLOSED = "the quote that opens in this line is not closed: close it, or double it"
NOT_DOUBLED = "the line has a quote inside a quoted cell: double it"
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
        self._delimiter = delimiter
        #: The number of cells of a record; 0 = it is unknown.
        self.width = 0

    def __iter__(self) -> Iterator[CsvRecord]:
        while (line := self._next()) is not None:
            yield self._record(line)

    def _next(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def _record(self, first: Line) -> CsvRecord:
        if '"' not in first.text:
            return CsvRecord(first.number, first.text.split(self._delimiter), first.error)
        scan = _Scan(self._delimiter)
        lines, characters, line = [first], 0, first
        while not scan.read_line(line):
            characters += len(line.text)
            following = None
            if len(lines) < MAX_LINES and characters < MAX_CHARACTERS:
                following = self._next()
            if following is None:
                return self._reject(lines, NOT_CLOSED)
            lines.append(following)
            line = following
        if scan.is_malformed:
            return self._reject(lines, NOT_DOUBLED if len(lines) == 1 else NOT_CLOSED)
        error = next((line.error for line in lines if line.error), "")
        return CsvRecord(first.number, scan.cells, error or self._swallowed(lines))

    def _reject(self, lines: list[Line], error: str) -> CsvRecord:
        """Reject the first line, and read the others again."""
        self._again.extendleft(reversed(lines[1:]))
        return CsvRecord(lines[0].number, [], lines[0].error or error)

    def _swallowed(self, lines: list[Line]) -> str:
        if len(lines) < _SWALLOWED or self.width < 2:
            return ""
        if any(line.text.count(self._delimiter) != self.width - 1 for line in lines):
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

    def read_line(self, line: Line) -> bool:
        """Read a line; return whether the record ends with it."""
        text, at = line.text, 0
        while True:
            if self._parts is None:
                start = at
                while text[start : start + 1] == " ":
                    start += 1
                if text[start : start + 1] != '"':
                    end = text.find(self._delimiter, at)
                    self.cells.append(text[at:] if end < 0 else text[at:end])
                    if end < 0:
                        return True
                    at = end + 1
                    continue
                self._parts, at = [], start + 1
            end = text.find('"', at)
            if end < 0:
                self._parts.append(text[at:] + line.end)
                return False
            self._parts.append(text[at:end])
            if text[end + 1 : end + 2] == '"':
                self._parts.append('"')
                at = end + 2
                continue
            self.cells.append("".join(self._parts))
            self._parts = None
            at = end + 1
            while text[at : at + 1] in ("\t", " ") and text[at] != self._delimiter:
                at += 1
            if at == len(text):
                return True
            if text[at] != self._delimiter:
                self.is_malformed = True
                return True
            at += 1


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
