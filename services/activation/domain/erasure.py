"""Describes that a person was erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.kernel.ids import WorkspaceId


class ErasedProfile(NamedTuple):
    """A person who was erased."""

    workspace_id: WorkspaceId
    request_id: bytes
    #: The leaves and the profile ids of the person, 16 bytes each.
    ids: Sequence[bytes]
    #: What was recorded after this instant is a new life, Unix microseconds.
    until_us: int
