"""Serves the results of journeys: what became of messages, and who reached a goal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1 import journey_service_pb2_grpc as pb_grpc

from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.results import (
    GroupCount,
    RunGroup,
    groups_of,
    held_out_beside,
    is_converted,
)
from services.activation.store import run_reads as store
from services.activation.store.journeys import load_contact_policy, load_journeys_of_workspace
from services.activation.store.runs import PersonKey, StoredPerson, load_persons, profiles_of
from services.chassis.access.principal import workspace_id
from services.chassis.codec.fields import at_least_of
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import LeafId, ProfileId
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.time import DAY_US

#: What counts where a request does not say it.
USUAL_US: Final = 30 * DAY_US
#: Runs that are read together.
_PAGE: Final = 1_000


@dataclass(eq=False, kw_only=True)
class JourneyResultRpc(pb_grpc.JourneyServiceServicer):
    """The call of onefold.activation.v1.JourneyService about results."""

    database: Database
    runner: ProjectionRunner

    async def GetJourneyResults(
        self, request: pb.GetJourneyResultsRequest, context: Any
    ) -> pb.GetJourneyResultsResponse:
        await self.runner.catch_up(at_least_of(request))
        workspace, journey_id = workspace_id(), request.journey_id
        async with acquire(self.database.api_pool) as conn:
            histories = await load_journeys_of_workspace(conn, workspace)
            if journey_id not in histories:
                raise NotFound("no journey has this id; list them")
            found = await load_contact_policy(conn, workspace)
            known_us = await store.load_known_us(conn)
            period = _period(request, known_us)
            rows = await conn.fetch(store.Q.count_results, workspace, journey_id, *period)
        policy, history = found[0] if found else ContactPolicy(), histories[journey_id]
        within_us = request.within_us or USUAL_US
        programs = _programs(history)
        counts: dict[RunGroup, GroupCount] = {}
        async for stored in self._persons(journey_id, period, known_us):
            for run in stored.runs.values():
                program = programs.get(run.record.version)
                entry = run.record.first
                if program is None or not period[0] <= entry.occurred_at_us < period[1]:
                    continue
                converted = is_converted(program, run.record, stored.facts, within_us)
                for group in groups_of(program, entry, policy):
                    count = counts.setdefault(group, GroupCount())
                    count.runs += 1
                    count.converted += converted
        return pb.GetJourneyResultsResponse(
            steps=[pb.JourneyStepResult(**row) for row in rows],
            groups=[_group_to_proto(group, counts) for group in sorted(counts)],
            from_us=period[0],
            to_us=period[1],
        )

    async def _persons(
        self, journey_id: str, period: tuple[int, int], known_us: int
    ) -> AsyncIterator[StoredPerson]:
        """Yield the persons whose runs began in a period, each once."""
        workspace, seen = workspace_id(), set[ProfileId]()
        before = period[0] - 1, b"\xff" * 16
        while True:
            async with acquire(self.database.api_pool) as conn:
                place = workspace, journey_id, *before, period[1], _PAGE
                rows = await conn.fetch(store.Q.runs_after, *place)
                leaves = [(workspace, LeafId(row["leaf_id"])) for row in rows]
                profiles = await profiles_of(conn, leaves, known_us) if leaves else {}
                new = {profiles.get(leaf, ProfileId(leaf[1])) for leaf in leaves} - seen
                keys = {PersonKey(workspace, journey_id, profile_id) for profile_id in new}
                persons = await load_persons(conn, keys, known_us) if keys else {}
            seen |= new
            for stored in persons.values():
                yield stored
            if len(rows) < _PAGE:
                return
            before = rows[-1]["begun_at_us"], rows[-1]["run_id"]


def _period(request: pb.GetJourneyResultsRequest, known_us: int) -> tuple[int, int]:
    """Return the period of a request. Raises InvalidField."""
    to_us = request.to_us or known_us + 1
    from_us = request.from_us or max(0, to_us - USUAL_US)
    if from_us < 0 or from_us >= to_us:
        raise InvalidField(
            "the period is empty: from_us is less than to_us, and neither is negative",
            field="from_us",
        )
    if request.within_us < 0:
        raise InvalidField("within_us is not negative; 0 stands for 30 days", field="within_us")
    return from_us, to_us


def _programs(history: JourneyHistory) -> dict[int, Program]:
    return {v.program.journey.version: v.program for v in history.versions}


def _group_to_proto(
    group: RunGroup, counts: Mapping[RunGroup, GroupCount]
) -> pb.JourneyGroupResult:
    beside, count = held_out_beside(group, counts), counts[group]
    return pb.JourneyGroupResult(
        step_id=group.step_id,
        arm=group.arm,
        held_out=group.is_held_out,
        runs=count.runs,
        converted=count.converted,
        difference=None if beside is None else beside.value,
        margin=None if beside is None else beside.margin,
    )
