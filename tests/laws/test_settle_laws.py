"""Settling finds what the obvious model finds, whatever the evidence and the policy."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from laws.identity_model import Story, truth
from laws.identity_story import gather, held_edges, policies, stories
from properties import examples

from services.identity.domain.evidence import Edge, Pair, SeenSpan, DecisionKind
from services.identity.domain.linking import CROSS_PROFILE, Node
from services.identity.domain.policy import Policy
from services.identity.domain.resolution import Resolution, resolve
from services.identity.domain.rows import Evidence, decided_edge
from services.kernel.ids import IdentifierId

#: The machine may be busy: how long an example takes says nothing.


def settled(evidence: Evidence, policy: Policy) -> Resolution:
    nodes: dict[IdentifierId, Node] = {}
    for id_, first in evidence.identifiers.items():
        identifier = evidence.names[id_].identifier
        assert identifier is not None
        nodes[id_] = Node(*identifier, first)
    edges: dict[Edge, SeenSpan] = dict(evidence.edges)
    apart: set[Pair] = set()
    for pair, decision in evidence.decisions.items():
        made = decided_edge(pair, decision)
        if made:
            edges[made[0]] = made[1]
        elif decision.kind == DecisionKind.SEPARATE:
            apart.add(pair)
    return resolve(nodes, edges, apart, policy)


@examples(500)
@given(stories, policies)
def test_settling_finds_what_the_obvious_model_finds(story: Story, policy: Policy) -> None:
    expected = truth(story, policy)
    found = settled(gather(story), policy)
    assert found.profiles == expected.profiles
    assert found.held == held_edges(expected)


@given(stories, policies, st.randoms(use_true_random=False))
def test_the_order_of_arrival_and_repetition_do_not_matter(
    story: Story, policy: Policy, chance: random.Random
) -> None:
    shuffled = [*story, *story]
    chance.shuffle(shuffled)
    once, twice = settled(gather(story), policy), settled(gather(shuffled), policy)
    assert (once.profiles, once.held) == (twice.profiles, twice.held)


@given(stories, policies)
def test_what_is_held_for_others_sake_lies_between_profiles(story: Story, policy: Policy) -> None:
    found = settled(gather(story), policy)
    for edge in gather(story).edges:
        held = found.held.get(edge)
        if held is None:
            assert found.profiles[edge.a] == found.profiles[edge.b]
        elif held.reason in CROSS_PROFILE:
            assert found.profiles[edge.a] != found.profiles[edge.b]
