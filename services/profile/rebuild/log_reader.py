"""Reads the log up to a token for a bulk load, alone or together with a rebuild of identity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from asyncpg import Pool
from onefold.log.v1.log_pb2 import Fact, FactBatch

from services.chassis.messaging.stream import UnitId
from services.chassis.postgres.database import acquire
from services.chassis.projection.checkpoint import Checkpoint
from services.chassis.projection.failed_facts import load_left_out
from services.chassis.projection.replay import for_each_shard, without
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import OnefoldError
from services.kernel.index_key import IndexKey
from services.kernel.tokens import Token
from services.profile.codec.log import decode_broadcast_facts, decode_log_events
from services.profile.projection.upstream import READ_PAGE
from services.profile.rebuild.bulk_load import BulkLoader
from services.profile.store.definitions import save_broadcast_facts

log = structlog.get_logger(__name__)

#: Called with the facts that were folded since its last call.
Progress: TypeAlias = Callable[[int], None]


@dataclass(slots=True)
class RebuildLogReader:
    """Passes the facts before a token to a loader, and saves the broadcast facts."""

    pool: Pool
    loader: BulkLoader
    end: Token
    index_key: IndexKey
    progress: Progress
    #: How far each shard is.
    _checkpoints: dict[int, Checkpoint] = field(default_factory=dict, init=False)
    _left_out: dict[int, frozenset[UnitId]] = field(default_factory=dict, init=False)

    async def follow(self, pages: AsyncIterator[FactBatch]) -> None:
        """Read the pages that a rebuild of identity reads, as far as there are any."""
        try:
            async for batch in pages:
                at, end = self._at(batch.shard), self.end.offset(batch.shard)
                if batch.first_offset == at.next < end:
                    await self._add(at, batch.facts[: end - at.next])
        except OnefoldError as error:
            log.warning("shared_reading_ended", error=type(error).__name__)
        log.info("pages_followed", facts=sum(at.next for at in self._checkpoints.values()))

    def begin_at(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Begin where other rows end."""
        self._checkpoints = {at.shard: at for at in checkpoints}

    async def read(self, source: LogClient, workers: int) -> list[Checkpoint]:
        """Read the rest from the log, and return the checkpoints of all shards."""

        async def read(shard: int, end: int) -> Checkpoint:
            at = self._at(shard)
            if at.next < end:
                async for page in source.read(shard, at.next, end, page=READ_PAGE):
                    at = await self._add(at, page)
            return at

        return await for_each_shard(self.end, workers, read)

    def _at(self, shard: int) -> Checkpoint:
        return self._checkpoints.get(shard, Checkpoint(shard))

    async def _add(self, at: Checkpoint, page: Sequence[Fact]) -> Checkpoint:
        shard = at.shard
        if shard not in self._left_out:
            async with acquire(self.pool) as conn:
                left_out = await load_left_out(conn, shard, 0, self.end.offset(shard))
            self._left_out[shard] = left_out
        facts = without(page, self._left_out[shard])
        await self.loader.add_events(decode_log_events(facts, self.index_key))
        if broadcast := decode_broadcast_facts(facts):
            async with acquire(self.pool) as conn:
                await save_broadcast_facts(conn, shard, broadcast)
        offset, time_us = at.next + len(page), page[-1].recorded_at_us
        self._checkpoints[shard] = Checkpoint(shard, offset, 0, offset, time_us)
        self.progress(len(page))
        return self._checkpoints[shard]
