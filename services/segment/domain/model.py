"""Defines and validates segments, and defines evaluations of profiles and membership changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.rules.model import Rule

MAX_ID = 128
MAX_TITLE = 200


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


class MembershipChange(NamedTuple):
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


def check_segment_id(segment_id: str, field: str) -> None:
    """Check that a text can be the id of a segment. Raises InvalidField."""
    if not 0 < len(segment_id) <= MAX_ID or not segment_id.isprintable():
        raise InvalidField(f"segment_id has 1 to {MAX_ID} printable characters", field=field)


def check_segment_title(title: str) -> None:
    """Check the length of a title, and that it has no NUL. Raises InvalidField."""
    if len(title) > MAX_TITLE or "\0" in title:
        reason = f"title has at most {MAX_TITLE} characters and no NUL"
        raise InvalidField(reason, field="segment.title")
