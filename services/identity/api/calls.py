"""Reads what all requests of identity have in common."""

from __future__ import annotations

from services.chassis.access.principal import principal, workspace_id
from services.chassis.projection.grpc import REACH_TIMEOUT_S
from services.chassis.runtime.tasks import clip_to_deadline
from services.identity.codec.requests import Caller


def caller() -> Caller:
    """Return the key and the workspace of the call."""
    found = principal()
    return Caller(workspace_id(), found.region, found.key_id)


def timeout_s() -> float:
    """Return how long the call waits for a state of the log, seconds."""
    return clip_to_deadline(REACH_TIMEOUT_S)
