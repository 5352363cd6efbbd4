"""What identity needs to keep its state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from services.identity.domain.co_occurrence import Neighbour
from services.identity.domain.evidence import IdentifierInWorkspace
from services.identity.domain.rows import (
    Evidence,
    LockedState,
    ProfileGraph,
    ReassignedIdentifier,
    ResolutionChanges,
    StoredEvidence,
)
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

#: A profile and a namespace.
ProfileNamespace = tuple[ProfileId, str]


class EvidenceStore(Protocol):
    """Identifiers, edges and decisions, inside one open transaction."""

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """The profiles of those of `ids` that are known."""
        ...

    async def load(self, evidence: Evidence) -> StoredEvidence:
        """What is known of the identifiers, edges and decisions of some evidence."""
        ...

    async def lock(self, stake: Collection[bytes]) -> bool:
        """Keep others from locking any of these until the transaction ends or they are let go, and
        answer whether others are kept from locking anything at all.

        Callers that hold once at a time never wait for each other in a circle.
        """
        ...

    async def unlock(self) -> None:
        """Let go of what was held last; nothing may have been written since."""
        ...

    async def load_locked(
        self, evidence: Evidence, workspaces: Collection[WorkspaceId]
    ) -> LockedState:
        """As `look`, with the identifiers that their profiles are named by, and what else counts
        in these workspaces.

        Ask while all that is at stake is held.
        """
        ...

    async def neighbours(
        self,
        ids: Collection[IdentifierId],
        namespaces: Collection[str],
        strengths: Collection[int],
        most: int,
    ) -> dict[IdentifierId, list[Neighbour]]:
        """Whom each of these was seen with at some strengths, those of `namespaces` left out; at
        most so many of each, whichever."""
        ...

    async def counts(
        self, asked: Mapping[ProfileId, Collection[str]]
    ) -> dict[ProfileNamespace, int]:
        """How many identifiers profiles have of the namespaces asked for, and of each of their
        scoped forms and digests."""
        ...

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        """These profiles with all edges that bind them, and those that are held between them and
        others; and whom people separated from them."""
        ...

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        """All edges of these, held or not; all ends are beyond."""
        ...

    async def save(
        self,
        changes: ResolutionChanges,
        names: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> list[ReassignedIdentifier]:
        """Write changes; answers who moved along with a profile."""
        ...
