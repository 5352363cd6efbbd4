"""Bounds the trait names of a leaf: the statements that win over all others are kept.

The names are ordered by the statement that wins for each, which is the greatest one: by trust, then
by occurred_at, then by the fact's id; names of one fact are ordered by the name. The `MAX_TRAITS`
greatest are kept.

This is exact in any order and grouping of the facts, although a name that was dropped is forgotten.
The greatest statement of a name only ever grows with more facts. A name is dropped while
`MAX_TRAITS` others have greater statements, and these only grow; so it comes back only by a
statement that is greater than all that were forgotten, and then that one is its value in any order.

A name's first statement is no such order: a name that was dropped and comes back by an earlier
statement would lack its later value, or not, depending on the order. So of equally trusted names
those that are stated now are kept, and a name comes back when it is stated again. Whatever a public
source states, a name that a more trusted source states is not dropped.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

#: The most names of one leaf.
MAX_TRAITS: Final = 1_000

V = TypeVar("V", bound=tuple[Any, ...])


def least_traits(traits: dict[str, V]) -> list[str]:
    """Return the names beyond the limit, in no order; traits within it have none."""
    surplus = len(traits) - MAX_TRAITS
    if surplus <= 0:
        return []
    return sorted(traits, key=lambda name: (traits[name], name))[:surplus]
