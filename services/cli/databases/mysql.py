"""Reads rows of a MySQL or MariaDB database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from services.cli.databases.errors import DatabaseError, DatabaseUnreachable
from services.cli.databases.form import DatabaseSource
from services.cli.databases.position import Cursor
from services.kernel.errors import InvalidField

CONNECT_TIMEOUT_S = 10.0
#: Rows that are fetched at a time.
_PREFETCH = 1_000
#: Codes whose messages have no values of rows: rights, names, syntax.
_SAFE = frozenset({1044, 1045, 1046, 1049, 1054, 1064, 1142, 1143, 1146})
#: Codes of a server that is away, has no place for a connection, or ends one.
_UNREACHABLE = frozenset({1040, 1053, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013})
#: The parameters of a URL about TLS; without one, TLS is used where the server has it.
_TEXTS = ("ssl_ca", "ssl_cert", "ssl_key")
_FLAGS = ("ssl_verify_cert", "ssl_verify_identity", "ssl_disabled")
_UTC, _READ_ONLY = "SET time_zone = '+00:00'", "SET SESSION TRANSACTION READ ONLY"
#: The type of TIMESTAMP in the protocol: an instant, which the session's zone shows in UTC.
_TIMESTAMP = 7
#: With those of DATE and of DATETIME.
_TIMES = frozenset({_TIMESTAMP, 10, 12})


class MysqlReader:
    """A connection that only reads; see DatabaseReader. Its calls run in threads."""

    def __init__(self, connection: Any, streaming: Any, source: DatabaseSource) -> None:
        self._connection = connection
        self._streaming = streaming
        self._columns = ", ".join(map(_quote, source.columns))
        self._from = f"FROM {source.origin(_quote)}"
        self._cursor = _quote(source.cursor)

    async def count_without_cursor(self) -> int:
        sql = f"SELECT count(*) {self._from} WHERE {self._cursor} IS NULL"

        def count() -> int:
            with self._connection.cursor() as cursor:
                cursor.execute(sql)
                return int(cursor.fetchone()[0])

        return await _in_thread(count)

    async def read(self, begin: Cursor | None) -> AsyncGenerator[Sequence[Any]]:
        # The library reads % as the place of a parameter, also that of a LIKE in the query.
        select = f"SELECT {self._columns} {self._from} WHERE {self._cursor}".replace("%", "%%")
        order = f"ORDER BY {self._cursor}".replace("%", "%%")
        sql = f"{select} {'IS NOT NULL' if begin is None else '>= %s'} {order}"
        parameters = () if begin is None else (begin,)
        cursor = self._connection.cursor(self._streaming)
        await _in_thread(lambda: cursor.execute(sql, parameters))
        types = [each[1] for each in cursor.description]
        instants = [i for i, each in enumerate(types) if each == _TIMESTAMP]
        try:
            while rows := await _in_thread(lambda: cursor.fetchmany(_PREFETCH)):
                for row in rows:
                    if types[0] in _TIMES and isinstance(row[0], str):
                        continue  # a time of zeros is none
                    yield _with_zone(row, instants) if instants else row
        finally:
            if (result := cursor._result) is not None and result.unbuffered_active:
                # The library would read all rows that are left.
                result.unbuffered_active, cursor.connection = False, None


@asynccontextmanager
async def open_mysql(source: DatabaseSource) -> AsyncIterator[MysqlReader]:
    """Open the database of a source. Raises DatabaseError, and InvalidField for its URL."""
    try:
        import pymysql
        from pymysql.cursors import SSCursor
    except ImportError:
        raise DatabaseError(
            "the library for MySQL is not installed: install onefold[mysql], such as by "
            "`.venv/bin/python -m pip install '.[mysql]'`"
        ) from None
    connect = _connector(pymysql, source.url)
    connection = await _in_thread(connect)
    try:
        yield MysqlReader(connection, SSCursor, source)
    finally:
        if connection.open:
            connection.close()


def _connector(pymysql: Any, url: str) -> Callable[[], Any]:
    parts = urlsplit(url)
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query):
        if name not in _TEXTS + _FLAGS:
            known = ", ".join(_TEXTS + _FLAGS)
            raise InvalidField(f"url: unknown parameter {name!r}; known: {known}", field="url")
        options[name] = value == "true" if name in _FLAGS else value

    def connect() -> Any:
        connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.lstrip("/")),
            charset="utf8mb4",
            connect_timeout=CONNECT_TIMEOUT_S,
            init_command=_UTC,
            **options,
        )
        connection.query(_READ_ONLY)
        return connection

    return connect


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _with_zone(row: Sequence[Any], instants: Sequence[int]) -> Sequence[Any]:
    values = list(row)
    for index in instants:
        if isinstance(values[index], datetime):  # a time of zeros is a text
            values[index] = values[index].replace(tzinfo=UTC)
    return values


async def _in_thread(work: Callable[[], Any]) -> Any:
    with _translated():
        return await asyncio.to_thread(work)


@contextmanager
def _translated() -> Iterator[None]:
    import pymysql

    try:
        yield
    except pymysql.MySQLError as error:
        code, *texts = error.args or (0,)
        is_away = code in _UNREACHABLE or isinstance(error, pymysql.InterfaceError)
        is_safe = bool(texts) and (is_away or code in _SAFE)
        why = str(texts[0]) if is_safe else f"{type(error).__name__} {code}"
        if is_away:
            raise DatabaseUnreachable(f"the database cannot be reached: {why}") from None
        raise DatabaseError(f"the database refuses the read: {why}") from None
    except OSError as error:
        raise DatabaseUnreachable(f"the database cannot be reached: {error.strerror}") from None
