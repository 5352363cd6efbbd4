"""What identity needs to keep its state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.identity.domain.facts import Edge, First, Name
from services.identity.domain.model import Known, Moved, Outcome
from services.kernel.ids import IdentifierId, ProfileId


class Savepoint(Protocol):
    """A place in a transaction to go back to."""

    def give_up(self) -> None:
        """At the end of the block, undo what was done in it and let go of its locks."""
        ...


class Tables(Protocol):
    """Identifiers and edges, inside one open transaction."""

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """The profiles of those of `ids` that are known."""
        ...

    async def identifiers(self, ids: Collection[bytes]) -> dict[IdentifierId, Known]:
        """Those of `ids` that are known."""
        ...

    async def edges(self, edges: Collection[Edge]) -> dict[Edge, First]:
        """Those of `edges` that are known, each with its earliest evidence."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[Savepoint]:
        """A place to go back to."""
        ...

    async def lock(self, stake: Collection[bytes]) -> bool:
        """Keep others from locking any of these until the transaction ends or the savepoint is
        given up, and answer whether they are kept from locking anything at all.

        Callers that lock once at a time never wait for each other in a circle.
        """
        ...

    async def next_version(self) -> int:
        """A version higher than all that were given before; ask under the locks."""
        ...

    async def keep(
        self, outcome: Outcome, names: Mapping[IdentifierId, Name], version: int
    ) -> None:
        """Keep what is new, and what was seen earlier than is known."""
        ...

    async def move(self, outcome: Outcome, version: int) -> list[Moved]:
        """Give the identifiers of the moved profiles to those that they live on in."""
        ...

    async def add_digest(self, deltas: Mapping[str, int]) -> None:
        """Add to the digest of each workspace."""
        ...
