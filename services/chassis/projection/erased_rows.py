"""Counts the rows that a service deletes of erased persons, and reports them to the log.

Each shard saves its counts in the transaction that deletes. Once all shards have, their sum becomes
the fact `ErasureFolded`, by which the certificate of the erasure names what was deleted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import structlog
from onefold.log.v1.erasure_pb2 import ErasureFolded
from onefold.log.v1.log_pb2 import Fact

from services.chassis.postgres.database import Queries, acquire
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat
from services.kernel.erasures import PersonErasure
from services.kernel.errors import Conflict
from services.kernel.ids import hash_id

Q = Queries.load(__package__, "erased_rows.sql")
ERASURE_FOLDED: str = ErasureFolded.DESCRIPTOR.full_name

#: Persons in one call.
PAGE = 100
#: Seconds between two polls.
POLL_S = 2.0
MAX_BACKOFF_S = 30.0

log = structlog.get_logger(__name__)


async def save_erased_rows(
    conn: asyncpg.Connection, erasure: PersonErasure, shard: int, rows: Mapping[str, int]
) -> None:
    """Save how many rows of each kind a shard has deleted of a person."""
    key = (erasure.workspace_id, erasure.request_id, shard)
    await conn.execute(Q.save_erased_rows, *key, list(rows), list(rows.values()))


@dataclass(frozen=True, slots=True)
class ErasureReports:
    """Reports what a service has deleted of erased persons; a repeat is the same fact."""

    pool: asyncpg.Pool
    log_client: LogClient
    service: str
    shards: int

    async def run(self) -> None:
        """Report until cancelled."""
        await repeat("reporting erasures", self._step, Backoff(POLL_S, MAX_BACKOFF_S))

    async def _step(self) -> None:
        if await self.report_once() < PAGE:
            await asyncio.sleep(POLL_S)

    async def report_once(self) -> int:
        """Report one page; return how many persons it had."""
        async with acquire(self.pool) as conn:
            rows = await conn.fetch(Q.load_erased_rows, self.shards, PAGE)
        found: defaultdict[tuple[str, bytes], Counter[str]] = defaultdict(Counter)
        for row in rows:
            counts = found[row["workspace_id"], row["request_id"]]
            counts.update(dict(zip(row["kinds"], row["numbers"], strict=True)))
        if not found:
            return 0
        for key, counts in found.items():
            await self._append(*key, counts)
        async with acquire(self.pool) as conn:
            await conn.execute(Q.delete_erased_rows, *map(list, zip(*found, strict=True)))
        return len(found)

    async def _append(self, workspace_id: str, request_id: bytes, rows: Mapping[str, int]) -> None:
        message = ErasureFolded(request_id=request_id, service=self.service, rows=rows)
        content = request_id + self.service.encode()
        fact = Fact(
            workspace_id=workspace_id,
            fact_id=hash_id(workspace_id, ERASURE_FOLDED, content),
            kind=ERASURE_FOLDED,
            actor=self.service,
            payload=message.SerializeToString(deterministic=True),
        )
        try:
            await self.log_client.append([fact])
        except Conflict:
            # A rebuilt state has nothing to delete: the first report counts.
            log.info("erasure_reported_before", request=request_id.hex())
