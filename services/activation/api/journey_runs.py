"""Serves the calls of JourneyService that read runs of journeys."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.activation.v1 import journey_service_pb2 as pb

from services.activation.api.journey_results import JourneyResultRpc
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.evidence import cited_facts
from services.activation.domain.journeys.explained import EntryReason, explain_entries
from services.activation.domain.journeys.looks import ideal_of
from services.activation.domain.journeys.regrets import RegretKind, person_regrets
from services.activation.domain.journeys.run import ContactHours
from services.activation.projection.journeys.player import contact_hours, known_person, needs_zone
from services.activation.projection.journeys.verification import BEFORE, RunVerifier
from services.activation.store import run_reads as store
from services.activation.store.journeys import load_contact_policy, load_journeys_of_workspace
from services.activation.store.runs import PersonKey, StoredPerson, load_persons, profiles_of
from services.chassis.access.principal import workspace_id
from services.chassis.codec.comparisons import EnumNumbers
from services.chassis.codec.fields import PageToken, at_least_of, page_size_of
from services.chassis.postgres.database import acquire
from services.kernel.errors import NotFound
from services.kernel.ids import LeafId, ProfileId, parse_id, to_hex
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.time import SECOND_US

#: (begun_at_us, run_id) of the last run of a page.
_PAGE_TOKEN: Final = PageToken("q16s")
_REASONS: Final = EnumNumbers(EntryReason, pb.EntryReason, "reason of an entry")
_KINDS: Final = EnumNumbers(RegretKind, pb.RegretKind, "kind of regret")
#: How long a due may have passed before something is wrong.
OVERDUE_US: Final = 60 * SECOND_US


@dataclass(eq=False, kw_only=True)
class JourneyRunRpc(JourneyResultRpc):
    """The calls of onefold.activation.v1.JourneyService about runs."""

    verifier: RunVerifier

    async def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        await self.runner.catch_up(at_least_of(request))
        size = page_size_of(request)
        before = _PAGE_TOKEN.decode(request.page_token) or store.NEWEST
        async with acquire(self.database.api_pool) as conn:
            leaves = None
            if request.profile_id:
                profile_id = ProfileId(parse_id(request.profile_id, "profile_id"))
                leaves = await store.leaves_of_profile(conn, workspace_id(), profile_id)
            rows = await conn.fetch(
                store.Q.list_runs,
                workspace_id(),
                *before,
                request.journey_id,
                request.state,
                leaves,
                size,
            )
        token = ""
        if len(rows) == size:
            token = _PAGE_TOKEN.encode(rows[-1]["begun_at_us"], rows[-1]["run_id"])
        return pb.ListRunsResponse(runs=map(_run, rows), next_page_token=token)

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        run_id = parse_id(request.run_id, "run_id")
        async with acquire(self.database.api_pool) as conn:
            row = await conn.fetchrow(store.Q.load_run, workspace_id(), run_id)
            if row is None:
                raise NotFound("no run has this id; list the runs of the journey")
            effects = await _load_effects(conn, [row["leaf_id"]])
        return _whole_run(row, effects)

    async def WhyRun(self, request: pb.WhyRunRequest, context: Any) -> pb.WhyRunResponse:
        await self.runner.catch_up(at_least_of(request))
        workspace, profile_id = workspace_id(), parse_id(request.profile_id, "profile_id")
        async with acquire(self.database.api_pool) as conn:
            histories = await load_journeys_of_workspace(conn, workspace)
            history = histories.get(request.journey_id)
            if history is None:
                raise NotFound("no journey has this id; list them")
            person = PersonKey(workspace, request.journey_id, ProfileId(profile_id))
            known_us = await store.load_known_us(conn)
            stored = (await load_persons(conn, [person], known_us))[person]
            leaves = await store.leaves_of_profile(conn, workspace, person.profile_id)
            effects = await _load_effects(conn, leaves)
            rows = await conn.fetch(
                store.Q.list_runs,
                workspace,
                *store.NEWEST,
                request.journey_id,
                0,
                leaves,
                store.MAX_RUNS,
            )
            found = await load_contact_policy(conn, workspace)
        policy = found[0] if found else ContactPolicy()
        begun = store.begun_of(effects)
        hours = contact_hours(policy, policy.zone.default)
        known = known_person(person, stored, begun, hours, {})
        entries = explain_entries(known, history, known_us)
        cited = await asyncio.to_thread(cited_facts, person.profile_id, known, history, known_us)
        return pb.WhyRunResponse(
            entries=[
                pb.EntryExplanation(
                    fact_id=to_hex(each.entry.fact_id),
                    occurred_at_us=each.entry.occurred_at_us,
                    reason=_REASONS.to_proto(each.reason),
                    run_id=to_hex(each.run_id) if each.run_id else "",
                    cited_fact_ids=map(to_hex, cited.get(each.entry.fact_id, ())),
                    caused_at_us=each.entry.caused_at_us,
                )
                for each in entries
            ],
            runs=[_whole_run(row, effects) for row in rows],
        )

    async def SummarizeJourney(
        self, request: pb.SummarizeJourneyRequest, context: Any
    ) -> pb.SummarizeJourneyResponse:
        await self.runner.catch_up(at_least_of(request))
        key = workspace_id(), request.journey_id
        async with (
            acquire(self.database.api_pool) as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            runs = await conn.fetch(store.Q.count_runs, *key)
            effects = await conn.fetch(store.Q.count_run_effects, *key)
        return _summary(runs, effects)

    async def AuditRuns(self, request: pb.AuditRunsRequest, context: Any) -> pb.AuditRunsResponse:
        key = workspace_id(), request.journey_id
        async with acquire(self.database.api_pool) as conn:
            known_us = await store.load_known_us(conn)
            unended = await conn.fetch(store.Q.count_unended, *key)
            waiting = await conn.fetch(store.Q.count_unanswered, *key)
            rows = await conn.fetch(store.Q.find_problems, *key, known_us - OVERDUE_US)
        findings = [
            pb.RunFinding(run=_run(row), problem=row["problem"])
            for row in rows
            if row["problem"] != pb.RUN_PROBLEM_NOT_PUBLISHED
            or _last_known_us(row) <= known_us - OVERDUE_US
        ]
        unanswered = sum(row["count"] for row in waiting)
        open_runs = sum(row["count"] for row in unended if row["state"] == pb.RUN_STATE_OPEN)
        return pb.AuditRunsResponse(
            wait_for_time=max(0, open_runs - unanswered),
            asleep=sum(row["count"] for row in unended if row["state"] != pb.RUN_STATE_OPEN),
            wait_for_answers=unanswered,
            findings=findings,
        )

    async def ListRegrets(
        self, request: pb.ListRegretsRequest, context: Any
    ) -> pb.ListRegretsResponse:
        workspace, size = workspace_id(), page_size_of(request)
        before = _before_page(request)
        async with acquire(self.database.api_pool) as conn:
            histories = await load_journeys_of_workspace(conn, workspace)
            history = histories.get(request.journey_id)
            if history is None:
                raise NotFound("no journey has this id; list them")
            period = (workspace, request.journey_id, *before, request.to_us, size)
            rows = await conn.fetch(store.Q.runs_after, *period)
            known_us = await store.load_known_us(conn)
            leaves = [(workspace, LeafId(row["leaf_id"])) for row in rows]
            profiles = await profiles_of(conn, leaves, known_us) if leaves else {}
            keys = {
                PersonKey(workspace, request.journey_id, profiles.get(leaf, ProfileId(leaf[1])))
                for leaf in leaves
            }
            persons = await load_persons(conn, keys, known_us) if keys else {}
            found = await load_contact_policy(conn, workspace)
        policy = found[0] if found else ContactPolicy()
        response = pb.ListRegretsResponse(persons=len(persons))
        zones = {(workspace, key.profile_id): policy.zone for key in persons}
        if zones and needs_zone(history, policy):
            of_persons = await self.verifier.upstream.zones(zones)
        else:
            of_persons = dict.fromkeys(zones, policy.zone.default)
        for key, stored in sorted(persons.items()):
            hours = contact_hours(policy, of_persons[workspace, key.profile_id])
            await self._add_regrets(response, key, stored, history, hours, known_us)
        if len(rows) == size:
            last = rows[-1]
            response.next_page_token = _PAGE_TOKEN.encode(last["begun_at_us"], last["run_id"])
        return response

    async def _add_regrets(
        self,
        response: pb.ListRegretsResponse,
        key: PersonKey,
        stored: StoredPerson,
        history: JourneyHistory,
        hours: ContactHours,
        known_us: int,
    ) -> None:
        leaves = {run.record.first.leaf_id for run in stored.runs.values()}
        async with acquire(self.database.api_pool) as conn:
            effects = await _load_effects(conn, leaves)
        begun = store.begun_of(effects)
        person = known_person(key, stored, begun, hours, {})
        ideal = ideal_of(person, history, known_us)
        version = history.at(known_us)
        if ideal is None or ideal.questions or version is None:
            response.left_out += 1
            return
        every = {id_: {(e["step_id"], e["visit"]) for e in own} for id_, own in effects.items()}
        found = person_regrets(version.program, person.records, begun, every, ideal, person.facts)
        for each in found:
            _, step_id, visit = each.message
            response.regrets.add(
                profile_id=to_hex(key.profile_id),
                kind=_KINDS.to_proto(each.kind),
                step_id=step_id,
                visit=visit,
                sent_at_us=each.sent_at_us or 0,
                ideal_at_us=each.ideal_at_us or 0,
                fact_id=to_hex(each.fact_id) if each.fact_id else "",
            )

    async def VerifyRuns(
        self, request: pb.VerifyRunsRequest, context: Any
    ) -> pb.VerifyRunsResponse:
        before = _before_page(request)
        found = await self.verifier.verify(
            workspace_id(), request.journey_id, before, request.to_us, page_size_of(request)
        )
        return pb.VerifyRunsResponse(
            next_page_token=_PAGE_TOKEN.encode(*found.last) if found.last else "",
            runs=found.runs,
            transitions=found.transitions,
            unjustified=[
                pb.UnjustifiedTransition(
                    run_id=to_hex(each.run_id), number=each.number, problem=each.problem
                )
                for each in found.unjustified
            ],
        )


async def _load_effects(
    conn: asyncpg.Connection, leaves: Iterable[bytes]
) -> Mapping[bytes, list[Any]]:
    """Return the rows of the effects of leaves, by run."""
    found: defaultdict[bytes, list[Any]] = defaultdict(list)
    for row in await conn.fetch(store.Q.load_run_effects, workspace_id(), list(leaves)):
        found[row["run_id"]].append(row)
    return found


def _before_page(request: pb.ListRegretsRequest | pb.VerifyRunsRequest) -> tuple[int, bytes]:
    """Return when the run before those of a page began, and its id: the page is of a period."""
    return _PAGE_TOKEN.decode(request.page_token) or (max(request.from_us, 0) - 1, BEFORE)


def _run(row: Any) -> pb.JourneyRun:
    return pb.JourneyRun(
        run_id=to_hex(row["run_id"]),
        journey_id=row["journey_id"],
        version=row["version"],
        leaf_id=to_hex(row["leaf_id"]),
        begun_at_us=row["begun_at_us"],
        state=row["state"],
        end_reason=row["end_reason"],
        step_id=row["step_id"],
        due_us=row["due_us"] or 0,
    )


def _whole_run(row: Any, effects: Mapping[bytes, list[Any]]) -> pb.GetRunResponse:
    return pb.GetRunResponse(
        run=_run(row),
        transitions=runs_pb.RunTransitions.FromString(row["transitions"]).transitions,
        effects=[
            pb.JourneyEffect(
                effect_id=to_hex(own["effect_id"]),
                step_id=own["step_id"],
                visit=own["visit"],
                at_us=own["changed_at_us"],
                destination_id=own["destination_id"],
                state=own["state"],
                reason=own["reason"],
                begun_at_us=own["begun_at_us"] or 0,
                template_version=own["template_version"] or 0,
            )
            for own in effects.get(row["run_id"], ())
        ],
    )


def _last_known_us(row: Any) -> int:
    """Return up to when facts were known for the last transition of a run."""
    return runs_pb.RunTransitions.FromString(row["transitions"]).transitions[-1].known_at_us


def _summary(runs: Iterable[Any], effects: Iterable[Any]) -> pb.SummarizeJourneyResponse:
    response = pb.SummarizeJourneyResponse()
    ends: defaultdict[int, int] = defaultdict(int)
    steps: defaultdict[str, pb.JourneyStepCount] = defaultdict(pb.JourneyStepCount)
    for row in runs:
        response.begun += row["count"]
        match row["state"]:
            case pb.RUN_STATE_OPEN:
                response.open += row["count"]
                steps[row["step_id"]].open += row["count"]
            case pb.RUN_STATE_ASLEEP:
                response.asleep += row["count"]
            case _:
                ends[row["end_reason"]] += row["count"]
    for row in effects:
        steps[row["step_id"]].effects.add(state=row["state"], count=row["count"])
    for reason, count in sorted(ends.items()):
        response.ended.add(reason=reason, count=count)
    for step_id, counted in sorted(steps.items()):
        counted.step_id = step_id
        response.steps.append(counted)
    return response
