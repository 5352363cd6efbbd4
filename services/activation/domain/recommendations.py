"""Ranks items for a person: those of another recommender, similar ones, popular ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.activation.domain.item_similarity import EVERY_CATEGORY, Ranked

#: The last items of a person that count.
RECENT: Final = 20


class ItemReason(Enum):
    """Why an item is shown."""

    #: Another recommender has named it.
    RECOMMENDED = "recommended"
    #: Persons who got an item of the person got it, too.
    SIMILAR = "similar"
    #: Many persons got it, in a category that the person was interested in.
    POPULAR_IN_CATEGORY = "popular_in_category"
    #: Many persons got it.
    POPULAR = "popular"


@dataclass(frozen=True, slots=True)
class PersonItems:
    """What a person has to do with items."""

    #: The last ones, newest first, each once: bought or seen.
    recent: Sequence[str] = ()
    bought: Collection[str] = ()
    #: Those that another recommender has named, the best first.
    recommended: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An item for a person."""

    item: str
    score: float
    reason: ItemReason
    #: The item of the person that contributes most to the score; empty = none.
    because_of: str = ""


def rank_items(
    person: PersonItems,
    similar: Mapping[str, Sequence[Ranked]],
    popular: Mapping[str, Sequence[Ranked]],
    categories: Mapping[str, str],
) -> Iterator[Recommendation]:
    """Yield the items for a person, each once, the best first; never one that the person has.

    `similar` and `categories`: of the recent items of the person. `popular`: of their categories,
    and of `EVERY_CATEGORY`.
    """
    shown = set(person.bought)
    for each in _candidates(person, similar, popular, categories):
        if each.item not in shown:
            shown.add(each.item)
            yield each


def _candidates(
    person: PersonItems,
    similar: Mapping[str, Sequence[Ranked]],
    popular: Mapping[str, Sequence[Ranked]],
    categories: Mapping[str, str],
) -> Iterator[Recommendation]:
    recent = person.recent[:RECENT]
    for place, item in enumerate(person.recommended):
        yield Recommendation(item, 1 / (place + 1), ItemReason.RECOMMENDED)
    parts: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for item in recent:
        for other in similar.get(item, ()):
            parts[other.item].append((other.score, item))
    sums = {item: sum(score for score, _ in own) for item, own in parts.items()}
    for item in sorted(sums, key=lambda each: (-sums[each], each)):
        yield Recommendation(item, sums[item], ItemReason.SIMILAR, max(parts[item])[1])
    liked = Counter(categories[item] for item in recent if item in categories)
    for category in sorted(liked, key=lambda each: (-liked[each], each)):
        for ranked in popular.get(category, ()):
            yield Recommendation(*ranked, ItemReason.POPULAR_IN_CATEGORY)
    for ranked in popular.get(EVERY_CATEGORY, ()):
        yield Recommendation(*ranked, ItemReason.POPULAR)
