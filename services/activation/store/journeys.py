"""Stores the definitions of journeys in all versions, their pauses, and contact policies."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from enum import IntEnum
from typing import Any, Final

import asyncpg

from services.activation.codec.journey_facts import (
    FLOWS,
    OVERDUE,
    decode_contact_policy,
    decode_program,
)
from services.activation.domain.journeys.catalogue import FlowChange, JourneyHistory, JourneyVersion
from services.chassis.postgres.database import Queries
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.inputs import greatest_age_us

Q = Queries.load(__package__, "journeys.sql")
#: An instant after all others.
FOREVER_US: Final = 2**63 - 1


class FlowKind(IntEnum):
    """What lets messages through or not."""

    JOURNEY = 1
    DESTINATION = 2


async def save_journey(
    conn: asyncpg.Connection, workspace_id: str, defined_at_us: int, payload: bytes
) -> None:
    """Save a version of a journey. Raises InvalidField where the payload is none."""
    journey = decode_program(payload).journey
    await conn.execute(
        Q.save_journey, workspace_id, journey.journey_id, journey.version, defined_at_us, payload
    )


async def load_journeys(
    conn: asyncpg.Connection, workspaces: Collection[str]
) -> dict[tuple[WorkspaceId, str], JourneyHistory]:
    """Return the journeys of workspaces, by workspace and id, with all versions and pauses."""
    names = sorted(workspaces)
    rows = await conn.fetch(Q.load_journeys, names)
    flows = await conn.fetch(Q.load_flows, names, FlowKind.JOURNEY) if rows else []
    return _histories(rows, flows)


async def load_journeys_of_workspace(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> dict[str, JourneyHistory]:
    """Return the journeys of a workspace by id, for a caller."""
    rows = await conn.fetch(Q.load_journeys_of_workspace, workspace_id)
    flows = await conn.fetch(Q.load_flows_of_workspace, workspace_id, FlowKind.JOURNEY)
    return {id_: history for (_, id_), history in _histories(rows, flows).items()}


async def load_longest_delay(conn: asyncpg.Connection) -> int:
    """Return the longest span after which an entry of any journey is too late, microseconds."""
    delays = [0]
    for row in await conn.fetch(Q.load_payloads):
        with suppress(InvalidField):
            delays.append(greatest_age_us(decode_program(row["payload"]).journey.entry))
    return max(delays)


async def save_flow(
    conn: asyncpg.Connection, workspace_id: str, kind: FlowKind, id_: str, change: FlowChange
) -> None:
    """Save a pause, a resumption or a stop of a journey or a destination."""
    await conn.execute(
        Q.save_flow,
        workspace_id,
        kind,
        id_,
        change.version,
        FLOWS.to_proto(change.flow),
        OVERDUE.to_proto(change.overdue),
        change.changed_at_us,
    )


async def load_flows(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, kind: FlowKind
) -> dict[str, tuple[FlowChange, ...]]:
    """Return the pauses, resumptions and stops of a workspace, by the id of what they concern."""
    found: dict[str, tuple[FlowChange, ...]] = {}
    for row in await conn.fetch(Q.load_flows_of_workspace, workspace_id, kind):
        found[row["id"]] = (*found.get(row["id"], ()), _flow(row))
    return found


async def save_contact_policy(
    conn: asyncpg.Connection, workspace_id: str, defined_at_us: int, payload: bytes
) -> None:
    """Save a version of a contact policy. Raises InvalidField where the payload is none."""
    _, version = decode_contact_policy(payload)
    await conn.execute(Q.save_contact_policy, workspace_id, version, defined_at_us, payload)


async def load_contact_policies(
    conn: asyncpg.Connection, workspaces: Collection[str], at_us: int = FOREVER_US
) -> dict[WorkspaceId, ContactPolicy]:
    """Return the contact policies of those workspaces that had one at an instant."""
    rows = await conn.fetch(Q.load_contact_policies, sorted(workspaces), at_us)
    return {WorkspaceId(r["workspace_id"]): decode_contact_policy(r["payload"])[0] for r in rows}


async def load_contact_policy(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, at_us: int = FOREVER_US
) -> tuple[ContactPolicy, int] | None:
    """Return the contact policy of a workspace at an instant and its version; None = none."""
    row = await conn.fetchrow(Q.load_contact_policy, workspace_id, at_us)
    return None if row is None else decode_contact_policy(row["payload"])


async def load_policy_versions(
    conn: asyncpg.Connection, workspace_id: WorkspaceId
) -> list[tuple[int, ContactPolicy]]:
    """Return the versions of the contact policy of a workspace, each with its instant, ascending.

    The first one is that of a workspace without a policy.
    """
    rows = await conn.fetch(Q.load_policy_versions, workspace_id)
    own = [(row["defined_at_us"], decode_contact_policy(row["payload"])[0]) for row in rows]
    return [(0, ContactPolicy()), *own]


def _histories(
    rows: Iterable[Any], flows: Iterable[Any]
) -> dict[tuple[WorkspaceId, str], JourneyHistory]:
    """Return the histories of rows; a version that cannot be decoded is left out."""
    versions: dict[tuple[WorkspaceId, str], list[JourneyVersion]] = {}
    changes: dict[tuple[WorkspaceId, str], list[FlowChange]] = {}
    for row in rows:
        with suppress(InvalidField):
            program = decode_program(row["payload"])
            key = WorkspaceId(row["workspace_id"]), program.journey.journey_id
            versions.setdefault(key, []).append(JourneyVersion(row["defined_at_us"], program))
    for row in flows:
        key = WorkspaceId(row["workspace_id"]), row["id"]
        changes.setdefault(key, []).append(_flow(row))
    return {
        key: JourneyHistory(tuple(own), tuple(changes.get(key, ())))
        for key, own in versions.items()
    }


def _flow(row: Any) -> FlowChange:
    return FlowChange(
        row["changed_at_us"],
        FLOWS.from_proto(row["flow"], "flow"),
        OVERDUE.from_proto(row["overdue"], "overdue"),
        row["version"],
    )
