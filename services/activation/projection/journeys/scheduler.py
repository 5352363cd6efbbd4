"""Begins the runs of schedules: takes the audience of an instant, and enters it page by page.

The members are those of the segment at the instant of the occurrence, once every shard has passed
it. A page and how far the audience is are saved in one transaction, and a member has one entry in
an occurrence, so each member begins exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import JourneyFact
from services.activation.domain.journeys.occasions import first_instant, member_entry
from services.activation.domain.journeys.program import schedule_subject
from services.activation.domain.policy.gate import Flow
from services.activation.projection.journeys.knowledge import JourneyReads
from services.activation.store import runs as store
from services.activation.store import schedules
from services.activation.store.journeys import load_contact_policies, load_journeys
from services.activation.store.runs import DueKey
from services.activation.store.schedules import Occurrence
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat
from services.kernel.ids import FactId, LeafId, WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.model import Journey, ScheduleTrigger

log = structlog.get_logger(__name__)

#: Seconds between two looks at the schedules.
POLL_INTERVAL_S: Final = 1.0
MAX_BACKOFF_S: Final = 10.0


@dataclass
class JourneyScheduler:
    """Takes the audiences of schedules. `on_entries` is called when members have begun."""

    database: Database
    reads: JourneyReads
    on_entries: Callable[[], None]

    async def run(self) -> None:
        """Take audiences until cancelled. Errors are logged and retried."""
        await repeat("schedules", self._step, Backoff(2 * POLL_INTERVAL_S, MAX_BACKOFF_S))

    async def _step(self) -> None:
        if not await self.take_once():
            await asyncio.sleep(POLL_INTERVAL_S)

    async def take_once(self) -> int:
        """Take one page of each audience that is due; return how many pages there were."""
        async with acquire(self.database.pool) as conn:
            workspaces = [row[0] for row in await conn.fetch(schedules.Q.load_workspaces)]
            if not workspaces:
                return 0
            histories = await load_journeys(conn, workspaces)
            last = await schedules.load_last(conn)
            known_us: int = await conn.fetchval(store.Q.known_us)
        pages = 0
        for (workspace_id, journey_id), history in histories.items():
            due = due_occurrence(history, last.get((workspace_id, journey_id)), known_us)
            if due is not None:
                await self._take_page(workspace_id, *due)
                pages += 1
        return pages

    async def _take_page(
        self, workspace_id: WorkspaceId, journey: Journey, occurrence: Occurrence
    ) -> None:
        at = workspace_id, journey.journey_id, occurrence.occurs_us
        members, token = await self.reads.members(
            workspace_id, journey.entry.audience, occurrence.occurs_us, occurrence.page_token
        )
        async with acquire(self.database.pool) as conn:
            policies = await load_contact_policies(conn, [workspace_id], occurrence.occurs_us)
        policy = policies.get(workspace_id, ContactPolicy())
        persons = {(workspace_id, profile_id): policy.zone for profile_id in members}
        zones = await self.reads.zones(persons) if persons else {}
        facts: dict[tuple[WorkspaceId, FactId], JourneyFact] = {}
        for number, profile_id in enumerate(members, occurrence.taken):
            zone = zones[workspace_id, profile_id]
            leaf_id, occurs_us = LeafId(profile_id), occurrence.occurs_us
            own = member_entry(workspace_id, journey, occurs_us, leaf_id, zone, number)
            subjects = (schedule_subject(journey.journey_id),)
            facts[workspace_id, own[0]] = JourneyFact(leaf_id, *own, occurs_us, subjects)
        dues = [
            (DueKey(workspace_id, journey.journey_id, fact.leaf_id), fact.occurred_at_us)
            for fact in facts.values()
        ]
        async with transaction(self.database.pool) as conn:
            await conn.execute(schedules.Q.add_occurrence, *at)
            changed = (occurrence.page_token, token, len(members))
            if await conn.fetchval(schedules.Q.take_page, *at, *changed) is not None:
                await store.add_facts(conn, facts)
                await store.add_dues(conn, dues)
        self.on_entries()


def due_occurrence(
    history: JourneyHistory, last: Occurrence | None, known_us: int
) -> tuple[Journey, Occurrence] | None:
    """Return the occurrence of a schedule whose audience is to be taken; None = there is none.

    An occurrence is one of the version that is in force at its instant: a later version neither
    changes its audience, nor has occurrences of before its definition.
    """
    if last is not None and not last.is_complete:
        begun = history.at(last.occurs_us)
        return None if begun is None else (begun.program.journey, last)
    if history.flow_at(known_us) is Flow.STOPPED:
        return None
    after_us = history.versions[0].defined_at_us if last is None else last.occurs_us
    for version, next_us in history.periods(known_us):
        journey = version.program.journey
        trigger = journey.entry.by
        if journey.retired or not isinstance(trigger, ScheduleTrigger):
            continue
        since_us = max(after_us, version.defined_at_us - 1)
        occurs_us = first_instant(trigger, since_us, next_us - 1)
        if occurs_us is not None:
            return journey, Occurrence(occurs_us)
    return None
