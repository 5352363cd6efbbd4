"""Defines the profiles to be matched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LinkageProfile:
    """One profile, as far as matching reads it."""

    profile_id: str
    #: Namespace and canonical value of each identifier.
    identifiers: tuple[tuple[str, str], ...]
    #: JSON values by name.
    traits: Mapping[str, Any] = field(default_factory=dict)
    #: The first and the last event, Unix microseconds.
    first_seen_us: int = 0
    last_seen_us: int = 0
