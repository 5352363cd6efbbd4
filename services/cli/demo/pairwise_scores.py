"""How alike two ways of grouping the same identifiers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)


class Likeness(NamedTuple):
    """Of pairs of identifiers: how many of those that were found are right, and how many of those
    that are right were found. Both 1.0 where there are no such pairs."""

    precision: float
    recall: float
    #: Pairs that belong together.
    pairs: int


def likeness(found: Mapping[T, Hashable], planted: Mapping[T, Hashable]) -> Likeness:
    """Two groupings of the identifiers in `planted`, each by the name of the group.

    One that was not found is a group of its own.
    """
    both = Counter((found.get(one, one), group) for one, group in planted.items())
    joined = _pairs(Counter(found.get(one, one) for one in planted).values())
    right, agreed = _pairs(Counter(planted.values()).values()), _pairs(both.values())
    return Likeness(agreed / joined if joined else 1.0, agreed / right if right else 1.0, right)


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)
