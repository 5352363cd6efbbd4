"""The tables of identity as dicts: what `services.identity.projection.ports.Tables` promises, plainly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from laws.identity_model import WORKSPACE

from services.identity.domain.co_occurrence import Met
from services.identity.domain.digest import decision_share, edge_share, identifier_share
from services.identity.domain.evidence import Decision, Edge, Name, Pair, Verdict
from services.identity.domain.linking import BETWEEN
from services.identity.domain.policy import Policy, kin
from services.identity.domain.rows import (
    Changes,
    Evidence,
    Ground,
    Kept,
    Known,
    KnownEdge,
    Mark,
    Member,
    Moved,
    Region,
)
from services.identity.projection.ports import Share
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
    """See `services.identity.projection.ports.Tables`."""

    def __init__(self, shards: int = 1) -> None:
        self.shards = shards
        self.known: dict[IdentifierId, Known] = {}
        self.names: dict[IdentifierId, Name] = {}
        self.edges: dict[Edge, KnownEdge] = {}
        self.decisions: dict[Pair, Decision] = {}
        self.policy: Policy | None = None
        #: How far each shard has looked at people anew, where it has not looked at all.
        self.cursors: dict[int, bytes] = {}
        self.version = 0
        self.digest = 0
        self.held: set[bytes] = set()

    async def profiles(self, ids: Collection[bytes]) -> dict[IdentifierId, ProfileId]:
        """See `Tables.profiles`."""
        asked = map(IdentifierId, ids)
        return {id_: self.known[id_].profile_id for id_ in asked if id_ in self.known}

    async def look(self, evidence: Evidence) -> Kept:
        """See `Tables.look`."""
        return Kept(
            {id_: self.known[id_] for id_ in evidence.names if id_ in self.known},
            {edge: self.edges[edge] for edge in evidence.edges if edge in self.edges},
            {p: self.decisions[p] for p in evidence.decisions if p in self.decisions},
        )

    async def hold(self, stake: Collection[bytes]) -> bool:
        """See `Tables.hold`."""
        assert not self.held, "held twice"
        self.held = {*stake, b"something"}
        return False

    async def let_go(self) -> None:
        """See `Tables.let_go`."""
        self.held.clear()

    async def look_again(self, evidence: Evidence, workspaces: Collection[WorkspaceId]) -> Ground:
        """See `Tables.look_again`."""
        assert self.held
        kept = await self.look(evidence)
        profiles = {row.profile_id for row in kept.known.values()}
        for profile in profiles:
            kept.known[IdentifierId(profile)] = self.known[IdentifierId(profile)]
        self.version += 1
        return Ground(
            kept,
            self.version,
            {w: self.policy for w in workspaces if self.policy},
            frozenset({WORKSPACE} if self.cursors else ()),
            frozenset(
                row.profile_id
                for row in self.known.values()
                if row.marks & Mark.CONTESTED and row.profile_id in profiles
            ),
        )

    async def company(
        self,
        ids: Collection[IdentifierId],
        namespaces: Collection[str],
        strengths: Collection[int],
        most: int,
    ) -> dict[IdentifierId, list[Met]]:
        """See `Tables.company`."""
        met: dict[IdentifierId, list[Met]] = {}
        for edge, row in sorted(self.edges.items()):
            for one, other in ((edge.a, edge.b), (edge.b, edge.a)):
                namespace = (self.names[other].identifier or ("", ""))[0]
                if one in ids and edge.strength in strengths and namespace not in namespaces:
                    met.setdefault(one, []).append(Met(other, namespace, row.span))
        return {id_: some[:most] for id_, some in met.items()}

    async def counts(self, asked: Mapping[ProfileId, Collection[str]]) -> dict[Share, int]:
        """See `Tables.counts`."""
        counts = Counter[Share]()
        for profile, namespaces in asked.items():
            for id_ in self._members({profile}):
                namespace = self._namespace(id_)
                if not set(kin(namespace)).isdisjoint(namespaces):
                    counts[profile, namespace] += 1
        return counts

    async def region(self, profiles: Collection[ProfileId]) -> Region:
        """See `Tables.region`."""
        members = {id_: self._member(id_) for id_ in self._members(profiles)}
        edges = {
            edge: row
            for edge, row in self.edges.items()
            if (row.held is None or row.held.reason in BETWEEN)
            and not members.keys().isdisjoint(edge[:2])
        }
        separated = {
            pair
            for pair, decision in self.decisions.items()
            if decision.verdict == Verdict.SEPARATE and not members.keys().isdisjoint(pair)
        }
        return Region(members, edges, separated, self._ends(edges, members))

    async def around(self, ids: Collection[IdentifierId]) -> Region:
        """See `Tables.around`."""
        edges = {e: row for e, row in self.edges.items() if not set(ids).isdisjoint(e[:2])}
        return Region({}, edges, set(), self._ends(edges, ()))

    async def save(
        self, changes: Changes, names: Mapping[IdentifierId, Name], version: int
    ) -> list[Moved]:
        """See `Tables.save`."""
        for id_, row in changes.added.items():
            assert id_ not in self.known
            self.known[id_], self.names[id_] = row, names[id_]
        for id_, (row, first) in changes.earlier.items():
            assert self.known[id_] == row
            assert first < row.first
            self.known[id_] = row._replace(first=first)
        moved = []
        for id_, row in self.known.items():
            heir = changes.moved.get(row.profile_id)
            if heir is not None and id_ not in changes.added:
                moved.append(Moved(id_, row.profile_id, heir, self.names[id_], row.first))
        for one in [*moved, *changes.placed]:
            row = self.known[one.identifier_id]
            assert (row.profile_id, row.first) == (one.before, one.first)
            assert one.before in self.held
            self.known[one.identifier_id] = row._replace(profile_id=one.after)
        for id_, marks in changes.marked.items():
            self.known[id_] = self.known[id_]._replace(marks=marks)
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
                for row in self.known.values()
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
        rows = [identifier_share(i, row.profile_id, row.first) for i, row in self.known.items()]
        rows += [edge_share(edge, row) for edge, row in self.edges.items()]
        return digest_of(rows + [decision_share(p, d) for p, d in self.decisions.items()])

    def _namespace(self, id_: IdentifierId) -> str:
        return (self.names[id_].identifier or ("", ""))[0]

    def _members(self, profiles: Collection[ProfileId]) -> list[IdentifierId]:
        return [id_ for id_, row in self.known.items() if row.profile_id in profiles]

    def _member(self, id_: IdentifierId) -> Member:
        row = self.known[id_]
        return Member(self.names[id_], row.profile_id, row.first, row.marks)

    def _ends(
        self, edges: Iterable[Edge], members: Collection[IdentifierId]
    ) -> dict[IdentifierId, Member]:
        ends = {id_ for edge in edges for id_ in edge[:2]}
        return {id_: self._member(id_) for id_ in ends if id_ not in members}
