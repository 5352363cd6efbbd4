"""Resolves identifiers to profiles: a pure function of the evidence and the policy.

First each edge is checked against the policy alone: its kind, its two ends, and the co-occurrence
of its ends, whatever profile they belong to. The edges that pass are then linked in canonical
order: decisions and aliases first, then the events that have two ids of persons (user id, member id
…), then all other events, and claims last; of each in the order of kinds, and within a kind the
earliest first. Each edge joins the components of its ends, unless that would join what a decision
separates or break a limit; such an edge is held.

An address or a device never joins two persons: an event with one of these and another identifier
does not join two components that both have the id of a person. The two are one person as soon as
one event has an id of each, an alias states it or a decision links them. A claim adds devices to a
person: one between two identifiers that are no devices never links, and none joins two components
that both have such an identifier.

All these constraints only refuse more as components grow. Two things follow. Where all edges of a
component together break none, their order does not matter and a profile is a connected component.
A held edge never lies within a profile: its ends are always in different profiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeVar

from services.identity.domain.co_occurrence import (
    CO_OCCURRENCE_KINDS,
    NO_JOINT,
    UNREMARKABLE,
    CoOccurrence,
    JointKinds,
    Neighbour,
    classify_neighbours,
    counted_kinds,
    holders_to_compare,
    joint_kinds,
    last_seen_days,
)
from services.identity.domain.components import connected_components
from services.identity.domain.evidence import (
    Edge,
    EvidenceKind,
    FirstSeen,
    IdentifierInWorkspace,
    Pair,
    SeenSpan,
    names_person,
)
from services.identity.domain.persons import (
    are_person_ids,
    joins_persons,
    with_doubtful_claims,
    with_several_persons,
)
from services.identity.domain.policy import MatchMode, Policy
from services.kernel.ids import IdentifierId, ProfileId

T = TypeVar("T")

#: A plain integer, because every edge is compared with it.
_CLAIMED = int(EvidenceKind.CLAIMED)
#: Added to the kinds of the edges that must not join two persons; higher than all kinds.
_AFTER_PERSONS = 10
_COUNTED_KINDS = (EvidenceKind.VERIFIED, EvidenceKind.OBSERVED, EvidenceKind.CLAIMED)


class HeldReason(IntEnum):
    """Why an edge does not link."""

    #: One of its ends is blocked by the policy.
    BLOCKED = 1
    #: The policy ignores evidence of its kind.
    IGNORED = 2
    #: One of its ends is shared.
    SHARED = 3
    #: One of its ends was recycled after the edge was last seen.
    RECYCLED = 4
    #: The profile would have more identifiers of a namespace than its limit.
    LIMIT = 5
    #: The profile would have two identifiers that a decision separates.
    SEPARATED = 6
    #: The identifier that is no id of a person belongs to another person already. Of a claim: the
    #: device does.
    OTHER_PERSON = 7
    #: It claims that two identifiers belong together, and neither of them is a device.
    UNTRUSTED = 8


#: The reasons that depend on the other identifiers of the two profiles. Such an edge always lies
#: between two profiles.
CROSS_PROFILE = (HeldReason.LIMIT, HeldReason.SEPARATED, HeldReason.OTHER_PERSON)
#: The reasons of edges that a decision may turn into a link: about their ends, or about two others
#: that a shared end was seen with.
DECIDABLE = (*CROSS_PROFILE, HeldReason.UNTRUSTED, HeldReason.SHARED)


class HeldEdge(NamedTuple):
    """Why and by which rule an edge is held."""

    #: As HeldReason.
    reason: int
    #: The namespace of the rule; empty where the reason is no namespace's rule.
    namespace: str

    @property
    def is_cross_profile(self) -> bool:
        return self.reason in CROSS_PROFILE


class Node(NamedTuple):
    """An identifier, as far as resolution depends on it."""

    #: Empty where only its id is known.
    namespace: str
    value: str
    first: FirstSeen


Nodes = Mapping[IdentifierId, Node]


def node_of(identifier: IdentifierInWorkspace, first: FirstSeen) -> Node:
    """Return the node of an identifier."""
    namespace, value = identifier.identifier or ("", "")
    return Node(namespace, value, first)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The profiles that follow from evidence."""

    profiles: dict[IdentifierId, ProfileId]
    #: Every edge that does not link.
    held: dict[Edge, HeldEdge]
    #: The classes of the identifiers that are not UNREMARKABLE.
    co_occurrences: dict[IdentifierId, CoOccurrence] = field(default_factory=dict)


