"""Describes that a person was erased from the log, as every fold learns it."""

from __future__ import annotations

from typing import NamedTuple

from services.kernel.ids import WorkspaceId


class PersonErasure(NamedTuple):
    """A person who was erased; what is recorded later is a new life."""

    workspace_id: WorkspaceId
    request_id: bytes
    #: The identifiers of the person, 16 bytes each; leaves and profile ids are among them.
    ids: frozenset[bytes]
    #: The leaves of others whose facts have lost identifiers of the person.
    changed_ids: frozenset[bytes]
    #: The leaves of the accounts that the person was a member of.
    account_ids: frozenset[bytes]
    #: The last instant of the old life, Unix microseconds.
    recorded_at_us: int
