"""Serves the rpcs about the policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb

from services.chassis.access.principal import region, workspace_id
from services.chassis.codec.fields import at_least_of, token_to_proto
from services.chassis.definitions import etag_of
from services.identity.api.calls import caller
from services.identity.codec.policy import policy_to_proto, validate_policy
from services.identity.codec.responses import preview_to_proto
from services.identity.commands.policy import PolicyCommands
from services.identity.projection.reader import StateReader
from services.identity.queries.policy_preview import PolicyQueries


class PolicyRpc:
    """Reads, defines and previews the policy."""

    def __init__(
        self, reader: StateReader, commands: PolicyCommands, queries: PolicyQueries
    ) -> None:
        self._reader = reader
        self._commands = commands
        self._queries = queries

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Any) -> pb.GetPolicyResponse:
        token = await self._reader.runner.reach(at_least_of(request))
        policy, is_live = await self._queries.policy(workspace_id())
        return pb.GetPolicyResponse(
            policy=policy_to_proto(policy),
            version=policy.version,
            live=is_live,
            token=token_to_proto(token),
            etag=etag_of(policy.version),
        )

    async def DefinePolicy(
        self, request: pb.DefinePolicyRequest, context: Any
    ) -> pb.DefinePolicyResponse:
        policy = validate_policy(request.policy, region())
        defined = await self._commands.define(
            caller(self._reader.index_key), policy, etag=request.etag, dry_run=request.dry_run
        )
        return pb.DefinePolicyResponse(
            version=defined.definition.version,
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def PreviewPolicy(
        self, request: pb.PreviewPolicyRequest, context: Any
    ) -> AsyncIterator[pb.PreviewPolicyResponse]:
        policy = validate_policy(request.policy, region())
        await self._reader.runner.catch_up(at_least_of(request))
        async with aclosing(self._queries.preview(workspace_id(), policy)) as parts:
            async for token, part in parts:
                yield preview_to_proto(part, token)
