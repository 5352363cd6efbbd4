"""Classifies scored pairs: accepted, to be reviewed by a person, or dropped. Pure.

A score considers one pair; rules add what a score cannot know. A pair is dropped if both profiles
have different values of something that a person has only once. A model never accepts a pair if the
names belong to two persons (families share phones, addresses and mailboxes, and twins also the
birth date), or if only one comparison supports it. And no chain of accepted pairs may link two
profiles in conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from services.linkage.config import Thresholds
from services.linkage.linker import ScoredPair


@dataclass(slots=True)
class ClassifiedPair:
    """A pair that is accepted, or else to be reviewed by a person."""

    pair: ScoredPair
    #: Why it is not accepted in spite of its probability; empty = no objection.
    objection: str
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class MatchRules:
    """The objections against a match beside its score."""

    #: A pair is not accepted if one of these comparisons has one of these outcomes.
    against: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: The least number of comparisons that must support a pair.
    min_supporting: int = 2
    #: The least weight of a supporting comparison, base-2 logarithm.
    min_weight: float = 1.0
    #: Whether each record matches at most one other.
    one_to_one: bool = False


#: The values of a record by namespace; only namespaces of which a person has one value.
UniqueValues = Mapping[str, Set[str]]
#: A condition on two records, given by their ids.
PairPredicate = Callable[[str, str], bool]


def classify(
    pairs: Sequence[ScoredPair],
    thresholds: Thresholds,
    rules: MatchRules,
    *,
    excluded: PairPredicate,
    conflict: PairPredicate,
) -> list[ClassifiedPair]:
    """Classify pairs, sorted by falling probability; those below `review` are omitted.

    `excluded`: the two cannot be one person; the pair is omitted. `conflict`: the two are unlikely
    to be one person; accepted pairs never link them.
    """
    possible = [p for p in pairs if p.probability >= thresholds.review and not excluded(p.a, p.b)]
    classified = [ClassifiedPair(pair, _objection(pair, rules)) for pair in possible]
    groups = _Groups(lambda a, b: excluded(a, b) or conflict(a, b))
    matched: set[str] = set()
    for candidate in classified:
        pair = candidate.pair
        if pair.probability < thresholds.accept or candidate.objection:
            continue
        if rules.one_to_one and not matched.isdisjoint((pair.a, pair.b)):
            candidate.objection = "a likelier match is accepted"
        elif not groups.join(pair.a, pair.b):
            candidate.objection = "it would link profiles with a conflict"
        else:
            matched |= {pair.a, pair.b}
    for candidate in classified:
        # Inside an accepted group, a pair below the threshold is accepted too.
        linked = groups.are_linked(candidate.pair.a, candidate.pair.b)
        candidate.accepted = linked and not candidate.objection
    return classified


def _objection(pair: ScoredPair, rules: MatchRules) -> str:
    """Return why a model may not accept a pair of any probability; empty = it may."""
    outcomes = {weight.comparison: weight.outcome for weight in pair.weights}
    supporting = sum(w.log2_bayes_factor >= rules.min_weight for w in pair.weights)
    if supporting < rules.min_supporting:
        return "a single comparison supports it"
    if any(outcomes.get(comparison) in listed for comparison, listed in rules.against.items()):
        return "the names are those of two persons"
    return ""


def differ_in_unique_values(a: UniqueValues, b: UniqueValues) -> bool:
    """Return whether two records have different values of something a person has only once."""
    return any(a[namespace].isdisjoint(b[namespace]) for namespace in a.keys() & b.keys())


class _Groups:
    """Groups of records that are accepted as one person; they grow by pairs."""

    def __init__(self, conflict: PairPredicate) -> None:
        self._conflict = conflict
        self._members: dict[str, list[str]] = {}

    def are_linked(self, a: str, b: str) -> bool:
        return a in self._members and self._members[a] is self._members.get(b)

    def join(self, a: str, b: str) -> bool:
        """Join the groups of two records, unless members of the two are in conflict."""
        of_a, of_b = self._members.get(a, [a]), self._members.get(b, [b])
        if of_a is of_b:
            return True
        if any(self._conflict(one, other) for one in of_a for other in of_b):
            return False
        joined = of_a + of_b
        self._members |= dict.fromkeys(joined, joined)
        return True
