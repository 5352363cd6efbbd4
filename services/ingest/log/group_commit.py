"""Commits the requests of concurrent callers in one transaction (group commit)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from services.ingest.domain.facts import AppendResult
from services.ingest.domain.offsets import AppendOutcome, AppendRequest
from services.kernel.errors import StoreUnavailable

Commit = Callable[[Sequence[AppendRequest]], Awaitable[Sequence[AppendOutcome]]]

#: The size of a fact beside its payload, bytes.
_FACT_OVERHEAD = 256
#: After a group of several requests, the next one waits for as many as were answered or pending at
#: its end, which come from the same callers, and at most this long, seconds: a commit and the
#: messages that relay it cost as much as ten requests over gRPC. A single caller never waits.
GATHER_S = 0.02
#: A group of this size does not wait for more, bytes.
_FULL_ENOUGH = 32 << 10


class _PendingAppend:
    """A request that waits for its outcome."""

    __slots__ = ("outcome", "request", "size")

    def __init__(self, request: AppendRequest) -> None:
        self.request = request
        facts = request.facts
        self.size = sum([len(fact.payload) for fact in facts]) + len(facts) * _FACT_OVERHEAD
        self.outcome: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()

    def complete(self, outcome: AppendOutcome | BaseException) -> None:
        if self.outcome.done():  # the caller was cancelled
            return
        if isinstance(outcome, AppendResult):
            self.outcome.set_result(outcome)
        else:
            self.outcome.set_exception(outcome)


class GroupCommit:
    """Commits all pending requests as one group, and gives each caller its own outcome.

    A caller that is cancelled does not disturb its group; its facts may be committed all the same.
    Where a group fails because of its content, each request is tried alone; where PostgreSQL is
    down, all of them get StoreUnavailable. While too much is pending, new callers wait.
    """

    def __init__(
        self,
        commit: Commit,
        *,
        group_facts: int = 4_000,
        group_bytes: int = 8 << 20,
        pending_bytes: int = 64 << 20,
    ) -> None:
        self._commit = commit
        self._group_facts = group_facts
        self._group_bytes = group_bytes
        self._max_pending_bytes = pending_bytes
        self._pending: deque[_PendingAppend] = deque()
        self._pending_bytes = 0
        self._has_pending = asyncio.Event()
        #: The number of requests that the next group waits for.
        self._expected = 1
        self._has_enough = asyncio.Event()
        self._backpressure = asyncio.Condition()
        self._closed = False

    async def append(self, request: AppendRequest) -> AppendResult:
        """Return after the commit. Raises Conflict, StoreUnavailable."""
        if self._pending_bytes > self._max_pending_bytes:
            async with self._backpressure:
                await self._backpressure.wait_for(
                    lambda: self._closed or self._pending_bytes <= self._max_pending_bytes
                )
        if self._closed:
            raise _closing()
        pending = _PendingAppend(request)
        self._pending.append(pending)
        self._pending_bytes += pending.size
        self._has_pending.set()
        if self._is_enough():
            self._has_enough.set()
        return await pending.outcome

    async def run(self) -> None:
        """Commit groups until cancelled; requests that are pending then get StoreUnavailable."""
        try:
            while True:
                await self._has_pending.wait()
                await self._gather()
                group = self._next_group()
                await self._commit_group(group)
                self._expected = len(group) + len(self._pending) if len(group) > 1 else 1
                await self._release_backpressure()
        finally:
            self._closed = True
            _complete_all(self._pending, _closing())
            await self._release_backpressure()

    def _is_enough(self) -> bool:
        """Return whether what is pending makes a group that does not wait for more."""
        return len(self._pending) >= self._expected or self._pending_bytes >= _FULL_ENOUGH

    async def _gather(self) -> None:
        if self._is_enough():
            return
        self._has_enough.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):
                await self._has_enough.wait()

    def _next_group(self) -> list[_PendingAppend]:
        group: list[_PendingAppend] = []
        facts = size = 0
        while self._pending:
            oldest = self._pending[0]
            facts += len(oldest.request.facts)
            size += oldest.size
            if group and (facts > self._group_facts or size > self._group_bytes):
                return group
            self._pending.popleft()
            self._pending_bytes -= oldest.size
            if not oldest.outcome.done():
                group.append(oldest)
        self._has_pending.clear()
        return group

    async def _commit_group(self, group: list[_PendingAppend]) -> None:
        if not group:
            return
        try:
            outcomes = await self._commit([pending.request for pending in group])
        except asyncio.CancelledError:
            _complete_all(group, _closing())
            raise
        except StoreUnavailable as error:
            _complete_all(group, error)
        except Exception as error:
            if len(group) == 1:
                group[0].complete(error)
                return
            for pending in group:
                await self._commit_group([pending])
        else:
            for pending, outcome in zip(group, outcomes, strict=True):
                pending.complete(outcome)

    async def _release_backpressure(self) -> None:
        async with self._backpressure:
            self._backpressure.notify_all()


def _closing() -> StoreUnavailable:
    return StoreUnavailable("the log is closing; retry")


def _complete_all(group: Iterable[_PendingAppend], error: BaseException) -> None:
    for pending in group:
        pending.complete(error)
