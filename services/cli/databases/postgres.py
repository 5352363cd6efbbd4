"""Reads rows of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from services.chassis.postgres.roles import quote_name
from services.cli.databases.errors import DatabaseError, DatabaseUnreachable
from services.cli.databases.form import DatabaseSource
from services.cli.databases.position import Cursor

CONNECT_TIMEOUT_S = 10.0
#: Rows that are fetched at a time.
_PREFETCH = 1_000
#: Classes of SQLSTATE whose messages have no values of rows: connections, rights, names, syntax.
_SAFE = frozenset({"08", "28", "3D", "42", "53", "57"})
_OTHER_TYPE = (
    "the cursor has another type than at the last read: remove the file of the position to read "
    "all rows again"
)
_UNREADABLE = (
    "the database has a value that cannot be read, such as a time after the year 9999: leave it "
    "out by a query"
)
_SETTINGS = {"application_name": "onefold pull", "default_transaction_read_only": "on"}


class PostgresReader:
    """A connection that only reads; see DatabaseReader."""

    def __init__(self, connection: asyncpg.Connection[Any], source: DatabaseSource) -> None:
        self._connection = connection
        self._columns = ", ".join(map(quote_name, source.columns))
        self._from = f"FROM {source.origin(quote_name)}"
        self._cursor = quote_name(source.cursor)

    async def count_without_cursor(self) -> int:
        sql = f"SELECT count(*) {self._from} WHERE {self._cursor} IS NULL"
        with _translated():
            return int(await self._connection.fetchval(sql))

    async def read(self, begin: Cursor | None) -> AsyncGenerator[Sequence[Any]]:
        # A number before the least one of a small column is no number of its type.
        place = "$1::bigint" if isinstance(begin, int) else "$1"
        condition = f"{self._cursor} " + ("IS NOT NULL" if begin is None else f">= {place}")
        sql = f"SELECT {self._columns} {self._from} WHERE {condition} ORDER BY {self._cursor}"
        parameters = () if begin is None else (begin,)
        with _translated():
            async with self._connection.transaction(readonly=True):
                async for row in self._connection.cursor(sql, *parameters, prefetch=_PREFETCH):
                    yield tuple(row)


@asynccontextmanager
async def open_postgres(source: DatabaseSource) -> AsyncIterator[PostgresReader]:
    """Open the database of a source. Raises DatabaseError."""
    with _translated():
        connection = await asyncpg.connect(
            source.url, timeout=CONNECT_TIMEOUT_S, server_settings=_SETTINGS
        )
    try:
        yield PostgresReader(connection, source)
    finally:
        # An unfinished read is not awaited.
        connection.terminate()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        if type(error) is asyncpg.DataError:  # of the library; the position is the only parameter
            raise DatabaseError(_OTHER_TYPE) from None
        state = error.sqlstate or ""
        why = str(error) if state[:2] in _SAFE else f"{type(error).__name__}, SQLSTATE {state}"
        kind = DatabaseUnreachable if state[:2] in ("08", "53", "57") else DatabaseError
        raise kind(f"the database refuses the read: {why}") from None
    except asyncpg.ClientConfigurationError as error:
        raise DatabaseError(f"the URL of the database is wrong: {error}") from None
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise DatabaseUnreachable(
            f"the database cannot be reached: {str(error) or type(error).__name__}"
        ) from None
    except (ValueError, OverflowError):
        raise DatabaseError(_UNREADABLE) from None
