"""Finds out which of the segments, tags and stages that a journey names are defined."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2_grpc as pb_grpc

from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.codec.fields import token_to_proto
from services.chassis.codec.rules import names_to_proto, rule_to_proto
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.journeys import model
from services.kernel.journeys.model import Journey
from services.kernel.journeys.naming import JourneyProblem, journey_rules, journey_triggers
from services.kernel.rules.model import Reference, ReferenceKind, Rule
from services.kernel.rules.references import Name
from services.kernel.tokens import Token


@dataclass(frozen=True)
class RuleChecker:
    """Has profile check rules beside the others of a workspace."""

    profile: ServiceChannel

    async def problems(
        self,
        workspace_id: WorkspaceId,
        journey: Journey,
        at_least: Token,
        assumed: Collection[Name],
    ) -> list[JourneyProblem]:
        """Return the rules and memberships of a journey that cannot be, with the reasons.

        `assumed`: what is taken as defined. Raises RetryableError.
        """
        found: list[JourneyProblem] = []
        for at, rule in (*memberships(journey), *journey_rules(journey)):
            try:
                await self._check(workspace_id, rule, at_least, assumed)
            except InvalidField as error:
                remedy = "define what it refers to, or change it"
                found.append(JourneyProblem(at, error.message, remedy))
        return list(dict.fromkeys(found))

    async def _check(
        self, workspace_id: WorkspaceId, rule: Rule, at_least: Token, assumed: Collection[Name]
    ) -> None:
        stub: Any = pb_grpc.ProfileServiceStub(self.profile)
        request = pb.PreviewRuleRequest(
            rule=rule_to_proto(rule),
            at_least=token_to_proto(at_least),
            assumed=names_to_proto(assumed),
        )
        await stub.PreviewRule(request, metadata=((WORKSPACE_KEY, workspace_id),))


def memberships(journey: Journey) -> Iterator[tuple[str, Rule]]:
    """Yield the memberships that a journey names, as rules, each with where it is named."""
    entry = journey.entry
    if isinstance(entry.by, model.SegmentTrigger):
        yield "enter", reference_of(entry.by.segment_id)
    if isinstance(entry.by, model.StageTrigger):
        yield "enter", Reference(ReferenceKind.STAGE, entry.by.stages_id, entry.by.stage)
    if entry.audience:
        yield "enter", reference_of(entry.audience)
    for trigger in journey_triggers(journey):
        if isinstance(trigger, model.SegmentTrigger):
            yield "goal, leave or listen", reference_of(trigger.segment_id)


def reference_of(segment_id: str) -> Reference:
    """Return the reference to what a membership is one of, such as `tag:ID=VALUE`."""
    for kind in (ReferenceKind.TAG, ReferenceKind.STAGE):
        if segment_id.startswith(f"{kind.value}:"):
            id_, _, value = segment_id.removeprefix(f"{kind.value}:").partition("=")
            return Reference(kind, id_, value)
    return Reference(ReferenceKind.SEGMENT, segment_id)
