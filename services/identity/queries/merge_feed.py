"""Streams merges and splits from the published messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from time import monotonic

from services.chassis.messaging.outbox import Outbox
from services.identity.codec.bus import decode_assignments
from services.identity.domain.merges import Merges, moves_of
from services.identity.projection.reader import StateReader
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

#: Seconds between two reads of the outbox.
POLL_S = 0.1
#: The least seconds between two states without moves.
PROGRESS_S = 1.0


class MergeFeed:
    """Streams the merges and splits of a workspace."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader

    async def watch(self, workspace_id: WorkspaceId, since: Token | None) -> AsyncGenerator[Merges]:
        """Yield merges and splits from a state of the log on (None = from now on), until the caller
        leaves.

        Where none have come for a while, the state that was reached is yielded without moves: at
        most one each second, as each message would tell how much other workspaces do. Raises
        InvalidField, RangeExpired.
        """
        shards = self._reader.runner.shards
        if since is not None and len(since.offsets) > shards:
            raise InvalidField(f"there are {shards} shards", field="from_token")
        token = since if since is not None else await self._reader.runner.token()
        offsets = [token.offset(shard) for shard in range(shards)]
        # As it is stored, without the facts: what moves is in the assignments.
        outbox = Outbox(self._reader.database.pool)
        yielded, next_progress = list(offsets), monotonic()
        while True:
            is_idle = True
            for shard in range(shards):
                async for message in outbox.stream(shard, offsets[shard]):
                    is_idle, offsets[shard] = False, message.next
                    moves = moves_of(workspace_id, decode_assignments(message.payload))
                    if moves:
                        yielded = list(offsets)
                        yield Merges(Token(tuple(offsets)), moves)
            if is_idle:
                if offsets != yielded and monotonic() >= next_progress:
                    yielded, next_progress = list(offsets), monotonic() + PROGRESS_S
                    yield Merges(Token(tuple(offsets)), ())
                await asyncio.sleep(POLL_S)
