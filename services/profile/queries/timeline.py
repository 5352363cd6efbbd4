"""Reads the timeline of a profile from the log: filtered, in pages, newest first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from services.kernel.ids import FactId
from services.profile.codec.timeline import HIDDEN_KINDS, event_name
from services.profile.domain.profile import TimelineCursor, cursor_after
from services.profile.domain.timeline import TimelineFilter, TimelineKind, TimelineKinds

#: Facts that are read at a time where a filter may leave most of them out.
CHUNK = 1_000
#: The most facts that one page reads: a page that finds too few matches ends there.
MAX_READ = 10_000

#: Returns facts that occurred before a time (0 = all), newest first, at most as many as stated.
ReadFacts: TypeAlias = Callable[[int, int], Awaitable[Sequence[Any]]]


class TimelineEntry(NamedTuple):
    """A fact of the log on a timeline, with what it is about."""

    fact: Any
    kind: TimelineKind


class TimelinePage(NamedTuple):
    """Some entries, newest first."""

    entries: Sequence[TimelineEntry]
    #: Where the next page begins; None = there is none.
    cursor: TimelineCursor | None


async def read_page(
    read_facts: ReadFacts,
    kinds: TimelineKinds,
    wanted: TimelineFilter,
    size: int,
    after: TimelineCursor | None,
) -> TimelinePage:
    """Return at most `size` entries after a cursor, of at most `MAX_READ` facts."""
    found: list[TimelineEntry] = []
    passed: list[tuple[int, FactId]] = []
    cursor, limit = after, size + 1 if wanted.selects_all else max(size + 1, CHUNK)
    while True:
        facts = await _facts_after(read_facts, wanted, cursor, limit)
        for fact in facts:
            if wanted.since_us and fact.occurred_at_us < wanted.since_us:
                return TimelinePage(found, None)
            if (entry := _entry(fact, kinds, wanted)) is not None:
                if len(found) == size:
                    return TimelinePage(found, _cursor(after, passed))
                found.append(entry)
            passed.append((fact.occurred_at_us, FactId(fact.fact_id)))
        if len(facts) < limit:
            return TimelinePage(found, None)
        cursor = _cursor(after, passed)
        if len(passed) >= MAX_READ:
            return TimelinePage(found, cursor)


async def _facts_after(
    read_facts: ReadFacts, wanted: TimelineFilter, cursor: TimelineCursor | None, limit: int
) -> Sequence[Any]:
    """Return the next facts after a cursor: exactly `limit`, unless there are no more."""
    if cursor is None:
        return await read_facts(wanted.before_us, limit)
    facts = await read_facts(cursor.occurred_at_us + 1, limit + cursor.entries)
    return [f for f in facts if (f.occurred_at_us, f.fact_id) < cursor[:2]][:limit]


def _entry(fact: Any, kinds: TimelineKinds, wanted: TimelineFilter) -> TimelineEntry | None:
    if fact.kind in HIDDEN_KINDS:
        return None
    event_type, name = event_name(fact)
    kind = kinds.kind_of(event_type, name)
    return TimelineEntry(fact, kind) if wanted.selects(kind, name, fact.source_id) else None


def _cursor(
    after: TimelineCursor | None, passed: Sequence[tuple[int, FactId]]
) -> TimelineCursor | None:
    return cursor_after(after, passed) if passed else after
