"""Tests connected components against joining sets one edge after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.identity.domain.components import connected_components

NODES = st.integers(0, 19)


@given(st.lists(st.tuples(NODES, NODES)))
def test_components_any_edges_are_named_by_their_smallest_node(
    edges: list[tuple[int, int]],
) -> None:
    groups = [{node} for node in range(20)]
    for a, b in edges:
        joined = groups[a] | groups[b]
        for node in joined:
            groups[node] = joined
    assert list(connected_components(20, edges)) == [min(group) for group in groups]
