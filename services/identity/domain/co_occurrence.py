"""The company an identifier was seen in: whether it is shared, and whether it changed hands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.identity.domain.evidence import Edge, Span, Strength
from services.identity.domain.policy import Linking, Policy, Rule
from services.kernel.ids import IdentifierId
from services.kernel.time import DAY_US

#: Those that a shared identifier or one that changed hands no longer binds.
SEEN_TOGETHER = (Strength.VERIFIED, Strength.OBSERVED, Strength.BESIDE)


class Met(NamedTuple):
    """A stronger identifier that one was seen with."""

    other: IdentifierId
    #: That of the other.
    namespace: str
    span: Span


class Company(NamedTuple):
    """What follows from all the stronger identifiers that one was seen with."""

    #: With too many.
    shared: bool = False
    #: The day on which it was first seen with its newest holder; None = it never changed hands.
    handed_over_day: int | None = None

    def gave_up(self, last_day: int, rule: Rule) -> bool:
        """Whether one last seen on a day with the identifier has lost it since."""
        day = self.handed_over_day
        return day is not None and last_day + rule.given_up_after_days <= day


ALONE = Company()


def counted(rule: Rule, policy: Policy) -> list[int]:
    """The strengths of the edges that make company of an identifier: those that may bind it."""
    if rule.linking == Linking.NEVER:
        return []
    strengths = [Strength.VERIFIED]
    if rule.linking == Linking.ALWAYS:
        strengths.append(Strength.OBSERVED)
    return [strength for strength in strengths if strength not in policy.ignored]


def company(met: Iterable[Met], rule: Rule) -> Company:
    """What follows from the company of an identifier; each pair may come with several edges."""
    by_namespace: dict[str, dict[IdentifierId, Span]] = {}
    for other, namespace, span in met:
        holders = by_namespace.setdefault(namespace, {})
        known = holders.get(other)
        holders[other] = span if known is None else known.also(span)
    shared = rule.shared_after
    if shared and any(len(holders) > shared for holders in by_namespace.values()):
        return Company(shared=True)
    if not rule.given_up_after_days:
        return ALONE
    days = [_handed_over(holders, rule) for holders in by_namespace.values()]
    return Company(False, max((day for day in days if day is not None), default=None))


def _handed_over(holders: Mapping[IdentifierId, Span], rule: Rule) -> int | None:
    """The last day on which one was first seen long after another one was last seen."""
    newest = None
    leaving = sorted((span.last_day, id_) for id_, span in holders.items())[:2]
    for id_, span in holders.items():
        day = span.first.occurred_at_us // DAY_US
        gone = next((last for last, other in leaving if other != id_), None)
        if gone is not None and gone + rule.given_up_after_days <= day:
            newest = day if newest is None else max(newest, day)
    return newest


def last_days(edges: Mapping[Edge, Span]) -> dict[tuple[bytes, bytes], int]:
    """The last day on which each pair was seen together."""
    days: dict[tuple[bytes, bytes], int] = {}
    for (a, b, strength), span in edges.items():
        if strength in SEEN_TOGETHER:
            days[a, b] = max(days.get((a, b), span.last_day), span.last_day)
    return days
