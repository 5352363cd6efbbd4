"""Caches which identifier sets can add no evidence, so that their events need no query.

Evidence is stored as minima, which only get earlier, and maxima, which only get later. So a bound
that was once read from the store stays valid, whichever worker writes to it, and an event within
the bounds adds nothing. Rows that were written are cached once their transaction was committed, as
it may roll back until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.chassis.access.tables import WorkspaceRegions
from services.identity.domain.evidence import Edge, Observation, SeenSpan
from services.identity.domain.normalize import IdentifierSet, observation_of
from services.identity.domain.rows import EdgeRow, IdentifierRow
from services.kernel.cache import RecentCache
from services.kernel.ids import IdentifierId
from services.kernel.index_key import IndexKey

#: Later than every day.
NEVER = 1 << 63


class CachedBounds(NamedTuple):
    """The bounds within which events of an identifier set add no evidence."""

    #: Events that occurred after this add no earlier sighting, Unix microseconds.
    first_seen_us: int
    #: Events up to this day add no later sighting, days since 1970.
    last_seen_day: int


class EvidenceCache:
    """Holds the bounds of at most `size` identifier sets; about the least recently used leave."""

    def __init__(self, size: int, index_key: IndexKey) -> None:
        self.index_key = index_key
        self._size = size
        #: Load the regions of the workspaces before `observation`.
        self.regions = WorkspaceRegions()
        self._bounds = RecentCache[IdentifierSet, CachedBounds](size)

    def emptied(self, parts: int) -> EvidenceCache:
        """Return an empty cache with a part of this one's size."""
        return EvidenceCache(max(1, self._size // parts), self.index_key)

    def may_add(self, identifier_set: IdentifierSet, span: SeenSpan) -> bool:
        """Return whether events with these identifiers, over a span of time, may add evidence."""
        bounds = self._bounds.get(identifier_set)
        return (
            bounds is None
            or span.first.occurred_at_us <= bounds.first_seen_us
            or span.last_seen_day > bounds.last_seen_day
        )

    def observation(self, identifier_set: IdentifierSet) -> Observation:
        """Return the observation of these identifiers."""
        region = self.regions.of(identifier_set[0])
        return observation_of(identifier_set, region, self.index_key)

    def remember(
        self,
        identifier_set: IdentifierSet,
        observation: Observation,
        identifiers: Mapping[IdentifierId, IdentifierRow],
        edges: Mapping[Edge, EdgeRow],
    ) -> bool:
        """Cache the bounds of the stored evidence; return whether all of it is stored."""
        bounds = bounds_of(observation, identifiers, edges)
        if bounds is not None:
            self._bounds.put(identifier_set, bounds)
        return bounds is not None

    def put(self, known: Iterable[tuple[IdentifierSet, CachedBounds]]) -> None:
        """Cache the bounds of rows that were committed."""
        for identifier_set, bounds in known:
            self._bounds.put(identifier_set, bounds)


def bounds_of(
    observation: Observation,
    identifiers: Mapping[IdentifierId, IdentifierRow],
    edges: Mapping[Edge, EdgeRow],
) -> CachedBounds | None:
    """Return the bounds that these rows give an observation; None where one of its rows is not
    among them."""
    first_seen_us, last_seen_day = 0, NEVER
    for id_ in observation.identifiers:
        row = identifiers.get(id_)
        if row is None:
            return None
        first_seen_us = max(first_seen_us, row.first.occurred_at_us)
    for edge in observation.edges:
        edge_row = edges.get(edge)
        if edge_row is None:
            return None
        first_seen_us = max(first_seen_us, edge_row.span.first.occurred_at_us)
        last_seen_day = min(last_seen_day, edge_row.span.last_seen_day)
    return CachedBounds(first_seen_us, last_seen_day)
