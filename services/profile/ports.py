"""What this room needs of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.profile.domain.growth import Past


class PastReader(Protocol):
    """The event log, read once more."""

    async def events(self, shard: int, first: int, until: int) -> Sequence[Past]:
        """The events of the facts [first, until) of a shard, in order.

        Raises Unavailable where the log cannot be read now.
        """
        ...
