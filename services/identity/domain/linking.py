"""Binding: edges that may bind, taken in canonical order, make profiles.

The strongest edge is taken first, and of equally strong ones the earliest. Each joins what its ends
belong to by then, unless that would join what a person separated or break a limit; then it is held.

Limits and separations only ever refuse more as people grow. Two things follow. Where all edges of
some people together break none, the order does not matter, and people are connected components.
And an edge that is held never lies within a profile: its ends stay apart for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from services.identity.domain.components import connected_components
from services.identity.domain.evidence import Edge, EvidenceKind, FirstSeen, Pair
from services.identity.domain.policy import Policy
from services.kernel.ids import IdentifierId, ProfileId


class HeldReason(IntEnum):
    """Why an edge does not bind."""

    #: One of the two names nobody by the policy.
    BLOCKED = 1
    #: Evidence of this kind binds nobody by the policy.
    IGNORED = 2
    #: One of the two is seen with too many others.
    SHARED = 3
    #: One of the two has changed hands since.
    RECYCLED = 4
    #: The profile would have more identifiers of a namespace than it may.
    LIMIT = 5
    #: A person separated two identifiers that it would join.
    SEPARATED = 6


class HeldEdge(NamedTuple):
    """An edge does not bind."""

    reason: int
    #: The namespace whose rule holds it back; empty where none does.
    namespace: str


#: What depends on who else is one profile. Such edges lie between two profiles, always.
CROSS_PROFILE = (HeldReason.LIMIT, HeldReason.SEPARATED)


class Node(NamedTuple):
    """An identifier, as far as it matters to who is whom."""

    #: Empty where only its id is known.
    namespace: str
    value: str
    first: FirstSeen


Nodes = Mapping[IdentifierId, Node]
Eligible = Collection[tuple[Edge, FirstSeen]]


def link_components(
    nodes: Nodes, eligible: Eligible, separated: Collection[Pair], policy: Policy
) -> tuple[dict[IdentifierId, ProfileId], dict[Edge, HeldEdge]]:
    """Who is one profile by edges that may bind, and the edges that do not for others' sake.

    Every end of an edge is in `nodes`; of `separated` only pairs of which both are.
    """
    ids = list(nodes)
    place = {id_: i for i, id_ in enumerate(ids)}
    edges = [(place[edge[0]], place[edge[1]]) for edge, _ in eligible]
    roots = connected_components(len(ids), edges)
    apart = [(place[a], place[b]) for a, b in separated if a in place and b in place]
    namespaces = [node[0] for node in nodes.values()]
    crowded = _over_limit(roots, namespaces, apart, policy)
    if not crowded:
        return _profile_of_each(ids, roots, nodes), {}
    doubtful = [one for one, (a, _) in zip(eligible, edges, strict=True) if roots[a] in crowded]
    groups = _UnionFind(roots, crowded, namespaces, apart, policy)
    held: dict[Edge, HeldEdge] = {}
    for edge, _ in sorted(doubtful, key=lambda one: canonical_order(one[0], one[1], nodes, policy)):
        why = groups.join(place[edge[0]], place[edge[1]], edge.kind)
        if why is not None:
            held[edge] = why
    return _profile_of_each(ids, groups.roots(), nodes), held


def canonical_order(
    edge: Edge, first: FirstSeen, nodes: Nodes, policy: Policy
) -> tuple[object, ...]:
    """The order in which edges are taken; no two have the same place."""
    a, b, strength = edge
    ranks = sorted((policy.priority(nodes[a].namespace), policy.priority(nodes[b].namespace)))
    return (strength, *first, *ranks, a, b)


def _over_limit(
    roots: Sequence[int],
    namespaces: Sequence[str],
    apart: Iterable[tuple[int, int]],
    policy: Policy,
) -> set[int]:
    """The components in which some limit or separation may be broken."""
    limits = {name: policy.limit(name) for name in set(namespaces)}
    counts = Counter(
        (root, name) for root, name in zip(roots, namespaces, strict=True) if limits[name]
    )
    found = {root for (root, name), count in counts.items() if count > limits[name]}
    found.update(roots[a] for a, b in apart if roots[a] == roots[b])
    return found


def _profile_of_each(
    ids: Sequence[IdentifierId], roots: Sequence[int], nodes: Nodes
) -> dict[IdentifierId, ProfileId]:
    """Each identifier's profile: named by the one of it that was first seen."""
    earliest: dict[int, tuple[FirstSeen, IdentifierId]] = {}
    for root, (id_, node) in zip(roots, nodes.items(), strict=True):
        candidate = (node[2], id_)
        known = earliest.get(root)
        if known is None or candidate < known:
            earliest[root] = candidate
    names = {root: ProfileId(id_) for root, (_, id_) in earliest.items()}
    return {id_: names[root] for id_, root in zip(ids, roots, strict=True)}


