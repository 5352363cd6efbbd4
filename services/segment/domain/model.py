"""Defines segments, evaluations of profiles, memberships and their changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.model import Rule


class MembershipCause(IntEnum):
    """Why a membership changed; the numbers of onefold.segment.v1.MembershipCause."""

    RULE = 1
    MERGE = 2
    DEFINITION = 3


@dataclass(frozen=True, slots=True)
class SegmentDefinition:
    """One version of a segment."""

    workspace_id: WorkspaceId
    segment_id: str
    version: int
    title: str
    rule: Rule
    retired: bool = False

    def at_version(self, version: int) -> SegmentDefinition:
        """Return the same definition with another version."""
        return replace(self, version=version)


@dataclass(frozen=True, slots=True)
class ProfileEvaluation:
    """Which predicates are true of one profile."""

    workspace_id: WorkspaceId
    profile_id: ProfileId
    #: Grows with every change; the highest version wins.
    version: int
    #: Ids of the predicates that are true.
    true_predicates: frozenset[int]
    #: The profile that this one was merged into.
    merged_into: ProfileId | None
    #: The log's clock at the evaluation, Unix microseconds.
    changed_at_us: int


@dataclass(frozen=True, slots=True)
class SegmentMember:
    """One profile in one segment."""

    workspace_id: WorkspaceId
    segment_id: str
    segment_version: int
    profile_id: ProfileId
    since_us: int


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """One profile enters or leaves one segment."""

    workspace_id: WorkspaceId
    segment_id: str
    segment_version: int
    profile_id: ProfileId
    entered: bool
    changed_at_us: int
    cause: MembershipCause
    other_profile_id: ProfileId | None = None
    #: Counts the published changes of this profile in this segment from 1; 0 = not assigned.
    ordinal: int = 0

    def numbered(self, ordinal: int, changed_at_us: int) -> MembershipChange:
        """Return the same change with an ordinal and an instant."""
        return MembershipChange(
            self.workspace_id,
            self.segment_id,
            self.segment_version,
            self.profile_id,
            self.entered,
            changed_at_us,
            self.cause,
            self.other_profile_id,
            ordinal,
        )
