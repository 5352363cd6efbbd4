"""Applies new evidence without loading whole profiles, where that is possible.

Nearly always no edge is held between the profiles that new evidence joins, and together they keep
every limit. Then they are one profile, in whatever order the edges arrived. All other evidence
takes the slow path; see `neighbourhood`.

Each function takes the result of the one before it:

    co_occurrence_candidates   whose neighbours must be loaded
    compared_holders           whose edges with each other must be loaded
    classify                   which new edges may link, and which profiles they join
    limit_queries              whose identifiers must be counted
    check_limits               which clusters take the fast path and which the slow one
    claims.doubtful_profiles, claims.check_persons     the same for clusters of several persons
    changes                    what to write for the clusters on the fast path
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from services.identity.domain.candidates import CoOccurrenceCandidates, WorkspaceEvidence
from services.identity.domain.changes import EdgeChange, ResolutionChanges
from services.identity.domain.co_occurrence import (
    SHARED,
    UNREMARKABLE,
    CoOccurrence,
    JointKinds,
    Neighbour,
    classify_neighbours,
)
from services.identity.domain.evidence import Edge, EvidenceKind, FirstSeen, SeenSpan, names_person
from services.identity.domain.held import HeldEdge
from services.identity.domain.resolution import held_by_policy
from services.identity.domain.rows import EdgeRow, IdentifierFlag, IdentifierRow
from services.kernel.ids import IdentifierId, ProfileId

#: A profile and a namespace.
ProfileNamespace: TypeAlias = tuple[ProfileId, str]


@dataclass(eq=False, slots=True)
class Cluster:
    """Profiles that new evidence joins; an identifier that is not stored is a profile alone."""

    profiles: list[ProfileId]
    #: The first seen identifier of all, which names the profile that they become.
    earliest: tuple[FirstSeen, IdentifierId]
    #: The identifiers and edges of the evidence.
    identifiers: list[IdentifierId] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    #: Those of `edges` that are not stored and may link.
    links: list[Edge] = field(default_factory=list)
    #: Identifiers that are not stored.
    new: list[IdentifierId] = field(default_factory=list)
    #: How many new identifiers it has of each namespace with a limit. A new alias of a stored
    #: identifier of the same namespace counts with that one.
    new_counts: Mapping[str, int] = field(default_factory=dict)
    #: Stored identifiers at which new edges attach.
    attachment_points: set[IdentifierId] = field(default_factory=set)
    #: Some of its edges are new, or earlier than stored.
    has_new_edges: bool = False
    has_earlier_edges: bool = False
    needs_full_resolution: bool = False

    @property
    def stored_profiles(self) -> int:
        return len(self.profiles) - len(self.new)

    def absorb(self, other: Cluster) -> None:
        """Add another cluster that an edge joins to this one."""
        self.profiles += other.profiles
        self.earliest = min(self.earliest, other.earliest)
        self.identifiers += other.identifiers
        self.edges += other.edges
        self.links += other.links
        self.new += other.new
        self.attachment_points |= other.attachment_points
        self.has_new_edges |= other.has_new_edges
        self.has_earlier_edges |= other.has_earlier_edges
        self.needs_full_resolution |= other.needs_full_resolution


@dataclass(frozen=True, slots=True)
class Classified:
    """New evidence with the classes of its identifiers, grouped into clusters."""

    given: WorkspaceEvidence
    #: Stored identifiers whose class changes, or whose edges may be held or released by it.
    reclassified: frozenset[IdentifierId]
    #: The classes of the others, where they are not UNREMARKABLE.
    co_occurrences: Mapping[IdentifierId, CoOccurrence]
    #: The new edges that the policy holds.
    held: Mapping[Edge, HeldEdge]
    by_profile: Mapping[ProfileId, Cluster]

    @property
    def clusters(self) -> list[Cluster]:
        return list(dict.fromkeys(self.by_profile.values()))


class Split(NamedTuple):
    """Clusters by the path that they take."""

    fast: list[Cluster]
    slow: list[Cluster]


def classify(
    given: WorkspaceEvidence,
    candidates: CoOccurrenceCandidates,
    neighbours: Mapping[IdentifierId, Sequence[Neighbour]],
    joint: JointKinds,
) -> Classified:
    """Classify the identifiers of the evidence, and group them by the new edges that may link.

    `neighbours` are the stored ones of each candidate; `joint` the joint kinds of
    `compared_holders`.
    """
    new_neighbours, policy = given.new_neighbours, given.policy
    reclassified = set(candidates.recycled)
    for id_, before in neighbours.items():
        rule, after = given.rule(id_), [*before, *new_neighbours[id_]]
        row = given.row(id_)
        found = classify_neighbours(after, rule, joint, policy)
        if row is not None and row.flags & IdentifierFlag.SHARED:
            is_changed = not found.shared
        else:
            was = classify_neighbours(before, rule, joint, policy)
            is_changed = not was == found == UNREMARKABLE
        if is_changed:
            reclassified.add(id_)
    co_occurrences: dict[IdentifierId, CoOccurrence] = {}
    for id_ in given.evidence.identifiers:
        row = given.row(id_)
        if row is None and id_ in new_neighbours:
            found = classify_neighbours(new_neighbours[id_], given.rule(id_), joint, policy)
            if found != UNREMARKABLE:
                co_occurrences[id_] = found
        elif row is not None and row.flags & IdentifierFlag.SHARED:
            co_occurrences[id_] = SHARED
    stored_edges = given.state.stored.edges
    held = held_by_policy(
        {id_: given.node(id_) for id_ in given.evidence.identifiers},
        {edge: span for edge, span in given.evidence.edges.items() if edge not in stored_edges},
        co_occurrences,
        given.policy,
    )
    by_profile = _ClusterBuilder(given, reclassified, held).build()
    return Classified(given, frozenset(reclassified), co_occurrences, held, by_profile)


class _ClusterBuilder:
    """Groups the identifiers of new evidence by the edges that may link."""

    def __init__(
        self,
        given: WorkspaceEvidence,
        reclassified: Collection[IdentifierId],
        held: Mapping[Edge, HeldEdge],
    ) -> None:
        self._given = given
        self._stored = given.state.stored
        self._reclassified = frozenset(reclassified)
        self._held = held
        self._clusters: dict[ProfileId, Cluster] = {}

    def build(self) -> dict[ProfileId, Cluster]:
        """Return the cluster of each profile of the evidence."""
        evidence = self._given.evidence
        for id_ in evidence.identifiers:
            self._add_identifier(id_)
        for edge, span in evidence.edges.items():
            self._add_edge(edge, span)
        for pair in evidence.decisions:
            self._join(pair.a, pair.b).needs_full_resolution = True
        for id_ in self._reclassified:
            self._cluster_of(id_).needs_full_resolution = True
        aliases = self._aliases()
        contested = self._given.state.contested
        for cluster in dict.fromkeys(self._clusters.values()):
            is_contested = not contested.isdisjoint(cluster.profiles)
            if is_contested or len(cluster.profiles) > 1:
                cluster.new_counts = self._count_new(cluster, aliases)
            if is_contested and cluster.has_new_edges and not self._is_harmless(cluster):
                cluster.needs_full_resolution = True
        return self._clusters

    def _cluster_of(self, id_: IdentifierId) -> Cluster:
        return self._clusters[self._given.profile(id_)]

    def _add_identifier(self, id_: IdentifierId) -> None:
        row, first = self._stored.identifiers.get(id_), self._given.evidence.first_seen.get(id_)
        profile_id = ProfileId(id_) if row is None else row.profile_id
        cluster = self._clusters.get(profile_id)
        if cluster is None:
            named_by = IdentifierId(profile_id)
            # Evidence has the first sighting of each identifier that is not stored.
            first_seen = self._given.evidence.first_seen
            earliest = first_seen[id_] if row is None else self._stored.identifiers[named_by].first
            cluster = self._clusters[profile_id] = Cluster([profile_id], (earliest, named_by))
        if first is not None:
            cluster.earliest = min(cluster.earliest, (first, id_))
        cluster.identifiers.append(id_)
        if row is None:
            cluster.new.append(id_)

    def _add_edge(self, edge: Edge, span: SeenSpan) -> None:
        before = self._stored.edges.get(edge)
        if before is not None:
            is_held = before.held is not None and not before.held.is_cross_profile
            if before.span.first != span.first and not is_held:
                cluster = self._join(edge.a, edge.b)
                cluster.has_new_edges = cluster.has_earlier_edges = True
        elif not self._reclassified.isdisjoint(edge[:2]):
            self._join(edge.a, edge.b).needs_full_resolution = True
        elif edge not in self._held:
            cluster = self._join(edge.a, edge.b)
            cluster.has_new_edges = True
            cluster.links.append(edge)
            cluster.attachment_points.update(
                id_ for id_ in edge[:2] if id_ in self._stored.identifiers
            )
        self._cluster_of(edge.a).edges.append(edge)

    def _join(self, a: IdentifierId, b: IdentifierId) -> Cluster:
        left, right = self._cluster_of(a), self._cluster_of(b)
        if left is right:
            return left
        if len(left.profiles) < len(right.profiles):
            left, right = right, left
        left.absorb(right)
        for profile_id in right.profiles:
            self._clusters[profile_id] = left
        return left

    def _is_harmless(self, cluster: Cluster) -> bool:
        """Return whether all new identifiers are devices that attach to one identifier of one
        profile, and no limit counts them: then the edges held between the profile and others remain
        held, and no more are."""
        is_attached_once = cluster.stored_profiles <= 1 and len(cluster.attachment_points) <= 1
        if not is_attached_once or cluster.has_earlier_edges or cluster.new_counts:
            return False
        identifiers = self._given.evidence.identifiers
        return not any(names_person(identifiers[id_].namespace) for id_ in cluster.new)

    def _aliases(self) -> set[IdentifierId]:
        """Return the new identifiers that an alias links to a stored one of their namespace."""
        identifiers, stored = self._given.evidence.identifiers, self._stored.identifiers
        found: set[IdentifierId] = set()
        for edge in self._given.evidence.edges:
            a, b, kind = edge
            if kind != EvidenceKind.STATED or edge in self._held:
                continue
            if identifiers[a].namespace == identifiers[b].namespace:
                if a in stored and b not in stored:
                    found.add(b)
                elif b in stored and a not in stored:
                    found.add(a)
        return found

    def _count_new(self, cluster: Cluster, aliases: Collection[IdentifierId]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for id_ in cluster.new:
            namespace = self._given.evidence.identifiers[id_].namespace
            if self._given.policy.limit(namespace) and id_ not in aliases:
                counts[namespace] = counts.get(namespace, 0) + 1
        return counts


def limit_queries(classified: Classified) -> dict[ProfileId, set[str]]:
    """Return the profiles whose identifiers must be counted, and in which namespaces; the scoped
    forms and digests of a namespace are counted with it."""
    queries: dict[ProfileId, set[str]] = {}
    stored, limited = classified.given.state.stored.identifiers, classified.given.policy.limited
    for cluster in classified.clusters:
        if cluster.needs_full_resolution or len(cluster.profiles) < 2:
            continue
        namespaces = limited if cluster.stored_profiles > 1 else cluster.new_counts
        for profile_id in cluster.profiles if namespaces else ():
            if IdentifierId(profile_id) in stored:
                queries.setdefault(profile_id, set()).update(namespaces)
    return queries


def check_limits(classified: Classified, counts: Mapping[ProfileNamespace, int]) -> Split:
    """Split the clusters by whether they keep their limits and need no full resolution.

    `counts`: how many identifiers of each namespace the profiles of `limit_queries` have.
    """
    by_profile: dict[ProfileId, dict[str, int]] = {}
    for (profile_id, namespace), count in counts.items():
        by_profile.setdefault(profile_id, {})[namespace] = count
    split = Split([], [])
    limit = classified.given.policy.limit
    for cluster in classified.clusters:
        is_slow = cluster.needs_full_resolution
        if not is_slow and len(cluster.profiles) > 1:
            total = dict(cluster.new_counts)
            for profile_id in cluster.profiles:
                for name, count in by_profile.get(profile_id, {}).items():
                    total[name] = total.get(name, 0) + count
            is_slow = any(count > limit(name) > 0 for name, count in total.items())
        (split.slow if is_slow else split.fast).append(cluster)
    return split


def changes(classified: Classified, clusters: Iterable[Cluster]) -> ResolutionChanges:
    """Return what to write for clusters of which each becomes one profile."""
    found = ResolutionChanges()
    given = classified.given
    evidence, stored = given.evidence, given.state.stored
    for cluster in clusters:
        profile_id = ProfileId(cluster.earliest[1])
        for id_ in cluster.identifiers:
            found.profiles[id_] = profile_id
            first, row = evidence.first_seen.get(id_), stored.identifiers.get(id_)
            if row is not None:
                if first is not None:
                    found.earlier[id_] = (row, first)
                if row.profile_id != profile_id:
                    found.merged[row.profile_id] = profile_id
            elif first is not None:
                flags = flags_of(classified.co_occurrences.get(id_, UNREMARKABLE))
                found.added[id_] = IdentifierRow(profile_id, first, flags)
        for edge in cluster.edges:
            before = stored.edges.get(edge)
            held = classified.held.get(edge) if before is None else before.held
            after = EdgeRow(evidence.edges[edge], held)
            found.edges[edge] = EdgeChange(given.workspace_id, before, after)
    return found


def flags_of(co_occurrence: CoOccurrence) -> int:
    """Return the flags that store a class."""
    shared = IdentifierFlag.SHARED if co_occurrence.shared else 0
    recycled = IdentifierFlag.RECYCLED if co_occurrence.recycled_on_day is not None else 0
    return shared | recycled
