"""Verifies the transitions of runs: each must be in the log, and follow from what the log has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from services.activation.codec.journey_inputs import EVENT, event_properties
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
from services.kernel.fold.events import read_object
from services.kernel.ids import LeafId, ProfileId, WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.rules.filters import EventFilter, matcher
from services.kernel.rules.ids import structure_id

#: Leaves whose runs are verified together.
_PAGE: Final = 200
#: The most findings that are returned.
MAX_FINDINGS: Final = 100
NOT_LOGGED: Final = "the log does not have it, or has another one"
FACT_DIFFERS: Final = "a fact that it may rest on is not that of the log"


@dataclass
class Verification:
    """What was verified so far."""

    runs: int = 0
    transitions: int = 0
    unjustified: list[Unjustified] = field(default_factory=list)


@dataclass(frozen=True)
class RunVerifier:
    """Computes the transitions of runs again."""

    pool: asyncpg.Pool
    log_client: LogClient
    upstream: JourneyReads

    async def verify(
        self, workspace_id: WorkspaceId, journey_id: str, from_us: int, to_us: int
    ) -> Verification:
        """Verify the runs that began in a period, in the order in which they began.

        Empty `journey_id` = all. Raises OnefoldError.
        """
        result = Verification()
        async with acquire(self.pool) as conn:
            histories = await load_journeys_of_workspace(conn, workspace_id)
        before = from_us - 1, b"\xff" * 16
        while len(result.unjustified) < MAX_FINDINGS:
            async with acquire(self.pool) as conn:
                key = workspace_id, journey_id
                rows = await conn.fetch(run_reads.Q.runs_after, *key, *before, to_us, _PAGE)
            if not rows:
                break
            await self._verify_page(workspace_id, rows, histories, result)
            before = rows[-1]["begun_at_us"], rows[-1]["run_id"]
        del result.unjustified[MAX_FINDINGS:]
        return result

    async def _verify_page(
        self,
        workspace_id: WorkspaceId,
        rows: Sequence[Any],
        histories: Mapping[str, JourneyHistory],
        result: Verification,
    ) -> None:
        leaves = sorted({LeafId(row["leaf_id"]) for row in rows})
        logged = await self.log_client.read_leaves(workspace_id, leaves)
        facts = {fact.fact_id: fact for fact in logged}
        of_log = _transitions(logged)
        for row in rows:
            history = histories.get(row["journey_id"])
            stored = stored_transitions(row["transitions"])
            result.runs += 1
            result.transitions += len(stored)
            missing = [
                each.number
                for each in stored
                if each.number <= row["published"]
                and of_log.get(row["run_id"], {}).get(each.number) != each
            ]
            if missing or history is None:
                number = missing[0] if missing else 1
                result.unjustified.append(Unjustified(row["run_id"], number, NOT_LOGGED))
                continue
            for known_us in looks_of(_known(stored)):
                person = await self._person(workspace_id, row, history, known_us)
                if any(_differs(f, facts, history) for f in person.person.facts):
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


def _transitions(facts: Iterable[Any]) -> Mapping[bytes, dict[int, LoggedTransition]]:
    """Return the transitions among facts, by run and number."""
    found: defaultdict[bytes, dict[int, LoggedTransition]] = defaultdict(dict)
    for fact in facts:
        if fact.kind == RUN_TRANSITIONED:
            message = logged_transition(fact.payload)
            found[message.run_id][message.number] = message
    return found


def _differs(fact: JourneyFact, facts: Mapping[bytes, Any], history: JourneyHistory) -> bool:
    """Return whether an event of a leaf that was read is not the one that the log has."""
    logged = facts.get(fact.fact_id)
    if logged is None or logged.kind != EVENT:
        return False
    instants = logged.occurred_at_us, logged.recorded_at_us
    if instants != (fact.occurred_at_us, fact.recorded_at_us):
        return True
    properties = read_object(event_properties(logged.payload))
    if any(properties.get(name) != value for name, value in fact.properties.items()):
        return True
    return any(
        event_subject(structure_id(events)) in fact.subjects and not _matches(events, properties)
        for events in _awaited(history)
    )


def _awaited(history: JourneyHistory) -> Iterable[EventFilter]:
    for version in history.versions:
        for trigger in named_events(version.program.journey):
            yield trigger.events


def _matches(events: EventFilter, properties: Mapping[str, Any]) -> bool:
    return not events.where or matcher(events.where)(properties)
