"""Checks the pure resolution against the model, for any evidence and any policy."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from laws.identity_histories import evidence_of, held_edges, histories, policies
from laws.identity_model import History, expected_state
from properties import examples

from services.identity.domain.evidence import DecisionKind, Edge, Evidence, Pair, SeenSpan
from services.identity.domain.policy import Policy
from services.identity.domain.resolution import Node, Resolution, resolve
from services.kernel.ids import IdentifierId


def resolution_of(evidence: Evidence, policy: Policy) -> Resolution:
    nodes: dict[IdentifierId, Node] = {}
    for id_, first in evidence.first_seen.items():
        identifier = evidence.identifiers[id_].identifier
        assert identifier is not None
        nodes[id_] = Node(*identifier, first)
    edges: dict[Edge, SeenSpan] = dict(evidence.edges)
    apart: set[Pair] = set()
    for pair, decision in evidence.decisions.items():
        made = decision.edge(pair)
        if made:
            edges[made[0]] = made[1]
        elif decision.kind == DecisionKind.SEPARATE:
            apart.add(pair)
    return resolve(nodes, edges, apart, policy)


@examples(500)
@given(histories, policies)
def test_resolve_any_history_equals_the_model(history: History, policy: Policy) -> None:
    expected = expected_state(history, policy)
    found = resolution_of(evidence_of(history), policy)
    assert found.profiles == expected.profiles
    assert found.held == held_edges(expected)


@given(histories, policies, st.randoms(use_true_random=False))
def test_resolve_shuffled_and_repeated_gives_the_same(
    history: History, policy: Policy, chance: random.Random
) -> None:
    shuffled = [*history, *history]
    chance.shuffle(shuffled)
    once = resolution_of(evidence_of(history), policy)
    twice = resolution_of(evidence_of(shuffled), policy)
    assert (once.profiles, once.held) == (twice.profiles, twice.held)


@given(histories, policies)
def test_held_edge_of_limit_or_separation_lies_between_profiles(
    history: History, policy: Policy
) -> None:
    found = resolution_of(evidence_of(history), policy)
    for edge in evidence_of(history).edges:
        held = found.held.get(edge)
        if held is None:
            assert found.profiles[edge.a] == found.profiles[edge.b]
        elif held.is_cross_profile:
            assert found.profiles[edge.a] != found.profiles[edge.b]
