"""Counts the messages that sources send again, until the counts are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from services.kernel.ids import FactId

#: Messages that are counted one by one until the next store; more count in the totals only.
MAX_PENDING = 20_000


class Repeats(NamedTuple):
    """How often something was sent again, and when, by the log's clock: Unix microseconds."""

    times: int
    first_at_us: int
    last_at_us: int

    def plus(self, other: Repeats | None) -> Repeats:
        """Return the repeats of both."""
        if other is None:
            return self
        first, last = min(self.first_at_us, other.first_at_us), max(self[2], other[2])
        return Repeats(self.times + other.times, first, last)


class DuplicateMessage(NamedTuple):
    """A message that was sent again."""

    source_id: str
    #: The fact that it became when it was sent first.
    fact_id: FactId
    repeats: Repeats


class SourceKey(NamedTuple):
    """A source of a workspace."""

    workspace_id: str
    source_id: str


#: A message, by the id of the fact that it became.
MessageKey: TypeAlias = tuple[SourceKey, FactId]


class DuplicateCounts:
    """The repeats that are not stored yet: of each source, and of each message."""

    def __init__(self) -> None:
        self.totals: dict[SourceKey, Repeats] = {}
        self.messages: dict[MessageKey, Repeats] = {}

    def __bool__(self) -> bool:
        return bool(self.totals)

    def add(self, source: SourceKey, fact_ids: Iterable[FactId], at_us: int) -> None:
        """Count messages that the log had already, by the ids of their facts."""
        once = Repeats(1, at_us, at_us)
        for fact_id in fact_ids:
            self._add({source: once}, {(source, fact_id): once})

    def take(self) -> DuplicateCounts:
        """Return what is counted, and begin again."""
        taken = DuplicateCounts()
        taken.totals, self.totals = self.totals, {}
        taken.messages, self.messages = self.messages, {}
        return taken

    def put_back(self, taken: DuplicateCounts) -> None:
        """Count again what could not be stored."""
        self._add(taken.totals, taken.messages)

    def _add(
        self, totals: Mapping[SourceKey, Repeats], messages: Mapping[MessageKey, Repeats]
    ) -> None:
        for source, repeats in totals.items():
            self.totals[source] = repeats.plus(self.totals.get(source))
        for key, repeats in messages.items():
            existing = self.messages.get(key)
            if existing is not None or len(self.messages) < MAX_PENDING:
                self.messages[key] = repeats.plus(existing)
