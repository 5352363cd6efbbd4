"""Defines the policy of a workspace."""

from __future__ import annotations

from functools import partial

from services.chassis.definitions import Defined, define
from services.chassis.rpc.clients import LogClient
from services.identity.codec.policy import policy_fact
from services.identity.codec.requests import Caller
from services.identity.domain.policy import Policy
from services.identity.projection.reader import StateReader
from services.identity.store.policy import newest_policy
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token


class PolicyCommands:
    """Defines policies."""

    def __init__(self, reader: StateReader, log: LogClient) -> None:
        self._reader = reader
        self._log = log

    async def define(
        self, caller: Caller, policy: Policy, *, etag: str = "", dry_run: bool = False
    ) -> Defined[Policy]:
        """Define a policy unless it is in force; see `services.chassis.definitions.define`.

        Raises Conflict, TokenNotReached.
        """
        return await define(
            lambda _: policy,
            log=self._log,
            load=partial(self._load, caller.workspace_id),
            to_fact=lambda one: policy_fact(caller.workspace_id, one, caller.key_id),
            etag=etag,
            dry_run=dry_run,
        )

    async def _load(self, workspace_id: WorkspaceId, token: Token) -> Policy | None:
        await self._reader.runner.reach(token)
        async with self._reader.snapshot() as conn:
            policy = await newest_policy(conn, workspace_id)
        return policy if policy.version else None