def resolve(
    nodes: Nodes, edges: Mapping[Edge, SeenSpan], separated: Collection[Pair], policy: Policy
) -> Resolution:
    """Resolve identifiers, given all evidence about them and about their neighbours.

    `edges` includes the edges that decisions make; `separated` are the pairs that decisions
    separate.
    """
    co_occurrences = classify_all(nodes, edges, policy)
    held = held_by_policy(nodes, edges, co_occurrences, policy)
    eligible = {edge: span for edge, span in edges.items() if edge not in held} if held else edges
    profiles, cross_profile = link_components(nodes, eligible, separated, policy)
    return Resolution(profiles, {**held, **cross_profile}, co_occurrences)


def classify_all(
    nodes: Nodes, edges: Mapping[Edge, SeenSpan], policy: Policy, joint: JointKinds | None = None
) -> dict[IdentifierId, CoOccurrence]:
    """Return the class of every identifier that is not UNREMARKABLE.

    `joint`: the joint kinds of all holders to compare; without it `edges` has these edges.
    """
    neighbours = neighbours_of(nodes, edges, policy)
    rules = {id_: policy.rule(nodes[id_].namespace) for id_ in neighbours}
    if joint is None:
        compared = {
            holder
            for id_, some in neighbours.items()
            for holder in holders_to_compare(some, rules[id_])
        }
        joint = joint_kinds(edges, compared) if compared else NO_JOINT
    found = {
        id_: classify_neighbours(some, rules[id_], joint, policy)
        for id_, some in neighbours.items()
    }
    return {id_: one for id_, one in found.items() if one != UNREMARKABLE}


def neighbours_of(
    nodes: Nodes, edges: Mapping[Edge, SeenSpan], policy: Policy
) -> dict[IdentifierId, list[Neighbour]]:
    """Return the neighbours of each identifier whose class may depend on them."""
    neighbours: dict[IdentifierId, list[Neighbour]] = {}
    if not policy.uses_co_occurrence:
        return {}
    for (a, b, kind), span in edges.items():
        if kind not in _COUNTED_KINDS:
            continue
        left, right = policy.priority(nodes[a].namespace), policy.priority(nodes[b].namespace)
        if left == right:
            continue
        stronger, weaker = (a, b) if left < right else (b, a)
        namespace = nodes[weaker].namespace
        is_counted = kind in counted_kinds(namespace, policy)
        if is_counted and policy.rule(namespace).uses_co_occurrence:
            neighbour = Neighbour(stronger, nodes[stronger].namespace, span, kind)
            neighbours.setdefault(weaker, []).append(neighbour)
    return neighbours


def held_by_policy(
    nodes: Nodes,
    edges: Mapping[Edge, SeenSpan],
    co_occurrences: Mapping[IdentifierId, CoOccurrence],
    policy: Policy,
) -> dict[Edge, HeldEdge]:
    """Return the edges that do not link whatever profiles their ends belong to.

    Identifiers without a class in `co_occurrences` are UNREMARKABLE.
    """
    held: dict[Edge, HeldEdge] = {}
    is_any_recycled = any(one.recycled_on_day is not None for one in co_occurrences.values())
    days = last_seen_days(edges) if is_any_recycled else {}
    for edge, span in edges.items():
        a, b, kind = edge
        if kind == EvidenceKind.DECIDED:
            continue
        why = held_by_ends(nodes[a], nodes[b], kind, policy)
        has_class = kind in CO_OCCURRENCE_KINDS and (a in co_occurrences or b in co_occurrences)
        if why is None and has_class:
            ends = _weaker_first((a, nodes[a].namespace), (b, nodes[b].namespace), policy)
            classes = [(co_occurrences.get(id_, UNREMARKABLE), name) for id_, name in ends]
            is_claim = kind == EvidenceKind.CLAIMED
            day = span.last_seen_day if is_claim else days.get((a, b), 0)
            why = _held_by_co_occurrence(classes, day, policy)
        if why is not None:
            held[edge] = why
    return held


