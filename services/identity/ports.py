"""What identity needs to keep its state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from services.identity.domain.facts import Name
from services.identity.domain.model import Evidence, Kept, Moved, Outcome
from services.kernel.ids import IdentifierId, ProfileId


class Tables(Protocol):
    """Identifiers and edges, inside one open transaction."""

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """The profiles of those of `ids` that are known."""
        ...

    async def look(self, evidence: Evidence) -> Kept:
        """What is known of the identifiers and edges of some evidence."""
        ...

    async def hold(self, stake: Collection[bytes]) -> bool:
        """Keep others from locking any of these until the transaction ends or they are let go, and
        answer whether others are kept from locking anything at all.

        Callers that hold once at a time never wait for each other in a circle.
        """
        ...

    async def let_go(self) -> None:
        """Let go of what was held last; nothing may have been written since."""
        ...

    async def look_again(self, evidence: Evidence) -> tuple[Kept, int]:
        """As `look`, with the identifiers that their profiles are named by; and a version higher
        than all that were given before. Ask while all that is at stake is held."""
        ...

    async def keep(
        self, outcome: Outcome, names: Mapping[IdentifierId, Name], version: int
    ) -> None:
        """Keep what is new, and what was seen earlier than is known."""
        ...

    async def move(self, outcome: Outcome, version: int) -> list[Moved]:
        """Give the identifiers of the moved profiles to those that they live on in."""
        ...
