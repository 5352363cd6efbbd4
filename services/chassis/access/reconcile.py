"""Compares the access tables of a service with the definitions in the log, and repairs them.

A service folds keys, sources and workspaces from what it receives. The log is the truth: a row that
no fact of the log defines is deleted, and a row that is missing or differs is made again from the
log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg
import structlog
from onefold.log.v1.log_pb2 import Fact
from prometheus_client import Counter

from services.chassis.access.tables import AccessTable, Q, Row, access_row, save_access_rows
from services.chassis.postgres.database import acquire, transaction
from services.chassis.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

#: Yields the facts of ACCESS_KINDS of one shard, from the beginning of the log to its head.
ReadDefinitions = Callable[[], AsyncIterator[Sequence[Fact]]]
#: Returns the offset of that shard up to which the service has folded.
LoadOffset = Callable[[asyncpg.Connection], Awaitable[int]]

#: A start waits this long for the comparison, seconds; then it goes on beside the service.
START_WAIT_S = 2.0

_READ = {
    AccessTable.WORKSPACE: Q.all_workspaces,
    AccessTable.KEY: Q.all_keys,
    AccessTable.SOURCE: Q.all_sources,
    AccessTable.FIELD_CLASSES: Q.all_field_classes,
}
_DELETE = {
    AccessTable.WORKSPACE: Q.delete_workspace,
    AccessTable.KEY: Q.delete_key,
    AccessTable.SOURCE: Q.delete_source,
    AccessTable.FIELD_CLASSES: Q.delete_field_classes,
}
#: How many columns identify a row.
_KEY_COLUMNS = {
    AccessTable.WORKSPACE: 1,
    AccessTable.KEY: 1,
    AccessTable.SOURCE: 2,
    AccessTable.FIELD_CLASSES: 1,
}
#: The columns of the version and of whether it is disabled; a workspace has one version.
_VERSION = {AccessTable.KEY: (5, 6), AccessTable.SOURCE: (2, 3), AccessTable.FIELD_CLASSES: (1,)}


class AccessDifference(NamedTuple):
    """A row that is not as the log defines it."""

    table: AccessTable
    #: The row of the service; None where it is missing.
    row: Row | None
    #: The newest row of the log; None where the log defines none.
    defined: Row | None

    def describe(self) -> str:
        """Return one line without any text of the row, which may be forged."""
        row = self.row or self.defined or (b"",)
        named = row[0].hex()[:16] if isinstance(row[0], bytes) else "row"
        name = f"{self.table.value} {'key_' if self.table is AccessTable.KEY else ''}{named}"
        if self.row is None:
            return f"{name} is missing"
        return f"{name} differs from the log" if self.defined else f"{name} is not in the log"


@dataclass(slots=True)
class DefinedAccess:
    """What the facts of a log define: every row that there ever was, and the newest ones."""

    #: The offset up to which the service has folded; it must have the rows of earlier facts.
    folded_to: int
    _ever: dict[AccessTable, set[Row]] = field(default_factory=lambda: {t: set() for t in _READ})
    _newest: dict[AccessTable, dict[Row, Row]] = field(
        default_factory=lambda: {t: {} for t in _READ}
    )
    _required: dict[AccessTable, dict[Row, Row]] = field(
        default_factory=lambda: {t: {} for t in _READ}
    )

    def add(self, facts: Iterable[Fact]) -> None:
        """Add facts, in the order of the log."""
        for fact in facts:
            if (defined := access_row(fact)) is None:
                continue
            table, row = defined
            self._ever[table].add(row)
            _keep_newest(table, self._newest[table], row)
            if fact.offset < self.folded_to:
                _keep_newest(table, self._required[table], row)

    def rows(self, table: AccessTable) -> list[Row]:
        """Return the rows that the service must have by now."""
        return list(self._required[table].values())

    def differences(self, table: AccessTable, rows: Iterable[Row]) -> list[AccessDifference]:
        """Compare the rows of a service, which were read before the log was."""
        newest, required, count = self._newest[table], self._required[table], _KEY_COLUMNS[table]
        found = []
        missing = dict(required)
        for row in rows:
            key = row[:count]
            least = missing.pop(key, None)
            is_old = least is not None and _rank(table, row) < _rank(table, least)
            if row not in self._ever[table] or is_old:
                found.append(AccessDifference(table, row, newest.get(key)))
        return found + [AccessDifference(table, None, row) for row in missing.values()]


def _rank(table: AccessTable, row: Row) -> Row:
    return tuple(row[column] for column in _VERSION.get(table, ()))


def _keep_newest(table: AccessTable, rows: dict[Row, Row], row: Row) -> None:
    key = row[: _KEY_COLUMNS[table]]
    if key not in rows or _rank(table, row) > _rank(table, rows[key]):
        rows[key] = row


class AccessReconciler:
    """Compares and repairs the access tables of one service."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        read_definitions: ReadDefinitions,
        load_offset: LoadOffset,
        *,
        repaired: Counter,
        on_repaired: Callable[[], None],
    ) -> None:
        """`repaired` counts rows, by table; `on_repaired` is called after a repair."""
        self._pool = pool
        self._read_definitions = read_definitions
        self._load_offset = load_offset
        self._repaired = repaired
        self._on_repaired = on_repaired
        self._compared = asyncio.Event()

    async def compare(self) -> list[AccessDifference]:
        """Return the differences. Raises StoreUnavailable, OnefoldError."""
        return (await self._compare())[1]

    async def repair(self) -> list[AccessDifference]:
        """Repair the differences and return them. Raises StoreUnavailable, OnefoldError."""
        defined, found = await self._compare()
        if not found:
            return found
        async with transaction(self._pool) as conn:
            for table in AccessTable:
                ours = [each for each in found if each.table is table]
                if ours:
                    wrong = [each.row for each in ours if each.row is not None]
                    await conn.executemany(_DELETE[table], wrong)
                    await save_access_rows(conn, table, defined.rows(table))
                    self._repaired.labels(table.value).inc(len(ours))
                    log.warning("access_repaired", table=table.value, rows=len(ours))
        self._on_repaired()
        return found

    async def run(self) -> None:
        """Repair once, as soon as the log can be read."""
        backoff = Backoff(max_s=30.0)
        while not self._compared.is_set():
            try:
                await self.repair()
                self._compared.set()
            except Exception as error:
                log.info("access_not_compared", error=type(error).__name__)
                await asyncio.sleep(backoff.next_s())

    async def wait_compared(self) -> None:
        """Wait for the repair of `run`, but not for long: a service starts without ingest too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_WAIT_S):
                await self._compared.wait()

    async def _compare(self) -> tuple[DefinedAccess, list[AccessDifference]]:
        # In this order: the log has all facts of the rows, the rows all facts before the offset.
        async with acquire(self._pool) as conn:
            defined = DefinedAccess(await self._load_offset(conn))
            rows = {table: await conn.fetch(statement) for table, statement in _READ.items()}
        async for facts in self._read_definitions():
            defined.add(facts)
        found: list[AccessDifference] = []
        for table, records in rows.items():
            found += defined.differences(table, [tuple(record) for record in records])
        return defined, found
