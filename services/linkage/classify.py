"""What comes of scored pairs: accepted, put before a person, or dropped. Pure.

A score looks at one pair; what it cannot know is told by rules. People who cannot be one, as each
has their own of something nobody has two of, are dropped. People whose names say that they are
two (families share phones, houses and mailboxes, and twins a birth date as well), and those for
whom a single thing speaks, are never accepted by a model. And of what is accepted no chain may
join two who clash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from services.linkage.config import Thresholds
from services.linkage.linker import Scored


class Verdict(Enum):
    """What a pair comes to."""

    ACCEPTED = "accepted"
    TO_REVIEW = "to review"


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair and what it comes to."""

    scored: Scored
    verdict: Verdict
    #: Why it is not accepted though its probability would do; empty where that is not so.
    objection: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What stands against a match beside its score."""

    #: A pair is not accepted where one of these comparisons came out so.
    against: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: A pair is not accepted where all of these came out so.
    twins: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: At least so many comparisons have to speak for a pair.
    signs: int = 2
    #: A comparison speaks for a pair from this weight on, base-2 logarithm.
    sign: float = 1.0
    #: Whether each record matches one other at most.
    one_to_one: bool = False


#: The namespaces of which nobody has two, with a record's values.
Unique = Mapping[str, frozenset[str]]
#: What is asked of two records.
Question = Callable[[str, str], bool]


def judge(
    pairs: Sequence[Scored],
    thresholds: Thresholds,
    rules: Rules,
    *,
    apart: Question,
    clash: Question,
) -> list[Judged]:
    """Judge pairs, the likeliest first; what is less than `review` is left out.

    `apart`: they cannot be one person; left out too. `clash`: they hardly can, so nothing that is
    accepted may join them.
    """
    possible = [p for p in pairs if p.probability >= thresholds.review and not apart(p.a, p.b)]
    told = [Judged(p, Verdict.TO_REVIEW, objection_to(p, rules)) for p in possible]
    groups = _Groups(lambda a, b: apart(a, b) or clash(a, b))
    partner: dict[str, str] = {}
    for at, judged in enumerate(told):
        pair = judged.scored
        if pair.probability < thresholds.accept or judged.objection:
            continue
        if rules.one_to_one and not (partner.keys().isdisjoint((pair.a, pair.b))):
            told[at] = replace(judged, objection="a likelier one is taken")
        elif not groups.join(pair.a, pair.b):
            told[at] = replace(judged, objection="it would join people who clash")
        else:
            partner |= {pair.a: pair.b, pair.b: pair.a}
            told[at] = replace(judged, verdict=Verdict.ACCEPTED)
    return list(_closed(told, groups, rules))


def _closed(told: Iterable[Judged], groups: _Groups, rules: Rules) -> Iterator[Judged]:
    """The same; what only the threshold kept back is accepted inside of an accepted group."""
    for judged in told:
        pair = judged.scored
        if not judged.objection and groups.together(pair.a, pair.b) and _signs(pair, rules):
            yield replace(judged, verdict=Verdict.ACCEPTED)
        else:
            yield judged


def objection_to(pair: Scored, rules: Rules) -> str:
    """Why a model may not accept a pair, whatever its probability; empty where it may."""
    came_out = {weight.comparison: weight.outcome for weight in pair.weights}
    if not _signs(pair, rules):
        return "a single thing speaks for it"
    if rules.twins and all(came_out.get(c) in outcomes for c, outcomes in rules.twins.items()):
        return "they may be twins"
    if any(came_out.get(comparison) in told for comparison, told in rules.against.items()):
        return "the names are those of two"
    return ""


def _signs(pair: Scored, rules: Rules) -> bool:
    return sum(w.log2_bayes_factor >= rules.sign for w in pair.weights) >= rules.signs


def differ(a: Unique, b: Unique) -> bool:
    """Whether each has their own of something nobody has two of."""
    return any(a[namespace].isdisjoint(b[namespace]) for namespace in a.keys() & b.keys())


class _Groups:
    """Records that were accepted as one, growing by pairs."""

    def __init__(self, clash: Question) -> None:
        self._clash = clash
        self._members: dict[str, list[str]] = {}

    def together(self, a: str, b: str) -> bool:
        return a in self._members and self._members[a] is self._members.get(b)

    def join(self, a: str, b: str) -> bool:
        """Join the groups of two, unless somebody of one clashes with somebody of the other."""
        of_a, of_b = self._members.get(a, [a]), self._members.get(b, [b])
        if of_a is of_b:
            return True
        if any(self._clash(one, other) for one in of_a for other in of_b):
            return False
        joined = of_a + of_b
        self._members |= dict.fromkeys(joined, joined)
        return True
