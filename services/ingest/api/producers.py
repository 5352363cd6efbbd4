"""Names the producer of a call: its key's workspace and source, and the endpoint."""

from __future__ import annotations

from services.chassis.access.principal import Principal, Role
from services.ingest.domain.events import Producer

#: The roles that may send events.
PRODUCER_ROLES = frozenset({Role.SOURCE})


def producer_of(caller: Principal, endpoint: str) -> Producer:
    """Return the producer of a caller. `endpoint`: grpc, http, nats or file."""
    return Producer(caller.workspace_id, caller.source_id, caller.key_id, endpoint, caller.region)
