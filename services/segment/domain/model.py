"""Defines and validates segments, and defines evaluations of profiles and membership changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from services.kernel.errors import InvalidField
from services.kernel.ids import ProfileId, WorkspaceId
from services.kernel.journeys.inputs import MEMBERSHIP_PREFIX
from services.kernel.rules.model import ReferenceKind, Rule
from services.kernel.rules.references import Name, NamedRules, expand_known, names_of

MAX_ID = 128
#: The length of the id of a tag with its value, as memberships have it.
MAX_MEMBERSHIP_ID = 300
MAX_TITLE = 200
#: How the ids of the members of tags and stages begin.
TAG_PREFIXES = ("tag:", "stage:")
#: How no id of a segment begins.
RESERVED_PREFIXES = (*TAG_PREFIXES, "snapshot:", MEMBERSHIP_PREFIX)


class MembershipCause(IntEnum):
    """Why a membership changed; the numbers of onefold.segment.v1.MembershipCause."""

    RULE = 1
    MERGE = 2
    DEFINITION = 3
    TIME = 4


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


def followed(workspace_id: WorkspaceId, defined: Sequence[NamedRules]) -> list[SegmentDefinition]:
    """Return the memberships that follow from the newest definitions of a workspace.

    Beside the segments there is one for each value of a tag, `tag:ID=VALUE` (`tag:ID` for a tag
    without values), and one for each stage, `stage:SET=STAGE`. Their rules have no references.
    """
    names = names_of(defined)
    return [
        SegmentDefinition(
            workspace_id,
            membership_id(rules.name, value),
            rules.version,
            rules.title,
            expand_known(rule, names),
            rules.retired,
        )
        for rules in defined
        for value in rules.classification.names
        if (rule := rules.classification.rule_of(value)) is not None
    ]


def membership_id(name: Name, value: str) -> str:
    """Return the id under which the members of a segment, a tag's value or a stage are stored."""
    if name.kind is ReferenceKind.SEGMENT:
        return name.id
    return f"{name.kind.value}:{name.id}" + (f"={value}" if value else "")


class EarlierEvent(NamedTuple):
    """The predicates that were true of a profile after one event."""

    true_predicates: frozenset[int]
    #: The event's own time, Unix microseconds.
    occurred_at_us: int


class EarlierState(NamedTuple):
    """The predicates that were true of a profile from one instant on, until the next change."""

    true_predicates: frozenset[int]
    changed_at_us: int
    by_time: bool = True
    #: As in `ProfileEvaluation`, like the next one.
    occurred_at_us: int | None = None
    by_event: tuple[EarlierEvent, ...] = ()


class ProfileEvaluation(NamedTuple):
    """Which predicates are true of one profile."""

    workspace_id: WorkspaceId
    profile_id: ProfileId
    #: Grows with every change; the highest version wins.
    version: int
    #: Ids of the predicates that are true.
    true_predicates: frozenset[int]
    #: The profile that this one was merged into.
    merged_into: ProfileId | None
    #: The instant of the change, Unix microseconds of the log's clock.
    changed_at_us: int
    #: Whether time alone made the change.
    by_time: bool = False
    #: The states between the evaluation before and this one, ascending by instants.
    passed: tuple[EarlierState, ...] = ()
    #: The own time of the event that made the change, Unix microseconds; None = no event did.
    occurred_at_us: int | None = None
    #: The states after earlier events that were folded together with that one, in the order of the
    #: log.
    by_event: tuple[EarlierEvent, ...] = ()
    #: Whether its person was erased.
    is_erased: bool = False

    @property
    def states(self) -> Iterator[ProfileEvaluation]:
        """The evaluation in each state that the profile passed through, the last one at last."""
        for state in self.passed:
            yield self._replace(**state._asdict(), merged_into=None, passed=())
        yield self


class StoredEvaluation(NamedTuple):
    """What of a stored evaluation decides whether another one is newer, and what that changes."""

    version: int
    merged_into: ProfileId | None


class JudgeQuestion(NamedTuple):
    """Whether a rule is true of a profile."""

    workspace_id: WorkspaceId
    profile_id: ProfileId
    rule: Rule
    #: The state is at least as new, Unix microseconds of the log's clock.
    at_us: int


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
    #: The own time of the event that made the change, Unix microseconds; None = no event did, or it
    #: took place at `changed_at_us`.
    occurred_at_us: int | None = None


def check_segment_id(segment_id: str, field: str, most: int = MAX_MEMBERSHIP_ID) -> None:
    """Check that a text can be the id of memberships. Raises InvalidField."""
    if not 0 < len(segment_id) <= most or not segment_id.isprintable():
        raise InvalidField(f"segment_id has 1 to {most} printable characters", field=field)


def check_new_segment_id(segment_id: str, field: str) -> None:
    """Check that a text can be the id of a new segment. Raises InvalidField."""
    check_segment_id(segment_id, field, MAX_ID)
    if segment_id.startswith(RESERVED_PREFIXES):
        raise InvalidField(
            f"segment_id does not begin with {', '.join(RESERVED_PREFIXES)}: these are the members"
            " of tags, stages, snapshots and journeys",
            field=field,
        )


def check_segment_title(title: str) -> None:
    """Check the length of a title, and that it has no NUL. Raises InvalidField."""
    if len(title) > MAX_TITLE or "\0" in title:
        reason = f"title has at most {MAX_TITLE} characters and no NUL"
        raise InvalidField(reason, field="segment.title")
