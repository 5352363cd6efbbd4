"""Decides how many attempts at a destination begin before there is a call for each of them.

Attempts begin in groups, as the gate and a commit cost about the same for one and for hundreds.
What has begun follows no later change of mind, such as the withdrawal of a consent. So only as many
begin ahead as a receiver that accepts everything takes within a fraction of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The most attempts that wait for a call.
MAX_AHEAD: Final = 480
#: Seconds of waiting for a call after which fewer attempts begin ahead.
LONG_S: Final = 0.25
#: Seconds of waiting for a call after which the attempt is made later instead.
TOO_LONG_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """How many attempts may begin ahead now."""

    size: int = 0

    def after_attempt(self, waited_s: float, *, delivered: bool) -> ReadAhead:
        """Return what follows from an attempt that waited for its call for some seconds."""
        if not delivered:
            return ReadAhead()
        if waited_s > LONG_S:
            return ReadAhead(self.size // 2)
        return ReadAhead(min(self.size + 1, MAX_AHEAD))
