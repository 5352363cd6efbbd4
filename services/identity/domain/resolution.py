"""From evidence to people: which edges bind, and who is one profile. A pure function of the set.

First every edge is asked whether it may bind at all: that depends on it, on its two ends and on the
company they keep, and not on who is one profile. Those that may are then bound; see `bind`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from services.identity.domain.co_occurrence import (
    ALONE,
    SEEN_TOGETHER,
    Company,
    Met,
    company,
    counted,
    last_days,
)
from services.identity.domain.evidence import Edge, Pair, Span, Strength
from services.identity.domain.linking import Held, Node, Nodes, Reason, bind
from services.identity.domain.policy import Linking, Policy
from services.kernel.ids import IdentifierId, ProfileId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settled:
    """What follows from evidence."""

    profiles: dict[IdentifierId, ProfileId]
    #: Every edge that does not bind.
    held: dict[Edge, Held]
    #: What follows from the company of those whose company matters.
    companies: dict[IdentifierId, Company] = field(default_factory=dict)


def settle(
    nodes: Nodes, edges: Mapping[Edge, Span], separated: Collection[Pair], policy: Policy
) -> Settled:
    """Who is whom by a policy, given all evidence of some people and whom they were seen with.

    `edges` has what people decided as edges too; `separated` are the pairs that they separated.
    """
    companies = all_companies(nodes, edges, policy)
    held = ineligible(nodes, edges, companies, policy)
    eligible = [(edge, span.first) for edge, span in edges.items() if edge not in held]
    profiles, between = bind(nodes, eligible, separated, policy)
    return Settled(profiles, {**held, **between}, companies)


def all_companies(
    nodes: Nodes, edges: Mapping[Edge, Span], policy: Policy
) -> dict[IdentifierId, Company]:
    """What follows from the company of every identifier of a namespace whose company matters."""
    met: dict[IdentifierId, list[Met]] = {}
    if not policy.looks_around:
        return {}
    for (a, b, strength), span in edges.items():
        if strength != Strength.VERIFIED and strength != Strength.OBSERVED:
            continue
        strong, weak = _by_strength(a, b, nodes, policy)
        if weak is None:
            continue
        rule = policy.rule(nodes[weak].namespace)
        if rule.looks_around and strength in counted(rule, policy):
            met.setdefault(weak, []).append(Met(strong, nodes[strong].namespace, span))
    found = {id_: company(some, policy.rule(nodes[id_].namespace)) for id_, some in met.items()}
    return {id_: one for id_, one in found.items() if one is not ALONE}


def _by_strength(
    a: IdentifierId, b: IdentifierId, nodes: Nodes, policy: Policy
) -> tuple[IdentifierId, IdentifierId | None]:
    """The stronger end and the weaker one; None where neither is weaker."""
    left, right = policy.rank(nodes[a].namespace), policy.rank(nodes[b].namespace)
    if left == right:
        return a, None
    return (a, b) if left < right else (b, a)


def ineligible(
    nodes: Nodes,
    edges: Mapping[Edge, Span],
    companies: Mapping[IdentifierId, Company],
    policy: Policy,
) -> dict[Edge, Held]:
    """The edges that bind nobody, whoever else is known. Companies that are left out are ALONE."""
    held: dict[Edge, Held] = {}
    days = (
        last_days(edges) if any(c.handed_over_day is not None for c in companies.values()) else {}
    )
    for edge in edges:
        a, b, strength = edge
        if strength == Strength.DECIDED:
            continue
        why = by_itself(nodes[a], nodes[b], strength, policy)
        if why is None and strength in SEEN_TOGETHER and (a in companies or b in companies):
            ends = _weaker_first((a, nodes[a].namespace), (b, nodes[b].namespace), policy)
            known = [(companies.get(id_, ALONE), namespace) for id_, namespace in ends]
            why = _by_company(known, days.get((a, b), 0), policy)
        if why is not None:
            held[edge] = why
    return held


def by_itself(a: Node, b: Node, strength: int, policy: Policy) -> Held | None:
    """Why an edge binds nobody, by what its ends are."""
    ends = _weaker_first((a, a.namespace), (b, b.namespace), policy) if policy.blocked else ()
    for node, namespace in ends:
        if policy.blocks(namespace, node.value):
            return Held(Reason.BLOCKED, namespace)
    if strength in policy.ignored:
        return Held(Reason.IGNORED, "")
    if strength in SEEN_TOGETHER:
        for _, namespace in _weaker_first((a, a.namespace), (b, b.namespace), policy):
            linking = policy.rule(namespace).linking
            if linking == Linking.NEVER or (
                linking == Linking.VERIFIED and strength != Strength.VERIFIED
            ):
                return Held(Reason.IGNORED, namespace)
    return None


def _by_company(ends: Iterable[tuple[Company, str]], last_day: int, policy: Policy) -> Held | None:
    known = list(ends)
    for one, namespace in known:
        if one.shared:
            return Held(Reason.SHARED, namespace)
    for one, namespace in known:
        if one.gave_up(last_day, policy.rule(namespace)):
            return Held(Reason.GIVEN_UP, namespace)
    return None


def _weaker_first(a: tuple[T, str], b: tuple[T, str], policy: Policy) -> list[tuple[T, str]]:
    ranked = sorted((a, b), key=lambda end: (policy.rank(end[1]), end[1]))
    ranked.reverse()
    return ranked
