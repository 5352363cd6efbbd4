"""Classifies identifiers by their neighbours: shared by many, or recycled to a new holder.

The neighbours that count are identifiers of a higher priority: the holders of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.identity.domain.evidence import Edge, EvidenceKind, SeenSpan
from services.identity.domain.policy import MatchMode, NamespaceRule, Policy
from services.kernel.identifiers.priority import is_device_namespace
from services.kernel.ids import IdentifierId
from services.kernel.time import DAY_US

#: Edges of these kinds are held where one of their ends is shared or was recycled.
CO_OCCURRENCE_KINDS = (
    EvidenceKind.VERIFIED,
    EvidenceKind.OBSERVED,
    EvidenceKind.CO_OBSERVED,
    EvidenceKind.CLAIMED,
)


class Neighbour(NamedTuple):
    """An identifier of a higher priority that another one was seen with."""

    id: IdentifierId
    namespace: str
    span: SeenSpan


class CoOccurrence(NamedTuple):
    """The class of an identifier by all the neighbours that it was seen with."""

    #: It was seen with too many.
    shared: bool = False
    #: The day on which its newest holder was first seen; None = it was never recycled.
    recycled_on_day: int | None = None

    def is_before_handover(self, last_seen_day: int, rule: NamespaceRule) -> bool:
        """Return whether an edge last seen on a day belongs to an earlier holder."""
        day = self.recycled_on_day
        return day is not None and last_seen_day + rule.recycled_after_days <= day


UNREMARKABLE = CoOccurrence()
SHARED = CoOccurrence(shared=True)


def counted_kinds(namespace: str, policy: Policy) -> list[EvidenceKind]:
    """Return the kinds of edges whose other ends count as neighbours: those that may link.

    Claims count for devices alone. Otherwise a reader of a public key could make the phone number
    of a customer a shared one, and so take it from its profile.
    """
    mode = policy.rule(namespace).match_mode
    if mode == MatchMode.NEVER:
        return []
    kinds = [EvidenceKind.VERIFIED]
    if mode == MatchMode.ALWAYS:
        kinds.append(EvidenceKind.OBSERVED)
        if is_device_namespace(namespace):
            kinds.append(EvidenceKind.CLAIMED)
    return [kind for kind in kinds if kind not in policy.ignored]


def classify_neighbours(neighbours: Iterable[Neighbour], rule: NamespaceRule) -> CoOccurrence:
    """Return the class of an identifier; a neighbour may have several edges."""
    by_namespace: dict[str, dict[IdentifierId, SeenSpan]] = {}
    for id_, namespace, span in neighbours:
        holders = by_namespace.setdefault(namespace, {})
        existing = holders.get(id_)
        holders[id_] = span if existing is None else existing.union(span)
    limit = rule.shared_after
    if limit and any(len(holders) > limit for holders in by_namespace.values()):
        return SHARED
    if not rule.recycled_after_days:
        return UNREMARKABLE
    days = [_last_handover_day(holders, rule) for holders in by_namespace.values()]
    return CoOccurrence(False, max((day for day in days if day is not None), default=None))


def _last_handover_day(holders: Mapping[IdentifierId, SeenSpan], rule: NamespaceRule) -> int | None:
    """Return the last day on which a holder was first seen long after another was last seen."""
    latest = None
    first_to_leave = sorted((span.last_seen_day, id_) for id_, span in holders.items())[:2]
    for id_, span in holders.items():
        day = span.first.occurred_at_us // DAY_US
        left = next((last for last, other in first_to_leave if other != id_), None)
        if left is not None and left + rule.recycled_after_days <= day:
            latest = day if latest is None else max(latest, day)
    return latest


def last_seen_days(edges: Mapping[Edge, SeenSpan]) -> dict[tuple[bytes, bytes], int]:
    """Return the last day on which each pair was seen together by any kind of edge but claims."""
    days: dict[tuple[bytes, bytes], int] = {}
    for (a, b, kind), span in edges.items():
        if kind in CO_OCCURRENCE_KINDS and kind != EvidenceKind.CLAIMED:
            days[a, b] = max(days.get((a, b), span.last_seen_day), span.last_seen_day)
    return days
