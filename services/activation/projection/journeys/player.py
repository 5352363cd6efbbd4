"""Plays the runs of persons when something is learnt or due, and saves what follows.

A look reads and saves in one transaction under the locks of the persons. It calls no other service:
a person with a question stays due, the question is answered without a transaction, and the next
look has the answer. So no lock waits for segment, and a crash in between repeats the question.

Locks are taken in the order dues (those that are free), persons, effects, runs, each ascending. Of
the dues only those that were claimed are changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import KnownPerson, Look, can_play, look_at
from services.activation.domain.journeys.planned import LedgerChanges, ledger_changes
from services.activation.domain.journeys.run import ContactHours, Question
from services.activation.projection.journeys.knowledge import (
    JourneyReads,
    Knowledge,
    Person,
    PersonQuestion,
)
from services.activation.store import runs as store
from services.activation.store.journeys import load_contact_policies, load_journeys
from services.activation.store.run_effects import (
    add_planned_effects,
    load_begun,
    lock_persons,
    withdraw_effects,
)
from services.activation.store.runs import DueKey, PersonKey, StoredPerson
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.chassis.runtime.backoff import Backoff
from services.chassis.runtime.repeat import repeat, wait_at_most
from services.kernel.errors import OnefoldError
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy, ZonePolicy
from services.kernel.local_time import ZoneHistory

log = structlog.get_logger(__name__)

#: Leaves that are looked at in one transaction.
PAGE = 500
#: Seconds between two checks of what is due, where nothing wakes the player.
POLL_INTERVAL_S = 0.25
#: Seconds for which persons gather after a look at few of them: a look has a high fixed cost.
GATHERING_S = 0.3
#: Seconds after a due for which the log may move on by itself; then a tick is requested.
TICK_AFTER_S = 0.25
MAX_BACKOFF_S = 10.0
NOTHING: Final = Knowledge()
NO_POLICY: Final = ContactPolicy()


@dataclass
class LookResult:
    """What one transaction has done."""

    #: Leaves that were looked at.
    looked_at: int = 0
    #: What is to be answered before these stay due no more.
    questions: dict[PersonQuestion, list[DueKey]] = field(default_factory=dict)
    #: The persons whose zone is to be read first, with the policies that say how.
    zones: dict[Person, ZonePolicy] = field(default_factory=dict)
    waiting: list[DueKey] = field(default_factory=list)
    #: Whether runs have new transitions.
    has_transitions: bool = False


@dataclass
class JourneyPlayer:
    """Looks at persons; any number of replicas do so beside each other."""

    database: Database
    runner: ProjectionRunner
    log_client: LogClient
    upstream: JourneyReads
    shards: int
    #: Set when runs have transitions to publish.
    transitions: asyncio.Event = field(default_factory=asyncio.Event)
    _work: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _ticked_for: int = field(default=0, init=False)

    def wake(self) -> None:
        """Look soon at what is due."""
        self._work.set()

    async def run(self) -> None:
        """Look until cancelled. Errors are logged and retried."""
        await repeat("journeys", self._step, Backoff(2 * POLL_INTERVAL_S, MAX_BACKOFF_S))

    async def _step(self) -> None:
        self._work.clear()
        looked_at = await self.look() if await self._is_due() else 0
        if not looked_at:
            await wait_at_most(self._work, POLL_INTERVAL_S)
        elif looked_at < PAGE:
            await asyncio.sleep(GATHERING_S)

    async def _is_due(self) -> bool:
        """Return whether anything is due; ask the log for a tick where it stands before a due."""
        async with acquire(self.database.pool) as conn:
            [(due_us, known_us)] = await conn.fetch(store.Q.next_due)
        if due_us is None or due_us <= known_us:
            return due_us is not None
        now_us = time.time_ns() // 1_000
        if due_us + TICK_AFTER_S * 1e6 <= now_us and due_us != self._ticked_for:
            self._ticked_for = due_us
            await self.log_client.tick()
        return False

    async def look(self) -> int:
        """Look at one page of what is due, and answer its questions; return how many leaves."""
        await self._spread_change()
        moved = await self._spread_moves()
        result = await self.look_once()
        looked_at = moved + result.looked_at
        known = NOTHING
        while result.waiting:
            try:
                known = await self._ask(result, known)
            except OnefoldError as error:
                # The looks stay due and are repeated after a while.
                log.warning("journeys_unanswered", reason=error.reason)
                break
            result = await self.look_once(result.waiting, known)
            looked_at += result.looked_at
        return looked_at

    async def _ask(self, result: LookResult, known: Knowledge) -> Knowledge:
        """Return what is known with what a look lacks. Raises OnefoldError."""
        answers, zones = dict(known.answers), dict(known.zones)
        if result.questions:
            answers |= await self.upstream.judge(result.questions, await self.runner.token())
        if result.zones:
            zones |= await self.upstream.zones(result.zones)
        return Knowledge(answers, zones)

    async def look_once(
        self, keys: Collection[DueKey] = (), knowledge: Knowledge = NOTHING
    ) -> LookResult:
        """Look at what is due in one transaction; `keys`: at these leaves alone."""
        result = LookResult()
        async with transaction(self.database.pool) as conn:
            known_us: int = await conn.fetchval(store.Q.known_us)
            due = await store.claim_due(conn, known_us, PAGE, keys)
            if due:
                await self._look_at(conn, due, known_us, knowledge, result)
        if result.has_transitions:
            self.transitions.set()
        return result

    async def _look_at(
        self,
        conn: asyncpg.Connection,
        due: Collection[DueKey],
        known_us: int,
        knowledge: Knowledge,
        result: LookResult,
    ) -> None:
        leaves = [(key.workspace_id, key.leaf_id) for key in due]
        profiles = await store.profiles_of(conn, leaves, known_us)
        persons: defaultdict[PersonKey, list[DueKey]] = defaultdict(list)
        for key in due:
            profile_id = profiles.get((key.workspace_id, key.leaf_id), key.leaf_id)
            person = PersonKey(key.workspace_id, key.journey_id, ProfileId(profile_id))
            persons[person].append(key)
        await lock_persons(conn, {person.profile_id for person in persons})
        stored = await _load_persons(conn, persons, known_us)
        workspaces = {person.workspace_id for person in persons}
        histories = await load_journeys(conn, workspaces)
        policies = await load_contact_policies(conn, workspaces, known_us)
        # A run that has planned nothing has no effect in the ledger.
        run_leaves = {
            run.record.first.leaf_id
            for each in stored.values()
            for run in each.runs.values()
            if run.record.planned
        }
        begun = await load_begun(conn, run_leaves) if run_leaves else {}
        looks: dict[PersonKey, Look] = {}
        hours_of: dict[tuple[WorkspaceId, str], ContactHours] = {}
        answers: defaultdict[PersonKey, dict[Question, bool]] = defaultdict(dict)
        for (person, question), answer in knowledge.answers.items():
            answers[person][question] = answer
        for person, own in stored.items():
            history = histories.get((person.workspace_id, person.journey_id))
            if history is None:
                looks[person] = Look()
                continue
            policy = policies.get(person.workspace_id, NO_POLICY)
            owner = person.workspace_id, person.profile_id
            plays = own.runs or can_play(own.facts, history, known_us)
            if plays and owner not in knowledge.zones and needs_zone(history, policy):
                result.zones[owner] = policy.zone
                result.waiting += persons[person]
                continue
            zone = knowledge.zones.get(owner, policy.zone.default)
            if (hours := hours_of.get((person.workspace_id, zone))) is None:
                hours = hours_of[person.workspace_id, zone] = contact_hours(policy, zone)
            known = known_person(person, own, begun, hours, answers.get(person, {}))
            looks[person] = look_at(known, history, known_us)
        for person, look in looks.items():
            for question in look.questions:
                result.questions[person, question] = persons[person]
            if look.questions:
                result.waiting += persons[person]
        await self._save(conn, persons, stored, looks, histories, known_us)
        await store.postpone_dues(conn, result.waiting)
        for person, look in looks.items():
            result.looked_at += len(persons[person])
            result.has_transitions |= any(run.transitions for run in look.runs)

    async def _save(
        self,
        conn: asyncpg.Connection,
        persons: Mapping[PersonKey, list[DueKey]],
        stored: Mapping[PersonKey, StoredPerson],
        looks: Mapping[PersonKey, Look],
        histories: Mapping[tuple[WorkspaceId, str], JourneyHistory],
        known_us: int,
    ) -> None:
        runs = [
            (person, run, stored[person].runs.get(run.record.run_id))
            for person, look in looks.items()
            for run in look.runs
        ]
        await store.save_runs(conn, runs, known_us)
        changes = LedgerChanges([], [])
        dues: dict[DueKey, int | None] = {}
        answered = []
        for person, look in looks.items():
            keys = persons[person]
            if look.questions:
                continue
            dues.update(dict.fromkeys(keys))
            dues[keys[0]] = look.due_us
            answered.append((keys[0], look, stored[person]))
            if look.runs:
                history = histories[person.workspace_id, person.journey_id]
                new = ledger_changes(person.workspace_id, person.profile_id, history, look.runs)
                changes.withdrawn.extend(new.withdrawn)
                changes.planned.extend(new.planned)
        for reason in sorted({each.reason for each in changes.withdrawn}):
            own = [(w.effect_id, w.leaf_id) for w in changes.withdrawn if w.reason == reason]
            await withdraw_effects(conn, own, self.shards, reason)
        if changes.planned:
            await add_planned_effects(conn, changes.planned, self.shards)
        await store.save_answers(conn, answered)
        await store.save_dues(conn, dues, known_us)

    async def _spread_change(self) -> None:
        """Make all open runs of a journey due that has another version or was stopped."""
        async with transaction(self.database.pool) as conn:
            known_us: int = await conn.fetchval(store.Q.known_us)
            row = await conn.fetchrow(store.Q.claim_journey, known_us)
            if row is not None:
                key = row["workspace_id"], row["journey_id"]
                await conn.execute(store.Q.add_dues_of_journey, *key, row["due_us"])
                await store.save_dues(conn, {DueKey(*key, store.EVERY_LEAF): None}, known_us)

    async def _spread_moves(self) -> int:
        """Make due what moves of leaves concern; return how many leaves there were.

        Every shard has passed the moves: what a fold takes in after a move, and what happened
        before it, is concerned as well.
        """
        async with transaction(self.database.pool) as conn:
            known_us: int = await conn.fetchval(store.Q.known_us)
            moved = await store.claim_moves(conn, known_us, PAGE)
            if moved:
                found = await store.concerned_by_moves(conn, moved)
                dues = set(found.runs)
                histories = await load_journeys(conn, {moved[0].workspace_id})
                # An entry that another run of the person refused begins one where its leaf is
                # alone again.
                for workspace_id, leaf_id, subject in found.happened:
                    for (_, journey_id), history in histories.items():
                        if subject in history.subjects:
                            dues.add(DueKey(workspace_id, journey_id, leaf_id))
                await store.add_dues(conn, [(key, known_us) for key in dues])
                await store.save_dues(conn, dict.fromkeys(moved), known_us)
        return len(moved)


async def _load_persons(
    conn: asyncpg.Connection, persons: Mapping[PersonKey, list[DueKey]], known_us: int
) -> Mapping[PersonKey, StoredPerson]:
    """Return the persons at which no look has known more; the others are looked at later.

    Another replica may know more, and after the loss of the database so do the runs of the log
    until everything is folded again.
    """
    found = await store.load_persons(conn, persons, known_us)
    later = {
        key: own.known_us
        for person, own in found.items()
        if own.known_us > known_us
        for key in persons[person]
    }
    if not later:
        return found
    await store.save_dues(conn, later, known_us)
    return {person: own for person, own in found.items() if own.known_us <= known_us}


def contact_hours(policy: ContactPolicy, zone: str) -> ContactHours:
    """Return when a person in a zone may be sent messages."""
    quiet = {purpose: policy.quiet_hours(purpose) for purpose in policy.purposes}
    return ContactHours(ZoneHistory(zone), quiet)


def needs_zone(history: JourneyHistory, policy: ContactPolicy) -> bool:
    """Return whether the zone of a person is read from the profile for a journey."""
    has_quiet = any(policy.quiet_hours(purpose) for purpose in policy.purposes)
    return bool(policy.zone.traits) and (has_quiet or history.reads_clock)


def known_person(
    person: PersonKey,
    stored: StoredPerson,
    begun: Mapping[bytes, Collection[tuple[str, int]]],
    hours: ContactHours,
    answers: Mapping[Question, bool],
) -> KnownPerson:
    """Return what is known of a person; `answers`: besides those that are stored."""
    return KnownPerson(
        person.workspace_id,
        stored.facts,
        {id_: run.record for id_, run in stored.runs.items()},
        begun,
        hours,
        {**stored.answers, **answers} if answers else stored.answers,
        [id_ for id_, run in stored.runs.items() if run.closed],
        stored.coupons,
    )
