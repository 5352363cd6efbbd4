"""Finds matches among profiles, and the assessments that have to be recorded.

A match names the primary identifiers of its two profiles. An assessment by a person stays, whatever
a model finds later. A match that a model once accepted and no longer finds (because a consent was
withdrawn, for example) is rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.kernel.identifiers.model import Identifier
from services.linkage import records
from services.linkage.classify import ClassifiedPair, classify, differ_in_unique_values
from services.linkage.config import MatchingConfig
from services.linkage.linker import ComparisonWeight, LinkageResult, link
from services.linkage.person_model import PERSON_MODEL, PERSON_RULES
from services.linkage.records import LinkageProfile

#: The model version of an assessment by a person.
BY_PERSON = "person"

#: The identifiers of two profiles, the smaller one first.
Pair = tuple[Identifier, Identifier]


class MatchAssessment(Enum):
    """The assessment of a pair."""

    ACCEPTED = "accepted"
    TO_REVIEW = "to_review"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Match:
    """An assessed pair."""

    pair: Pair
    assessment: MatchAssessment
    probability: float
    model_version: str
    #: Sorted; empty unless accepted.
    purposes: tuple[str, ...] = ()
    weights: tuple[ComparisonWeight, ...] = ()
    #: Why a person must review it in spite of its probability; empty = no objection.
    objection: str = ""


@dataclass(frozen=True, slots=True)
class MatchingResult:
    """The matches of one run."""

    #: By falling probability.
    matches: tuple[Match, ...]
    model_version: str
    #: The number of profiles.
    total: int
    #: How many of them allow a purpose.
    eligible: int

    def count(self, assessment: MatchAssessment) -> int:
        return sum(match.assessment is assessment for match in self.matches)

    def objections(self) -> Counter[str]:
        return Counter(match.objection for match in self.matches if match.objection)


def find_matches(profiles: Iterable[LinkageProfile], config: MatchingConfig) -> MatchingResult:
    """Match the profiles that allow a purpose.

    Raises OnefoldError if Splink is not installed.
    """
    total = 0
    eligible: dict[str, LinkageProfile] = {}
    for profile in profiles:
        total += 1
        if profile.identifiers and records.purposes_of(profile, config):
            eligible[profile.profile_id] = profile
    compared = {id_: records.comparison_record(p, config) for id_, p in eligible.items()}
    result = link(PERSON_MODEL, compared.values(), at_least=config.thresholds.review)
    unique = {id_: records.unique_values_of(p, config) for id_, p in eligible.items()}
    classified = classify(
        result.pairs,
        config.thresholds,
        PERSON_RULES,
        excluded=lambda a, b: differ_in_unique_values(unique[a], unique[b]),
        conflict=lambda a, b: records.conflict(compared[a], compared[b]),
    )
    matches = tuple(_matches(classified, result, eligible, config))
    return MatchingResult(matches, result.model_version, total, len(eligible))


def _matches(
    classified: Sequence[ClassifiedPair],
    result: LinkageResult,
    profiles: Mapping[str, LinkageProfile],
    config: MatchingConfig,
) -> Iterator[Match]:
    """Yield the match of each pair whose profiles allow a common purpose."""
    for candidate in classified:
        pair = candidate.pair
        a, b = profiles[pair.a], profiles[pair.b]
        if not (purposes := records.purposes_of(a, config) & records.purposes_of(b, config)):
            continue
        yield Match(
            pair=ordered_pair(records.representative(a), records.representative(b)),
            assessment=MatchAssessment.ACCEPTED
            if candidate.accepted
            else MatchAssessment.TO_REVIEW,
            probability=pair.probability,
            model_version=result.model_version,
            purposes=tuple(sorted(purposes)) if candidate.accepted else (),
            weights=pair.weights,
            objection=candidate.objection,
        )


def ordered_pair(a: Identifier, b: Identifier) -> Pair:
    """Return two identifiers, the smaller one first."""
    return (a, b) if a <= b else (b, a)


def new_matches(result: MatchingResult, recorded: Mapping[Pair, Match]) -> list[Match]:
    """Return the assessments to record; `recorded` has the last one of each pair."""
    changed = [m for m in result.matches if _is_changed(m, recorded.get(m.pair))]
    found = {match.pair for match in result.matches}
    rejected = MatchAssessment.REJECTED
    return changed + [
        Match(pair, rejected, 0.0, result.model_version)
        for pair, match in recorded.items()
        if pair not in found
        and match.model_version != BY_PERSON
        and match.assessment is not rejected
    ]


def _is_changed(match: Match, recorded: Match | None) -> bool:
    if recorded is None:
        return True
    if recorded.model_version == BY_PERSON:
        return False
    before = (recorded.assessment, recorded.purposes, recorded.model_version)
    return before != (match.assessment, match.purposes, match.model_version)
