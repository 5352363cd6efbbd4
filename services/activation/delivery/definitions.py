"""Reads what a workspace has defined about the messages of runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import asyncpg

from services.activation.domain.journeys.catalogue import FlowChange
from services.activation.domain.journeys.program import Program
from services.activation.domain.model import Destination
from services.activation.domain.templates import Template
from services.activation.store import gate as store
from services.activation.store.destinations import load_destinations
from services.activation.store.journeys import FlowKind, load_contact_policies, load_flows
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.model import SendStep


@dataclass(frozen=True)
class GateDefinitions:
    """What a workspace has defined that the gate reads."""

    policy: ContactPolicy
    journey_flows: Mapping[str, tuple[FlowChange, ...]]
    destination_flows: Mapping[str, tuple[FlowChange, ...]]
    #: By id.
    destinations: Mapping[str, Destination]
    #: By id and version.
    programs: Mapping[tuple[str, int], Program]
    #: Templates, plain variants included, by the name in a step.
    templates: Mapping[str, Template] = field(default_factory=dict)

    def step(self, journey_id: str, version: int, step_id: str) -> SendStep | None:
        """Return a step that sends; None = it is not defined."""
        program = self.programs.get((journey_id, version))
        if program is None or step_id not in program.numbers:
            return None
        step = program.nodes[program.numbers[step_id]].step
        return step if isinstance(step, SendStep) else None


async def load_definitions(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, keys: Collection[tuple[str, int]]
) -> GateDefinitions:
    """Return what a workspace has defined; `keys`: the journeys, by id and version."""
    policies = await load_contact_policies(conn, [workspace_id])
    return GateDefinitions(
        policies.get(workspace_id, ContactPolicy()),
        await load_flows(conn, workspace_id, FlowKind.JOURNEY),
        await load_flows(conn, workspace_id, FlowKind.DESTINATION),
        {d.destination_id: d for d in await load_destinations(conn, workspace_id)},
        await store.load_programs(conn, workspace_id, keys),
    )
