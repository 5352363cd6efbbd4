"""What this process remembers of the evidence it has seen kept.

Evidence is kept as minima, which only ever get earlier, and maxima, which only ever get later; so
what was once read from the tables stays true for ever, whoever writes them, and an event that adds
to neither needs no look at the tables at all. Only what was read is remembered, never what was
written: that may still be rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.access import Regions
from services.identity.domain.facts import Edge, Mention, Span
from services.identity.domain.model import Known, KnownEdge
from services.identity.domain.naming import Names, mention_of
from services.kernel.ids import IdentifierId
from services.kernel.last_used import LastUsed

#: Later than every event.
NEVER = 1 << 63


class Remembered:
    """What a set of identifiers says, and since when nothing that it says is new."""

    __slots__ = ("mention", "settled_day", "settled_us")

    def __init__(self, mention: Mention) -> None:
        self.mention = mention
        #: Events with these identifiers that occurred after this tell of nothing earlier.
        self.settled_us = NEVER
        #: Events of days up to this one tell of nothing later: all of it was seen since.
        self.settled_day = NEVER

    def is_news(self, span: Span) -> bool:
        """Whether events of a span of time may tell something new."""
        return span[0][0] <= self.settled_us or span[1] > self.settled_day

    def settle(
        self, known: Mapping[IdentifierId, Known], known_edges: Mapping[Edge, KnownEdge]
    ) -> None:
        """Take note of what was read from the tables, if all of it was there."""
        latest, day = 0, NEVER
        for id_ in self.mention.names:
            if id_ not in known:
                return
            latest = max(latest, known[id_].first.occurred_at_us)
        for edge in self.mention.edges:
            if edge not in known_edges:
                return
            span = known_edges[edge].span
            latest, day = max(latest, span.first.occurred_at_us), min(day, span.last_day)
        self.settled_us, self.settled_day = latest, day


class Memory:
    """Remembers at most `size` sets of identifiers, about those used longest ago leave first."""

    def __init__(self, size: int) -> None:
        #: The regions by which identifiers are read; look them up before anything is recalled.
        self.regions = Regions()
        self._known = LastUsed[Names, Remembered](size)

    def recall(self, names: Names) -> Remembered:
        """What is remembered of these; made now where nothing is."""
        found = self._known.get(names)
        if found is None:
            found = Remembered(mention_of(names, self.regions.of(names[0])))
            self._known.put(names, found)
        return found
