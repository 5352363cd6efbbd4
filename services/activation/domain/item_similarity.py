"""Computes which items belong together: from who got what, by a shrunk cosine that forgets."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from itertools import combinations
from typing import Final, NamedTuple

from services.kernel.time import DAY_US

#: After how long a purchase counts half.
HALF_LIFE_US: Final = 90 * DAY_US
#: How many persons in common make a similarity half as great as without this.
SHRINKAGE: Final = 5.0
#: The similar items of each item, and the popular ones of each category, at most.
MAX_SIMILAR: Final = 50
MAX_POPULAR: Final = 200
#: Of a person with more items the newest ones count: a shop that buys everything says nothing.
MAX_ITEMS_OF_PERSON: Final = 200
#: The category of all items together.
EVERY_CATEGORY: Final = ""


class Ranked(NamedTuple):
    """An item, and how far it goes before others."""

    item: str
    score: float


@dataclass(frozen=True, slots=True)
class ItemTable:
    """What was computed of the items of a slot."""

    #: By item, those that belong to it, the most similar first.
    similar: Mapping[str, tuple[Ranked, ...]]
    #: By category, those that most persons got, the most popular first.
    popular: Mapping[str, tuple[Ranked, ...]]
    #: By item, those that have one.
    categories: Mapping[str, str]
    persons: int


def compute_table(
    bought: Mapping[bytes, Mapping[str, int]], categories: Mapping[str, str], now_us: int
) -> ItemTable:
    """Return the table of items. The result does not depend on the order of the input.

    `bought`: by person, when the person last got each item, Unix microseconds.
    """
    weight: defaultdict[str, list[float]] = defaultdict(list)
    together: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for items in bought.values():
        newest = nlargest(MAX_ITEMS_OF_PERSON, items.items(), key=lambda own: (own[1], own[0]))
        own = sorted((item, _decay(now_us - at_us)) for item, at_us in newest)
        for item, value in own:
            weight[item].append(value)
        for (one, a), (other, b) in combinations(own, 2):
            together[one, other].append(a * b)
    # `fsum` gives the same sum in any order.
    norm = {item: math.sqrt(math.fsum(v * v for v in values)) for item, values in weight.items()}
    similar: defaultdict[str, list[Ranked]] = defaultdict(list)
    for (one, other), values in together.items():
        common = math.fsum(values)
        score = common / (norm[one] * norm[other]) * common / (common + SHRINKAGE)
        similar[one].append(Ranked(other, score))
        similar[other].append(Ranked(one, score))
    popular: defaultdict[str, list[Ranked]] = defaultdict(list)
    for item, values in weight.items():
        own_rank = Ranked(item, math.fsum(values))
        for category in {EVERY_CATEGORY, categories.get(item, EVERY_CATEGORY)}:
            popular[category].append(own_rank)
    return ItemTable(
        {item: _best(found, MAX_SIMILAR) for item, found in similar.items()},
        {category: _best(found, MAX_POPULAR) for category, found in popular.items()},
        {item: categories[item] for item in weight if item in categories},
        len(bought),
    )


def _decay(age_us: int) -> float:
    return float(0.5 ** (max(0, age_us) / HALF_LIFE_US))


def _best(found: Iterable[Ranked], limit: int) -> tuple[Ranked, ...]:
    return tuple(sorted(found, key=lambda each: (-each.score, each.item))[:limit])
