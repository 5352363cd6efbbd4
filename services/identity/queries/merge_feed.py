"""Streams merges and splits from the published messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from services.chassis.messaging.outbox import Outbox
from services.identity.codec.bus import decode_assignments
from services.identity.domain.merges import Merges, moves_of
from services.identity.projection.reader import StateReader
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

#: Seconds between two reads of the outbox.
POLL_S = 0.1


class MergeFeed:
    """Streams the merges and splits of a workspace."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader

    async def watch(self, workspace_id: WorkspaceId, since: Token | None) -> AsyncGenerator[Merges]:
        """Yield merges and splits from a state of the log on (None = from now on), until the caller
        leaves. Messages without moves are yielded too, as they show the feed's progress.

        Raises InvalidField, RangeExpired.
        """
        shards = self._reader.runner.shards
        if since is not None and len(since.offsets) > shards:
            raise InvalidField(f"there are {shards} shards", field="from_token")
        token = since if since is not None else await self._reader.runner.token()
        offsets = [token.offset(shard) for shard in range(shards)]
        outbox = Outbox(self._reader.database.pool)
        while True:
            is_idle = True
            for shard in range(shards):
                async for message in outbox.stream(shard, offsets[shard]):
                    is_idle, offsets[shard] = False, message.next
                    moves = moves_of(workspace_id, decode_assignments(message.payload))
                    yield Merges(shard, message.next, moves)
            if is_idle:
                await asyncio.sleep(POLL_S)
