"""Adds entries to the audit in groups, and reads them.

An entry of a read is written within `FLUSH_S` beside the call, so that reads cost no commit of
their own; one of an act, and of a read that unmasked, is written before its caller gets a response.
What waits is written before entries are listed, so a caller finds the calls that it made before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn, TypeAlias

import asyncpg
import structlog

from services.chassis.postgres.database import Queries, acquire, transaction
from services.chassis.runtime.backoff import Backoff
from services.kernel.audit_chain import FIRST_HASH, AuditEntry, ChainedEntry, ChainEnd, chained
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)

Q = Queries.load(__package__, "log.sql")

#: How long entries of reads are collected, seconds.
FLUSH_S = 0.1
#: While this many entries wait, reads of personal data are refused.
MAX_WAITING = 10_000
#: The most entries of one transaction.
_MAX_GROUP = 2_000
_FOREVER = 2**63 - 1
#: An entry of a workspace that waits, and the future of a caller that waits for it.
_Waiting: TypeAlias = tuple[str, AuditEntry, asyncio.Future[None] | None]


def chain_of(service: str, workspace_id: str) -> str:
    """Return the name of a chain, which its hashes cover."""
    return f"{service}/{workspace_id}"


class AuditFilter(NamedTuple):
    """Which entries are listed."""

    #: Empty = those of all keys.
    key_id: str = ""
    #: Empty = about all profiles, and about none.
    profile_id: bytes = b""
    #: Only entries of calls that read something of a person.
    reads_only: bool = False


class AuditLog:
    """The audit of one service. `run` has to run; entries that wait are written as it ends."""

    def __init__(self, pool: asyncpg.Pool, api_pool: asyncpg.Pool, service: str) -> None:
        """`api_pool`: for what callers read."""
        self._pool = pool
        self._api_pool = api_pool
        self.service = service
        self._waiting: list[_Waiting] = []
        self._arrived, self._urgent = asyncio.Event(), asyncio.Event()
        self._flushing = asyncio.Lock()

    async def add(
        self, workspace_id: str, entry: AuditEntry, *, durably: bool, is_act: bool = False
    ) -> None:
        """Add an entry; where `durably`, return after it is stored. `is_act`: of what is done.

        Raises StoreUnavailable where entries cannot be stored: the entry is written later. That of
        a read is not where too many wait.
        """
        future = asyncio.get_running_loop().create_future() if durably else None
        if not is_act and len(self._waiting) >= MAX_WAITING:
            raise StoreUnavailable("the audit of reads cannot be written: try again")
        self._waiting.append((workspace_id, entry, future))
        self._arrived.set()
        if future is not None:
            self._urgent.set()
            await future

    async def run(self) -> NoReturn:
        """Write entries as they arrive."""
        backoff = Backoff(max_s=5.0)
        try:
            while True:
                await self._arrived.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_S):
                        await self._urgent.wait()
                try:
                    await self.flush()
                    backoff.reset()
                except Exception as error:
                    log.warning("audit_postponed", error=type(error).__name__)
                    await asyncio.sleep(backoff.next_s())
        finally:
            await self._write_rest()

    async def _write_rest(self) -> None:
        try:
            await self._flush_wholly()
        except Exception as error:
            lost = len(self._waiting)
            log.error("audit_entries_lost", entries=lost, error=type(error).__name__)

    async def flush(self) -> None:
        """Write what waits. Raises StoreUnavailable; then everything waits on."""
        async with self._flushing:
            while self._waiting:
                await self._write_group(self._waiting[:_MAX_GROUP])
            self._arrived.clear()
            self._urgent.clear()

    async def _flush_wholly(self) -> None:
        """Write what waits for a caller, who may leave: a commit would be unknown otherwise."""
        if self._waiting:
            await asyncio.shield(self.flush())

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        """Write the first entries that wait, and let their callers go on."""
        try:
            await self._write(group)
        except Exception as error:
            for _, _, future in group:
                if future is not None and not future.done():
                    future.set_exception(error)
            raise
        del self._waiting[: len(group)]
        for _, _, future in group:
            if future is not None and not future.done():
                future.set_result(None)

    async def _write(self, group: Sequence[_Waiting]) -> None:
        by_workspace: dict[str, list[AuditEntry]] = {}
        for workspace_id, entry, _ in group:
            by_workspace.setdefault(workspace_id, []).append(entry)
        names = list(by_workspace)
        async with transaction(self._pool) as conn:
            heads = await conn.fetch(Q.lock_heads, names)
            if len(heads) < len(names):
                await conn.execute(Q.add_heads, names, FIRST_HASH)
                heads = await conn.fetch(Q.lock_heads, names)
            for workspace_id, number, last in heads:
                entries = chained(
                    ChainEnd(number, last),
                    chain_of(self.service, workspace_id),
                    by_workspace[workspace_id],
                )
                rows = [(workspace_id, each.number, *each.entry, each.hash) for each in entries]
                await conn.executemany(Q.add_entry, rows)
                await conn.execute(Q.save_head, workspace_id, entries[-1].number, entries[-1].hash)

    async def entries_from(
        self, workspace_id: str, number: int, limit: int
    ) -> tuple[list[ChainedEntry], ChainEnd]:
        """Return the entries from a number on, the earliest first, and the end of the chain.

        Both are of one state. Raises StoreUnavailable.
        """
        await self._flush_wholly()
        async with (
            acquire(self._api_pool, workspace_id) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await conn.fetchrow(Q.load_head, workspace_id)
            rows = await conn.fetch(Q.entries_from, workspace_id, number, limit)
        return _entries(rows), ChainEnd() if head is None else ChainEnd(
            head["number"], head["hash"]
        )

    async def entries_before(
        self, workspace_id: str, number: int, limit: int, chosen: AuditFilter
    ) -> list[ChainedEntry]:
        """Return the entries before a number (0 = the end), the latest first.

        Raises StoreUnavailable.
        """
        before = number or _FOREVER
        await self._flush_wholly()
        async with acquire(self._api_pool, workspace_id) as conn:
            rows = await conn.fetch(Q.entries_before, workspace_id, before, limit, *chosen)
        return _entries(rows)


def _entries(rows: Sequence[asyncpg.Record]) -> list[ChainedEntry]:
    return [
        ChainedEntry(number, AuditEntry(*fields[:6], *_tail(fields[6:])), digest)
        for number, *fields, digest in rows
    ]


def _tail(fields: Sequence[object]) -> tuple[object, ...]:
    profile_ids, names, *rest = fields
    return profile_ids, tuple(names), *rest  # type: ignore[arg-type]  # a column of texts


def now_us() -> int:
    """Return the instant by the clock of the server, microseconds since 1970."""
    return time.time_ns() // 1_000
