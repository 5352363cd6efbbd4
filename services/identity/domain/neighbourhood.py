"""The long way: people are looked at whole, as many as need be, and settled anew.

People are looked at whose evidence changed, and their neighbours: those with whom something is held
between them. As long as every neighbour comes out with the same members as before, nothing changes
beyond it, for what is held between it and others was refused for who it was, at each step; where a
neighbour comes out otherwise, its own neighbours are looked at too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from services.identity.domain.co_occurrence import (
    UNREMARKABLE,
    CoOccurrence,
    Neighbour,
    classify_neighbours,
)
from services.identity.domain.evidence import (
    DecisionKind,
    Edge,
    EvidenceKind,
    FirstSeen,
    Pair,
    SeenSpan,
)
from services.identity.domain.fast_path import Cluster, Plan, marks_of, node_from
from services.identity.domain.linking import CROSS_PROFILE, HeldEdge, Node, link_components
from services.identity.domain.resolution import classify_all, held_by_policy
from services.identity.domain.rows import (
    EdgeChange,
    EdgeRow,
    IdentifierFlag,
    IdentifierRow,
    ProfileGraph,
    ReassignedIdentifier,
    ResolutionChanges,
    StoredIdentifier,
    decided_edge,
)
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId

_OF_COMPANY = IdentifierFlag.SHARED | IdentifierFlag.RECYCLED


@dataclass(slots=True)
class Outcome:
    """How people come out."""

    profiles: dict[IdentifierId, ProfileId]
    #: Edges that are held between profiles.
    between: dict[Edge, HeldEdge] = field(default_factory=dict)


class Area:
    """People who are looked at whole.

    Load what `missing` names and `take` it, until nothing is missing; then `settle`, and begin
    again where that widens the area.
    """

    def __init__(self, plan: Plan, profiles: Iterable[ProfileId] = ()) -> None:
        self._plan = plan
        self._policy = plan.policy
        #: Whoever may come out otherwise.
        self._inside: set[ProfileId] = set(profiles)
        self._loaded: set[ProfileId] = set()
        self._clusters: list[Cluster] = []
        self._region = ProfileGraph()
        #: Edges of those whose company changed: held now, or None where they may bind.
        self._judged: dict[Edge, HeldEdge | None] = {}
        #: The company of identifiers of which it is known anew.
        self._companies: dict[IdentifierId, CoOccurrence] = {}
        for cluster in plan.slow():
            self._add_cluster(cluster)

    @property
    def clusters(self) -> list[Cluster]:
        """Those whose evidence is taken in here."""
        return self._clusters

    @property
    def profiles(self) -> set[ProfileId]:
        """All that was looked at."""
        return self._loaded

    def judge(self, around: ProfileGraph) -> set[IdentifierId]:
        """Judge all edges of the identifiers whose company changes, given what is around them.

        Answers those whose surroundings must be known too; then nothing was judged.
        """
        turning = self._plan.turning
        handed = {
            id_ for id_, end in around.outside.items() if end.marks & IdentifierFlag.RECYCLED
        } - turning
        if handed:
            return handed
        edges = {edge: known.span for edge, known in around.edges.items()}
        fresh = {e: s for e, s in self._plan.fresh.edges.items() if not turning.isdisjoint(e[:2])}
        edges.update(fresh)
        nodes = {id_: node_of(end) for id_, end in around.outside.items()}
        for edge in fresh:
            nodes.update((id_, self._plan.node(id_)) for id_ in edge[:2])
        own = classify_all(nodes, edges, self._policy)
        self._companies = {id_: own.get(id_, UNREMARKABLE) for id_ in turning}
        known = dict(self._companies)
        for id_, end in around.outside.items():
            if id_ not in turning and end.marks & IdentifierFlag.SHARED:
                known[id_] = CoOccurrence(shared=True)
        known.update((i, c) for i, c in self._plan.companies.items() if i not in turning)
        held = held_by_policy(nodes, edges, known, self._policy)
        for edge in edges:
            before = around.edges.get(edge)
            was = None if before is None or before.held is None else before.held
            was_held = was is not None and was.reason not in CROSS_PROFILE
            if edge in held or was_held or before is None:
                self._judged[edge] = held.get(edge)
                self._region.edges.update({edge: before} if before else {})
                if (edge in held) != was_held:
                    self._inside.update(
                        around.outside[id_].profile_id for id_ in edge[:2] if id_ in around.outside
                    )
        self._region.outside.update(around.outside)
        return set()

    def missing(self) -> set[ProfileId]:
        """Profiles that must be loaded."""
        self._gather_clusters()
        return (self._inside | self._neighbours()) - self._loaded

    def _neighbours(self) -> set[ProfileId]:
        near: set[ProfileId] = set()
        members = self._region.members
        for edge, known in self._region.edges.items():
            if known.held is not None and known.held.reason in CROSS_PROFILE:
                near |= self._across(edge.a, edge.b, members) | self._across(
                    edge.b, edge.a, members
                )
        return near

    def _across(
        self,
        one: IdentifierId,
        other: IdentifierId,
        members: Mapping[IdentifierId, StoredIdentifier],
    ) -> set[ProfileId]:
        if one in members and members[one].profile_id in self._inside and other not in members:
            return {self._region.outside[other].profile_id}
        return set()

    def take(self, profiles: Collection[ProfileId], region: ProfileGraph) -> None:
        """Take in these profiles, as they are."""
        self._loaded.update(profiles)
        self._region.merge(region)

    def _add_cluster(self, cluster: Cluster) -> None:
        self._clusters.append(cluster)
        new: set[bytes] = set(cluster.new)
        self._inside.update(ProfileId(home) for home in cluster.homes if home not in new)

    def _gather_clusters(self) -> None:
        """What is said of people who are looked at is taken in with them."""
        seen = {id(cluster) for cluster in self._clusters}
        for profile in [*self._inside, *self._loaded]:
            cluster = self._plan.clusters.get(profile)
            if cluster is not None and id(cluster) not in seen:
                seen.add(id(cluster))
                self._add_cluster(cluster)

    def settle(self) -> Outcome | None:
        """How these people come out; None where the area has grown and more may be missing."""
        nodes = self._nodes()
        eligible = [
            (edge, first) for edge, first in self._eligible() if edge.a in nodes and edge.b in nodes
        ]
        outcome = Outcome(*link_components(nodes, eligible, self._separated(), self._policy))
        grown = self._changed_beyond(outcome)
        if grown:
            self._inside |= grown
            return None
        return outcome

    def _nodes(self) -> dict[IdentifierId, Node]:
        firsts = self._plan.fresh.identifiers
        nodes: dict[IdentifierId, Node] = {}
        for id_, member in self._region.members.items():
            first = firsts.get(id_, member.first)
            nodes[id_] = node_of(member, min(first, member.first))
        for cluster in self._clusters:
            nodes.update((id_, self._plan.node(id_)) for id_ in cluster.new)
        return nodes

    def _eligible(self) -> Iterable[tuple[Edge, FirstSeen]]:
        """The edges that may bind, with when they were first seen."""
        fresh, decisions = self._plan.fresh.edges, self._plan.fresh.decisions
        for edge, known in self._region.edges.items():
            if edge in self._judged:
                continue
            is_out = known.held is not None and known.held.reason not in CROSS_PROFILE
            if edge.kind == EvidenceKind.DECIDED:
                is_out = Pair(edge.a, edge.b) in decisions
            if not is_out:
                yield edge, fresh.get(edge, known.span).first
        for edge, held in self._judged.items():
            is_renewed = edge.kind == EvidenceKind.DECIDED and Pair(*edge[:2]) in decisions
            if held is None and not is_renewed:
                yield edge, self._span(edge).first
        for edge, span in fresh.items():
            if (
                edge not in self._region.edges
                and edge not in self._judged
                and edge not in self._plan.held
                and edge not in self._plan.ground.stored.edges
            ):
                yield edge, span.first
        for pair, decision in decisions.items():
            made = decided_edge(pair, decision)
            if made is not None:
                yield made[0], made[1].first

    def _span(self, edge: Edge) -> SeenSpan:
        fresh = self._plan.fresh.edges.get(edge)
        return fresh if fresh is not None else self._region.edges[edge].span

    def _separated(self) -> set[Pair]:
        decisions = self._plan.fresh.decisions
        separated = {pair for pair in self._region.separated if pair not in decisions}
        separated.update(p for p, d in decisions.items() if d.kind == DecisionKind.SEPARATE)
        return separated

    def _changed_beyond(self, outcome: Outcome) -> set[ProfileId]:
        """Neighbours that come out with other members than they had."""
        neighbours = self._loaded - self._inside
        if not neighbours:
            return set()
        homes: dict[ProfileId, set[ProfileId | None]] = {}
        members = self._region.members
        for id_, now in outcome.profiles.items():
            member = members.get(id_)
            homes.setdefault(now, set()).add(member.profile_id if member else None)
        changed: set[ProfileId] = set()
        for id_, member in members.items():
            before = member.profile_id
            if before in neighbours and homes[outcome.profiles[id_]] != {before}:
                changed.add(before)
        by_before: dict[ProfileId, set[ProfileId]] = {}
        for id_, member in members.items():
            by_before.setdefault(member.profile_id, set()).add(outcome.profiles[id_])
        return changed | {p for p in neighbours if len(by_before.get(p, ())) > 1}

    # What follows.

    def changes(self, outcome: Outcome) -> ResolutionChanges:
        """What is to be written."""
        changes = ResolutionChanges()
        self._change_edges(changes, outcome)
        contested = self._contested(outcome)
        self._change_people(changes, outcome, contested)
        fresh = self._plan.fresh
        for pair, decision in fresh.decisions.items():
            changes.decisions[pair] = (self._plan.ground.stored.decisions.get(pair), decision)
        return changes

    def _change_edges(self, changes: ResolutionChanges, outcome: Outcome) -> None:
        kept, region = self._plan.ground.stored.edges, self._region.edges
        fresh = self._plan.fresh
        ours = {id(cluster) for cluster in self._clusters}
        touched = {**region, **self._judged}
        for edge in [*touched, *(e for e in fresh.edges if e not in touched)]:
            cluster = (
                self._plan.clusters.get(self._plan.home(edge.a)) if edge in fresh.edges else None
            )
            if edge not in touched and (cluster is None or id(cluster) not in ours):
                continue
            before = region.get(edge) or kept.get(edge)
            now = EdgeRow(
                fresh.edges[edge] if edge in fresh.edges else self._span(edge),
                self._held(edge, before, outcome),
            )
            if now != before:
                changes.edges[edge] = EdgeChange(self._workspace(edge.a), before, now)
        for pair, decision in fresh.decisions.items():
            edge, made = Edge(*pair, EvidenceKind.DECIDED), decided_edge(pair, decision)
            before = region.get(edge)
            now_made = EdgeRow(made[1], outcome.between.get(edge)) if made else None
            changes.edges.pop(edge, None)
            if now_made != before:
                changes.edges[edge] = EdgeChange(self._workspace(edge.a), before, now_made)

    def _workspace(self, id_: IdentifierId) -> WorkspaceId:
        name = self._plan.fresh.names.get(id_)
        if name is None:
            member = self._region.members.get(id_) or self._region.outside[id_]
            name = member.name
        return name.workspace_id

    def _held(self, edge: Edge, before: EdgeRow | None, outcome: Outcome) -> HeldEdge | None:
        if edge in outcome.between:
            return outcome.between[edge]
        if edge in self._judged:
            return self._judged[edge]
        if before is None:
            return self._plan.held.get(edge)
        held = before.held
        is_between = held is not None and held.reason in CROSS_PROFILE
        if is_between and edge.a in outcome.profiles and edge.b in outcome.profiles:
            return None
        return held

    def _contested(self, outcome: Outcome) -> set[IdentifierId]:
        contested: set[IdentifierId] = set()
        for edge in outcome.between:
            contested.update(edge[:2])
        for pair in self._separated():
            contested.update(pair)
        for edge, known in self._region.edges.items():
            if known.held is None or known.held.reason not in CROSS_PROFILE or edge in self._judged:
                continue
            if edge.a not in outcome.profiles or edge.b not in outcome.profiles:
                contested.update(edge[:2])
        return contested

    def _change_people(
        self, changes: ResolutionChanges, outcome: Outcome, contested: Collection[IdentifierId]
    ) -> None:
        fresh, members = self._plan.fresh, self._region.members
        for id_, now in outcome.profiles.items():
            mark = IdentifierFlag.CONTESTED if id_ in contested else 0
            member = members.get(id_)
            if id_ in fresh.names:
                changes.profiles[id_] = now
            if member is None:
                company = self._companies.get(id_) or self._plan.companies.get(id_, UNREMARKABLE)
                known = IdentifierRow(now, fresh.identifiers[id_], mark | marks_of(company))
                changes.added[id_] = known
                continue
            self._change_member(changes, id_, member, now, mark)

    def _change_member(
        self,
        changes: ResolutionChanges,
        id_: IdentifierId,
        member: StoredIdentifier,
        now: ProfileId,
        mark: int,
    ) -> None:
        first = self._plan.fresh.identifiers.get(id_)
        if first is not None and first < member.first:
            changes.earlier[id_] = (IdentifierRow(*member[1:]), first)
        if member.profile_id != now:
            at = min(first, member.first) if first is not None else member.first
            changes.reassigned.append(
                ReassignedIdentifier(id_, member.profile_id, now, member.name, at)
            )
        company = self._companies.get(id_)
        marks = mark | (member.marks & _OF_COMPANY if company is None else marks_of(company))
        if marks != member.marks:
            changes.flagged[id_] = marks


class WholeArea(Area):
    """People who are looked at without trust in what is kept of their edges: it may still be as
    another policy had it. The area is closed: no edge that may bind leads out of it."""

    def __init__(self, plan: Plan, profiles: Iterable[ProfileId] = ()) -> None:
        super().__init__(plan, profiles)
        #: Whom identifiers outside were seen with.
        self._met: dict[IdentifierId, list[Neighbour]] = {}
        for cluster in {id(c): c for c in plan.clusters.values()}.values():
            if cluster not in self._clusters:
                self._add_cluster(cluster)

    def _neighbours(self) -> set[ProfileId]:
        return set()

    def strangers(self) -> dict[IdentifierId, str]:
        """Identifiers outside, by their namespace, of which it must be told whom they were seen
        with."""
        found: dict[IdentifierId, str] = {}
        for id_, end in self._region.outside.items():
            namespace = node_of(end).namespace
            if self._policy.rule(namespace).uses_co_occurrence and id_ not in self._met:
                found[id_] = namespace
        return found

    def close(self, met: Mapping[IdentifierId, list[Neighbour]]) -> bool:
        """Judge all edges; answers whether the area has grown by that and more may be missing."""
        self._met.update(met)
        region, fresh = self._region, self._plan.fresh
        nodes = self._nodes()
        spans = {edge: known.span for edge, known in region.edges.items()}
        spans.update(fresh.edges)
        ends = {**{id_: node_of(end) for id_, end in region.outside.items()}, **nodes}
        own = classify_all(ends, spans, self._policy)
        self._companies = {id_: own.get(id_, UNREMARKABLE) for id_ in nodes}
        known = {id_: one for id_, one in self._companies.items() if one is not UNREMARKABLE}
        for id_ in region.outside:
            rule = self._policy.rule(ends[id_].namespace)
            known[id_] = classify_neighbours(self._met.get(id_, ()), rule)
        held = held_by_policy(ends, spans, known, self._policy)
        self._judged = {edge: held.get(edge) for edge in spans}
        outside = {
            region.outside[id_].profile_id
            for edge in spans
            if edge not in held
            for id_ in edge[:2]
            if id_ in region.outside
        }
        self._inside |= outside
        return bool(self._inside - self._loaded)


def node_of(member: StoredIdentifier, first: FirstSeen | None = None) -> Node:
    """A member, as far as settling cares."""
    return node_from(member.name, first or member.first)
