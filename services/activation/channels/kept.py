"""Keeps a connection of each destination open between attempts."""

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
class _Kept(Generic[C]):
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: C | None = None
    version: int = 0
    used_at: float = 0.0


class KeptConnections(Generic[C]):
    """One connection a destination, which one attempt uses at a time."""

    def __init__(self, close: Callable[[C], Awaitable[None]]) -> None:
        self._close = close
        self._kept: dict[tuple[str, str], _Kept[C]] = {}

    @asynccontextmanager
    async def use(
        self, destination: Destination, connect: Callable[[], Awaitable[C]]
    ) -> AsyncIterator[C]:
        """Lend the connection of a destination; it is closed where the scope raises."""
        key = destination.workspace_id, destination.destination_id
        kept = self._kept.setdefault(key, _Kept())
        async with kept.lock:
            if kept.version != destination.version:
                await self._drop(kept)
            if kept.connection is None:
                kept.connection, kept.version = await connect(), destination.version
            try:
                yield kept.connection
            except BaseException:
                await self._drop(kept)
                raise
            kept.used_at = time.monotonic()
        await self._close_idle()

    async def close(self) -> None:
        """Close all connections."""
        for kept in self._kept.values():
            await self._drop(kept)

    async def _close_idle(self) -> None:
        since = time.monotonic() - IDLE_S
        for key, kept in list(self._kept.items()):
            if not kept.lock.locked() and kept.used_at < since:
                del self._kept[key]
                await self._drop(kept)

    async def _drop(self, kept: _Kept[C]) -> None:
        connection, kept.connection = kept.connection, None
        if connection is not None:
            with suppress(Exception):
                await self._close(connection)


def shown_result(guard: TargetGuard, host: str, port: int, result: AttemptResult) -> AttemptResult:
    """Return the result that a tenant may see of a server: hidden hosts have one reason alone."""
    if result.status is AttemptStatus.DELIVERED or not guard.hides_reasons(host, port):
        return result
    is_lost = result.status is AttemptStatus.LOST
    return AttemptResult(AttemptStatus.LOST if is_lost else AttemptStatus.FAILED, NOT_REACHED)
