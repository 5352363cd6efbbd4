"""Slow path: loads whole profiles and their neighbours, and resolves them again.

The profiles inside are those whose members may change. Their neighbours are the profiles at the
other end of an edge that is held for a limit or a separation, or that may link now. As long as
every neighbour keeps its members, nothing changes beyond it: each edge between it and others was
refused for what the two profiles were when it was tried. A neighbour that does not keep its members
moves inside.

While a policy rollout has not finished, stored edges and flags may still follow from an earlier
policy, and nothing about them is trusted. Then all edges of the profiles inside are checked, and
every neighbour moves inside, until no edge that may link leads out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from services.identity.domain.changes import ResolutionChanges, diff
from services.identity.domain.co_occurrence import (
    SHARED,
    UNREMARKABLE,
    CoOccurrence,
    Neighbour,
    classify_neighbours,
    holders_to_compare,
)
from services.identity.domain.evidence import DecisionKind, Edge, EvidenceKind, Pair, SeenSpan
from services.identity.domain.fast_path import Classified, Cluster, flags_of
from services.identity.domain.held import HeldEdge
from services.identity.domain.resolution import (
    LinkedProfiles,
    Node,
    Resolution,
    classify_all,
    held_by_policy,
    link_components,
    neighbours_of,
    node_of,
)
from services.identity.domain.rows import EdgeRow, IdentifierFlag, IdentifierRow, ProfileGraph
from services.kernel.ids import IdentifierId, ProfileId

#: How many more of the claims that are held at an identifier are loaded with each attempt.
_MORE_CLAIMS = 64
_CLASS_FLAGS = IdentifierFlag.SHARED | IdentifierFlag.RECYCLED


@dataclass(frozen=True, slots=True)
class Missing:
    """What to load before a neighbourhood can be resolved; at most one field is not empty."""

    profiles: Collection[ProfileId] = ()
    #: Identifiers of which all edges are needed.
    edges: Collection[IdentifierId] = ()
    #: Identifiers of which the neighbours are needed, with their namespaces.
    neighbours: Mapping[IdentifierId, str] = field(default_factory=dict)
    #: Holders whose edges with each other are needed.
    holders: Collection[IdentifierId] = ()
    #: Identifiers of which more of the claims are needed that are held as there are too many, and
    #: how many of each.
    claims: Collection[IdentifierId] = ()
    claims_limit: int = 0

    def __bool__(self) -> bool:
        found = (self.profiles, self.edges, self.neighbours, self.holders, self.claims)
        return any(found)


class Neighbourhood:
    """The profiles that some clusters concern, and their neighbours.

    Load and add what `missing` returns, until it returns nothing; then `resolve`, and begin again
    where that returns None.
    """

    def __init__(
        self,
        classified: Classified,
        clusters: Iterable[Cluster],
        profiles: Iterable[ProfileId] = (),
        *,
        is_trusted: bool = True,
        reclassified: Collection[IdentifierId] = (),
    ) -> None:
        """`is_trusted`: whether stored edges and flags follow from the policy; `reclassified`:
        identifiers of `profiles` whose class must be checked, beside those of the evidence."""
        self._classified = classified
        self._given = classified.given
        self._is_trusted = is_trusted
        self._graph = ProfileGraph()
        self._inside = set(profiles)
        self._loaded: set[ProfileId] = set()
        self._clusters: set[Cluster] = set()
        #: Identifiers all of whose edges are in the graph.
        self._with_all_edges: set[IdentifierId] = set()
        self._neighbours: dict[IdentifierId, Sequence[Neighbour]] = {}
        self._own_reclassified = classified.reclassified.union(reclassified)
        #: Holders whose edges with each other are loaded, and these edges.
        self._compared: set[IdentifierId] = set()
        self._joint_edges: set[Edge] = set()
        #: Identifiers of which more held claims, or all edges, must be loaded.
        self._short_of_claims: set[IdentifierId] = set()
        self._short_of_edges: set[IdentifierId] = set()
        self._claims_limit = _MORE_CLAIMS
        #: As of the last `missing`: all edges with the new evidence, those that the policy holds,
        #: and the classes of their ends.
        self._edges: dict[Edge, SeenSpan] = {}
        self._held: dict[Edge, HeldEdge] = {}
        self._classes: dict[IdentifierId, CoOccurrence] = {}
        for cluster in clusters:
            self._add_cluster(cluster)

    @property
    def clusters(self) -> set[Cluster]:
        """The clusters whose evidence is resolved here."""
        return self._clusters

    @property
    def profiles(self) -> set[ProfileId]:
        """All profiles that were loaded."""
        return self._loaded

    def missing(self) -> Missing:
        by_profile = self._classified.by_profile
        for profile_id in self._inside | self._loaded:
            if profile_id in by_profile:
                self._add_cluster(by_profile[profile_id])
        if profiles := self._inside - self._loaded:
            return Missing(profiles=profiles)
        if edges := (self._reclassified() | self._short_of_edges) - self._with_all_edges:
            return Missing(edges=edges)
        if self._short_of_claims:
            return Missing(claims=self._short_of_claims, claims_limit=self._claims_limit)
        self._edges = self._merge_edges()
        if unclassified := self._unclassified():
            return Missing(neighbours=unclassified)
        if not (compared := self._holders_to_compare()) <= self._compared:
            return Missing(holders=compared | self._compared)
        self._check_edges()
        neighbours = self._neighbour_profiles()
        if not self._is_trusted:
            self._inside |= neighbours
        return Missing(profiles=neighbours - self._loaded)

    def add_profiles(self, profiles: Collection[ProfileId], graph: ProfileGraph) -> None:
        """Add whole profiles."""
        self._loaded.update(profiles)
        self._graph.merge(graph)

    def add_edges(self, ids: Collection[IdentifierId], graph: ProfileGraph) -> None:
        """Add all edges of some identifiers."""
        self._with_all_edges.update(ids)
        self._graph.merge(graph)
        for id_ in ids:
            self._graph.cut.pop(id_, None)

    def add_claims(self, ids: Collection[IdentifierId], graph: ProfileGraph) -> None:
        """Add more of the claims that are held at some identifiers."""
        for id_ in ids:
            self._graph.cut.pop(id_, None)
        self._graph.merge(graph)
        self._short_of_claims = set()
        self._claims_limit *= _MORE_CLAIMS

    def add_neighbours(self, neighbours: Mapping[IdentifierId, Sequence[Neighbour]]) -> None:
        """Add all neighbours of some identifiers, or enough to prove that they are shared."""
        self._neighbours.update(neighbours)

    def add_joint_edges(self, holders: Collection[IdentifierId], edges: Iterable[Edge]) -> None:
        """Add all edges between some holders."""
        self._compared.update(holders)
        self._joint_edges.update(edges)

    def resolve(self) -> Resolution | None:
        """Resolve the neighbourhood; None where a neighbour changes and more may be missing."""
        nodes = self._nodes()
        eligible = {
            edge: span
            for edge, span in self._edges.items()
            if edge not in self._held and edge.a in nodes and edge.b in nodes
        }
        policy = self._given.policy
        linked = link_components(nodes, eligible, self._separated(), policy)
        changed = self._changed_neighbours(linked.profiles)
        self._inside |= changed
        self._find_missing_claims(linked)
        if changed or self._short_of_claims or not self._short_of_edges <= self._with_all_edges:
            return None
        return Resolution(linked.profiles, {**self._held, **linked.held}, self._classes)

    def _find_missing_claims(self, linked: LinkedProfiles) -> None:
        """Find the identifiers whose claims that are not loaded may not be held any more.

        They are as long as the last one that is loaded meets a full profile: claims are linked
        last, so nothing joins that profile after it. But where other evidence joins two profiles,
        a claim between them is held no longer.
        """
        cut, members = self._graph.cut, self._graph.members
        joined: dict[ProfileId, set[IdentifierId]] = {}
        for id_, last in cut.items():
            is_inside = members[id_].row.profile_id in self._inside
            if not is_inside or id_ in self._with_all_edges:
                continue
            joined.setdefault(linked.profiles[id_], set()).add(id_)
            if (last, id_) not in linked.full:
                self._short_of_claims.add(id_)
        for ids in joined.values():
            if len({members[id_].row.profile_id for id_ in ids}) > 1:
                self._short_of_edges |= ids

    def changes(self, resolution: Resolution) -> ResolutionChanges:
        """Return what to write."""
        edges = {
            edge: EdgeRow(span, self._held_after(edge, resolution))
            for edge, span in self._edges.items()
        }
        contested = {id_ for pair in self._separated() for id_ in pair}
        contested |= self._graph.cut.keys()
        for edge, row in edges.items():
            if row.held is not None and row.held.is_cross_profile:
                contested.update(edge[:2])
        first_seen = self._given.evidence.first_seen
        identifiers: dict[IdentifierId, IdentifierRow] = {}
        for id_, profile_id in resolution.profiles.items():
            first = first_seen.get(id_) or self._graph.members[id_].row.first
            flags = IdentifierFlag.CONTESTED if id_ in contested else 0
            flags |= self._class_flags(id_, resolution)
            identifiers[id_] = IdentifierRow(profile_id, first, flags)
        found = diff(self._given.workspace_id, self._graph, identifiers, edges)
        before = self._given.state.stored.decisions
        for pair, decision in self._given.evidence.decisions.items():
            found.decisions[pair] = (before.get(pair), decision)
        for cluster in self._clusters:
            found.profiles.update((id_, resolution.profiles[id_]) for id_ in cluster.identifiers)
        return found

    def _add_cluster(self, cluster: Cluster) -> None:
        if cluster in self._clusters:
            return
        self._clusters.add(cluster)
        stored = self._given.state.stored
        new = set(cluster.new)
        self._inside.update(one for one in cluster.profiles if IdentifierId(one) not in new)
        for edge in cluster.edges:
            if edge in stored.edges:
                self._graph.edges[edge] = stored.edges[edge]

    def _new(self) -> list[IdentifierId]:
        return [id_ for cluster in self._clusters for id_ in cluster.new]

    def _reclassified(self) -> AbstractSet[IdentifierId]:
        """Return the stored identifiers whose class, and all of whose edges, must be checked."""
        if self._is_trusted:
            return self._own_reclassified
        return self._graph.members.keys()

    def _merge_edges(self) -> dict[Edge, SeenSpan]:
        new, decisions = self._given.evidence.edges, self._given.evidence.decisions
        spans = {edge: new.get(edge, row.span) for edge, row in self._graph.edges.items()}
        for cluster in self._clusters:
            spans.update((edge, new[edge]) for edge in cluster.edges)
        for pair, decision in decisions.items():
            spans.pop(Edge(*pair, EvidenceKind.DECIDED), None)
            made = decision.edge(pair)
            if made is not None:
                spans[made[0]] = made[1]
        return spans

    def _separated(self) -> set[Pair]:
        decisions = self._given.evidence.decisions
        separated = self._graph.separated - decisions.keys()
        return separated | {p for p, d in decisions.items() if d.kind == DecisionKind.SEPARATE}

    def _node(self, id_: IdentifierId) -> Node:
        evidence = self._given.evidence
        stored = self._graph.get(id_)
        if stored is None:
            return self._given.node(id_)
        return node_of(stored.identifier, evidence.first_seen.get(id_) or stored.row.first)

    def _nodes(self) -> dict[IdentifierId, Node]:
        return {id_: self._node(id_) for id_ in [*self._graph.members, *self._new()]}

    def _edges_to_check(self) -> dict[Edge, SeenSpan]:
        if not self._is_trusted:
            return self._edges
        ids = self._reclassified()
        return {e: span for e, span in self._edges.items() if e.a in ids or e.b in ids}

    def _unclassified(self) -> dict[IdentifierId, str]:
        """Return the ends whose class follows from neighbours that are not loaded."""
        policy = self._given.policy
        found: dict[IdentifierId, str] = {}
        if not policy.uses_co_occurrence:
            return found
        ends = {id_ for edge in self._edges_to_check() for id_ in edge[:2]}
        for id_ in ends - self._reclassified() - self._neighbours.keys():
            stored = self._graph.get(id_)
            if stored is None:
                continue
            namespace = stored.identifier.namespace
            if self._is_trusted:
                is_needed = bool(stored.row.flags & IdentifierFlag.RECYCLED)
            else:
                is_needed = policy.rule(namespace).uses_co_occurrence
            if is_needed:
                found[id_] = namespace
        return found

    def _holders_to_compare(self) -> set[IdentifierId]:
        policy, edges = self._given.policy, self._edges_to_check()
        nodes = {id_: self._node(id_) for edge in edges for id_ in edge[:2]}
        groups = {**neighbours_of(nodes, edges, policy), **self._neighbours}
        return {
            holder
            for id_, some in groups.items()
            if id_ in nodes
            for holder in holders_to_compare(some, policy.rule(nodes[id_].namespace))
        }

    def _check_edges(self) -> None:
        """Find the edges that the policy holds, and the classes of the ends that were checked."""
        policy = self._given.policy
        edges = self._edges_to_check()
        nodes = {id_: self._node(id_) for edge in edges for id_ in edge[:2]}
        joint = self._given.joint_with(self._joint_edges)
        own = classify_all(nodes, edges, policy, joint)
        checked = {*self._reclassified(), *(() if self._is_trusted else self._new())}
        classes = dict(self._classified.co_occurrences) if self._is_trusted else {}
        for id_ in nodes:
            if id_ in checked:
                classes[id_] = own.get(id_, UNREMARKABLE)
            elif id_ in self._neighbours:
                rule = policy.rule(nodes[id_].namespace)
                classes[id_] = classify_neighbours(self._neighbours[id_], rule, joint, policy)
            elif self._is_trusted and id_ not in classes:
                stored = self._graph.get(id_)
                if stored is not None and stored.row.flags & IdentifierFlag.SHARED:
                    classes[id_] = SHARED
        self._classes = classes
        self._held = held_by_policy(nodes, edges, classes, policy)
        for edge in self._edges.keys() - edges.keys():
            row = self._graph.edges.get(edge)
            held = self._classified.held.get(edge) if row is None else row.held
            if held is not None and not held.is_cross_profile:
                self._held[edge] = held

    def _neighbour_profiles(self) -> set[ProfileId]:
        found: set[ProfileId] = set()
        members, outside, inside = self._graph.members, self._graph.outside, self._inside
        for edge in self._edges:
            row = self._graph.edges.get(edge)
            was_refused = row is not None and row.held is not None and row.held.is_cross_profile
            if edge in self._held and not (was_refused and self._is_trusted):
                continue
            for one, other in ((edge.a, edge.b), (edge.b, edge.a)):
                if one in members and members[one].row.profile_id in inside and other in outside:
                    found.add(outside[other].row.profile_id)
        return found

    def _changed_neighbours(self, profiles: Mapping[IdentifierId, ProfileId]) -> set[ProfileId]:
        """Return the neighbours that do not keep their members."""
        neighbours = self._loaded - self._inside
        if not neighbours:
            return set()
        members_before: dict[ProfileId, set[IdentifierId]] = {}
        for id_, member in self._graph.members.items():
            members_before.setdefault(member.row.profile_id, set()).add(id_)
        members_after: dict[ProfileId, set[IdentifierId]] = {}
        for id_, profile_id in profiles.items():
            members_after.setdefault(profile_id, set()).add(id_)
        return {
            profile_id
            for profile_id in neighbours & members_before.keys()
            if members_after.get(profile_id) != members_before[profile_id]
        }

    def _held_after(self, edge: Edge, resolution: Resolution) -> HeldEdge | None:
        held = resolution.held.get(edge)
        if held is not None or resolution.profiles.keys() >= {edge.a, edge.b}:
            return held
        # It leads on from a neighbour, and was not tried.
        row = self._graph.edges.get(edge)
        return row.held if row is not None else None

    def _class_flags(self, id_: IdentifierId, resolution: Resolution) -> int:
        member = self._graph.members.get(id_)
        if member is not None and id_ not in self._reclassified():
            return member.row.flags & _CLASS_FLAGS
        return flags_of(resolution.co_occurrences.get(id_, UNREMARKABLE))
