"""Components, against joining sets until nothing is left to join."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.identity.domain.components import connected_components

PLACES = st.integers(0, 19)


@given(st.lists(st.tuples(PLACES, PLACES)))
def test_everybody_has_the_smallest_member_of_their_component(edges: list[tuple[int, int]]) -> None:
    groups = [{place} for place in range(20)]
    for a, b in edges:
        joined = groups[a] | groups[b]
        for place in joined:
            groups[place] = joined
    assert list(connected_components(20, edges)) == [min(group) for group in groups]
