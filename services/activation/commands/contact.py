"""Defines when persons may be contacted: the contact policy, pauses and stops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from services.activation.codec.journey_facts import (
    contact_policy_definition,
    destination_flow_definition,
    journey_flow_definition,
)
from services.activation.domain.journeys.catalogue import FlowChange, FlowState
from services.activation.domain.policy.gate import Flow
from services.activation.store.destinations import load_destinations
from services.activation.store.journeys import (
    FlowKind,
    load_contact_policy,
    load_flows,
    load_journeys_of_workspace,
)
from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy, never_open
from services.kernel.tokens import Token


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of the contact policy of a workspace."""

    policy: ContactPolicy
    version: int = 0

    def at_version(self, version: int) -> PolicyVersion:
        return replace(self, version=version)


@dataclass(frozen=True)
class ContactCommands:
    """Defines the contact policy, and pauses, resumes and stops journeys and destinations."""

    database: Database
    runner: ProjectionRunner
    log: LogClient

    async def define_policy(
        self,
        workspace_id: WorkspaceId,
        policy: ContactPolicy,
        *,
        etag: str = "",
        dry_run: bool = False,
    ) -> Defined[PolicyVersion]:
        """Define the contact policy. Raises InvalidField, Conflict, RetryableError."""
        if closed := never_open(policy):
            raise InvalidField(
                f"the hours of {closed[0]} leave no time to send: open some",
                field="policy.channels",
            )

        async def load(token: Token) -> PolicyVersion | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                found = await load_contact_policy(conn, workspace_id)
            return None if found is None else PolicyVersion(*found)

        return await define(
            lambda _: PolicyVersion(policy),
            log=self.log,
            load=load,
            to_fact=lambda own: contact_policy_definition(workspace_id, own.policy, own.version),
            etag=etag,
            dry_run=dry_run,
        )

    async def set_journey_flow(
        self, workspace_id: WorkspaceId, journey_id: str, flow: FlowState
    ) -> Defined[FlowState]:
        """Pause, resume or stop a journey. Raises NotFound, Conflict, RetryableError."""
        journey_version = 0

        async def load(token: Token) -> FlowState | None:
            nonlocal journey_version
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                journeys = await load_journeys_of_workspace(conn, workspace_id)
            history = journeys.get(journey_id)
            if history is None:
                raise NotFound("no journey has this id; list them")
            journey_version = history.versions[-1].program.journey.version
            return _newest(history.flows)

        def to_fact(state: FlowState) -> DefinitionFact:
            return journey_flow_definition(workspace_id, journey_id, journey_version, state)

        return await define(partial(_changed, flow), log=self.log, load=load, to_fact=to_fact)

    async def set_destination_flow(
        self, workspace_id: WorkspaceId, destination_id: str, flow: FlowState
    ) -> Defined[FlowState]:
        """Pause, resume or stop a destination. Raises NotFound, Conflict, RetryableError."""

        async def load(token: Token) -> FlowState | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                destinations = await load_destinations(conn, workspace_id)
                flows = await load_flows(conn, workspace_id, FlowKind.DESTINATION)
            if all(each.destination_id != destination_id for each in destinations):
                raise NotFound("no destination has this id; list them")
            return _newest(flows.get(destination_id, ()))

        def to_fact(state: FlowState) -> DefinitionFact:
            return destination_flow_definition(workspace_id, destination_id, state)

        return await define(partial(_changed, flow), log=self.log, load=load, to_fact=to_fact)


def _newest(flows: tuple[FlowChange, ...]) -> FlowState:
    """Return the last change; before the first one everything is open."""
    if not flows:
        return FlowState(Flow.OPEN)
    last = max(flows, key=lambda change: change.version)
    return FlowState(last.flow, last.overdue, last.version)


def _changed(desired: FlowState, current: FlowState | None) -> FlowState:
    """Return the current state where the desired one is the same but for what was overdue."""
    return current if current is not None and current.flow is desired.flow else desired
