"""Defines why edges do not link."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class HeldReason(IntEnum):
    """Why an edge does not link."""

    #: One of its ends is blocked by the policy.
    BLOCKED = 1
    #: The policy ignores evidence of its kind.
    IGNORED = 2
    #: One of its ends is shared.
    SHARED = 3
    #: One of its ends was recycled after the edge was last seen.
    RECYCLED = 4
    #: The profile would have more identifiers of a namespace than its limit.
    LIMIT = 5
    #: The profile would have two identifiers that a decision separates.
    SEPARATED = 6
    #: The identifier that is no id of a person belongs to another person already. Of a claim: the
    #: device does.
    OTHER_PERSON = 7
    #: It claims that two identifiers belong together, and neither of them is a device.
    UNTRUSTED = 8
    #: It is a claim, and in the profile of one of its ends as many claims link as may.
    TOO_MANY_CLAIMS = 9


#: The reasons that depend on the other identifiers of the two profiles. Such an edge always lies
#: between two profiles.
CROSS_PROFILE = (
    HeldReason.LIMIT,
    HeldReason.SEPARATED,
    HeldReason.OTHER_PERSON,
    HeldReason.TOO_MANY_CLAIMS,
)
#: The reasons of edges that a decision may turn into a link: about their ends, or about two others
#: that a shared end was seen with.
DECIDABLE = (*CROSS_PROFILE, HeldReason.UNTRUSTED, HeldReason.SHARED)


class HeldEdge(NamedTuple):
    """Why and by which rule an edge is held."""

    #: As HeldReason.
    reason: int
    #: The namespace of the rule; empty where the reason is no namespace's rule.
    namespace: str

    @property
    def is_cross_profile(self) -> bool:
        return self.reason in CROSS_PROFILE
