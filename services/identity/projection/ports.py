"""Declares the interface of the store that the fold uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from services.identity.domain.changes import ReassignedIdentifier, ResolutionChanges
from services.identity.domain.claims import ProfileClaims
from services.identity.domain.co_occurrence import Neighbour
from services.identity.domain.evidence import Evidence, IdentifierInWorkspace
from services.identity.domain.fast_path import ProfileNamespace
from services.identity.domain.rows import LockedState, ProfileGraph, StoredEvidence
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId


class EvidenceStore(Protocol):
    """Identifiers, edges and decisions, inside one open transaction."""

    async def load(self, evidence: Evidence) -> StoredEvidence:
        """Return the stored identifiers, edges and decisions that some evidence names."""

    async def lock(self, ids: Collection[bytes]) -> bool:
        """Lock ids until the transaction ends or `unlock`; return whether everything is locked.

        Callers that lock once at a time never deadlock.
        """

    async def unlock(self) -> None:
        """Release the last lock; nothing may have been written since."""

    async def load_locked(
        self, evidence: Evidence, workspaces: Collection[WorkspaceId]
    ) -> LockedState:
        """Return the stored state of some evidence, and the version for the rows to write.

        Call it while all profiles and new identifiers of the evidence are locked.
        """

    async def load_neighbours(
        self,
        ids: Collection[IdentifierId],
        without: Collection[str],
        kinds: Collection[int],
        limit: int,
    ) -> dict[IdentifierId, list[Neighbour]]:
        """Return what identifiers were seen with by edges of some kinds: any `limit` edges of each
        identifier, except those to the namespaces `without`."""

    async def count_identifiers(
        self, queries: Mapping[ProfileId, Collection[str]]
    ) -> dict[ProfileNamespace, int]:
        """Return how many identifiers profiles have of some namespaces, and of the scoped forms and
        digests of each."""

    async def load_claims(self, profiles: Collection[ProfileId]) -> dict[ProfileId, ProfileClaims]:
        """Return what profiles consist of, as far as claims depend on it."""

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        """Return whole profiles with their active edges, the edges held between them and others,
        and the decisions that separate their identifiers."""

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        """Return all edges of some identifiers; all ends are outside."""

    async def save(
        self,
        changes: ResolutionChanges,
        identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> list[ReassignedIdentifier]:
        """Write changes, and return the identifiers of the profiles that were merged."""
