"""Reads upstream what runs need of persons besides their facts: the truth of rules, zones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1 import segment_service_pb2_grpc as pb_grpc

from services.activation.domain.journeys.run import Question
from services.activation.store.runs import PersonKey
from services.chassis.codec.fields import token_to_proto
from services.chassis.codec.rules import rule_to_proto
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.tokens import Token

#: The most questions of one call.
_MAX_QUESTIONS: Final = 1_000
#: A question about a person.
Asked = tuple[PersonKey, Question]


@dataclass(frozen=True)
class Knowledge:
    """What was read upstream for the next look."""

    answers: Mapping[Asked, bool] = field(default_factory=dict)
    zones: Mapping[PersonKey, str] = field(default_factory=dict)


class Judge(Protocol):
    """Evaluates rules of journeys for persons."""

    async def __call__(self, asked: Collection[Asked], at_least: Token) -> dict[Asked, bool]:
        """Return the answers as of a state of the log. Raises OnefoldError."""


class SegmentJudge:
    """Has segment evaluate the rules."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = pb_grpc.SegmentServiceStub(channel)

    async def __call__(self, asked: Collection[Asked], at_least: Token) -> dict[Asked, bool]:
        """See `Judge`."""
        found: dict[Asked, bool] = {}
        every = list(asked)
        for start in range(0, len(every), _MAX_QUESTIONS):
            part = every[start : start + _MAX_QUESTIONS]
            request = pb.JudgeRequest(
                questions=map(_question, part), at_least=token_to_proto(at_least)
            )
            response = await self._stub.Judge(request)
            found |= dict(zip(part, (a.is_true for a in response.answers), strict=True))
        return found


def _question(asked: Asked) -> pb.JudgeQuestion:
    person, question = asked
    return pb.JudgeQuestion(
        workspace_id=person.workspace_id,
        profile_id=person.profile_id,
        rule=rule_to_proto(question.rule),
        at_us=question.at_us,
    )
