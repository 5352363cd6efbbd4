"""Reads upstream what runs need of persons besides their facts: the truth of rules, zones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.profile.v1 import profile_service_pb2_grpc as profile_grpc
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1 import segment_service_pb2_grpc as segment_grpc

from services.activation.domain.journeys.run import Question
from services.activation.store.runs import PersonKey
from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.codec.fields import token_to_proto
from services.chassis.codec.rules import rule_to_proto
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.identifiers.phone_zones import zones_of_phone
from services.kernel.ids import ProfileId, WorkspaceId, from_hex, to_hex
from services.kernel.journeys.contact_policy import ZonePolicy, zone_of
from services.kernel.tokens import Token

#: The most questions of one call.
_MAX_QUESTIONS: Final = 1_000
#: A person of a workspace.
Person = tuple[WorkspaceId, ProfileId]
#: A question about a person.
Asked = tuple[PersonKey, Question]


@dataclass(frozen=True)
class Knowledge:
    """What was read upstream for the next look."""

    answers: Mapping[Asked, bool] = field(default_factory=dict)
    #: The zones of persons.
    zones: Mapping[Person, str] = field(default_factory=dict)


class Upstream(Protocol):
    """What the services upstream know of persons; every call raises OnefoldError."""

    async def judge(self, asked: Collection[Asked], at_least: Token) -> dict[Asked, bool]:
        """Return whether rules are true of persons, as of a state of the log."""

    async def zones(self, persons: Mapping[Person, ZonePolicy]) -> dict[Person, str]:
        """Return the zones of persons by the contact policies of their workspaces."""


class JourneyUpstream:
    """Reads segment and profile."""

    def __init__(self, segment: ServiceChannel, profile: ServiceChannel) -> None:
        self._segment: Any = segment_grpc.SegmentServiceStub(segment)
        self._profile: Any = profile_grpc.ProfileServiceStub(profile)

    async def judge(self, asked: Collection[Asked], at_least: Token) -> dict[Asked, bool]:
        """See `Upstream`."""
        found: dict[Asked, bool] = {}
        every = list(asked)
        for start in range(0, len(every), _MAX_QUESTIONS):
            part = every[start : start + _MAX_QUESTIONS]
            request = pb.JudgeRequest(
                questions=map(_question, part), at_least=token_to_proto(at_least)
            )
            response = await self._segment.Judge(request)
            found |= dict(zip(part, (a.is_true for a in response.answers), strict=True))
        return found

    async def zones(self, persons: Mapping[Person, ZonePolicy]) -> dict[Person, str]:
        """See `Upstream`."""
        found = {person: policy.default for person, policy in persons.items()}
        for workspace_id in {workspace_id for workspace_id, _ in persons}:
            own = [each for each in persons if each[0] == workspace_id]
            request = profile_pb.BatchGetProfilesRequest(profile_ids=[to_hex(p) for _, p in own])
            metadata = ((WORKSPACE_KEY, workspace_id),)
            response = await self._profile.BatchGetProfiles(request, metadata=metadata)
            for profile in response.profiles:
                traits = {t.name: msgspec.json.decode(t.value) for t in profile.traits}
                person = workspace_id, ProfileId(from_hex(profile.profile_id))
                if person in persons:
                    by_phone = zones_of_phone(_phone_of(profile))
                    found[person] = zone_of(persons[person], traits, by_phone)
        return found


def _phone_of(profile: profile_pb.Profile) -> str:
    return next((i.value for i in profile.identifiers if i.namespace == "phone"), "")


def _question(asked: Asked) -> pb.JudgeQuestion:
    person, question = asked
    return pb.JudgeQuestion(
        workspace_id=person.workspace_id,
        profile_id=person.profile_id,
        rule=rule_to_proto(question.rule),
        at_us=question.at_us,
    )
