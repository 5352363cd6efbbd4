"""Stores how far a database was read, and where the next read begins.

A lost position costs time only: all rows are read again, and their events are in the log already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from services.cli.databases.form import DatabaseSource
from services.devstack.folders import open_private
from services.kernel.errors import InvalidField, OnefoldError
from services.kernel.time import DAY_US

#: A value of the column that grows with every new or changed row.
Cursor = int | Decimal | datetime | date
#: By the name in the file: what reads a cursor, and the type that it has.
_TYPES: dict[str, Any] = {
    "integer": int,
    "decimal": Decimal,
    "time": datetime.fromisoformat,
    "date": date.fromisoformat,
}
#: A number of more digits than a context has is rounded down, so that no row is skipped.
_DOWN = Context(rounding=ROUND_FLOOR)
#: A time without a zone may be ahead of UTC by so much.
_ZONES = timedelta(hours=14)
#: What stands for the infinite past, and has no zone whatever the column is.
_PAST = (datetime.min, date.min)
#: No column of integers has less.
_LEAST = -(2**63)


def check_cursor(column: str, value: Any) -> Cursor:
    """Return the value of a cursor. Raises InvalidField where it is neither number nor time."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | date):
        raise InvalidField(
            f"cursor: {column} has values of the type {type(value).__name__}: name a column of "
            "numbers, of dates or of times",
            field="cursor",
        )
    return value


def begin_of_read(source: DatabaseSource, last: Cursor) -> Cursor:
    """Return where a read begins after one that ended with the cursor `last`.

    It goes back by the overlap: a transaction that began earlier may have been committed later.
    """
    try:
        if isinstance(last, datetime):
            return last - timedelta(microseconds=source.overlap_us)
        if isinstance(last, date):
            return last - timedelta(days=-(-source.overlap_us // DAY_US))
    except OverflowError:
        return last
    if isinstance(last, Decimal):
        return _DOWN.subtract(last, source.overlap)
    return max(last - source.overlap, _LEAST)


def is_beyond(cursor: Cursor, now: datetime) -> bool:
    """Return whether a cursor is a time of the future, infinite, or no number.

    A row with such a cursor is imported, but it must not hide the rows that follow.
    """
    if isinstance(cursor, Decimal):
        return not cursor.is_finite()
    if cursor in _PAST:
        return True
    if isinstance(cursor, datetime):
        return cursor > now if cursor.tzinfo else cursor > now.replace(tzinfo=None) + _ZONES
    return isinstance(cursor, date) and cursor > (now + _ZONES).date()


@dataclass(slots=True)
class PositionFile:
    """The file with the greatest cursor that was read; it belongs to one source."""

    file: Path
    source: DatabaseSource

    def load(self) -> Cursor | None:
        """Return the cursor; None where nothing was read. Raises OnefoldError."""
        try:
            saved = json.loads(self.file.read_text("utf-8"))
            if saved["of"] != self._of():
                raise OnefoldError(
                    f"{self.file} is the position of another name, table or query, or of another "
                    "cursor: remove it to read all rows, or name another file by --position"
                )
            cursor: Cursor = _TYPES[saved["type"]](saved["cursor"])
            return cursor
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OnefoldError(f"{self.file} cannot be read: {error.strerror}") from None
        except (ValueError, LookupError, TypeError, InvalidOperation):
            raise OnefoldError(
                f"{self.file} is no position: remove it to read all rows again"
            ) from None

    def save(self, cursor: Cursor) -> None:
        """Replace the cursor. Raises OnefoldError."""
        kind, text = _written(cursor)
        saved = {"of": self._of(), "type": kind, "cursor": text}
        half = self.file.with_name(f"{self.file.name}.new")
        try:
            with open(half, "w", encoding="utf-8", opener=open_private) as opened:
                json.dump(saved, opened)
            half.replace(self.file)
        except OSError as error:
            raise OnefoldError(f"{self.file} cannot be written: {error.strerror}") from None

    def _of(self) -> list[str]:
        source = self.source
        return [source.name, source.table or source.query, source.cursor]


def greatest(one: Any, other: Any) -> Any:
    """Return the greater one of two cursors of a column; the first one may be None.

    Raises InvalidField where they are of two types, as the column was another one before.
    """
    try:
        return other if one is None or other > one else one
    except TypeError:
        raise InvalidField(
            "cursor: its values are of another type than at the last read: remove the file of the "
            "position to read all rows again",
            field="cursor",
        ) from None


def now() -> datetime:
    """Return this machine's time."""
    return datetime.now(UTC)


def _written(cursor: Cursor) -> tuple[str, str]:
    if isinstance(cursor, datetime):
        return "time", cursor.isoformat()
    if isinstance(cursor, date):
        return "date", cursor.isoformat()
    return ("decimal" if isinstance(cursor, Decimal) else "integer"), str(cursor)
