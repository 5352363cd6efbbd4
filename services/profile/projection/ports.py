"""What this room needs of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import asyncpg

from services.profile.domain.backfill import Past
from services.profile.domain.model import Catalogues


class PastReader(Protocol):
    """The event log, read once more."""

    async def events(self, shard: int, first: int, until: int) -> Sequence[Past]:
        """The events of the facts [first, until) of a shard, in order.

        Raises Unavailable where the log cannot be read now.
        """
        ...


class Rules(Protocol):
    """What profiles are asked."""

    async def of_all(self, conn: asyncpg.Connection) -> Catalogues:
        """What any shard has learnt, by workspace; see `rulebook.Rulebook`."""
        ...