def held_by_ends(a: Node, b: Node, kind: int, policy: Policy) -> HeldEdge | None:
    """Return why an edge does not link, by its kind and its ends alone."""
    if policy.blocked:
        for node, namespace in _weaker_first((a, a.namespace), (b, b.namespace), policy):
            if policy.blocks(namespace, node.value):
                return HeldEdge(HeldReason.BLOCKED, namespace)
    if kind in policy.ignored:
        return HeldEdge(HeldReason.IGNORED, "")
    if kind == _CLAIMED and names_person(a.namespace) and names_person(b.namespace):
        return HeldEdge(HeldReason.UNTRUSTED, "")
    if kind in CO_OCCURRENCE_KINDS:
        for _, namespace in _weaker_first((a, a.namespace), (b, b.namespace), policy):
            mode = policy.rule(namespace).match_mode
            is_unchecked = mode == MatchMode.VERIFIED and kind != EvidenceKind.VERIFIED
            if is_unchecked or mode == MatchMode.NEVER:
                return HeldEdge(HeldReason.IGNORED, namespace)
    return None


def _held_by_co_occurrence(
    ends: Sequence[tuple[CoOccurrence, str]], last_seen_day: int, policy: Policy
) -> HeldEdge | None:
    for one, namespace in ends:
        if one.shared:
            return HeldEdge(HeldReason.SHARED, namespace)
    for one, namespace in ends:
        if one.is_before_handover(last_seen_day, policy.rule(namespace)):
            return HeldEdge(HeldReason.RECYCLED, namespace)
    return None


def _weaker_first(a: tuple[T, str], b: tuple[T, str], policy: Policy) -> list[tuple[T, str]]:
    ends = sorted((a, b), key=lambda end: (policy.priority(end[1]), end[1]))
    ends.reverse()
    return ends


def link_components(
    nodes: Nodes, eligible: Mapping[Edge, SeenSpan], separated: Collection[Pair], policy: Policy
) -> tuple[dict[IdentifierId, ProfileId], dict[Edge, HeldEdge]]:
    """Group identifiers into profiles by the edges that the policy does not hold, and return the
    edges that are held for a reason of CROSS_PROFILE.

    Every end of an edge must be in `nodes`; pairs of `separated` with an end outside are ignored.
    """
    ids = list(nodes)
    index = {id_: i for i, id_ in enumerate(ids)}
    edges = [(index[edge[0]], index[edge[1]]) for edge in eligible]
    roots = connected_components(len(ids), edges)
    apart = [(index[a], index[b]) for a, b in separated if a in index and b in index]
    namespaces = [node.namespace for node in nodes.values()]
    person_ids = are_person_ids(namespaces, policy)
    claimed = {roots[index[edge[0]]] for edge in eligible if edge[2] == _CLAIMED}
    doubtful_roots = _over_limit(roots, namespaces, apart, policy)
    doubtful_roots |= with_doubtful_claims(roots, namespaces, claimed)
    kinds = [edge[2] for edge in eligible]
    doubtful_roots |= with_several_persons(roots, person_ids, edges, kinds)
    if not doubtful_roots:
        return _profiles_of(ids, roots, nodes), {}
    doubtful = [
        edge for edge, (a, _) in zip(eligible, edges, strict=True) if roots[a] in doubtful_roots
    ]
    doubtful.sort(key=lambda edge: canonical_order(edge, eligible[edge].first, nodes, policy))
    components = _UnionFind(roots, doubtful_roots, namespaces, apart, policy, person_ids)
    held: dict[Edge, HeldEdge] = {}
    for edge in doubtful:
        why = components.join(index[edge.a], index[edge.b], edge.kind)
        if why is not None:
            held[edge] = why
    return _profiles_of(ids, components.roots(), nodes), held


def canonical_order(
    edge: Edge, first: FirstSeen, nodes: Nodes, policy: Policy
) -> tuple[object, ...]:
    """Return the sort key by which edges are linked; it is unique."""
    a, b, kind = edge
    ends = sorted(policy.priority(nodes[id_].namespace) for id_ in (a, b))
    has_two = all(policy.is_person_id(nodes[id_].namespace) for id_ in (a, b))
    is_early = kind < _CLAIMED and joins_persons(kind, has_two)
    rank = kind if is_early else kind + _AFTER_PERSONS
    return (rank, *first, *ends, a, b)


def _over_limit(
    roots: Sequence[int],
    namespaces: Sequence[str],
    apart: Iterable[tuple[int, int]],
    policy: Policy,
) -> set[int]:
    """Return the components that break a limit or a separation if all their edges link."""
    limits = {name: policy.limit(name) for name in set(namespaces)}
    counts = Counter(
        (root, name) for root, name in zip(roots, namespaces, strict=True) if limits[name]
    )
    found = {root for (root, name), count in counts.items() if count > limits[name]}
    found.update(roots[a] for a, b in apart if roots[a] == roots[b])
    return found


