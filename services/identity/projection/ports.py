"""Declares the interface of the store that the fold uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from services.identity.domain.candidates import JointPair
from services.identity.domain.changes import ReassignedIdentifier, ResolutionChanges
from services.identity.domain.claims import ProfileContents
from services.identity.domain.co_occurrence import Neighbour
from services.identity.domain.evidence import Edge, Evidence, IdentifierInWorkspace
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

    async def load_contents(
        self, profiles: Collection[ProfileId], others: Collection[str], most: int
    ) -> dict[ProfileId, ProfileContents]:
        """Return what profiles consist of, as far as the number of persons depends on it.

        Identifiers of the namespaces `others` are no ids of persons. Claims and all are counted
        up to `most`.
        """

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        """Return whole profiles with their active edges, the edges held between them and others,
        and the decisions that separate their identifiers. Of the claims of which there are too
        many, only some of each identifier; see `load_claims`."""

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        """Return all edges of some identifiers; all ends are outside."""

    async def load_claims(self, ids: Collection[IdentifierId], limit: int) -> ProfileGraph:
        """Return the earliest claims at some identifiers that are held as TOO_MANY_CLAIMS, at least
        `limit` of each that has so many; all ends are outside."""

    async def load_joint(self, ids: Collection[IdentifierId]) -> tuple[list[Edge], set[ProfileId]]:
        """Return the edges of JOINT_KINDS between some identifiers, and their profiles."""

    async def load_between(
        self, pairs: Collection[JointPair]
    ) -> dict[IdentifierId, tuple[str, ProfileId]]:
        """Return the namespaces and profiles of the identifiers that co-occurred with both of a
        pair. Where no decision is made about the pair, those that are not shared are left out."""

    async def save(
        self,
        changes: ResolutionChanges,
        identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> list[ReassignedIdentifier]:
        """Write changes, and return the identifiers of the profiles that were merged."""
