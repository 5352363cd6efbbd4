"""Reads what all requests of identity have in common."""

from __future__ import annotations

from typing import Protocol

from onefold.type.v1.token_pb2 import Token as TokenMessage

from services.chassis.access.principal import principal, workspace_id
from services.chassis.codec.tokens import at_least_of
from services.chassis.projection.grpc import REACH_TIMEOUT_S
from services.chassis.runtime.deadlines import clip_to_deadline
from services.identity.codec.requests import Caller
from services.identity.projection.reader import StateReader
from services.kernel.tokens import Token


class HasAtLeast(Protocol):
    """A request that may wait for a state of the log."""

    @property
    def at_least(self) -> TokenMessage: ...


def caller() -> Caller:
    """Return the key and the workspace of the call."""
    found = principal()
    return Caller(workspace_id(), found.region, found.key_id)


def timeout_s() -> float:
    """Return how long the call waits for a state of the log."""
    return clip_to_deadline(REACH_TIMEOUT_S)


async def reach(reader: StateReader, request: HasAtLeast) -> Token:
    """Wait for the state that a request needs, and return the state that reads now see.

    Raises TokenNotReached.
    """
    return await reader.reach(at_least_of(request), timeout_s())
