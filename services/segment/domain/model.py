"""What is so: definitions, standings, memberships, and their changes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.model import Rule


class Cause(IntEnum):
    """Why a membership changed; the numbers of onefold.segment.v1.MembershipCause."""

    RULE = 1
    MERGE = 2
    DEFINITION = 3


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a segment."""

    workspace_id: WorkspaceId
    segment_id: str
    version: int
    title: str
    rule: Rule
    retired: bool = False

    def says_the_same(self, other: Definition) -> bool:
        """Whether the two differ in nothing but their version."""
        return (self.title, self.rule, self.retired) == (other.title, other.rule, other.retired)


@dataclass(frozen=True, slots=True)
class Standing:
    """Which predicates hold for one profile, as told last."""

    workspace_id: WorkspaceId
    profile_id: ProfileId
    #: Grows with every change; the highest wins.
    version: int
    #: Ids of the predicates that hold.
    holds: frozenset[int]
    #: The profile that this one became part of.
    merged_into: ProfileId | None
    #: The instant of the log at which this was found, Unix microseconds.
    at_us: int


@dataclass(frozen=True, slots=True)
class Member:
    """One profile in one segment."""

    workspace_id: WorkspaceId
    segment_id: str
    segment_version: int
    profile_id: ProfileId
    since_us: int


@dataclass(frozen=True, slots=True)
class Change:
    """One profile enters or leaves one segment."""

    workspace_id: WorkspaceId
    segment_id: str
    segment_version: int
    profile_id: ProfileId
    entered: bool
    at_us: int
    cause: Cause
    other_profile_id: ProfileId | None = None
