"""Explains a resolution: the path of edges between two identifiers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.identity.domain.evidence import Decision, Edge, SeenSpan
from services.identity.domain.held import HeldEdge
from services.identity.domain.rows import ResolvedProfile, SeenIdentifier
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import IdentifierId, ProfileId


class ExplainedEdge(NamedTuple):
    """An edge with its identifiers, and the decision behind it."""

    #: None where only the id is known.
    a: Identifier | None
    b: Identifier | None
    edge: Edge
    span: SeenSpan
    #: None where it links.
    held: HeldEdge | None = None
    #: The author and the reason of the decision that links or holds it; empty without one.
    actor: str = ""
    reason: str = ""


class HeldEdgeView(NamedTuple):
    """A held edge, and the profiles that it would merge."""

    edge: ExplainedEdge
    profile_a: ProfileId
    profile_b: ProfileId
    #: Two identifiers that would be one person and that no evidence shows to be one; a decision
    #: about these decides about the edge. Empty where none are known.
    clash: tuple[Identifier, ...] = ()


class DecisionView(NamedTuple):
    """A decision with its identifiers."""

    #: None where only the id is known.
    a: Identifier | None
    b: Identifier | None
    decision: Decision


class HeldCount(NamedTuple):
    """How many edges of a kind are held for a reason."""

    #: As HeldReason.
    reason: int
    #: As EvidenceKind.
    kind: int
    number: int


class IdentityGraph(NamedTuple):
    """A profile, the evidence about its identifiers, and the decisions about them."""

    profile: ResolvedProfile
    #: The identifiers that edges and decisions are of.
    shown: tuple[SeenIdentifier, ...]
    edges: list[HeldEdgeView]
    decisions: list[DecisionView]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two identifiers belong to one profile, or to two."""

    #: None where an identifier is not stored.
    profile_a: ProfileId | None
    profile_b: ProfileId | None
    #: The edges from one identifier to the other; the `a` of each is the `b` of the one before.
    #: Empty where there is no path.
    path: tuple[ExplainedEdge, ...]
    #: 0 = the default policy.
    policy_version: int

    @property
    def same(self) -> bool:
        """Return whether they belong to one profile."""
        return self.profile_a is not None and self.profile_a == self.profile_b


def shortest_path(edges: Iterable[Edge], start: IdentifierId, end: IdentifierId) -> list[Edge]:
    """Return the shortest path, in order; among equally short ones that of the strongest kinds.

    Empty where there is none, or where both ends are the same.
    """
    adjacent: dict[IdentifierId, list[tuple[int, IdentifierId, Edge]]] = {}
    for edge in edges:
        adjacent.setdefault(edge.a, []).append((edge.kind, edge.b, edge))
        adjacent.setdefault(edge.b, []).append((edge.kind, edge.a, edge))
    reached_by: dict[IdentifierId, Edge | None] = {start: None}
    frontier = [start]
    while frontier and end not in reached_by:
        frontier = list(_advance(frontier, adjacent, reached_by))
    path: list[Edge] = []
    at, step = end, reached_by.get(end)
    while step is not None:
        path.append(step)
        at = step.b if at == step.a else step.a
        step = reached_by.get(at)
    return path[::-1]


def _advance(
    frontier: Iterable[IdentifierId],
    adjacent: Mapping[IdentifierId, list[tuple[int, IdentifierId, Edge]]],
    reached_by: dict[IdentifierId, Edge | None],
) -> Iterator[IdentifierId]:
    for id_ in frontier:
        for _, other, edge in sorted(adjacent.get(id_, ())):
            if other not in reached_by:
                reached_by[other] = edge
                yield other


def orient(
    path: Iterable[Edge], start: IdentifierId, explained: Mapping[Edge, ExplainedEdge]
) -> tuple[ExplainedEdge, ...]:
    """Return the edges of a path, each with the end first at which the one before it ended."""
    oriented: list[ExplainedEdge] = []
    at = start
    for edge in path:
        one = explained[edge]
        if edge.a != at:
            one = one._replace(a=one.b, b=one.a)
        at = edge.b if edge.a == at else edge.a
        oriented.append(one)
    return tuple(oriented)
