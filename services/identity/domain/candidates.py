"""Finds the identifiers whose class new evidence may change, and what decides it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from services.identity.domain.co_occurrence import (
    CO_OCCURRENCE_KINDS,
    JOINT_KINDS,
    Neighbour,
    counts_as_neighbour,
    holders_to_compare,
    joint_kinds,
)
from services.identity.domain.evidence import Edge, Evidence, EvidenceKind, Pair
from services.identity.domain.policy import NamespaceRule, Policy
from services.identity.domain.resolution import Node, node_of
from services.identity.domain.rows import IdentifierFlag, IdentifierRow, LockedState
from services.kernel.identifiers.priority import is_device_namespace
from services.kernel.ids import IdentifierId, ProfileId, WorkspaceId


@dataclass(frozen=True)
class WorkspaceEvidence:
    """New evidence of one workspace, and the state and the policy that it meets."""

    workspace_id: WorkspaceId
    evidence: Evidence
    state: LockedState
    policy: Policy

    def row(self, id_: IdentifierId) -> IdentifierRow | None:
        return self.state.stored.identifiers.get(id_)

    def profile(self, id_: IdentifierId) -> ProfileId:
        """Return the profile of an identifier; one that is not stored is alone in its profile."""
        row = self.state.stored.identifiers.get(id_)
        return ProfileId(id_) if row is None else row.profile_id

    def node(self, id_: IdentifierId) -> Node:
        stored = self.state.stored.identifiers
        first = self.evidence.first_seen.get(id_) or stored[id_].first
        return node_of(self.evidence.identifiers[id_], first)

    def rule(self, id_: IdentifierId) -> NamespaceRule:
        return self.policy.rule(self.evidence.identifiers[id_].namespace)

    def is_neighbour(self, one: IdentifierId, other: IdentifierId, kind: int) -> bool:
        """Return whether an edge of a kind makes `other` a neighbour of `one`."""
        identifiers = self.evidence.identifiers
        return counts_as_neighbour(
            identifiers[one].namespace, identifiers[other].namespace, kind, self.policy
        )

    @cached_property
    def new_neighbours(self) -> Mapping[IdentifierId, list[Neighbour]]:
        """The neighbours that the evidence adds to each identifier whose class may depend on
        them."""
        neighbours: dict[IdentifierId, list[Neighbour]] = {}
        if not self.policy.uses_co_occurrence:
            return neighbours
        identifiers = self.evidence.identifiers
        # Edges are many, and pairs of namespaces are few.
        counting: dict[tuple[str, str, int], tuple[bool, bool]] = {}
        for (a, b, kind), span in self.evidence.edges.items():
            names = identifiers[a].namespace, identifiers[b].namespace
            found = counting.get((*names, kind))
            if found is None:
                found = counting[*names, kind] = self._counting_ends(*names, kind)
            if found[0]:
                neighbours.setdefault(a, []).append(Neighbour(b, names[1], span, kind))
            if found[1]:
                neighbours.setdefault(b, []).append(Neighbour(a, names[0], span, kind))
        return neighbours

    def _counting_ends(self, a: str, b: str, kind: int) -> tuple[bool, bool]:
        """Return for each end of an edge between two namespaces whether the other end counts as its
        neighbour, and decides its class."""
        policy = self.policy
        return (
            policy.rule(a).uses_co_occurrence and counts_as_neighbour(a, b, kind, policy),
            policy.rule(b).uses_co_occurrence and counts_as_neighbour(b, a, kind, policy),
        )

    def joint_with(self, stored: Iterable[Edge]) -> dict[Pair, int]:
        """Return the joint kinds of stored edges and of all the evidence."""
        decisions = self.evidence.decisions
        edges = [
            edge
            for edge in stored
            if edge.kind != EvidenceKind.DECIDED or Pair(*edge[:2]) not in decisions
        ]
        edges.extend(self.evidence.edges)
        made = (decision.edge(pair) for pair, decision in decisions.items())
        edges.extend(one[0] for one in made if one is not None)
        return joint_kinds(edges, {id_ for edge in edges for id_ in edge[:2]})


class CoOccurrenceCandidates(NamedTuple):
    """Stored identifiers whose class the new evidence may change."""

    #: The namespaces of those whose neighbours must be loaded.
    namespaces: dict[IdentifierId, str]
    #: Recycled identifiers: their class changes, or the edges held for it.
    recycled: set[IdentifierId]


def co_occurrence_candidates(given: WorkspaceEvidence) -> CoOccurrenceCandidates:
    """Return the stored identifiers whose class the new evidence may change."""
    candidates = CoOccurrenceCandidates({}, set())
    if not given.policy.uses_co_occurrence:
        return candidates
    joined = {id_ for pair, _ in new_joint_pairs(given) for id_ in pair}
    for a, b, kind in given.evidence.edges:
        if kind not in CO_OCCURRENCE_KINDS:
            continue
        for one, other in ((a, b), (b, a)):
            row = given.row(one)
            if row is None:
                continue
            # One more holder may show that others are one person, if it was seen with them, or
            # that it has changed hands.
            is_alone = given.row(other) is None and other not in joined
            may_release = not is_alone or given.rule(one).recycled_after_days > 0
            if row.flags & IdentifierFlag.SHARED and not may_release:
                continue
            if not given.rule(one).uses_co_occurrence:
                continue
            if row.flags & IdentifierFlag.RECYCLED:
                candidates.recycled.add(one)
            elif given.is_neighbour(one, other, kind):
                candidates.namespaces[one] = given.evidence.identifiers[one].namespace
    return candidates


def new_joint_pairs(given: WorkspaceEvidence) -> list[tuple[Pair, bool]]:
    """Return the pairs of identifiers, none of them a device, that the evidence shows to be one
    person, or no longer; each with whether a decision does."""
    if not given.policy.uses_co_occurrence:
        return []
    stored, identifiers = given.state.stored.edges, given.evidence.identifiers
    pairs = {
        Pair(*edge[:2]): False
        for edge in given.evidence.edges
        if edge not in stored and edge.kind in JOINT_KINDS
    }
    pairs.update(dict.fromkeys(given.evidence.decisions, True))
    return [
        (pair, is_decided)
        for pair, is_decided in pairs.items()
        if not any(is_device_namespace(identifiers[id_].namespace) for id_ in pair)
    ]


class JointPair(NamedTuple):
    """Two stored identifiers that new evidence shows to be one person, or no longer."""

    #: The one that fewer others were seen with, mostly.
    one: IdentifierId
    other: IdentifierId
    #: A decision may also withdraw what an earlier one has shown.
    is_decided: bool


def stored_joint_pairs(given: WorkspaceEvidence) -> list[JointPair]:
    """Return the pairs of stored identifiers, none of them a device, that the evidence shows to be
    one person, or no longer."""

    def breadth(id_: IdentifierId) -> tuple[int, int]:
        row = given.row(id_)
        is_shared = row.flags & IdentifierFlag.SHARED if row else 0
        return is_shared, given.policy.priority(given.evidence.identifiers[id_].namespace)

    return [
        JointPair(min(pair, key=breadth), max(reversed(pair), key=breadth), is_decided)
        for pair, is_decided in new_joint_pairs(given)
        if given.row(pair.a) is not None and given.row(pair.b) is not None
    ]


def compared_holders(
    given: WorkspaceEvidence, neighbours: Mapping[IdentifierId, Sequence[Neighbour]]
) -> set[IdentifierId]:
    """Return the holders that must be compared with each other. `neighbours`: as in `classify`."""
    new_neighbours = given.new_neighbours
    return {
        holder
        for id_ in new_neighbours.keys() | neighbours.keys()
        if id_ in neighbours or given.row(id_) is None
        for holder in holders_to_compare(
            [*neighbours.get(id_, ()), *new_neighbours.get(id_, ())], given.rule(id_)
        )
    }
