"""Tests what is pulled out of other systems' databases: each row once, whatever happens between.

MySQL is tested where `ONEFOLD_TEST_MYSQL` has the URL of a server in which databases can be made.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pymysql
import pytest
import pytest_asyncio
from service_fixtures import wait_until

from services.cli import output
from services.cli.commands import imports
from services.cli.commands.pulls import PullReport, follow_database, load_source, pull_database
from services.cli.databases.errors import DatabaseError, DatabaseUnreachable
from services.cli.databases.position import PositionFile
from services.client.client import ApiEndpoints
from services.devstack.postgres import PostgresServer
from services.kernel.errors import InvalidField, NotAllowed

TABLE = """
CREATE TABLE orders (
    id integer PRIMARY KEY, phone varchar(32), amount numeric(10, 2), marker varchar(64),
    updated_at timestamp(6) NULL, changed integer
)
"""
FORM = """
name: orders
url: ${SHOP_DATABASE}
table: orders
cursor: updated_at
key: id
mapping:
  event: order_paid
  time: {column: updated_at, zone: UTC}
  identifiers: {phone: {column: phone}}
  properties:
    number: {column: id}
    amount: {column: amount}
    marker: {column: marker}
"""


class PostgresShop:
    """A PostgreSQL database with orders."""

    def __init__(self, url: str) -> None:
        self.url = url
        #: Connections whose transactions tests have begun.
        self.begun: list[Any] = []

    async def execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute(sql)
        await connection.close()

    async def drop(self) -> None:
        """Drop the table; a transaction that is left open is ended first."""
        for connection in self.begun:
            await connection.close()
        self.begun.clear()
        await self.execute("DROP TABLE orders")

    async def begin(self, sql: str) -> Callable[[], Any]:
        """Run a statement in a transaction, and return what commits it."""
        connection = await asyncpg.connect(self.url)
        self.begun.append(connection)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(sql)

        return transaction.commit


class MysqlShop:
    """A MySQL database with orders."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.begun: list[Any] = []

    async def drop(self) -> None:
        for connection in self.begun:
            connection.close()
        self.begun.clear()
        await self.execute("DROP TABLE orders")

    def _connect(self) -> Any:
        parts = urlsplit(self.url)
        return pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=parts.path.lstrip("/"),
            init_command="SET time_zone = '+00:00'",
        )

    async def execute(self, sql: str) -> None:
        await (await self.begin(sql))()
        self.begun.pop().close()

    async def begin(self, sql: str) -> Callable[[], Any]:
        connection = self._connect()
        self.begun.append(connection)
        with connection.cursor() as cursor:
            for statement in filter(str.strip, sql.split(";")):
                cursor.execute(statement)

        async def commit() -> None:
            connection.commit()

        return commit


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["postgres", "mysql"])
async def shop(
    request: pytest.FixtureRequest, postgres_server: PostgresServer
) -> AsyncIterator[PostgresShop | MysqlShop]:
    name, server = f"shop_{uuid.uuid4().hex[:8]}", os.environ.get("ONEFOLD_TEST_MYSQL", "")
    kind: Any = PostgresShop if request.param == "postgres" else MysqlShop
    if kind is PostgresShop:
        server = postgres_server.admin_dsn
    elif not server:
        pytest.skip("ONEFOLD_TEST_MYSQL names no server")
    admin = kind(server)
    await admin.execute(f"CREATE DATABASE {name}")
    yield kind(urlsplit(server)._replace(path=f"/{name}").geturl())
    await admin.execute(f"DROP DATABASE {name}")


