"""The company an identifier was seen in: whether it is shared, and whether it changed hands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.identity.domain.evidence import Edge, EvidenceKind, SeenSpan
from services.identity.domain.policy import MatchMode, NamespaceRule, Policy
from services.kernel.ids import IdentifierId
from services.kernel.time import DAY_US

#: Those that a shared identifier or one that changed hands no longer binds.
CO_OCCURRENCE_KINDS = (EvidenceKind.VERIFIED, EvidenceKind.OBSERVED, EvidenceKind.CO_OBSERVED)


class Neighbour(NamedTuple):
    """A stronger identifier that one was seen with."""

    other: IdentifierId
    #: That of the other.
    namespace: str
    span: SeenSpan


class CoOccurrence(NamedTuple):
    """What follows from all the stronger identifiers that one was seen with."""

    #: With too many.
    shared: bool = False
    #: The day on which it was first seen with its newest holder; None = it never changed hands.
    recycled_on_day: int | None = None

    def is_before_handover(self, last_day: int, rule: NamespaceRule) -> bool:
        """Whether one last seen on a day with the identifier has lost it since."""
        day = self.recycled_on_day
        return day is not None and last_day + rule.recycled_after_days <= day


UNREMARKABLE = CoOccurrence()


def counted_kinds(rule: NamespaceRule, policy: Policy) -> list[int]:
    """The strengths of the edges that make company of an identifier: those that may bind it."""
    if rule.match_mode == MatchMode.NEVER:
        return []
    strengths = [EvidenceKind.VERIFIED]
    if rule.match_mode == MatchMode.ALWAYS:
        strengths.append(EvidenceKind.OBSERVED)
    return [strength for strength in strengths if strength not in policy.ignored]


def classify_neighbours(met: Iterable[Neighbour], rule: NamespaceRule) -> CoOccurrence:
    """What follows from the company of an identifier; each pair may come with several edges."""
    by_namespace: dict[str, dict[IdentifierId, SeenSpan]] = {}
    for other, namespace, span in met:
        holders = by_namespace.setdefault(namespace, {})
        known = holders.get(other)
        holders[other] = span if known is None else known.union(span)
    shared = rule.shared_after
    if shared and any(len(holders) > shared for holders in by_namespace.values()):
        return CoOccurrence(shared=True)
    if not rule.recycled_after_days:
        return UNREMARKABLE
    days = [_handed_over(holders, rule) for holders in by_namespace.values()]
    return CoOccurrence(False, max((day for day in days if day is not None), default=None))


def _handed_over(holders: Mapping[IdentifierId, SeenSpan], rule: NamespaceRule) -> int | None:
    """The last day on which one was first seen long after another one was last seen."""
    newest = None
    leaving = sorted((span.last_seen_day, id_) for id_, span in holders.items())[:2]
    for id_, span in holders.items():
        day = span.first.occurred_at_us // DAY_US
        gone = next((last for last, other in leaving if other != id_), None)
        if gone is not None and gone + rule.recycled_after_days <= day:
            newest = day if newest is None else max(newest, day)
    return newest


def last_days(edges: Mapping[Edge, SeenSpan]) -> dict[tuple[bytes, bytes], int]:
    """The last day on which each pair was seen together."""
    days: dict[tuple[bytes, bytes], int] = {}
    for (a, b, strength), span in edges.items():
        if strength in CO_OCCURRENCE_KINDS:
            days[a, b] = max(days.get((a, b), span.last_seen_day), span.last_seen_day)
    return days
