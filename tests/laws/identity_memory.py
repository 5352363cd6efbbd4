"""Implements `services.identity.projection.ports.EvidenceStore` with dictionaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from laws.identity_model import WORKSPACE

from services.identity.domain.candidates import JointPair
from services.identity.domain.changes import ReassignedIdentifier, ResolutionChanges
from services.identity.domain.claims import ProfileContents
from services.identity.domain.co_occurrence import JOINT_KINDS, Neighbour
from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import (
    Decision,
    DecisionKind,
    Edge,
    Evidence,
    EvidenceKind,
    IdentifierInWorkspace,
    Pair,
)
from services.identity.domain.fast_path import ProfileNamespace
from services.identity.domain.held import HeldReason
from services.identity.domain.policy import Policy, policy_names
from services.identity.domain.rows import (
    EdgeRow,
    IdentifierFlag,
    IdentifierRow,
    LockedState,
    ProfileGraph,
    StoredEvidence,
    StoredIdentifier,
)
from services.kernel.digest import digest_of
from services.kernel.identifiers.priority import DEVICE_NAMESPACES
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId, shard_of

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("the coroutine waits")


#: Of the claims that are held at an identifier as there are too many, so many are loaded at first.
CLAIMS = 1


def has_too_many_claims(row: EdgeRow) -> bool:
    """Return whether an edge is a claim of which there are too many."""
    return row.held is not None and row.held.reason == HeldReason.TOO_MANY_CLAIMS


class MemoryEvidence:
    """An EvidenceStore in memory, with a policy rollout that tests step by hand."""

    def __init__(self, shards: int = 1) -> None:
        self.shards = shards
        self.rows: dict[IdentifierId, IdentifierRow] = {}
        self.identifiers: dict[IdentifierId, IdentifierInWorkspace] = {}
        self.edges: dict[Edge, EdgeRow] = {}
        self.decisions: dict[Pair, Decision] = {}
        self.policy: Policy | None = None
        #: The cursor of each shard whose rollout has not finished.
        self.cursors: dict[int, bytes] = {}
        self.version = 0
        self.locked: set[bytes] = set()

    async def load(self, evidence: Evidence) -> StoredEvidence:
        return StoredEvidence(
            {id_: self.rows[id_] for id_ in evidence.identifiers if id_ in self.rows},
            {edge: self.edges[edge] for edge in evidence.edges if edge in self.edges},
            {p: self.decisions[p] for p in evidence.decisions if p in self.decisions},
        )

    async def lock(self, ids: Collection[bytes]) -> bool:
        assert not self.locked, "locked twice"
        self.locked = {*ids, b"something"}
        return False

    async def unlock(self) -> None:
        self.locked.clear()

    async def load_locked(
        self, evidence: Evidence, workspaces: Collection[WorkspaceId]
    ) -> LockedState:
        assert self.locked
        stored = await self.load(evidence)
        profiles = {row.profile_id for row in stored.identifiers.values()}
        for profile in profiles:
            stored.identifiers[IdentifierId(profile)] = self.rows[IdentifierId(profile)]
        self.version += 1
        return LockedState(
            stored,
            self.version,
            {w: self.policy for w in workspaces if self.policy},
            frozenset({WORKSPACE} if self.cursors else ()),
            frozenset(
                row.profile_id
                for row in self.rows.values()
                if row.flags & IdentifierFlag.CONTESTED and row.profile_id in profiles
            ),
        )

    async def load_neighbours(
        self,
        ids: Collection[IdentifierId],
        without: Collection[str],
        kinds: Collection[int],
        limit: int,
    ) -> dict[IdentifierId, list[Neighbour]]:
        found: dict[IdentifierId, list[Neighbour]] = {}
        for edge, row in sorted(self.edges.items()):
            for one, other in ((edge.a, edge.b), (edge.b, edge.a)):
                namespace = self.identifiers[other].namespace
                if one in ids and edge.kind in kinds and namespace not in without:
                    found.setdefault(one, []).append(
                        Neighbour(other, namespace, row.span, edge.kind)
                    )
        return {id_: some[:limit] for id_, some in found.items()}

    async def count_identifiers(
        self, queries: Mapping[ProfileId, Collection[str]]
    ) -> dict[ProfileNamespace, int]:
        counts = Counter[ProfileNamespace]()
        for profile, namespaces in queries.items():
            for id_ in self._members({profile}):
                namespace = self.identifiers[id_].namespace
                if not set(policy_names(namespace)).isdisjoint(namespaces):
                    counts[profile, namespace] += 1
        return counts

    async def load_joint(self, ids: Collection[IdentifierId]) -> tuple[list[Edge], set[ProfileId]]:
        edges = [e for e in self.edges if e.a in ids and e.b in ids and e.kind in JOINT_KINDS]
        return edges, {self.rows[id_].profile_id for id_ in ids if id_ in self.rows}

    async def load_between(
        self, pairs: Collection[JointPair]
    ) -> dict[IdentifierId, tuple[str, ProfileId]]:
        near: dict[IdentifierId, set[IdentifierId]] = {}
        for a, b, kind in self.edges:
            if kind in (EvidenceKind.VERIFIED, EvidenceKind.OBSERVED, EvidenceKind.CLAIMED):
                near.setdefault(a, set()).add(b)
                near.setdefault(b, set()).add(a)
        return {
            id_: (self.identifiers[id_].namespace, self.rows[id_].profile_id)
            for one, other, is_decided in pairs
            for id_ in near.get(one, set()) & near.get(other, set())
            if is_decided or self.rows[id_].flags & IdentifierFlag.SHARED
        }

    async def load_contents(
        self, profiles: Collection[ProfileId], others: Collection[str], most: int
    ) -> dict[ProfileId, ProfileContents]:
        found: dict[ProfileId, ProfileContents] = {}
        for profile in profiles:
            members = self._members({profile})
            namespaces = {self.identifiers[id_].namespace for id_ in members}
            found[profile] = ProfileContents(
                has_person=not namespaces <= {"", *DEVICE_NAMESPACES},
                has_person_id=not namespaces <= {"", *others},
                claims=sum(
                    edge.kind == EvidenceKind.CLAIMED and row.held is None and edge.a in members
                    for edge, row in self.edges.items()
                ),
                identifiers=len(members),
            )
        return found

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        members = {id_: self._stored(id_) for id_ in self._members(profiles)}
        edges = {
            edge: row
            for edge, row in self.edges.items()
            if row.held is None or (row.held.is_cross_profile and not has_too_many_claims(row))
            if not members.keys().isdisjoint(edge[:2])
        }
        claims = self._claims(members, CLAIMS)
        edges.update(claims.edges)
        separated = {
            pair
            for pair, decision in self.decisions.items()
            if decision.kind == DecisionKind.SEPARATE and not members.keys().isdisjoint(pair)
        }
        return ProfileGraph(members, edges, separated, self._ends(edges, members), claims.cut)

    async def load_claims(self, ids: Collection[IdentifierId], limit: int) -> ProfileGraph:
        graph = self._claims(ids, limit)
        graph.outside = self._ends(graph.edges, ())
        return graph

    def _claims(self, ids: Collection[IdentifierId], limit: int) -> ProfileGraph:
        graph = ProfileGraph()
        for id_ in ids:
            own = [e for e, row in self.edges.items() if id_ in e[:2] and has_too_many_claims(row)]
            own.sort(key=lambda edge: self.edges[edge].span.first)
            last = own[limit - 1] if len(own) >= limit else None
            for edge in own:
                if last is None or self.edges[edge].span.first <= self.edges[last].span.first:
                    graph.edges[edge] = self.edges[edge]
            if last is not None:
                graph.cut[id_] = last
        return graph

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        edges = {e: row for e, row in self.edges.items() if not set(ids).isdisjoint(e[:2])}
        return ProfileGraph({}, edges, set(), self._ends(edges, ()))

    async def save(
        self,
        changes: ResolutionChanges,
        identifiers: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> list[ReassignedIdentifier]:
        for id_, row in changes.added.items():
            assert id_ not in self.rows
            self.rows[id_], self.identifiers[id_] = row, identifiers[id_]
        for id_, (row, first) in changes.earlier.items():
            assert self.rows[id_] == row
            assert first < row.first
            self.rows[id_] = row._replace(first=first)
        merged = []
        for id_, row in self.rows.items():
            after = changes.merged.get(row.profile_id)
            if after is not None and id_ not in changes.added:
                moved = (id_, row.profile_id, after)
                merged.append(ReassignedIdentifier(*moved, self.identifiers[id_], row.first))
        for one in [*merged, *changes.reassigned]:
            row = self.rows[one.id]
            assert (row.profile_id, row.first) == (one.before, one.first)
            assert one.before in self.locked
            self.rows[one.id] = row._replace(profile_id=one.after)
        for id_, flags in changes.flagged.items():
            self.rows[id_] = self.rows[id_]._replace(flags=flags)
        for edge, (_, edge_before, edge_after) in changes.edges.items():
            assert self.edges.get(edge) == edge_before
            if edge_after is None:
                del self.edges[edge]
            else:
                self.edges[edge] = edge_after
        for pair, (before, decision) in changes.decisions.items():
            assert self.decisions.get(pair) == before
            self.decisions[pair] = decision
        return merged

    def next_profiles(self, shard: int, limit: int) -> list[ProfileId]:
        """Return the next profiles of a shard for the rollout, and move its cursor."""
        found = sorted(
            {
                row.profile_id
                for row in self.rows.values()
                if row.profile_id > self.cursors[shard]
                and shard_of(row.profile_id, self.shards) == shard
            }
        )[:limit]
        if found:
            self.cursors[shard] = found[-1]
        else:
            del self.cursors[shard]
        return found

    def computed_digest(self) -> int:
        """Return the digest computed from all rows."""
        rows = [identifier_share(i, row.profile_id, row.first) for i, row in self.rows.items()]
        rows += [edge_share(edge, row) for edge, row in self.edges.items()]
        return digest_of(rows + [decision_share(p, d) for p, d in self.decisions.items()])

    def _members(self, profiles: Collection[ProfileId]) -> list[IdentifierId]:
        return [id_ for id_, row in self.rows.items() if row.profile_id in profiles]

    def _stored(self, id_: IdentifierId) -> StoredIdentifier:
        return StoredIdentifier(self.identifiers[id_], self.rows[id_])

    def _ends(
        self, edges: Iterable[Edge], members: Collection[IdentifierId]
    ) -> dict[IdentifierId, StoredIdentifier]:
        ends = {id_ for edge in edges for id_ in edge[:2]}
        return {id_: self._stored(id_) for id_ in ends if id_ not in members}
