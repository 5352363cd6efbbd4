"""Opens a database of another system, and reads its rows in the order of their cursor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from services.cli.databases.form import DatabaseSource
from services.cli.databases.mysql import open_mysql
from services.cli.databases.position import Cursor
from services.cli.databases.postgres import open_postgres


class DatabaseReader(Protocol):
    """A connection that only reads."""

    async def count_without_cursor(self) -> int:
        """Return the number of rows that have no cursor, which no read returns."""

    def read(self, begin: Cursor | None) -> AsyncGenerator[Sequence[Any]]:
        """Yield the columns of every row whose cursor is at least `begin`, in its order."""


def open_database(source: DatabaseSource) -> AbstractAsyncContextManager[DatabaseReader]:
    """Open a database. Raises DatabaseError, also what the reader raises."""
    opened: AbstractAsyncContextManager[DatabaseReader]
    opened = open_postgres(source) if source.engine == "postgres" else open_mysql(source)
    return opened
