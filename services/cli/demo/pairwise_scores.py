"""Scores a grouping of identifiers against the correct one, by pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)


class PairwiseScores(NamedTuple):
    """How many pairs of identifiers are grouped correctly."""

    #: The part of the found pairs that is correct; 1.0 where there are none.
    precision: float
    #: The part of the correct pairs that was found; 1.0 where there are none.
    recall: float
    #: The number of correct pairs.
    pairs: int


def score_pairs(found: Mapping[T, Hashable], correct: Mapping[T, Hashable]) -> PairwiseScores:
    """Score the groups that were found; both mappings name the group of each identifier.

    An identifier that was not found is a group of its own.
    """
    both = Counter((found.get(each, each), group) for each, group in correct.items())
    joined = _pairs(Counter(found.get(each, each) for each in correct).values())
    right, agreed = _pairs(Counter(correct.values()).values()), _pairs(both.values())
    return PairwiseScores(
        agreed / joined if joined else 1.0, agreed / right if right else 1.0, right
    )


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)
