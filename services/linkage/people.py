"""Who is to be matched: people as the services know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Person:
    """One profile, as far as matching looks at it."""

    profile_id: str
    #: Namespace and standard value, of every identifier.
    identifiers: tuple[tuple[str, str], ...]
    #: By name, JSON values.
    traits: Mapping[str, Any] = field(default_factory=dict)
    #: The first and the last thing known, Unix microseconds.
    first_seen_us: int = 0
    last_seen_us: int = 0
