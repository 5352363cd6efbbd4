"""Reads what all requests of identity have in common."""

from __future__ import annotations

from services.chassis.access.principal import principal, workspace_id
from services.identity.codec.requests import Caller
from services.kernel.index_key import IndexKey


def caller(index_key: IndexKey) -> Caller:
    """Return the key and the workspace of the call."""
    found = principal()
    return Caller(workspace_id(), found.region, found.key_id, index_key)