@dataclass(frozen=True)
class Pull:
    """The orders of one test, and what pulls them."""

    shop: Any
    endpoints: Any
    marker: str
    file: Path

    async def insert(self, *rows: tuple[int, str | None], amount: str = "12.50") -> None:
        await self.shop.execute(self.statement(*rows, amount=amount))

    def statement(self, *rows: tuple[int, str | None], amount: str = "12.50") -> str:
        """Return the statement that inserts orders by their numbers and times."""
        values = ", ".join(
            f"({number}, '1380013{number:04}', {amount}, '{self.marker}',"
            f" {repr(time) if time else 'NULL'}, {number})"
            for number, time in rows
        )
        return f"INSERT INTO orders VALUES {values}"

    async def run(self, *, key: str = "", form: str = FORM) -> PullReport:
        self.file.write_text(form)
        source = load_source(self.file)
        positions = PositionFile(self.file.with_suffix(".position.json"), source)
        return await pull_database(source, positions, self.target(key))

    def target(self, key: str = "") -> ApiEndpoints:
        address = f"127.0.0.1:{self.endpoints.service.grpc_port}"
        return ApiEndpoints(grpc={"ingest": address}, key=key or self.endpoints.key)

    async def numbers(self) -> Counter[int]:
        """Return how often the log has each order."""
        facts = await self.endpoints.facts_with(self.marker)
        return Counter(json.loads(event.properties)["number"] for _, event in facts)


@pytest_asyncio.fixture(loop_scope="session")
async def pull(
    shop: Any, endpoints: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pull]:
    monkeypatch.setenv("SHOP_DATABASE", shop.url)
    await shop.execute(TABLE)
    yield Pull(shop, endpoints, uuid.uuid4().hex, tmp_path / "orders.yaml")
    await shop.drop()


def counts(report: PullReport) -> tuple[int, int, int]:
    events = report.events
    return events.accepted, events.duplicates, events.rejected


async def test_rows_that_are_new_or_changed_since_the_last_read_are_imported(pull: Pull) -> None:
    await pull.insert((1, "2026-11-01 08:00:00.000001"), (2, "2026-11-01 09:00:00"), (3, None))
    first = await pull.run()
    assert (counts(first), first.without_cursor) == ((2, 0, 0), 1)
    [(_, event), _] = await pull.endpoints.facts_with(pull.marker)
    assert json.loads(event.properties) == {"number": 1, "amount": 12.5, "marker": pull.marker}
    assert event.occurred_at_us == 1_793_520_000_000_001
    # Nothing is new: the last row alone is within the overlap.
    assert counts(await pull.run()) == (0, 1, 0)
    # The first row changes; of the others, one column changes that the mapping does not use.
    await pull.shop.execute(
        "UPDATE orders SET changed = 0;"
        " UPDATE orders SET amount = 15, updated_at = '2026-11-01 10:00:00' WHERE id = 1"
    )
    await pull.insert((4, "2026-11-01 10:00:00"))
    assert counts(await pull.run()) == (2, 1, 0)
    assert await pull.numbers() == {1: 2, 2: 1, 4: 1}


async def test_row_that_is_committed_late_is_imported_by_the_next_read(pull: Pull) -> None:
    commit = await pull.shop.begin(pull.statement((1, "2026-11-01 08:00:00")))
    await pull.insert((2, "2026-11-01 08:05:00"))
    assert counts(await pull.run()) == (1, 0, 0)
    await commit()
    assert counts(await pull.run()) == (1, 1, 0)


async def test_row_with_a_time_of_the_future_hides_no_other(pull: Pull) -> None:
    await pull.insert((1, "2026-11-01 08:00:00"), (2, "2037-01-01 00:00:00"))
    form = FORM.replace("time: {column: updated_at, zone: UTC}", "channel: offline")
    assert counts(await pull.run(form=form)) == (2, 0, 0)
    await pull.insert((3, "2026-11-01 09:00:00"))
    assert counts(await pull.run(form=form)) == (1, 2, 0)


@pytest.mark.parametrize(
    ("cursor", "query", "values"),
    [
        (
            "updated_at",
            "updated_at::timestamptz",
            "'-infinity' 'infinity' '2026-11-01' '2026-11-02'",
        ),
        ("updated_at", "updated_at", "'-infinity' 'infinity' '2026-11-01' '2026-11-02'"),
        ("amount", "amount", "'NaN' 'NaN' 5 6"),
    ],
    ids=["instant", "time", "number"],
)
async def test_row_with_an_infinite_cursor_or_no_number_hides_no_other(
    pull: Pull, cursor: str, query: str, values: str
) -> None:
    if isinstance(pull.shop, MysqlShop):
        pytest.skip("MySQL has no such values")
    form = FORM.replace("time: {column: updated_at, zone: UTC}", "channel: offline")
    form = form.replace("    amount: {column: amount}\n", "")
    query = f"SELECT id, phone, marker, {query} AS cursor FROM orders"
    form = form.replace("table: orders", f"query: {query}").replace(
        "cursor: updated_at", "cursor: cursor"
    )
    *first, last = values.split(" ")
    for number, value in enumerate(first):
        await pull.insert((number, "2026-11-01"))
        await pull.shop.execute(f"UPDATE orders SET {cursor} = {value} WHERE id = {number}")
    assert counts(await pull.run(form=form)) == (3, 0, 0)
    await pull.insert((3, "2026-11-01"))
    await pull.shop.execute(f"UPDATE orders SET {cursor} = {last} WHERE id = 3")
    assert counts(await pull.run(form=form))[0] == 1