def _profiles_of(
    ids: Sequence[IdentifierId], roots: Sequence[int], nodes: Nodes
) -> dict[IdentifierId, ProfileId]:
    """Return the profile of each identifier: the id of the first seen one of its component."""
    earliest: dict[int, tuple[FirstSeen, IdentifierId]] = {}
    for root, (id_, node) in zip(roots, nodes.items(), strict=True):
        candidate = (node.first, id_)
        existing = earliest.get(root)
        if existing is None or candidate < existing:
            earliest[root] = candidate
    profiles = {root: ProfileId(id_) for root, (_, id_) in earliest.items()}
    return {id_: profiles[root] for id_, root in zip(ids, roots, strict=True)}


class _UnionFind:
    """Disjoint sets that respect the constraints of CROSS_PROFILE; only doubtful components are
    split."""

    def __init__(
        self,
        roots: Sequence[int],
        doubtful: Collection[int],
        namespaces: Sequence[str],
        apart: Iterable[tuple[int, int]],
        policy: Policy,
        person_ids: Sequence[bool],
    ) -> None:
        self._parent = [i if root in doubtful else root for i, root in enumerate(roots)]
        self._namespaces = namespaces
        #: By set: whether it has an identifier of a person or an account.
        self._has_person = [names_person(name) for name in namespaces]
        self._is_person_id = person_ids
        #: By set: whether it has the id of a person.
        self._has_person_id = list(person_ids)
        self._priority = policy.priority
        self._limits = {name: n for name in set(namespaces) if (n := policy.limit(name))}
        #: By set: the nodes that must not join it.
        self._separated: dict[int, set[int]] = {}
        for a, b in apart:
            self._separated.setdefault(a, set()).add(b)
            self._separated.setdefault(b, set()).add(a)
        #: By set: how many identifiers it has of each namespace with a limit. None until the first
        #: edge to which limits apply.
        self._counts: dict[int, Counter[str]] | None = None

    def join(self, a: int, b: int, kind: int) -> HeldEdge | None:
        """Join the sets of two nodes, or return why they must not be joined."""
        left, right = self._root(a), self._root(b)
        if left == right:
            return None
        if self._are_separated(left, right):
            return HeldEdge(HeldReason.SEPARATED, "")
        has_person = self._has_person
        if kind == EvidenceKind.CLAIMED and has_person[left] and has_person[right]:
            return HeldEdge(HeldReason.OTHER_PERSON, "")
        if kind > EvidenceKind.STATED:
            # Identifiers linked by decisions and aliases, all joined by now, count once together.
            if self._counts is None:
                self._counts = self._count()
            broken = self._broken_limit(self._counts, left, right)
            if broken:
                return HeldEdge(HeldReason.LIMIT, broken)
        if self._has_person_id[left] and self._has_person_id[right]:
            has_two = self._is_person_id[a] and self._is_person_id[b]
            if not joins_persons(kind, has_two):
                return HeldEdge(HeldReason.OTHER_PERSON, "")
        self._unite(left, right)
        return None

    def roots(self) -> list[int]:
        return [self._root(i) for i in range(len(self._parent))]

    def _are_separated(self, left: int, right: int) -> bool:
        return any(self._root(node) == right for node in self._separated.get(left, ()))

    def _count(self) -> dict[int, Counter[str]]:
        counts: dict[int, Counter[str]] = {}
        for i, name in enumerate(self._namespaces):
            if name in self._limits:
                counts.setdefault(self._root(i), Counter())[name] = 1
        return counts

    def _broken_limit(self, counts: Mapping[int, Counter[str]], left: int, right: int) -> str:
        """Return the namespace of the highest priority whose limit a union breaks; else empty."""
        one, other = counts.get(left), counts.get(right)
        if not one or not other:
            return ""
        limits = self._limits
        broken = [name for name in one if name in other and one[name] + other[name] > limits[name]]
        return min(broken, key=lambda name: (self._priority(name), name), default="")

    def _unite(self, left: int, right: int) -> None:
        self._parent[right] = left
        self._has_person[left] |= self._has_person[right]
        self._has_person_id[left] |= self._has_person_id[right]
        separated = self._separated.pop(right, None)
        if separated:
            self._separated.setdefault(left, set()).update(separated)
        counts = self._counts.pop(right, None) if self._counts is not None else None
        if counts and self._counts is not None:
            self._counts.setdefault(left, Counter()).update(counts)

    def _root(self, i: int) -> int:
        parent = self._parent
        while (above := parent[i]) != i:
            parent[i] = i = parent[above]
        return i
