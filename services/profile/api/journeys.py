"""Serves the calls of ProfileService that read the log for journeys that are not defined."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_service_pb2_grpc import ProfileServiceServicer

from services.chassis.access.principal import workspace_id
from services.chassis.codec.fields import at_least_of
from services.chassis.codec.journeys import journey_from_proto
from services.chassis.codec.rules import rule_from_proto
from services.kernel.ids import LeafId
from services.profile.queries.history import HistoryQueries
from services.profile.queries.journeys import JourneyInputs, MatchedPerson, PastQuestion
from services.profile.queries.profiles import ProfileQueries


@dataclass(eq=False, kw_only=True)
class JourneyInputRpc(ProfileServiceServicer):
    """The calls of onefold.profile.v1.ProfileService for journeys."""

    queries: ProfileQueries
    history: HistoryQueries

    @cached_property
    def journeys(self) -> JourneyInputs:
        """What reads the log; one reader of a workspace at a time."""
        return JourneyInputs(self.history.past)

    async def MatchEvents(
        self, request: pb.MatchEventsRequest, context: Any
    ) -> AsyncIterator[pb.MatchEventsResponse]:
        await self.queries.runner.reach(at_least_of(request))
        journey = journey_from_proto(request.journey)
        pages = self.journeys.persons(workspace_id(), journey, request.from_us)
        async with aclosing(pages) as found:
            async for page in found:
                yield _page_to_proto(page)

    async def EvaluatePast(
        self, request: pb.EvaluatePastRequest, context: Any
    ) -> pb.EvaluatePastResponse:
        questions = [
            PastQuestion(
                tuple(LeafId(leaf_id) for leaf_id in each.leaf_ids),
                rule_from_proto(each.rule, f"questions[{number}].rule"),
                each.at_us,
                each.recorded_until_us,
            )
            for number, each in enumerate(request.questions)
        ]
        answers = await self.journeys.evaluate(workspace_id(), questions)
        return pb.EvaluatePastResponse(answers=answers)


def _page_to_proto(page: Iterable[MatchedPerson]) -> pb.MatchEventsResponse:
    """Return the message of some persons, which is filled in place: it has many events."""
    response = pb.MatchEventsResponse()
    for person in page:
        message = response.persons.add(profile_id=person.profile_id, leaf_ids=person.leaf_ids)
        add = message.events.add
        for fact, match in person.events:
            event = add()  # the person has its workspace and profile
            event.leaf_id, event.fact_id = fact.leaf_id, fact.fact_id
            event.occurred_at_us = fact.occurred_at_us
            event.recorded_at_us = fact.recorded_at_us
            event.filter_ids.extend(match.filter_ids)
            event.properties = match.properties
    return response
