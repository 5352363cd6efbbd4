"""Bounds the part of a pool that the calls of one workspace hold at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.chassis.runtime.tasks import clip_to_deadline
from services.kernel.errors import RateLimited

#: Calls of one workspace that wait at once. A call with many short queries waits for each of them.
MAX_WAITING = 256
#: Seconds that a call waits at most; its deadline may be earlier.
MAX_WAIT_S = 20.0


@dataclass(slots=True)
class _Holder:
    """One workspace that holds or awaits something."""

    free: asyncio.Semaphore
    calls: int = 0


class WorkspaceShares:
    """Gives each workspace at most half of `total` things at once, and at least one.

    The calls of a workspace wait for one another, in their order; those of others do not notice. A
    workspace without a call takes no memory.
    """

    def __init__(self, total: int) -> None:
        self.share = max(1, total // 2)
        self._holders: dict[str, _Holder] = {}

    @asynccontextmanager
    async def hold(self, workspace_id: str) -> AsyncIterator[None]:
        """Hold one thing for a workspace. Empty = what no workspace has called for, without limit.

        Raises RateLimited where MAX_WAITING calls of the workspace wait already, and where its
        other calls make this one wait for longer than MAX_WAIT_S or its deadline.
        """
        if not workspace_id:
            yield
            return
        holder = self._holders.get(workspace_id)
        if holder is None:
            holder = self._holders[workspace_id] = _Holder(asyncio.Semaphore(self.share))
        if holder.calls >= self.share + MAX_WAITING:
            raise RateLimited(
                "too many calls of this workspace wait for the database: call again when some have"
                " ended"
            )
        holder.calls += 1
        try:
            await _acquire(holder.free)
            try:
                yield
            finally:
                holder.free.release()
        finally:
            holder.calls -= 1
            if not holder.calls:
                del self._holders[workspace_id]


async def _acquire(free: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(clip_to_deadline(MAX_WAIT_S)):
            await free.acquire()
    except TimeoutError as error:
        raise RateLimited(
            "other calls of this workspace hold its share of the database: send fewer at once, or"
            " ask for less with each"
        ) from error
