"""Declares what the projection needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from asyncpg import Connection

from services.profile.domain.evaluation import PredicateIndexes
from services.profile.domain.facts import LogEvent


class EventReader(Protocol):
    """Reads events of the log again, for a backfill."""

    async def read_events(self, shard: int, first: int, end: int) -> Sequence[LogEvent]:
        """Return the events of a shard at offsets in [first, end), in order.

        Raises RetryableError where the log cannot be read now.
        """
        ...


class PredicateSource(Protocol):
    """Provides the predicates to evaluate."""

    async def for_all_shards(self, conn: Connection) -> PredicateIndexes:
        """Return the predicates that any shard has registered; see `PredicateIndexCache`."""
        ...
