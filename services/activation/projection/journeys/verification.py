"""Verifies the transitions of runs: each must be in the log, and follow from what the log has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from services.activation.codec.journey_inputs import EVENT, LoggedEvent, logged_event
from services.activation.codec.journey_runs import (
    RUN_TRANSITIONED,
    LoggedTransition,
    logged_transition,
    stored_transitions,
    transition_from_proto,
)
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.looks import JourneyFact, KnownPerson
from services.activation.domain.journeys.program import event_subject, named_events
from services.activation.domain.journeys.verified import (
    BegunEffect,
    KnownTransition,
    LoggedPerson,
    Unjustified,
    check_look,
    looks_of,
)
from services.activation.projection.journeys.knowledge import JourneyReads
from services.activation.projection.journeys.player import contact_hours, needs_zone
from services.activation.store import run_reads
from services.activation.store.journeys import load_contact_policy, load_journeys_of_workspace
from services.activation.store.runs import PersonKey, StoredPerson, load_persons, profiles_of
from services.chassis.postgres.database import acquire
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.inputs import select_properties
from services.kernel.rules.filters import ANY_EVENT, EventFilter, matcher
from services.kernel.rules.ids import structure_id

#: Before the first run that begins at an instant.
BEFORE: Final = b"\xff" * 16
#: The most findings that are returned.
MAX_FINDINGS: Final = 100
NOT_LOGGED: Final = "the log does not have it, or has another one"
#: The first part of the subjects of events, which are facts of the log.
EVENT_SUBJECT: Final = ("event",)
FACT_DIFFERS: Final = "a fact that it may rest on is not that of the log"


@dataclass
class Verification:
    """What was verified so far."""

    runs: int = 0
    transitions: int = 0
    unjustified: list[Unjustified] = field(default_factory=list)
    #: When the last run began, and its id, where more may follow.
    last: tuple[int, bytes] | None = None


@dataclass(frozen=True)
class RunVerifier:
    """Computes the transitions of runs again."""

    pool: asyncpg.Pool
    log_client: LogClient
    upstream: JourneyReads

    async def verify(
        self,
        workspace_id: WorkspaceId,
        journey_id: str,
        before: tuple[int, bytes],
        to_us: int,
        size: int,
    ) -> Verification:
        """Verify a page of the runs that began in a period, in the order in which they began.

        Empty `journey_id` = all; `before`: when a run began, and its id. Raises OnefoldError.
        """
        result = Verification()
        async with acquire(self.pool) as conn:
            histories = await load_journeys_of_workspace(conn, workspace_id)
            key = workspace_id, journey_id
            rows = await conn.fetch(run_reads.Q.runs_after, *key, *before, to_us, size)
        await self._verify_page(workspace_id, rows, histories, result)
        del result.unjustified[MAX_FINDINGS:]
        if len(rows) == size:
            result.last = rows[-1]["begun_at_us"], rows[-1]["run_id"]
        return result

    async def _verify_page(
        self,
        workspace_id: WorkspaceId,
        rows: Sequence[Any],
        histories: Mapping[str, JourneyHistory],
        result: Verification,
    ) -> None:
        logged = _LoggedLeaves(self.log_client, workspace_id)
        await logged.read({LeafId(row["leaf_id"]) for row in rows})
        for row in rows:
            history = histories.get(row["journey_id"])
            stored = stored_transitions(row["transitions"])
            result.runs += 1
            result.transitions += len(stored)
            missing = [
                each.number
                for each in stored
                if each.number <= row["published"]
                and logged.transitions.get(row["run_id"], {}).get(each.number) != each
            ]
            if missing or history is None:
                number = missing[0] if missing else 1
                result.unjustified.append(Unjustified(row["run_id"], number, NOT_LOGGED))
                continue
            for known_us in looks_of(_known(stored)):
                person = await self._person(workspace_id, row, history, known_us)
                # Those of a person may be of other leaves than the run.
                await logged.read({fact.leaf_id for fact in person.person.facts})
                if any(_differs(f, logged.facts, history) for f in person.person.facts):
                    first = next(each for each in stored if each.known_at_us == known_us)
                    own = Unjustified(row["run_id"], first.number, FACT_DIFFERS)
                    result.unjustified.append(own)
                    break
                found = check_look(person, history, known_us)
                if found:
                    result.unjustified += found
                    break

    async def _person(
        self, workspace_id: WorkspaceId, row: Any, history: JourneyHistory, known_us: int
    ) -> LoggedPerson:
        """Return what is known of the person whose run it was at an instant."""
        leaf = workspace_id, LeafId(row["leaf_id"])
        async with acquire(self.pool) as conn:
            profiles = await profiles_of(conn, [leaf], known_us)
            profile_id = profiles.get(leaf, ProfileId(row["leaf_id"]))
            key = PersonKey(workspace_id, row["journey_id"], profile_id)
            stored = (await load_persons(conn, [key], known_us))[key]
            leaves = {run.record.first.leaf_id for run in stored.runs.values()}
            effects = await conn.fetch(run_reads.Q.load_run_effects, workspace_id, list(leaves))
            found = await load_contact_policy(conn, workspace_id, known_us)
        policy = found[0] if found else ContactPolicy()
        zone = policy.zone.default
        if needs_zone(history, policy):
            person = workspace_id, profile_id
            zone = (await self.upstream.zones({person: policy.zone}))[person]
        known = KnownPerson(
            *(workspace_id, stored.facts, {}, {}, contact_hours(policy, zone), stored.answers),
            coupons=stored.coupons,
        )
        begun = [
            BegunEffect(e["begun_at_us"], e["run_id"], (e["step_id"], e["visit"]))
            for e in effects
            if e["begun_at_us"] is not None
        ]
        return LoggedPerson(known, _of_runs(stored), begun)


def _of_runs(stored: StoredPerson) -> list[KnownTransition]:
    return [
        known
        for run in stored.runs.values()
        for known in _known(stored_transitions(run.transitions))
    ]


def _known(transitions: Iterable[LoggedTransition]) -> list[KnownTransition]:
    return [KnownTransition(t.known_at_us, transition_from_proto(t)) for t in transitions]


class _LoggedLeaves:
    """The facts of leaves, read once."""

    def __init__(self, log_client: LogClient, workspace_id: WorkspaceId) -> None:
        self._log_client, self._workspace_id = log_client, workspace_id
        self._leaves: set[LeafId] = set()
        self.facts: dict[bytes, Any] = {}
        #: By run and number.
        self.transitions: defaultdict[bytes, dict[int, LoggedTransition]] = defaultdict(dict)

    async def read(self, leaves: Collection[LeafId]) -> None:
        """Read the facts of leaves that were not read before. Raises OnefoldError."""
        missing = set(leaves) - self._leaves
        if not missing:
            return
        self._leaves |= missing
        for fact in await self._log_client.read_leaves(self._workspace_id, sorted(missing)):
            self.facts[fact.fact_id] = fact
            if fact.kind == RUN_TRANSITIONED:
                with suppress(InvalidField):  # then the log does not have it
                    message = logged_transition(fact.payload)
                    self.transitions[message.run_id][message.number] = message


def _differs(fact: JourneyFact, facts: Mapping[bytes, Any], history: JourneyHistory) -> bool:
    """Return whether an event of a person is not the one that the log has."""
    logged = facts.get(fact.fact_id)
    if logged is None:
        return any(subject[:1] == EVENT_SUBJECT for subject in fact.subjects)
    if logged.kind != EVENT:
        return False
    event = logged_event(logged.payload)
    instants = logged.occurred_at_us, logged.recorded_at_us
    if event is None or instants != (fact.occurred_at_us, fact.recorded_at_us):
        return True
    if select_properties(event.properties, fact.properties) != fact.properties:
        return True
    return any(
        event_subject(structure_id(events)) in fact.subjects and not _matches(events, event)
        for events in _awaited(history)
    )


def _awaited(history: JourneyHistory) -> Iterable[EventFilter]:
    for version in history.versions:
        for trigger in named_events(version.program.journey):
            yield trigger.events


def _matches(events: EventFilter, event: LoggedEvent) -> bool:
    is_named = event.name in events.names or ANY_EVENT in events.names
    return is_named and (not events.where or matcher(events.where)(event.properties))
