"""The doors for what people and models decide, and for the policy: translate, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from onefold.identity.v1 import identity_facts_pb2 as facts_pb
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer

from services.chassis.access.principal import principal, region, workspace_id
from services.chassis.codec.tokens import token_from_proto, token_to_proto
from services.chassis.rpc.paging import page_size_of
from services.chassis.runtime.deadlines import clip_to_deadline
from services.identity.codec import decisions as wire
from services.identity.codec.bus import policy_from, policy_message
from services.identity.codec.policy import validate_policy
from services.identity.codec.responses import (
    edge_after,
    explanation_message,
    held_message,
    moves_message,
    page_token,
    pair_after,
    preview_message,
)
from services.identity.commands.decisions import DecisionService
from services.identity.domain.linking import CROSS_PROFILE
from services.identity.queries.profiles import IdentityQueries
from services.kernel.errors import InvalidField
from services.kernel.tokens import Token

#: Seconds for which a token is waited for where the caller set no deadline.
PATIENCE = 30.0


class DecisionsRpc(IdentityServiceServicer):
    """What concerns decisions, matches and the policy."""

    def __init__(self, queries: IdentityQueries, deciding: DecisionService) -> None:
        self._queries = queries
        self._deciding = deciding

    async def ExplainMatch(
        self, request: pb.ExplainMatchRequest, context: Any
    ) -> pb.ExplainMatchResponse:
        """Explain why two identifiers are one person, or why not."""
        asker = _asker()
        a, b = wire.named(request.a, asker, "a"), wire.named(request.b, asker, "b")
        if a == b:
            raise InvalidField("a and b are the same identifier; name two", field="b")
        token = await self._reach(request)
        as_of = token_from_proto(request.as_of) if request.HasField("as_of") else None
        if as_of is not None:
            await self._queries.reach(as_of, clip_to_deadline(PATIENCE))
        workspace = asker.workspace_id
        told = await self._queries.explain(workspace, a.id_in(workspace), b.id_in(workspace), as_of)
        return explanation_message(told, token if as_of is None else as_of)

    async def Link(self, request: pb.LinkRequest, context: Any) -> pb.LinkResponse:
        """Say that two identifiers are the same person."""
        token = await self._decide(request, facts_pb.DECISION_LINK)
        return pb.LinkResponse(token=token_to_proto(token))

    async def Separate(self, request: pb.SeparateRequest, context: Any) -> pb.SeparateResponse:
        """Say that two identifiers are not the same person."""
        token = await self._decide(request, facts_pb.DECISION_SEPARATE)
        return pb.SeparateResponse(token=token_to_proto(token))

    async def Decide(self, request: pb.DecideRequest, context: Any) -> pb.DecideResponse:
        """Decide about evidence that is held back, or take a decision back."""
        token = await self._decide(request, request.decision)
        return pb.DecideResponse(token=token_to_proto(token))

    async def _decide(self, request: Any, told: int) -> Token:
        asker = _asker()
        pair, reason = wire.pair(request, asker), wire.reason(request.reason)
        decision = wire.decision(told)
        return await self._deciding.decide(
            asker, pair, decision, reason, clip_to_deadline(PATIENCE)
        )

    async def ListHeld(self, request: pb.ListHeldRequest, context: Any) -> pb.ListHeldResponse:
        """List evidence that would join people and is held back."""
        size, after = page_size_of(request), edge_after(request.page_token)
        if request.reason not in pb.HeldReason.values():
            raise InvalidField("this is no reason; use one of HeldReason", field="reason")
        reasons = (request.reason,) if request.reason else CROSS_PROFILE
        token = await self._reach(request)
        held = await self._queries.held(workspace_id(), reasons, after, size)
        return pb.ListHeldResponse(
            held=map(held_message, held),
            next_page_token=page_token(held[-1].edge.edge) if len(held) == size else "",
            token=token_to_proto(token),
        )

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Any) -> pb.GetPolicyResponse:
        """Tell the policy of the workspace."""
        token = await self._reach(request)
        policy, live = await self._queries.policy(workspace_id())
        return pb.GetPolicyResponse(
            policy=policy_message(policy),
            version=policy.version,
            live=live,
            token=token_to_proto(token),
        )

    async def DefinePolicy(
        self, request: pb.DefinePolicyRequest, context: Any
    ) -> pb.DefinePolicyResponse:
        """Define the policy of the workspace."""
        policy = validate_policy(request.policy, region())
        version, changed, token = await self._deciding.define(
            _asker(), policy, clip_to_deadline(PATIENCE), dry_run=request.dry_run
        )
        return pb.DefinePolicyResponse(
            version=version, changed=changed, token=token_to_proto(token)
        )

    async def PreviewPolicy(
        self, request: pb.PreviewPolicyRequest, context: Any
    ) -> AsyncIterator[pb.PreviewPolicyResponse]:
        """Try a policy on the whole history."""
        policy = policy_from(validate_policy(request.policy, region()), 0)
        await self._reach(request)
        async with aclosing(self._queries.preview(workspace_id(), policy)) as parts:
            async for token, part in parts:
                yield preview_message(part, token)

    async def AssessMatches(
        self, request: pb.AssessMatchesRequest, context: Any
    ) -> pb.AssessMatchesResponse:
        """Take in what a model or a person says about probable matches."""
        asker = _asker()
        wire.check_matches(request.matches)
        told = [
            wire.assessment(m, asker, f"matches[{at}].") for at, m in enumerate(request.matches)
        ]
        token = await self._deciding.assess(asker, told, clip_to_deadline(PATIENCE))
        return pb.AssessMatchesResponse(token=token_to_proto(token))

    async def ListMatches(
        self, request: pb.ListMatchesRequest, context: Any
    ) -> pb.ListMatchesResponse:
        """List probable matches."""
        size, after = page_size_of(request), pair_after(request.page_token)
        if request.assessment not in facts_pb.Assessment.values():
            raise InvalidField("this is no judgement; use one of Judgement", field="judgement")
        token = await self._reach(request)
        found = await self._queries.matches(workspace_id(), request.assessment or None, after, size)
        return pb.ListMatchesResponse(
            matches=[facts_pb.MatchAssessed.FromString(message) for _, message in found],
            next_page_token=page_token(found[-1][0]) if len(found) == size else "",
            token=token_to_proto(token),
        )

    async def WatchMerges(
        self, request: pb.WatchMergesRequest, context: Any
    ) -> AsyncIterator[pb.WatchMergesResponse]:
        """Stream merges and splits as they come."""
        since = token_from_proto(getattr(request, "from")) if request.HasField("from") else None
        async with aclosing(self._queries.watch(workspace_id(), since)) as told:
            async for moves in told:
                yield moves_message(moves)

    async def _reach(self, request: Any) -> Token:
        asked = token_from_proto(request.at_least) if request.HasField("at_least") else None
        return await self._queries.reach(asked, clip_to_deadline(PATIENCE))


def _asker() -> wire.Caller:
    caller = principal()
    return wire.Caller(workspace_id(), caller.region, caller.key_id)
