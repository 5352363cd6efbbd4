"""Reads profile's outbox and its current evaluations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2_grpc as pb_grpc

from services.chassis.access.principal import workspace_metadata
from services.chassis.codec.fields import token_to_proto
from services.chassis.codec.rules import names_to_proto, rule_to_proto
from services.chassis.messaging.stream import StreamMessage
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.rules.model import Rule
from services.kernel.rules.references import Name
from services.kernel.tokens import Token
from services.segment.domain.model import SegmentDefinition


class ProfileUpstream:
    """Reads from profile. Every method raises OnefoldError."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._stub: Any = pb_grpc.ProfileServiceStub(channel)

    async def read(
        self, shard: int, first: int, end: int, life: int = 0
    ) -> AsyncGenerator[StreamMessage, None]:
        """See `Upstream`; the coordinate of messages is their sequence."""
        request = pb.ReadOutboxRequest(
            shard=shard, from_sequence=first, end_sequence=end, life=life
        )
        async for response in self._stub.ReadOutbox(request):
            batch = response.batch
            payload = batch.SerializeToString()
            yield StreamMessage(batch.sequence, batch.sequence + 1, payload, response.life)

    async def evaluations(self, shard: int) -> AsyncGenerator[pb.ReadEvaluationsResponse, None]:
        """Yield the evaluations of every profile of a shard, page by page."""
        async for response in self._stub.ReadEvaluations(pb.ReadEvaluationsRequest(shard=shard)):
            yield response

    async def check_rule(
        self, segment: SegmentDefinition, at_least: Token, assumed: frozenset[Name]
    ) -> None:
        """Check a segment's rule beside the other rules of its workspace. Raises InvalidField."""
        request = pb.PreviewRuleRequest(
            rule=rule_to_proto(segment.rule),
            at_least=token_to_proto(at_least),
            segment_id=segment.segment_id,
            retired=segment.retired,
            assumed=names_to_proto(assumed),
        )
        try:
            metadata = workspace_metadata(segment.workspace_id)
            await self._stub.PreviewRule(request, metadata=metadata)
        except InvalidField as error:
            raise InvalidField(error.message, field="segment.rule") from None

    async def evaluate_rules(
        self, workspace_id: WorkspaceId, rules: Sequence[Rule], samples: int, at_least: Token | None
    ) -> AsyncGenerator[pb.EvaluateRulesResponse, None]:
        """Yield the results of rules for the profiles of a workspace; see `RuleEvaluator`."""
        request = pb.EvaluateRulesRequest(
            rules=map(rule_to_proto, rules),
            samples=samples,
            at_least=None if at_least is None else token_to_proto(at_least),
        )
        metadata = workspace_metadata(workspace_id)
        async for response in self._stub.EvaluateRules(request, metadata=metadata):
            yield response

    async def first_page(self, shard: int) -> pb.ReadEvaluationsResponse:
        """Return the first page of `evaluations`, the one with the checkpoint and all facts."""
        async with aclosing(self.evaluations(shard)) as responses:
            async for response in responses:
                return response
        return pb.ReadEvaluationsResponse()