class _UnionFind:
    """Disjoint sets that keep limits and separations. Only crowded components are taken apart."""

    def __init__(
        self,
        roots: Sequence[int],
        crowded: Collection[int],
        namespaces: Sequence[str],
        apart: Iterable[tuple[int, int]],
        policy: Policy,
    ) -> None:
        self._parent = [i if root in crowded else root for i, root in enumerate(roots)]
        self._namespaces = namespaces
        self._rank = policy.priority
        self._limits = {name: n for name in set(namespaces) if (n := policy.limit(name))}
        #: By set: those that must not come to belong to it.
        self._foes: dict[int, set[int]] = {}
        for a, b in apart:
            self._foes.setdefault(a, set()).add(b)
            self._foes.setdefault(b, set()).add(a)
        #: By set: how many it has of each namespace that has a limit. None while nobody counts.
        self._counts: dict[int, Counter[str]] | None = None

    def join(self, a: int, b: int, strength: int) -> HeldEdge | None:
        """Join what two belong to; else tell what is against it."""
        left, right = self._root(a), self._root(b)
        if left == right:
            return None
        if self._are_foes(left, right):
            return HeldEdge(HeldReason.SEPARATED, "")
        if strength > EvidenceKind.STATED:
            # Those that were said to be the same until here count once.
            if self._counts is None:
                self._counts = self._count()
            broken = self._broken(self._counts, left, right)
            if broken:
                return HeldEdge(HeldReason.LIMIT, broken)
        self._unite(left, right)
        return None

    def roots(self) -> list[int]:
        """The set of each."""
        return [self._root(i) for i in range(len(self._parent))]

    def _are_foes(self, left: int, right: int) -> bool:
        few, other = self._foes.get(left), right
        if few is None:
            return False
        return any(self._root(foe) == other for foe in few)

    def _count(self) -> dict[int, Counter[str]]:
        counts: dict[int, Counter[str]] = {}
        for i, name in enumerate(self._namespaces):
            if name in self._limits:
                counts.setdefault(self._root(i), Counter())[name] = 1
        return counts

    def _broken(self, counts: Mapping[int, Counter[str]], left: int, right: int) -> str:
        """The strongest namespace whose limit a union would break; empty where none is broken."""
        mine, theirs = counts.get(left), counts.get(right)
        if not mine or not theirs:
            return ""
        limits = self._limits
        broken = [
            name for name in mine if name in theirs and mine[name] + theirs[name] > limits[name]
        ]
        return min(broken, key=lambda name: (self._rank(name), name), default="")

    def _unite(self, left: int, right: int) -> None:
        self._parent[right] = left
        foes = self._foes.pop(right, None)
        if foes:
            self._foes.setdefault(left, set()).update(foes)
        counts = self._counts.pop(right, None) if self._counts is not None else None
        if counts and self._counts is not None:
            self._counts.setdefault(left, Counter()).update(counts)

    def _root(self, i: int) -> int:
        parent = self._parent
        while (above := parent[i]) != i:
            parent[i] = i = parent[above]
        return i
