"""Remembers that the upstream of a shard went back behind its state, until a resync."""

from __future__ import annotations

import asyncpg

from services.chassis.postgres.errors import translate_store_errors
from services.chassis.projection.checkpoint import is_beyond_upstream, mark_beyond_upstream
from services.kernel.errors import UpstreamWentBack


class UpstreamFault:
    """The fault of one shard. Soon the upstream is longer than before, with other messages.

    It is stored with the checkpoint, so that a restart does not end it; a new generation does.
    """

    def __init__(self, shard: int, conn: asyncpg.Connection) -> None:
        self._shard = shard
        self._conn = conn
        self._is_known = False

    async def load(self) -> None:
        """Load whether it was noted before. Raises StoreUnavailable."""
        with translate_store_errors(self._conn):
            self._is_known = await is_beyond_upstream(self._conn, self._shard)

    def check(self) -> None:
        """Raise UpstreamWentBack if it was noted."""
        if self._is_known:
            raise UpstreamWentBack(
                "the upstream was restored without this service; restore the whole database to one"
                " moment, or run `./onefold rebuild SERVICE --resync`"
            )

    async def note(self, error: Exception) -> None:
        """Note it if an error of the upstream states it. Raises StoreUnavailable."""
        if isinstance(error, UpstreamWentBack) and not self._is_known:
            with translate_store_errors(self._conn):
                await mark_beyond_upstream(self._conn, self._shard)
            self._is_known = True
