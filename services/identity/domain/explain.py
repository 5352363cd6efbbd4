"""Why two identifiers are one person, or why not: the way that leads from one to the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.identity.domain.evidence import Edge, SeenSpan
from services.identity.domain.linking import HeldEdge
from services.kernel.identifiers import Identifier
from services.kernel.ids import IdentifierId, ProfileId


class ExplainedEdge(NamedTuple):
    """One edge, told to people."""

    #: None where only the id is known.
    a: Identifier | None
    b: Identifier | None
    edge: Edge
    span: SeenSpan
    #: None where it binds.
    held: HeldEdge | None = None
    #: Who decided and why, where it is a person's decision that binds or holds it.
    actor: str = ""
    reason: str = ""


class HeldEdgeView(NamedTuple):
    """Evidence that is held back, and the profiles it would join."""

    edge: ExplainedEdge
    profile_a: ProfileId
    profile_b: ProfileId


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why."""

    #: None where an identifier is not known.
    profile_a: ProfileId | None
    profile_b: ProfileId | None
    #: The edges that lead from one to the other, each one's `a` being where the one before it led;
    #: empty where none do.
    path: tuple[ExplainedEdge, ...]
    #: 0 = the policy that holds where none is defined.
    policy_version: int

    @property
    def same(self) -> bool:
        """Whether they are one profile."""
        return self.profile_a is not None and self.profile_a == self.profile_b


def shortest_path(edges: Iterable[Edge], start: IdentifierId, end: IdentifierId) -> list[Edge]:
    """The shortest way along edges, in order; of equally short ones the strongest edges first.

    Empty where there is none, or nowhere to go.
    """
    near: dict[IdentifierId, list[tuple[int, IdentifierId, Edge]]] = {}
    for edge in edges:
        near.setdefault(edge.a, []).append((edge.kind, edge.b, edge))
        near.setdefault(edge.b, []).append((edge.kind, edge.a, edge))
    came: dict[IdentifierId, Edge | None] = {start: None}
    rim = [start]
    while rim and end not in came:
        rim = list(_step(rim, near, came))
    path: list[Edge] = []
    at, step = end, came.get(end)
    while step is not None:
        path.append(step)
        at = step.b if at == step.a else step.a
        step = came.get(at)
    return path[::-1]


def _step(
    rim: Iterable[IdentifierId],
    near: Mapping[IdentifierId, list[tuple[int, IdentifierId, Edge]]],
    came: dict[IdentifierId, Edge | None],
) -> Iterable[IdentifierId]:
    for id_ in rim:
        for _, other, edge in sorted(near.get(id_, ())):
            if other not in came:
                came[other] = edge
                yield other


def orient(
    path: Iterable[Edge],
    start: IdentifierId,
    ties: Mapping[Edge, ExplainedEdge],
) -> tuple[ExplainedEdge, ...]:
    """The ties of a path, each turned so that it begins where the one before it ended."""
    turned: list[ExplainedEdge] = []
    at = start
    for edge in path:
        tie = ties[edge]
        if edge.a != at:
            tie = tie._replace(a=tie.b, b=tie.a)
        at = edge.b if edge.a == at else edge.a
        turned.append(tie)
    return tuple(turned)
