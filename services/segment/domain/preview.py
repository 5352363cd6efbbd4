"""Counts what a definition would change, from all profiles or from a sample of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, floor, sqrt
from typing import Any, NamedTuple

from services.kernel.ids import ProfileId

#: The standard deviations within which 95 of 100 estimates are.
_Z = 1.96


class Estimate(NamedTuple):
    """A number of profiles, and the bounds of it with a probability of 95 percent."""

    value: int
    low: int
    high: int


def estimate(found: int, evaluated: int, profiles: int) -> Estimate:
    """Return how many of all profiles are like `found` of those evaluated.

    The bounds are those of Wilson's interval, and never exclude what was seen itself.
    """
    if evaluated >= profiles or not evaluated:
        return Estimate(found, found, found if evaluated else profiles)
    share, z2 = found / evaluated, _Z * _Z
    # The closer the sample is to everyone, the less is left to chance.
    z2 *= (profiles - evaluated) / max(1, profiles - 1)
    middle = (share + z2 / (2 * evaluated)) / (1 + z2 / evaluated)
    spread = sqrt(z2 * (share * (1 - share) / evaluated + z2 / (4 * evaluated**2)))
    spread /= 1 + z2 / evaluated
    low = max(found, floor((middle - spread) * profiles))
    high = min(profiles - (evaluated - found), ceil((middle + spread) * profiles))
    return Estimate(min(max(round(share * profiles), low), high), low, high)


@dataclass(slots=True)
class MembersTally:
    """Counts the members of one segment, one value or one stage as they would be."""

    segment_id: str
    sample_size: int
    size: int = 0
    entering: int = 0
    leaving: int = 0
    #: Some members, each with the results of the rule's predicates.
    sample: list[tuple[ProfileId, Any]] = field(default_factory=list)
    entering_profiles: list[ProfileId] = field(default_factory=list)
    leaving_profiles: list[ProfileId] = field(default_factory=list)

    def add(
        self, profile_id: ProfileId, *, would_be: bool, is_member: bool, results: Iterable[Any] = ()
    ) -> None:
        """Count one evaluated profile; `results`: of the rule's predicates, where there are any."""
        self.size += would_be
        self.entering += would_be and not is_member
        self.leaving += is_member and not would_be
        if would_be and results and len(self.sample) < self.sample_size:
            self.sample.append((profile_id, results))
        changed = self.entering_profiles if would_be else self.leaving_profiles
        if would_be != is_member and len(changed) < self.sample_size:
            changed.append(profile_id)


@dataclass(slots=True)
class SegmentPreview:
    """What a definition would change, and what it costs."""

    members: list[MembersTally]
    #: Profiles of the workspace, and those among them that were evaluated.
    profiles: int = 0
    evaluated: int = 0
    #: Every profile was to be evaluated.
    is_exact: bool = True
    new_predicates: int = 0
    retained: int = 0

    def estimate(self, found: int) -> Estimate:
        """Return how many of all profiles are like `found` of those evaluated."""
        # Profiles that came or went meanwhile do not make an exact number an estimate.
        return estimate(found, self.evaluated, self.evaluated if self.is_exact else self.profiles)
