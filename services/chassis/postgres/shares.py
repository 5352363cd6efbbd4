"""Bounds the part of a pool that the calls of one workspace hold at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.chassis.runtime.tasks import clip_to_deadline
from services.kernel.errors import RateLimited

#: Calls of one workspace that wait at once. A call with many short queries waits for each of them.
MAX_WAITING = 256
#: Seconds that a call waits at most; its deadline may be earlier.
MAX_WAIT_S = 20.0


@dataclass(slots=True)
class _Holder:
    """One workspace that holds or awaits something."""

    held: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class WorkspaceShares:
    """Gives each workspace one of `total` things, and further ones while it leaves as many.

    One workspace leaves half, and two leave a third. The calls of a workspace wait for one another,
    in their order; what becomes free goes to the workspace that holds least. A workspace without a
    call takes no memory.
    """

    def __init__(self, total: int) -> None:
        self._free = total
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
            holder = self._holders[workspace_id] = _Holder()
        if len(holder.waiting) >= MAX_WAITING:
            raise RateLimited(
                "too many calls of this workspace wait for the database: call again when some have"
                " ended"
            )
        try:
            await self._take(holder)
            try:
                yield
            finally:
                self._take_back(holder)
        finally:
            is_done = not holder.held and not holder.waiting
            # Another call may have removed this holder, and a third one begun the next.
            if is_done and self._holders.get(workspace_id) is holder:
                del self._holders[workspace_id]

    def _may_take(self, holder: _Holder) -> bool:
        return self._free > 0 and (not holder.held or holder.held + 2 <= self._free)

    async def _take(self, holder: _Holder) -> None:
        if not holder.waiting and self._may_take(holder):
            self._give(holder)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        holder.waiting.append(granted)
        try:
            async with asyncio.timeout(clip_to_deadline(MAX_WAIT_S)):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                # It was granted in the moment in which its call was given up.
                self._take_back(holder)
            elif granted in holder.waiting:
                holder.waiting.remove(granted)
            if not isinstance(error, TimeoutError):
                raise
            raise RateLimited(
                "other calls of this workspace hold its share of the database: send fewer at once,"
                " or ask for less with each"
            ) from error

    def _give(self, holder: _Holder) -> None:
        holder.held += 1
        self._free -= 1

    def _take_back(self, holder: _Holder) -> None:
        holder.held -= 1
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        """Give what is free to those who wait, first to the workspace that holds least."""
        while self._free > 0:
            waiting = (each for each in self._holders.values() if each.waiting)
            able = [each for each in waiting if self._may_take(each)]
            if not able:
                return
            holder = min(able, key=lambda each: each.held)
            granted = holder.waiting.popleft()
            # A call that was cancelled has not left the queue yet.
            if not granted.done():
                self._give(holder)
                granted.set_result(None)
