"""The tables of identity as dicts: what `services.identity.projection.ports.EvidenceStore` promises, plainly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from laws.identity_model import WORKSPACE

from services.identity.domain.co_occurrence import Neighbour
from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import (
    Decision,
    Edge,
    IdentifierInWorkspace,
    Pair,
    DecisionKind,
)
from services.identity.domain.linking import CROSS_PROFILE
from services.identity.domain.policy import Policy, policy_names
from services.identity.domain.rows import (
    ResolutionChanges,
    Evidence,
    LockedState,
    StoredEvidence,
    IdentifierRow,
    EdgeRow,
    IdentifierFlag,
    StoredIdentifier,
    ReassignedIdentifier,
    ProfileGraph,
)
from services.identity.projection.ports import ProfileNamespace
from services.kernel.digest import digest_of
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId, shard_of

T = TypeVar("T")


def now(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine answers that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError("it waits")


class MemoryTables:
    """See `services.identity.projection.ports.EvidenceStore`."""

    def __init__(self, shards: int = 1) -> None:
        self.shards = shards
        self.identifiers: dict[IdentifierId, IdentifierRow] = {}
        self.names: dict[IdentifierId, IdentifierInWorkspace] = {}
        self.edges: dict[Edge, EdgeRow] = {}
        self.decisions: dict[Pair, Decision] = {}
        self.policy: Policy | None = None
        #: How far each shard has looked at people anew, where it has not looked at all.
        self.cursors: dict[int, bytes] = {}
        self.version = 0
        self.digest = 0
        self.locked: set[bytes] = set()

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """See `Tables.profiles`."""
        asked = map(IdentifierId, ids)
        return {id_: self.identifiers[id_].profile_id for id_ in asked if id_ in self.identifiers}

    async def load(self, evidence: Evidence) -> StoredEvidence:
        """See `Tables.look`."""
        return StoredEvidence(
            {id_: self.identifiers[id_] for id_ in evidence.names if id_ in self.identifiers},
            {edge: self.edges[edge] for edge in evidence.edges if edge in self.edges},
            {p: self.decisions[p] for p in evidence.decisions if p in self.decisions},
        )

    async def lock(self, stake: Collection[bytes]) -> bool:
        """See `Tables.hold`."""
        assert not self.locked, "held twice"
        self.locked = {*stake, b"something"}
        return False

    async def unlock(self) -> None:
        """See `Tables.let_go`."""
        self.locked.clear()

    async def load_locked(
        self, evidence: Evidence, workspaces: Collection[WorkspaceId]
    ) -> LockedState:
        """See `Tables.look_again`."""
        assert self.locked
        kept = await self.load(evidence)
        profiles = {row.profile_id for row in kept.identifiers.values()}
        for profile in profiles:
            kept.identifiers[IdentifierId(profile)] = self.identifiers[IdentifierId(profile)]
        self.version += 1
        return LockedState(
            kept,
            self.version,
            {w: self.policy for w in workspaces if self.policy},
            frozenset({WORKSPACE} if self.cursors else ()),
            frozenset(
                row.profile_id
                for row in self.identifiers.values()
                if row.flags & IdentifierFlag.CONTESTED and row.profile_id in profiles
            ),
        )

    async def neighbours(
        self,
        ids: Collection[IdentifierId],
        namespaces: Collection[str],
        strengths: Collection[int],
        most: int,
    ) -> dict[IdentifierId, list[Neighbour]]:
        """See `Tables.company`."""
        met: dict[IdentifierId, list[Neighbour]] = {}
        for edge, row in sorted(self.edges.items()):
            for one, other in ((edge.a, edge.b), (edge.b, edge.a)):
                namespace = (self.names[other].identifier or ("", ""))[0]
                if one in ids and edge.kind in strengths and namespace not in namespaces:
                    met.setdefault(one, []).append(Neighbour(other, namespace, row.span))
        return {id_: some[:most] for id_, some in met.items()}

    async def counts(
        self, asked: Mapping[ProfileId, Collection[str]]
    ) -> dict[ProfileNamespace, int]:
        """See `Tables.counts`."""
        counts = Counter[ProfileNamespace]()
        for profile, namespaces in asked.items():
            for id_ in self._members({profile}):
                namespace = self._namespace(id_)
                if not set(policy_names(namespace)).isdisjoint(namespaces):
                    counts[profile, namespace] += 1
        return counts

    async def load_profiles(self, profiles: Collection[ProfileId]) -> ProfileGraph:
        """See `Tables.region`."""
        members = {id_: self._member(id_) for id_ in self._members(profiles)}
        edges = {
            edge: row
            for edge, row in self.edges.items()
            if (row.held is None or row.held.reason in CROSS_PROFILE)
            and not members.keys().isdisjoint(edge[:2])
        }
        separated = {
            pair
            for pair, decision in self.decisions.items()
            if decision.kind == DecisionKind.SEPARATE and not members.keys().isdisjoint(pair)
        }
        return ProfileGraph(members, edges, separated, self._ends(edges, members))

    async def load_edges(self, ids: Collection[IdentifierId]) -> ProfileGraph:
        """See `Tables.around`."""
        edges = {e: row for e, row in self.edges.items() if not set(ids).isdisjoint(e[:2])}
        return ProfileGraph({}, edges, set(), self._ends(edges, ()))

    async def save(
        self,
        changes: ResolutionChanges,
        names: Mapping[IdentifierId, IdentifierInWorkspace],
        version: int,
    ) -> list[ReassignedIdentifier]:
        """See `Tables.save`."""
        for id_, row in changes.added.items():
            assert id_ not in self.identifiers
            self.identifiers[id_], self.names[id_] = row, names[id_]
        for id_, (row, first) in changes.earlier.items():
            assert self.identifiers[id_] == row
            assert first < row.first
            self.identifiers[id_] = row._replace(first=first)
        moved = []
        for id_, row in self.identifiers.items():
            heir = changes.merged.get(row.profile_id)
            if heir is not None and id_ not in changes.added:
                moved.append(
                    ReassignedIdentifier(id_, row.profile_id, heir, self.names[id_], row.first)
                )
        for one in [*moved, *changes.reassigned]:
            row = self.identifiers[one.identifier_id]
            assert (row.profile_id, row.first) == (one.before, one.first)
            assert one.before in self.locked
            self.identifiers[one.identifier_id] = row._replace(profile_id=one.after)
        for id_, marks in changes.flagged.items():
            self.identifiers[id_] = self.identifiers[id_]._replace(flags=marks)
        for edge, (_, before, after) in changes.edges.items():
            assert self.edges.get(edge) == before
            if after is None:
                del self.edges[edge]
            else:
                self.edges[edge] = after
        for pair, (old, decision) in changes.decisions.items():
            assert self.decisions.get(pair) == old
            self.decisions[pair] = decision
        return moved

    def next_profiles(self, shard: int, most: int) -> list[ProfileId]:
        """The next people of a shard to be looked at anew."""
        found = sorted(
            {
                row.profile_id
                for row in self.identifiers.values()
                if row.profile_id > self.cursors[shard]
                and shard_of(row.profile_id, self.shards) == shard
            }
        )[:most]
        if found:
            self.cursors[shard] = found[-1]
        else:
            del self.cursors[shard]
        return found

    def recounted(self) -> int:
        """The digest of the rows as they are."""
        rows = [
            identifier_share(i, row.profile_id, row.first) for i, row in self.identifiers.items()
        ]
        rows += [edge_share(edge, row) for edge, row in self.edges.items()]
        return digest_of(rows + [decision_share(p, d) for p, d in self.decisions.items()])

    def _namespace(self, id_: IdentifierId) -> str:
        return (self.names[id_].identifier or ("", ""))[0]

    def _members(self, profiles: Collection[ProfileId]) -> list[IdentifierId]:
        return [id_ for id_, row in self.identifiers.items() if row.profile_id in profiles]

    def _member(self, id_: IdentifierId) -> StoredIdentifier:
        row = self.identifiers[id_]
        return StoredIdentifier(self.names[id_], row.profile_id, row.first, row.flags)

    def _ends(
        self, edges: Iterable[Edge], members: Collection[IdentifierId]
    ) -> dict[IdentifierId, StoredIdentifier]:
        ends = {id_ for edge in edges for id_ in edge[:2]}
        return {id_: self._member(id_) for id_ in ends if id_ not in members}