async def test_overlap_beyond_the_least_number_of_a_column_reads_from_there(pull: Pull) -> None:
    query = "SELECT *, CAST(id AS smallint) AS small FROM orders"
    if isinstance(pull.shop, MysqlShop):
        query = "SELECT *, CAST(id AS unsigned) AS small FROM orders"
    form = FORM.replace("table: orders", f"query: {query}\noverlap: 100000")
    form = form.replace("cursor: updated_at", "cursor: small")
    await pull.insert((1, "2026-11-01 08:00:00"))
    assert counts(await pull.run(form=form)) == (1, 0, 0)
    assert counts(await pull.run(form=form)) == (0, 1, 0)


async def test_column_of_another_type_or_an_unreadable_time_is_a_final_error(pull: Pull) -> None:
    if isinstance(pull.shop, MysqlShop):
        pytest.skip("the statements are those of PostgreSQL")
    await pull.insert((1, "2026-11-01 08:00:00"))
    await pull.run()
    await pull.shop.execute("ALTER TABLE orders ALTER COLUMN updated_at TYPE integer USING 5")
    with pytest.raises(DatabaseError, match="remove the file of the position") as other:
        await pull.run()
    await pull.shop.execute(
        "ALTER TABLE orders ALTER COLUMN updated_at TYPE timestamp USING TIMESTAMP '20000-01-01'"
    )
    with pytest.raises(DatabaseError, match="the year 9999") as unreadable:
        await pull.run()
    # A command that reads again and again does not wait for such a database.
    assert not isinstance(other.value, DatabaseUnreachable)
    assert not isinstance(unreadable.value, DatabaseUnreachable)


async def test_read_that_fails_midway_continues_where_it_was(
    pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "BATCH", 10)
    # Many rows have one time, so that a batch ends between them.
    await pull.insert(*((n, f"2026-11-{1 + n // 25:02} 08:00:00") for n in range(100)))
    send, calls = imports.RowSender._send, 0

    async def fail(self: Any, batch: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise NotAllowed("the service is lost")
        await send(self, batch)

    monkeypatch.setattr(imports.RowSender, "_send", fail)
    with pytest.raises(NotAllowed):
        await pull.run()
    assert sum((await pull.numbers()).values()) == 50
    report = counts(await pull.run())
    assert report[0] == 50
    # It does not read from the beginning again.
    assert report[1] < 50
    assert await pull.numbers() == dict.fromkeys(range(100), 1)


async def test_rows_are_read_by_a_query_and_a_number_and_rejected_by_their_key(pull: Pull) -> None:
    form = FORM.replace("table: orders", "query: |\n  SELECT * FROM orders WHERE phone LIKE '1%'")
    form = form.replace("cursor: updated_at", "cursor: id").replace("key: id", "key: [id, marker]")
    await pull.insert((1, "2026-11-01 08:00:00"), (2, "1971-01-01 08:00:00"))
    report = await pull.run(form=form)
    [rejected] = report.events.rejections
    assert (rejected.line, rejected.reason) == (f"id=2, marker={pull.marker}", "TIME_OUT_OF_RANGE")
    assert counts(report) == (1, 0, 1)
    await pull.insert((3, "2026-11-01 08:00:00"))
    assert counts(await pull.run(form=form.replace("key:", "overlap: 0\nkey:"))) == (1, 0, 1)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (("cursor: updated_at", "cursor: seen_at"), DatabaseError, "seen_at"),
        (("table: orders", "table: nothing"), DatabaseError, "nothing"),
        (("cursor: updated_at", "cursor: marker"), InvalidField, "name a column of numbers"),
        (("table: orders", "query: SELECT FROM WHERE"), DatabaseError, "syntax"),
    ],
    ids=["cursor", "table", "text", "syntax"],
)
async def test_wrong_description_ends_with_what_is_wrong(
    pull: Pull, change: tuple[str, str], error: type[Exception], text: str
) -> None:
    await pull.insert((1, "2026-11-01 08:00:00"))
    with pytest.raises(error) as found:
        await pull.run(form=FORM.replace(*change))
    assert text in str(found.value)
    assert not await pull.numbers()


