"""Authenticates producers of events, and reports their failed calls in one way."""

from __future__ import annotations

import structlog

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.principal import Principal, Role, require_role
from services.chassis.rpc.errors import to_onefold_error
from services.ingest.domain.events import Producer
from services.kernel.errors import OnefoldError
from services.kernel.restrictions import UNKNOWN_PEER, Peer

log = structlog.get_logger(__name__)

#: The roles that may send events.
PRODUCER_ROLES = frozenset({Role.SOURCE})


async def authenticate_producer(
    authenticator: Authenticator, key: str | None, endpoint: str, peer: Peer = UNKNOWN_PEER
) -> Producer:
    """Return the producer that holds a key. Raises NotAllowed, StoreUnavailable.

    `peer`: where the call comes from, as far as the endpoint knows.
    """
    caller = await authenticator.authenticate(key, peer)
    require_role(caller, PRODUCER_ROLES)
    return producer_of(caller, endpoint)


def producer_of(caller: Principal, endpoint: str) -> Producer:
    """Return the producer of a caller. `endpoint`: grpc, http, nats or file."""
    return Producer(caller.workspace_id, caller.source_id, caller.key_id, endpoint, caller.region)


def failure_of(error: Exception, endpoint: str) -> OnefoldError:
    """Return the error to report to a producer, and log one that is a defect."""
    failure = to_onefold_error(error)
    if failure.reason == OnefoldError.reason:
        log.error("call_failed", method=endpoint, exc_info=error)
    return failure
