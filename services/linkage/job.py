"""The job: people in, what is to be said about them out.

Of two who match, what is said names their strongest identifiers. What a person has judged stands,
whatever a model finds later; what a model accepted once and does not find any more (as somebody
has withdrawn a consent, say) is taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.kernel.identifiers import Identifier
from services.linkage.classify import Judged, Rules, Verdict, differ, judge
from services.linkage.config import MatchingConfig
from services.linkage.linker import Linked, Weight, link
from services.linkage.model import LinkageModel
from services.linkage.people import Person
from services.linkage.person_model import PEOPLE, RULES
from services.linkage.records import clash, compared, purposes_of, spokesman, unique_of

#: What stands in place of a model's version where a person has judged.
BY_PERSON = "person"

#: The identifiers of two, the smaller one first.
Pair = tuple[Identifier, Identifier]


class Judgement(Enum):
    """What is said of a pair."""

    ACCEPTED = "accepted"
    TO_REVIEW = "to_review"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Match:
    """What is said of two."""

    pair: Pair
    judgement: Judgement
    probability: float
    model_version: str
    #: Sorted; none unless accepted.
    purposes: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()
    #: Why a person has to look at it though its probability would do.
    objection: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found."""

    #: The likeliest first.
    matches: tuple[Match, ...]
    model_version: str
    #: How many people there are, and how many of them allow anything.
    people: int
    compared: int

    def count(self, judgement: Judgement) -> int:
        """How many were judged so."""
        return sum(match.judgement is judgement for match in self.matches)

    def objections(self) -> Counter[str]:
        """How often each objection was made."""
        return Counter(match.objection for match in self.matches if match.objection)


def find_matches(
    people: Iterable[Person],
    config: MatchingConfig,
    model: LinkageModel = PEOPLE,
    rules: Rules = RULES,
) -> Found:
    """Match people who allow it. Raises LinkageMissing where Splink is not installed."""
    total = 0
    allowed: dict[str, Person] = {}
    for person in people:
        total += 1
        if person.identifiers and purposes_of(person, config):
            allowed[person.profile_id] = person
    records = {who: compared(person, config) for who, person in allowed.items()}
    linked = link(model, [records.values()], at_least=config.thresholds.review)
    unique = {who: unique_of(person, config) for who, person in allowed.items()}
    judged = judge(
        linked.pairs,
        config.thresholds,
        rules,
        apart=lambda a, b: differ(unique[a], unique[b]),
        clash=lambda a, b: clash(records[a], records[b]),
    )
    matches = tuple(_matches(judged, linked, allowed, config))
    return Found(matches, linked.model_version, total, len(allowed))


def _matches(
    judged: Sequence[Judged], linked: Linked, people: Mapping[str, Person], config: MatchingConfig
) -> Iterator[Match]:
    """What is said; of two who allow nothing in common, nothing."""
    for one in judged:
        a, b = people[one.scored.a], people[one.scored.b]
        if not (purposes := purposes_of(a, config) & purposes_of(b, config)):
            continue
        accepted = one.verdict is Verdict.ACCEPTED
        yield Match(
            pair_of(spokesman(a), spokesman(b)),
            Judgement.ACCEPTED if accepted else Judgement.TO_REVIEW,
            one.scored.probability,
            linked.model_version,
            tuple(sorted(purposes)) if accepted else (),
            one.scored.weights,
            one.objection,
        )


def pair_of(a: Identifier, b: Identifier) -> Pair:
    """Two identifiers in the order in which they are told."""
    return (a, b) if a <= b else (b, a)


def news(found: Found, told: Mapping[Pair, Match]) -> list[Match]:
    """What is to be said, where `told` is what was said last about each pair."""
    fresh = [match for match in found.matches if _is_news(match, told.get(match.pair))]
    known = {match.pair for match in found.matches}
    gone = (m for pair, m in told.items() if pair not in known and _is_to_take_back(m))
    return fresh + [Match(m.pair, Judgement.REJECTED, 0.0, found.model_version) for m in gone]


def _is_news(match: Match, before: Match | None) -> bool:
    if before is None:
        return True
    if before.model_version == BY_PERSON:
        return False
    same = before.judgement is match.judgement and before.purposes == match.purposes
    return not same or before.model_version != match.model_version


def _is_to_take_back(match: Match) -> bool:
    return match.model_version != BY_PERSON and match.judgement is not Judgement.REJECTED