async def test_database_that_is_away_or_refuses_the_password_is_an_error_without_it(
    pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(pull.shop.url)
    for netloc in ("reader:hidden@127.0.0.1:1", f"reader:hidden@127.0.0.1:{parts.port}"):
        if netloc.endswith(":1") or parts.scheme == "postgresql":
            monkeypatch.setenv("SHOP_DATABASE", parts._replace(netloc=netloc).geturl())
            with pytest.raises(DatabaseError) as found:
                await pull.run()
            assert isinstance(found.value, DatabaseUnreachable) is netloc.endswith(":1")
            assert "hidden" not in str(found.value)


async def test_reader_cannot_write_into_the_database(pull: Pull) -> None:
    await pull.insert((1, "2026-11-01 08:00:00"))
    form = FORM.replace("table: orders", "query: DELETE FROM orders RETURNING *")
    with pytest.raises(DatabaseError):
        await pull.run(form=form)
    assert counts(await pull.run()) == (1, 0, 0)


async def test_new_rows_are_imported_as_long_as_the_command_runs(
    pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(output.err, "print", lambda line, **_: printed.append(line))
    monkeypatch.setattr(output.out, "print", lambda line, **_: printed.append(line))
    pull.file.write_text(FORM)
    source = load_source(pull.file)
    away = replace(source, url=urlsplit(source.url)._replace(netloc="x@127.0.0.1:1").geturl())
    begun = [
        asyncio.create_task(
            follow_database(each, PositionFile(file, each), pull.target(), 0.02, None)
        )
        for each, file in ((source, pull.file.with_name("a")), (away, pull.file.with_name("b")))
    ]
    await pull.insert((1, "2026-11-01 08:00:00"))
    await wait_until(lambda: has_numbers(pull, 1))
    await pull.insert((2, "2026-11-01 09:00:00"))
    await wait_until(lambda: has_numbers(pull, 2))

    async def is_tried_again() -> bool:
        return sum("it is tried again in 0.02 s" in line for line in printed) > 2

    await wait_until(is_tried_again)
    for task in begun:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)


async def test_rejected_row_is_once_in_the_file_of_a_command_that_goes_on(
    pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.out, "print", lambda *_, **__: None)
    pull.file.write_text(FORM.replace("cursor: updated_at", "cursor: id\noverlap: 5"))
    source, file = load_source(pull.file), pull.file.with_name("rejected.csv")
    positions = PositionFile(pull.file.with_name("p"), source)
    following = asyncio.create_task(follow_database(source, positions, pull.target(), 0.02, file))
    await pull.insert((1, "1971-01-01 08:00:00"))
    # The reads that follow have the row in their overlap, and then no longer.
    for count, number in enumerate((2, 3, 100, 101, 102), 1):
        await pull.insert((number, "2026-11-01 08:00:00"))
        await wait_until(lambda count=count: has_numbers(pull, count))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert [line.split(",")[:2] for line in file.read_text().splitlines()] == [
        ["line", "reason"],
        ["id=1", "TIME_OUT_OF_RANGE"],
    ]


async def has_numbers(pull: Pull, count: int) -> bool:
    return len(await pull.numbers()) == count


async def test_rows_pulled_with_a_wrong_key_move_no_position(pull: Pull) -> None:
    await pull.insert((1, "2026-11-01 08:00:00"))
    with pytest.raises(NotAllowed):
        await pull.run(key="nonsense")
    assert counts(await pull.run()) == (1, 0, 0)
