"""What follows from evidence: which identifiers are one profile, and what it is called.

A profile is a connected component of the edges. Its id is the id of the identifier in it that was
first seen, by (occurred_at, fact id, identifier id). Both are functions of the set of evidence, so
the order in which it comes cannot matter; what is known already is only a shorter way to get there.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.identity.domain.facts import Edge, First
from services.identity.domain.model import Evidence, Known, Outcome
from services.kernel.ids import IdentifierId, ProfileId


def news(
    evidence: Evidence,
    known: Mapping[IdentifierId, Known],
    known_edges: Mapping[Edge, First],
) -> Evidence:
    """The part of the evidence that is not known, or that is earlier than what is known."""
    fresh = Evidence()
    for id_, first in evidence.identifiers.items():
        if id_ not in known or first < known[id_].first:
            fresh.identifiers[id_] = first
            fresh.names[id_] = evidence.names[id_]
    for edge, first in evidence.edges.items():
        if edge not in known_edges or first < known_edges[edge]:
            fresh.edges[edge] = first
            fresh.names[edge.a] = evidence.names[edge.a]
            fresh.names[edge.b] = evidence.names[edge.b]
    return fresh


def at_stake(fresh: Evidence, known: Mapping[IdentifierId, Known]) -> set[bytes]:
    """What nobody else may change meanwhile: profiles, and identifiers that are not known."""
    return {known[id_].profile_id if id_ in known else id_ for id_ in fresh.names}


def decide(
    fresh: Evidence,
    known: Mapping[IdentifierId, Known],
    known_edges: Mapping[Edge, First],
) -> Outcome:
    """What follows from fresh evidence.

    `known` has every identifier of it that is kept, and those that their profiles are named by;
    `known_edges` has every edge of it that is kept.
    """
    components = _Components()
    home = _homes(components, fresh, known)
    for edge in fresh.edges:
        components.join(home[edge.a], home[edge.b])
    profiles = {id_: components.name_of(at) for id_, at in home.items()}
    return Outcome(
        added={i: first for i, first in fresh.identifiers.items() if i not in known},
        earlier={i: first for i, first in fresh.identifiers.items() if i in known},
        added_edges={e: first for e, first in fresh.edges.items() if e not in known_edges},
        earlier_edges={e: first for e, first in fresh.edges.items() if e in known_edges},
        profiles=profiles,
        moved={
            old: new
            for i, new in profiles.items()
            if i in known and (old := known[i].profile_id) != new
        },
    )


def _homes(
    components: _Components, fresh: Evidence, known: Mapping[IdentifierId, Known]
) -> dict[IdentifierId, bytes]:
    """The component that each identifier starts in: its profile, or one of its own."""
    home: dict[IdentifierId, bytes] = {}
    for id_ in fresh.names:
        row = known.get(id_)
        if row is None:
            home[id_] = id_
        else:
            home[id_] = row.profile_id
            components.seen(
                row.profile_id, known[IdentifierId(row.profile_id)].first, row.profile_id
            )
        first = fresh.identifiers.get(id_)
        if first is not None:
            components.seen(home[id_], first, id_)
    return home


class _Components:
    """Disjoint sets, each with the earliest identifier seen in it."""

    def __init__(self) -> None:
        self._parent: dict[bytes, bytes] = {}
        self._earliest: dict[bytes, tuple[First, bytes]] = {}

    def seen(self, component: bytes, first: First, id_: bytes) -> None:
        root = self._root(component)
        candidate = (first, id_)
        if root not in self._earliest or candidate < self._earliest[root]:
            self._earliest[root] = candidate

    def join(self, left: bytes, right: bytes) -> None:
        a, b = self._root(left), self._root(right)
        if a != b:
            self._parent[b] = a
            self._earliest[a] = min(self._earliest[a], self._earliest.pop(b))

    def name_of(self, component: bytes) -> ProfileId:
        return ProfileId(self._earliest[self._root(component)][1])

    def _root(self, component: bytes) -> bytes:
        parent = self._parent
        while (above := parent.get(component, component)) != component:
            parent[component] = component = parent.get(above, above)
        return component
