"""What this process remembers of the evidence it has seen kept.

Evidence is kept as minima, which only ever get earlier, and maxima, which only ever get later; so
what was once read from the tables stays true for ever, whoever writes them, and an event that adds
to neither needs no look at the tables at all. Only what was read is remembered, never what was
written: that may still be rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.chassis.access.tables import WorkspaceRegions
from services.identity.domain.evidence import Edge, Observation, SeenSpan
from services.identity.domain.normalize import IdentifierSet, observation_of
from services.identity.domain.rows import EdgeRow, IdentifierRow
from services.kernel.cache import RecentCache
from services.kernel.ids import IdentifierId

#: Later than every day.
NEVER = 1 << 63


class CachedBounds(NamedTuple):
    """Since when nothing is new that a set of identifiers says."""

    #: Events that occurred after this (Unix microseconds) tell of nothing earlier.
    us: int
    #: Events of days up to this one tell of nothing later: all of it was seen since.
    day: int


class EvidenceCache:
    """Remembers at most `size` sets of identifiers, about those used longest ago leave first."""

    def __init__(self, size: int) -> None:
        #: The regions by which identifiers are read; look them up before anything is asked.
        self.regions = WorkspaceRegions()
        self._settled = RecentCache[IdentifierSet, CachedBounds](size)

    def may_add(self, names: IdentifierSet, span: SeenSpan) -> bool:
        """Whether events with these identifiers, of a span of time, may tell something new."""
        settled = self._settled.get(names)
        return settled is None or span[0][0] <= settled[0] or span[1] > settled[1]

    def observation(self, names: IdentifierSet) -> Observation:
        """What these identifiers say."""
        return observation_of(names, self.regions.of(names[0]))

    def remember(
        self,
        names: IdentifierSet,
        mention: Observation,
        known: Mapping[IdentifierId, IdentifierRow],
        known_edges: Mapping[Edge, EdgeRow],
    ) -> None:
        """Take note of what was read from the tables, if all of a mention was there."""
        latest, day = 0, NEVER
        for id_ in mention.identifiers:
            if id_ not in known:
                return
            latest = max(latest, known[id_].first.occurred_at_us)
        for edge in mention.edges:
            if edge not in known_edges:
                return
            span = known_edges[edge].span
            latest, day = max(latest, span.first.occurred_at_us), min(day, span.last_seen_day)
        self._settled.put(names, CachedBounds(latest, day))
