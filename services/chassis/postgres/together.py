"""Runs several statements as one: in one trip, and on one state without a transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from asyncpg import Connection

_PARAMETER = re.compile(r"\$(\d+)")


class Statement(NamedTuple):
    """A statement that returns rows, with its parameters."""

    text: str
    parameters: Sequence[Any] = ()


async def fetch_together(conn: Connection, *statements: Statement) -> list[list[Any]]:
    """Return the rows of each statement as tuples, all of one state.

    Outside of a transaction a statement sees one state of the database; this is one statement.
    """
    parameters = [each for statement in statements for each in statement.parameters]
    row: Any = await conn.fetchrow(_joined(tuple(each.text for each in statements)), *parameters)
    return list(row)


@lru_cache(maxsize=256)
def _joined(texts: tuple[str, ...]) -> str:
    """Return the statement whose columns are the rows of each of these statements, as arrays."""
    columns, used = [], 0
    for text in texts:
        columns.append(f"ARRAY(SELECT r FROM (\n{_shifted(text, used)}\n) AS r)")
        used += max(map(int, _PARAMETER.findall(text)), default=0)
    return "SELECT " + ", ".join(columns)


def _shifted(text: str, by: int) -> str:
    """Return a statement whose parameters have numbers that are higher by so many."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", text)
