"""Caches a connection of each destination between attempts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.activation.channels.http import NOT_REACHED
from services.activation.channels.ssrf import TargetGuard
from services.activation.domain.model import Destination
from services.activation.domain.transitions import AttemptResult, AttemptStatus

#: Seconds after which a connection that nothing uses is closed.
IDLE_S = 60.0

C = TypeVar("C")


@dataclass(slots=True)
class _Cached(Generic[C]):
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: C | None = None
    version: int = 0
    used_at: float = 0.0


class ConnectionCache(Generic[C]):
    """One connection a destination, which one attempt uses at a time."""

    def __init__(self, close: Callable[[C], Awaitable[None]]) -> None:
        self._close = close
        self._cached: dict[tuple[str, str], _Cached[C]] = {}

    @asynccontextmanager
    async def use(
        self, destination: Destination, connect: Callable[[], Awaitable[C]]
    ) -> AsyncIterator[C]:
        """Lend the connection of a destination; it is closed where the scope raises."""
        key = destination.workspace_id, destination.destination_id
        cached = self._cached.setdefault(key, _Cached())
        async with cached.lock:
            if cached.version != destination.version:
                await self._drop(cached)
            if cached.connection is None:
                cached.connection, cached.version = await connect(), destination.version
            try:
                yield cached.connection
            except BaseException:
                await self._drop(cached)
                raise
            cached.used_at = time.monotonic()
        await self._close_idle()

    async def close(self) -> None:
        """Close all connections."""
        for cached in self._cached.values():
            await self._drop(cached)

    async def _close_idle(self) -> None:
        since = time.monotonic() - IDLE_S
        for key, cached in list(self._cached.items()):
            if not cached.lock.locked() and cached.used_at < since:
                del self._cached[key]
                await self._drop(cached)

    async def _drop(self, cached: _Cached[C]) -> None:
        connection, cached.connection = cached.connection, None
        if connection is not None:
            with suppress(Exception):
                await self._close(connection)


def shown_result(guard: TargetGuard, host: str, port: int, result: AttemptResult) -> AttemptResult:
    """Return the result that a tenant may see of a server: hidden hosts have one reason alone."""
    if result.status is AttemptStatus.DELIVERED or not guard.hides_reasons(host, port):
        return result
    is_lost = result.status is AttemptStatus.LOST
    return AttemptResult(AttemptStatus.LOST if is_lost else AttemptStatus.FAILED, NOT_REACHED)
