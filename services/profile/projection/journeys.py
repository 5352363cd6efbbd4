"""Finds the events of a batch that journeys wait for, and the profiles that they belong to now."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from asyncpg import Connection

from services.kernel.ids import IdentifierId
from services.profile.domain.facts import AttributedFact
from services.profile.domain.journeys import Awaited, JourneyCall, MatchedEvent, match_events
from services.profile.store.profiles import load_assignments


async def load_matched(
    conn: Connection,
    facts: Sequence[AttributedFact],
    calls: Collection[JourneyCall],
    awaited: Awaited,
) -> list[MatchedEvent]:
    """Return the events and calls among folded facts that journeys wait for, and all of tickets.

    Call this after the assignments of the batch are saved.
    """
    if not awaited and not calls:
        return []
    folded = range(facts[0].offset, facts[-1].offset + 1)
    matched = match_events(facts, (call for call in calls if call.offset in folded), awaited)
    if not matched:
        return []
    stored = await load_assignments(conn, {IdentifierId(event.leaf_id) for event in matched})
    return [
        event._replace(profile_id=own.profile_id, assignment_version=own.version)
        if (own := stored.get(IdentifierId(event.leaf_id))) is not None
        else event
        for event in matched
    ]
