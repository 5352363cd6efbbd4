"""The short way: which evidence can be taken in without looking at whole people, and its outcome.

Nearly always nothing is held between the people that new evidence joins, and together they keep
every limit: then they are one, in whatever order it was said. All else goes the long way; see
`region`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from services.identity.domain.co_occurrence import (
    CO_OCCURRENCE_KINDS,
    UNREMARKABLE,
    CoOccurrence,
    Neighbour,
    classify_neighbours,
    counted_kinds,
)
from services.identity.domain.evidence import (
    Edge,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    SeenSpan,
)
from services.identity.domain.linking import CROSS_PROFILE, HeldEdge, Node
from services.identity.domain.policy import NamespaceRule, Policy
from services.identity.domain.resolution import held_by_policy
from services.identity.domain.rows import (
    EdgeChange,
    EdgeRow,
    Evidence,
    IdentifierFlag,
    IdentifierRow,
    LockedState,
    ResolutionChanges,
)
from services.kernel.ids import IdentifierId, ProfileId

_SHARED = CoOccurrence(shared=True)
#: Somebody's place: a profile, or an identifier that is not known yet.
Home = bytes


@dataclass(slots=True)
class Cluster:
    """Profiles and new identifiers that fresh evidence is about together."""

    homes: list[Home] = field(default_factory=list)
    #: Fresh edges join some of it, or come earlier than was known.
    is_stirred: bool = False
    is_reordered: bool = False
    #: Whole people must be looked at.
    is_slow: bool = False
    #: Known identifiers that fresh edges join others to.
    joints: set[IdentifierId] = field(default_factory=set)
    #: Identifiers that are not known yet.
    new: list[IdentifierId] = field(default_factory=list)
    earliest: tuple[FirstSeen, bytes] | None = None


class Plan:
    """How fresh evidence of one workspace is to be taken in. Ask in the order of the methods."""

    def __init__(self, fresh: Evidence, ground: LockedState, policy: Policy) -> None:
        self.fresh = fresh
        self.policy = policy
        self.ground = ground
        self._known = ground.stored.identifiers
        self._kept_edges = ground.stored.edges
        #: Known identifiers whose company may come to bind, or no longer bind, other edges.
        self.turning: set[IdentifierId] = set()
        #: What is so of the others, where it is not ALONE.
        self.companies: dict[IdentifierId, CoOccurrence] = {}
        #: Edges that are new and bind nobody, whoever else is known.
        self.held: dict[Edge, HeldEdge] = {}
        self.clusters: dict[Home, Cluster] = {}

    def home(self, id_: IdentifierId) -> Home:
        """Where an identifier of the fresh evidence belongs until now."""
        row = self._known.get(id_)
        return id_ if row is None else row.profile_id

    def is_known(self, id_: IdentifierId) -> bool:
        """Whether an identifier of the fresh evidence is known."""
        return id_ in self._known

    def node(self, id_: IdentifierId) -> Node:
        """An identifier of the fresh evidence."""
        first = self.fresh.identifiers.get(id_)
        return node_from(self.fresh.names[id_], first or self._known[id_].first)

    def rule(self, id_: IdentifierId) -> NamespaceRule:
        """The rule for an identifier of the fresh evidence."""
        identifier = self.fresh.names[id_].identifier
        return self.policy.rule(identifier.namespace if identifier else "")

    # First: whose company is to be asked for.

    def suspects(self) -> set[IdentifierId]:
        """Known identifiers of which it must be asked whom they were seen with."""
        asked: set[IdentifierId] = set()
        if not self.policy.uses_co_occurrence:
            return asked
        for edge in self.fresh.edges:
            if edge.kind not in CO_OCCURRENCE_KINDS:
                continue
            for one, other in ((edge.a, edge.b), (edge.b, edge.a)):
                row = self._known.get(one)
                if (
                    row is None
                    or row.flags & IdentifierFlag.SHARED
                    or not self.rule(one).uses_co_occurrence
                ):
                    continue
                if row.flags & IdentifierFlag.RECYCLED:
                    self.turning.add(one)
                elif self._is_company(one, other, edge.kind):
                    asked.add(one)
        return asked

    def judge(self, met: Mapping[IdentifierId, Iterable[Neighbour]]) -> None:
        """Which new edges may bind. `met`: whom the suspects were seen with until now."""
        fresh_met = self._fresh_met()
        for id_, before in met.items():
            rule, known = self.rule(id_), list(before)
            if (
                not classify_neighbours(known, rule)
                == classify_neighbours([*known, *fresh_met[id_]], rule)
                == UNREMARKABLE
            ):
                self.turning.add(id_)
        for id_ in self.fresh.names:
            row = self._known.get(id_)
            if row is None and id_ in fresh_met:
                found = classify_neighbours(fresh_met[id_], self.rule(id_))
                if found != UNREMARKABLE:
                    self.companies[id_] = found
            elif row is not None and row.flags & IdentifierFlag.SHARED:
                self.companies[id_] = _SHARED
        self.held = held_by_policy(
            {id_: self.node(id_) for id_ in self.fresh.names},
            {edge: span for edge, span in self.fresh.edges.items() if edge not in self._kept_edges},
            self.companies,
            self.policy,
        )
        self._cluster()

    def _is_company(self, one: IdentifierId, other: IdentifierId, strength: int) -> bool:
        if strength not in counted_kinds(self.rule(one), self.policy):
            return False
        rank = self.policy.priority
        return rank(self.node(other).namespace) < rank(self.node(one).namespace)

    def _fresh_met(self) -> dict[IdentifierId, list[Neighbour]]:
        met: dict[IdentifierId, list[Neighbour]] = {}
        for edge, span in self.fresh.edges.items():
            for one, other in ((edge.a, edge.b), (edge.b, edge.a)):
                if self.rule(one).uses_co_occurrence and self._is_company(one, other, edge.kind):
                    namespace = self.node(other).namespace
                    met.setdefault(one, []).append(Neighbour(other, namespace, span))
        return met

    # Then: who may be joined, and how large they are.

    def asks(self) -> dict[ProfileId, set[str]]:
        """Of which profiles it must be asked how many identifiers they have of which namespaces,
        their scoped forms and digests with them."""
        asked: dict[ProfileId, set[str]] = {}
        for cluster in self._clusters():
            if cluster.is_slow or len(cluster.homes) < 2:
                continue
            names = self._at_risk(cluster)
            for home in cluster.homes if names else ():
                if home in self._known:
                    asked.setdefault(ProfileId(home), set()).update(names)
        return asked

    def weigh(self, counts: Mapping[tuple[ProfileId, str], int]) -> None:
        """Whether limits are kept; where one may not be, people must be looked at whole.

        `counts`: how many identifiers of each namespace the profiles asked for have.
        """
        by_profile: dict[bytes, Counter[str]] = {}
        for (profile, namespace), count in counts.items():
            by_profile.setdefault(profile, Counter())[namespace] = count
        for cluster in self._clusters():
            if len(cluster.homes) < 2:
                continue
            total = self._new_counts(cluster)
            for home in cluster.homes:
                total.update(by_profile.get(home, {}))
            if any(count > self.policy.limit(name) > 0 for name, count in total.items()):
                cluster.is_slow = True

    def _clusters(self) -> list[Cluster]:
        return list({id(cluster): cluster for cluster in self.clusters.values()}.values())

    def _cluster(self) -> None:
        for id_ in self.fresh.names:
            cluster = self._cluster_of(id_)
            if id_ not in self._known:
                cluster.new.append(id_)
        for edge, span in self.fresh.edges.items():
            self._stir(edge, span)
        for pair in self.fresh.decisions:
            self._join(pair.a, pair.b).is_slow = True
        for id_ in self.turning:
            self._cluster_of(id_).is_slow = True
        for cluster in self._clusters():
            is_contested = not self.ground.contested.isdisjoint(cluster.homes)
            if is_contested and cluster.is_stirred and not self._is_harmless(cluster):
                cluster.is_slow = True

    def _cluster_of(self, id_: IdentifierId) -> Cluster:
        home = self.home(id_)
        cluster = self.clusters.get(home)
        if cluster is None:
            cluster = self.clusters[home] = Cluster([home])
            if id_ in self._known:
                named = IdentifierId(home)
                cluster.earliest = (self._known[named].first, named)
        first = self.fresh.identifiers.get(id_)
        if first is not None and (cluster.earliest is None or (first, id_) < cluster.earliest):
            cluster.earliest = (first, id_)
        return cluster

    def _stir(self, edge: Edge, span: SeenSpan) -> None:
        before = self._kept_edges.get(edge)
        if before is not None:
            if before.span.first != span.first and (
                before.held is None or before.held.reason in CROSS_PROFILE
            ):
                cluster = self._join(edge.a, edge.b)
                cluster.is_stirred = cluster.is_reordered = True
        elif not self.turning.isdisjoint(edge[:2]):
            self._join(edge.a, edge.b).is_slow = True
        elif edge not in self.held:
            cluster = self._join(edge.a, edge.b)
            cluster.is_stirred = True
            cluster.joints.update(id_ for id_ in edge[:2] if id_ in self._known)

    def _join(self, a: IdentifierId, b: IdentifierId) -> Cluster:
        left, right = self.clusters[self.home(a)], self.clusters[self.home(b)]
        if left is right:
            return left
        if len(left.homes) < len(right.homes):
            left, right = right, left
        left.homes += right.homes
        left.new += right.new
        left.joints |= right.joints
        left.is_stirred |= right.is_stirred
        left.is_reordered |= right.is_reordered
        left.is_slow |= right.is_slow
        if left.earliest is None or (right.earliest and right.earliest < left.earliest):
            left.earliest = right.earliest
        for home in right.homes:
            self.clusters[home] = left
        return left

    def _is_harmless(self, cluster: Cluster) -> bool:
        """Whether all that is new hangs on one identifier of one profile, and no limit counts it:
        then whatever the profile could not be joined to, it still cannot, and the other way."""
        profiles = len(cluster.homes) - len(cluster.new)
        one_joint = profiles <= 1 and len(cluster.joints) <= 1
        return one_joint and not cluster.is_reordered and not self._new_counts(cluster)

    def _at_risk(self, cluster: Cluster) -> Collection[str]:
        """The namespaces of which joining a cluster may make too many."""
        if len(cluster.homes) - len(cluster.new) > 1:
            return self.policy.limited
        return self._new_counts(cluster)

    def _new_counts(self, cluster: Cluster) -> Counter[str]:
        """How many new identifiers a cluster has of each namespace that has a limit. Such as are
        said to be the same as a known one of their namespace count with that one."""
        counts = Counter[str]()
        for id_ in cluster.new:
            namespace = self.node(id_).namespace
            if self.policy.limit(namespace) and id_ not in self._aliases:
                counts[namespace] += 1
        return counts

    @cached_property
    def _aliases(self) -> set[IdentifierId]:
        found: set[IdentifierId] = set()
        for edge in self.fresh.edges:
            if edge.kind != EvidenceKind.STATED or edge in self.held:
                continue
            if self.node(edge.a).namespace == self.node(edge.b).namespace:
                known = [id_ for id_ in edge[:2] if id_ in self._known]
                if len(known) == 1:
                    found.update(id_ for id_ in edge[:2] if id_ not in self._known)
        return found

    # Last: what follows for those who need no more looking at.

    def changes(self, skipped: Iterable[Cluster] = ()) -> ResolutionChanges:
        """What follows for all clusters but some."""
        changes = ResolutionChanges()
        out = {id(cluster) for cluster in skipped}
        fresh, kept = self.fresh, self.ground.stored
        for id_ in fresh.names:
            cluster = self.clusters[self.home(id_)]
            if id(cluster) in out or cluster.earliest is None:
                continue
            now = changes.profiles[id_] = ProfileId(cluster.earliest[1])
            first, row = fresh.identifiers.get(id_), self._known.get(id_)
            if row is None and first is not None:
                changes.added[id_] = IdentifierRow(now, first, self._marks(id_))
            elif row is not None:
                if first is not None:
                    changes.earlier[id_] = (row, first)
                if row.profile_id != now:
                    changes.merged[row.profile_id] = now
        for edge, span in fresh.edges.items():
            if id(self.clusters[self.home(edge.a)]) not in out:
                before = kept.edges.get(edge)
                held = self.held.get(edge) if before is None else before.held
                workspace = fresh.names[edge.a].workspace_id
                changes.edges[edge] = EdgeChange(workspace, before, EdgeRow(span, held))
        return changes

    def slow(self) -> list[Cluster]:
        """The clusters of which whole people must be looked at."""
        return [cluster for cluster in self._clusters() if cluster.is_slow]

    def _marks(self, id_: IdentifierId) -> int:
        return marks_of(self.companies.get(id_, UNREMARKABLE))


def marks_of(one: CoOccurrence) -> int:
    """What is noted of an identifier's company."""
    shared = IdentifierFlag.SHARED if one.shared else 0
    return shared | (IdentifierFlag.RECYCLED if one.recycled_on_day is not None else 0)


def node_from(name: IdentifierInWorkspace, first: FirstSeen) -> Node:
    """An identifier, as far as settling cares."""
    namespace, value = name.identifier or ("", "")
    return Node(namespace, value, first)
