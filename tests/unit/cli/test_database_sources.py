"""Tests what is read of other systems' databases: their description, cells, and positions."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.databases.cells import to_cell, to_row
from services.cli.databases.form import DatabaseSource, read_database_form
from services.cli.databases.mysql import MysqlReader
from services.cli.databases.position import (
    PositionFile,
    begin_of_read,
    check_cursor,
    greatest,
    is_beyond,
)
from services.kernel.errors import InvalidField, OnefoldError

FORM = {
    "name": "shop-orders",
    "url": "${SHOP}",
    "table": "public.orders",
    "cursor": "updated_at",
    "key": "id",
    "mapping": {
        "event": "order_paid",
        "identifiers": {"phone": {"column": "phone"}},
        "properties": {"amount": {"column": "amount"}},
    },
}
URL = "postgresql://reader:secret@db.example/shop"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def source(**changes: Any) -> DatabaseSource:
    form = {key: value for key, value in {**FORM, **changes}.items() if value is not None}
    return read_database_form(form, {"SHOP": URL}.get)  # type: ignore[arg-type]


def test_description_names_the_columns_once_with_the_cursor_first() -> None:
    found = source(key=["id", "phone"])
    assert found.columns == ("updated_at", "id", "phone", "amount")
    assert (found.engine, found.url) == ("postgres", URL)


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_engine_follows_the_scheme(scheme: str) -> None:
    assert source(url=f"{scheme}://reader@h/shop").engine == "mysql"


def test_origin_of_a_table_and_of_a_query_is_quoted() -> None:
    def quote(name: str) -> str:
        return f"[{name}]"

    assert source().origin(quote) == "[public].[orders]"
    query = source(table=None, query="SELECT 1 AS a -- all\n;").origin(quote)
    assert query == "(SELECT 1 AS a -- all\n\n) AS pulled"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "Shop orders"}, "name: write small letters"),
        ({"url": "${MISSING}"}, "url: set the variable MISSING"),
        ({"url": URL}, "url: a password does not belong in a file"),
        ({"url": "oracle://h/shop"}, "url: write a URL such as postgresql://"),
        ({"url": "postgresql://h:port/shop"}, "url: write a URL such as postgresql://"),
        ({"query": "SELECT 1"}, "table: write either a table or a query"),
        ({"table": None}, "table: write either a table or a query"),
        ({"cursor": None}, "cursor: write a text"),
        ({"key": []}, "key: name the column"),
        ({"overlap": "soon"}, "overlap: write a span"),
        ({"overlap": -1}, "overlap: write a span"),
        ({"mapping": {**FORM["mapping"], "delimiter": ";"}}, "mapping.delimiter: a database has"),
        ({"mapping": {**FORM["mapping"], "encoding": "gb18030"}}, "mapping.encoding: a database"),
        ({"mapping": {"event": "x"}}, "mapping.identifiers: name at least one"),
        ({"schedule": "daily"}, "unknown 'schedule'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_description_names_the_part_and_no_secret(
    changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InvalidField) as error:
        source(**changes)
    assert expected in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (Decimal("12.50"), 12.5),
        (Decimal("12345678901234567890"), 12345678901234567890),
        (Decimal("0.1234567890123456789"), "0.1234567890123456789"),
        (Decimal("NaN"), "NaN"),
        (datetime(2026, 11, 1, 8, 0, 0, 5), "2026-11-01T08:00:00.000005"),
        (datetime(2026, 11, 1, 8, tzinfo=UTC), "2026-11-01T08:00:00+00:00"),
        (date(2026, 11, 1), "2026-11-01"),
        (timedelta(hours=3), "3:00:00"),
        (b"\x00\xff", "00ff"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ([Decimal("1.5"), None], [1.5, None]),
    ],
    ids=str,
)
def test_value_of_a_database_is_an_exact_cell(value: Any, cell: Any) -> None:
    found = to_cell(value)
    assert (found, type(found)) == (cell, type(cell))
    json.dumps(found)


def test_row_has_its_cells_by_column() -> None:
    assert to_row(("a", "b"), (1, Decimal("2"))) == {"a": 1, "b": 2}


CURSORS = st.one_of(
    st.integers(-(2**62), 2**62),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
)


@given(CURSORS)
def test_position_is_read_as_it_was_written(cursor: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        positions = PositionFile(Path(folder) / "p.json", source())
        assert positions.load() is None
        positions.save(cursor)
        assert positions.load() == cursor
        assert type(positions.load()) is type(cursor)


@given(CURSORS)
def test_read_begins_at_or_before_the_last_cursor(cursor: Any) -> None:
    assert begin_of_read(source(), cursor) <= cursor
    assert begin_of_read(source(overlap=0), cursor) <= cursor


@pytest.mark.parametrize(
    ("last", "begin"),
    [
        (datetime(2026, 11, 1, 8), datetime(2026, 11, 1, 7, 50)),
        (date(2026, 11, 1), date(2026, 10, 31)),
        (5_000, 4_000),
        (Decimal(5_000), Decimal(4_000)),
        (5 - 2**63, -(2**63)),
    ],
    ids=str,
)
def test_read_goes_back_by_the_overlap(last: Any, begin: Any) -> None:
    assert begin_of_read(source(), last) == begin


def test_position_of_another_source_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    PositionFile(file, source()).save(5)
    for changes in ({"name": "other"}, {"table": "t"}, {"cursor": "id"}):
        with pytest.raises(OnefoldError, match="remove it to read all rows"):
            PositionFile(file, source(**changes)).load()
    # A mapping may change: the rows that were read stay as they are.
    assert PositionFile(file, source(key=["id", "phone"])).load() == 5
    file.write_text("{}")
    with pytest.raises(OnefoldError, match="is no position: remove it"):
        PositionFile(file, source()).load()


def test_position_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    PositionFile(file, source()).save(5)
    assert file.stat().st_mode & 0o077 == 0
    assert [each.name for each in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    ("cursor", "beyond"),
    [
        (2**60, False),
        (datetime(9999, 12, 31), True),
        (datetime(2026, 11, 27, 12, 1, tzinfo=UTC), True),
        (datetime(2026, 11, 27, 20, tzinfo=timezone(timedelta(hours=8))), False),
        # A local time without its zone may be ahead of UTC.
        (datetime(2026, 11, 27, 20), False),
        (date(2026, 11, 28), False),
        (date(2027, 1, 1), True),
        # What a database has for the infinite past and future, and for no number.
        (datetime.min, True),
        (date.min, True),
        (Decimal(5), False),
        *((Decimal(each), True) for each in ("NaN", "Infinity", "-Infinity")),
    ],
    ids=str,
)
def test_cursor_that_would_hide_other_rows_is_recognised(cursor: Any, beyond: bool) -> None:
    assert is_beyond(cursor, NOW) is beyond


def test_greatest_cursor_is_that_of_both() -> None:
    assert [greatest(None, 3), greatest(5, 3), greatest(3, 5)] == [3, 5, 5]


@pytest.mark.parametrize(
    ("one", "other"), [(3, datetime(2026, 11, 1)), (NOW, datetime(2026, 11, 1))], ids=str
)
def test_cursors_of_two_types_are_refused_with_what_to_do(one: Any, other: Any) -> None:
    with pytest.raises(InvalidField, match="remove the file of the position"):
        greatest(one, other)


@pytest.mark.parametrize("value", ["a", True, b"x", UUID(int=1), 1.5], ids=str)
def test_cursor_that_is_no_number_and_no_time_is_refused(value: Any) -> None:
    with pytest.raises(InvalidField, match="cursor: v has values of the type"):
        check_cursor("v", value)


class RowsOfMysql:
    """A cursor of MySQL with two rows; their times are a DATETIME (12) beside a number (3)."""

    description = (("updated_at", 12), ("id", 3))
    connection = None
    _result = SimpleNamespace(unbuffered_active=False)

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = [("0000-00-00 00:00:00", 1), (datetime(2026, 11, 1), 2)]

    def execute(self, sql: str, parameters: Any) -> None:
        assert "`updated_at` IS NOT NULL" in sql

    def fetchmany(self, most: int) -> list[tuple[Any, ...]]:
        rows, self.rows = self.rows, []
        return rows


async def test_row_of_mysql_with_a_time_of_zeros_has_no_cursor() -> None:
    connection = SimpleNamespace(cursor=lambda _: RowsOfMysql())
    reader = MysqlReader(connection, None, source(url="mysql://reader@h/shop"))
    assert [row async for row in reader.read(None)] == [(datetime(2026, 11, 1), 2)]
