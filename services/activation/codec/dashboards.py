"""Translates the facts that define dashboards."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from onefold.activation.v1 import dashboards_pb2 as pb

from services.chassis.codec.journeys import dashboard_from_proto, dashboard_to_proto
from services.chassis.codec.payloads import decode_payload
from services.chassis.definitions import DefinitionFact
from services.kernel.dashboards import Dashboard
from services.kernel.ids import WorkspaceId

DASHBOARD_DEFINED: Final[str] = pb.DashboardDefined.DESCRIPTOR.full_name


@lru_cache(maxsize=1_024)
def decode_dashboard(payload: bytes) -> Dashboard:
    """Return the dashboard of a serialised DashboardDefined. Raises InvalidField."""
    return dashboard_from_proto(decode_payload(pb.DashboardDefined, payload).dashboard)


def dashboard_definition(workspace_id: WorkspaceId, dashboard: Dashboard) -> DefinitionFact:
    """Return the fact that defines a version of a dashboard."""
    return DefinitionFact.from_message(
        pb.DashboardDefined(dashboard=dashboard_to_proto(dashboard)),
        workspace_id=workspace_id,
        key=dashboard.dashboard_id,
        version=dashboard.version,
    )
