"""Group commit: callers that come at the same time share one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from services.ingest.domain.facts import Appended
from services.ingest.domain.offsets import Answer, Request
from services.kernel.errors import StoreUnavailable

Commit = Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]]

#: What a fact weighs beside its payload, bytes.
_FACT_WEIGHT = 256
#: Where callers come side by side, a group waits so long for more of them, seconds: a commit costs
#: as much as the calls of several. Whoever calls alone never waits.
GATHER_S = 0.005
#: Bytes that are enough for a commit.
_ENOUGH = 32 << 10


class _Waiting:
    """A caller that waits for its answer."""

    __slots__ = ("answer", "request", "weight")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.weight = sum(len(fact.payload) + _FACT_WEIGHT for fact in request.facts)
        self.answer: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()

    def give(self, answer: Answer | BaseException) -> None:
        if self.answer.done():  # the caller has left
            return
        if isinstance(answer, Appended):
            self.answer.set_result(answer)
        else:
            self.answer.set_exception(answer)


class GroupCommit:
    """Takes everything that waits, commits it as one group, and gives each caller its own answer.

    A caller that leaves does not disturb its group; its facts may be committed all the same. Where
    a group fails because of what is in it, each caller is tried alone; where PostgreSQL is away,
    all of them get StoreUnavailable. Those who come when too much is waiting wait at the door.
    """

    def __init__(
        self,
        commit: Commit,
        *,
        group_facts: int = 4_000,
        group_bytes: int = 8 << 20,
        waiting_bytes: int = 64 << 20,
    ) -> None:
        self._commit = commit
        self._group_facts = group_facts
        self._group_bytes = group_bytes
        self._waiting_bytes = waiting_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._room = asyncio.Condition()
        self._closed = False

    async def append(self, request: Request) -> Appended:
        """Answers after the commit. Raises EtagMismatch, StoreUnavailable."""
        if self._bytes > self._waiting_bytes:
            await self._wait_for_room()
        if self._closed:
            raise _closing()
        waiting = _Waiting(request)
        self._waiting.append(waiting)
        self._bytes += waiting.weight
        self._some.set()
        return await waiting.answer

    async def run(self) -> None:
        """Commits groups until cancelled; those who wait then get StoreUnavailable."""
        group: list[_Waiting] = []
        try:
            while True:
                await self._some.wait()
                if len(group) > 1 and self._bytes < _ENOUGH:
                    await asyncio.sleep(GATHER_S)
                group = self._take()
                await self._settle(group)
                await self._tell_of_room()
        finally:
            self._closed = True
            _give_all(self._waiting, _closing())
            await self._tell_of_room()

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        facts = weight = 0
        while self._waiting:
            nearest = self._waiting[0]
            facts += len(nearest.request.facts)
            weight += nearest.weight
            if group and (facts > self._group_facts or weight > self._group_bytes):
                return group
            self._waiting.popleft()
            self._bytes -= nearest.weight
            if not nearest.answer.done():
                group.append(nearest)
        self._some.clear()
        return group

    async def _settle(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            answers = await self._commit([waiting.request for waiting in group])
        except asyncio.CancelledError:
            _give_all(group, _closing())
            raise
        except StoreUnavailable as error:
            _give_all(group, error)
        except Exception as error:
            await self._settle_singly(group, error)
        else:
            for waiting, answer in zip(group, answers, strict=True):
                waiting.give(answer)

    async def _settle_singly(self, group: list[_Waiting], error: Exception) -> None:
        if len(group) == 1:
            group[0].give(error)
            return
        for waiting in group:
            await self._settle([waiting])

    async def _wait_for_room(self) -> None:
        async with self._room:
            await self._room.wait_for(lambda: self._closed or self._bytes <= self._waiting_bytes)

    async def _tell_of_room(self) -> None:
        async with self._room:
            self._room.notify_all()


def _closing() -> StoreUnavailable:
    return StoreUnavailable("the log is closing; try again")


def _give_all(group: Iterable[_Waiting], error: BaseException) -> None:
    for waiting in group:
        waiting.give(error)
