"""From evidence to people: which edges bind, and who is one profile. A pure function of the set.

First every edge is asked whether it may bind at all: that depends on it, on its two ends and on the
company they keep, and not on who is one profile. Those that may are then bound; see `link_components`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from services.identity.domain.co_occurrence import (
    CO_OCCURRENCE_KINDS,
    UNREMARKABLE,
    CoOccurrence,
    Neighbour,
    classify_neighbours,
    counted_kinds,
    last_days,
)
from services.identity.domain.evidence import Edge, EvidenceKind, Pair, SeenSpan
from services.identity.domain.linking import HeldEdge, HeldReason, Node, Nodes, link_components
from services.identity.domain.policy import MatchMode, Policy
from services.kernel.ids import IdentifierId, ProfileId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What follows from evidence."""

    profiles: dict[IdentifierId, ProfileId]
    #: Every edge that does not bind.
    held: dict[Edge, HeldEdge]
    #: What follows from the company of those whose company matters.
    co_occurrences: dict[IdentifierId, CoOccurrence] = field(default_factory=dict)


def resolve(
    nodes: Nodes, edges: Mapping[Edge, SeenSpan], separated: Collection[Pair], policy: Policy
) -> Resolution:
    """Who is whom by a policy, given all evidence of some people and whom they were seen with.

    `edges` has what people decided as edges too; `separated` are the pairs that they separated.
    """
    companies = classify_all(nodes, edges, policy)
    held = held_by_policy(nodes, edges, companies, policy)
    eligible = [(edge, span.first) for edge, span in edges.items() if edge not in held]
    profiles, between = link_components(nodes, eligible, separated, policy)
    return Resolution(profiles, {**held, **between}, companies)


def classify_all(
    nodes: Nodes, edges: Mapping[Edge, SeenSpan], policy: Policy
) -> dict[IdentifierId, CoOccurrence]:
    """What follows from the company of every identifier of a namespace whose company matters."""
    met: dict[IdentifierId, list[Neighbour]] = {}
    if not policy.uses_co_occurrence:
        return {}
    for (a, b, strength), span in edges.items():
        if strength != EvidenceKind.VERIFIED and strength != EvidenceKind.OBSERVED:
            continue
        strong, weak = _by_strength(a, b, nodes, policy)
        if weak is None:
            continue
        rule = policy.rule(nodes[weak].namespace)
        if rule.uses_co_occurrence and strength in counted_kinds(rule, policy):
            met.setdefault(weak, []).append(Neighbour(strong, nodes[strong].namespace, span))
    found = {
        id_: classify_neighbours(some, policy.rule(nodes[id_].namespace))
        for id_, some in met.items()
    }
    return {id_: one for id_, one in found.items() if one is not UNREMARKABLE}


def _by_strength(
    a: IdentifierId, b: IdentifierId, nodes: Nodes, policy: Policy
) -> tuple[IdentifierId, IdentifierId | None]:
    """The stronger end and the weaker one; None where neither is weaker."""
    left, right = policy.priority(nodes[a].namespace), policy.priority(nodes[b].namespace)
    if left == right:
        return a, None
    return (a, b) if left < right else (b, a)


def held_by_policy(
    nodes: Nodes,
    edges: Mapping[Edge, SeenSpan],
    companies: Mapping[IdentifierId, CoOccurrence],
    policy: Policy,
) -> dict[Edge, HeldEdge]:
    """The edges that bind nobody, whoever else is known. Companies that are left out are ALONE."""
    held: dict[Edge, HeldEdge] = {}
    days = (
        last_days(edges) if any(c.recycled_on_day is not None for c in companies.values()) else {}
    )
    for edge in edges:
        a, b, strength = edge
        if strength == EvidenceKind.DECIDED:
            continue
        why = held_by_ends(nodes[a], nodes[b], strength, policy)
        if why is None and strength in CO_OCCURRENCE_KINDS and (a in companies or b in companies):
            ends = _weaker_first((a, nodes[a].namespace), (b, nodes[b].namespace), policy)
            known = [(companies.get(id_, UNREMARKABLE), namespace) for id_, namespace in ends]
            why = _by_company(known, days.get((a, b), 0), policy)
        if why is not None:
            held[edge] = why
    return held


def held_by_ends(a: Node, b: Node, strength: int, policy: Policy) -> HeldEdge | None:
    """Why an edge binds nobody, by what its ends are."""
    ends = _weaker_first((a, a.namespace), (b, b.namespace), policy) if policy.blocked else ()
    for node, namespace in ends:
        if policy.blocks(namespace, node.value):
            return HeldEdge(HeldReason.BLOCKED, namespace)
    if strength in policy.ignored:
        return HeldEdge(HeldReason.IGNORED, "")
    if strength in CO_OCCURRENCE_KINDS:
        for _, namespace in _weaker_first((a, a.namespace), (b, b.namespace), policy):
            linking = policy.rule(namespace).match_mode
            if linking == MatchMode.NEVER or (
                linking == MatchMode.VERIFIED and strength != EvidenceKind.VERIFIED
            ):
                return HeldEdge(HeldReason.IGNORED, namespace)
    return None


def _by_company(
    ends: Iterable[tuple[CoOccurrence, str]], last_day: int, policy: Policy
) -> HeldEdge | None:
    known = list(ends)
    for one, namespace in known:
        if one.shared:
            return HeldEdge(HeldReason.SHARED, namespace)
    for one, namespace in known:
        if one.is_before_handover(last_day, policy.rule(namespace)):
            return HeldEdge(HeldReason.RECYCLED, namespace)
    return None


def _weaker_first(a: tuple[T, str], b: tuple[T, str], policy: Policy) -> list[tuple[T, str]]:
    ranked = sorted((a, b), key=lambda end: (policy.priority(end[1]), end[1]))
    ranked.reverse()
    return ranked
