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
that both have such an identifier, or of which one has very many devices of claims already.

All these constraints only refuse more as components grow. Two things follow. Where all edges of a
component together break none, their order does not matter and a profile is a connected component.
A held edge never lies within a profile: its ends are always in different profiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from services.identity.domain.held import HeldEdge, HeldReason
from services.identity.domain.linking import ConstrainedSets
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


class LinkedProfiles(NamedTuple):
    """Profiles that edges make up."""

    profiles: dict[IdentifierId, ProfileId]
    #: The edges that are held for a reason of CROSS_PROFILE.
    held: dict[Edge, HeldEdge]
    #: The claims that are held as the profile of one end had too many, with that end.
    full: Collection[tuple[Edge, IdentifierId]] = ()


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
    linked = link_components(nodes, eligible, separated, policy)
    return Resolution(linked.profiles, {**held, **linked.held}, co_occurrences)


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
    if policy.uses_match_modes and kind in CO_OCCURRENCE_KINDS:
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
) -> LinkedProfiles:
    """Group identifiers into profiles by the edges that the policy does not hold.

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
    doubtful_roots |= with_doubtful_claims(roots, namespaces, claimed, policy)
    kinds = [edge[2] for edge in eligible]
    doubtful_roots |= with_several_persons(roots, person_ids, edges, kinds)
    if not doubtful_roots:
        return LinkedProfiles(_profiles_of(ids, roots, nodes), {})
    doubtful = [
        edge for edge, (a, _) in zip(eligible, edges, strict=True) if roots[a] in doubtful_roots
    ]
    doubtful.sort(key=lambda edge: canonical_order(edge, eligible[edge].first, nodes, policy))
    components = ConstrainedSets(roots, doubtful_roots, namespaces, apart, policy, person_ids)
    held: dict[Edge, HeldEdge] = {}
    for edge in doubtful:
        why = components.join(index[edge.a], index[edge.b], edge.kind)
        if why is not None:
            held[edge] = why
    full = {
        (edge, id_)
        for edge in held
        for id_, other in (edge[:2], edge[1::-1])
        if edge.kind == _CLAIMED and (index[id_], index[other]) in components.full
    }
    return LinkedProfiles(_profiles_of(ids, components.roots(), nodes), held, full)


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
