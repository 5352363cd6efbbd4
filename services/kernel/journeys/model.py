"""Models journeys as values: what begins a run, the tree of its steps, and what ends it.

A journey is a tree of steps without jumps; `RepeatStep` is the only loop. Every step has an id that
is unique in the journey and means the same in all of its versions. Spans are microseconds, times of
the day are minutes, shares are parts in a million.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, TypeAlias

from services.kernel.journeys.coupons import CouponUse
from services.kernel.journeys.puts import PutStep
from services.kernel.local_time import EVERY_DAY, LeapDay
from services.kernel.rules.filters import EventFilter
from services.kernel.rules.model import Rule

#: A whole, as shares count.
MILLION: Final = 1_000_000
#: The zone of a date or a schedule that is the one of each person.
PERSON_ZONE: Final = "person"
DEFAULT_PRIORITY: Final = 50
DEFAULT_PURPOSE: Final = "marketing"


class Movement(Enum):
    """A change of a membership; the value is the word in a journey."""

    ENTERED = "entered"
    LEFT = "left"


class ReportKind(Enum):
    """What a channel reports of a message; the value is the word in a journey."""

    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    OPENED = "opened"
    CLICKED = "clicked"
    REPLIED = "replied"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """An event of the person; where `same` is set, with the property that the entry has."""

    events: EventFilter
    #: The name of a property that the event and the entry of the run have with the same value.
    same: str = ""


@dataclass(frozen=True, slots=True)
class SegmentTrigger:
    """The person enters or leaves a segment."""

    segment_id: str
    on: Movement = Movement.ENTERED


@dataclass(frozen=True, slots=True)
class ReportTrigger:
    """A channel reports something of a message that the run has sent."""

    #: The ids of the steps that send; at least one.
    of: tuple[str, ...]
    what: ReportKind


PersonTrigger: TypeAlias = EventTrigger | SegmentTrigger
ListenTrigger: TypeAlias = EventTrigger | SegmentTrigger | ReportTrigger


@dataclass(frozen=True, slots=True)
class StageTrigger:
    """The person gets into a stage of a set of stages."""

    stages_id: str
    stage: str


@dataclass(frozen=True, slots=True)
class DateTrigger:
    """The anniversary of a date that is a trait of the person."""

    trait: str
    #: The minute of the day.
    clock: int
    #: How long before the anniversary, in whole days.
    before_us: int = 0
    #: An IANA name, or `PERSON_ZONE`.
    zone: str = PERSON_ZONE
    leap_day: LeapDay = LeapDay.FEB_28


@dataclass(frozen=True, slots=True)
class ScheduleTrigger:
    """An instant, once or repeatedly, at which the members of the audience begin together."""

    #: A local date and time such as `2026-12-01T10:00`; empty where `cron` is set.
    at: str = ""
    #: Five fields: minute, hour, day of the month, month, day of the week.
    cron: str = ""
    zone: str = PERSON_ZONE


@dataclass(frozen=True, slots=True)
class CallTrigger:
    """A call of the API."""


@dataclass(frozen=True, slots=True)
class FirstSeenTrigger:
    """The first event of the person."""


EntryTrigger: TypeAlias = (
    EventTrigger
    | SegmentTrigger
    | StageTrigger
    | DateTrigger
    | ScheduleTrigger
    | CallTrigger
    | FirstSeenTrigger
)


class WhileInside(Enum):
    """What an entry means while a run is open; the value is the word in a journey."""

    IGNORE = "ignore"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class JourneyEntry:
    """What begins a run, and who may begin one."""

    by: EntryTrigger
    #: The property of the entry that separates runs of one person; empty = one run at a time.
    per: str = ""
    #: Evaluated at the instant of the entry; None = everybody.
    condition: Condition | None = None
    #: How long after the end of a run the person may begin another; 0 = at once, None = never.
    again_after_us: int | None = 0
    while_inside: WhileInside = WhileInside.IGNORE
    #: Since the first entry of the run: later entries do not restart it; 0 = never for that reason.
    restart_until_us: int = 0
    #: An entry that the log learns later than this after it happened begins no run; 0 = as
    #: `inputs.greatest_age_us` says.
    not_after_us: int = 0
    #: The share of the runs that end at once, to be compared with the others.
    hold_out_ppm: int = 0
    #: The segment whose members begin together, for a schedule.
    audience: str = ""
    #: The most runs that begin in an hour, for a schedule; 0 = all at once.
    pace_an_hour: int = 0


class CouponState(Enum):
    """What became of a coupon of the run; the value is the word in a journey."""

    ISSUED = "issued"
    USED = "used"


@dataclass(frozen=True, slots=True)
class RuleCondition:
    """A rule about the person, evaluated at the instant at which the run has come to the step."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class CouponCondition:
    """Something has happened to a coupon of the run."""

    name: str
    state: CouponState


@dataclass(frozen=True, slots=True)
class EveryCondition:
    """True if all parts are."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class SomeCondition:
    """True if at least one part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class NotCondition:
    """True if the part is false."""

    part: Condition


Condition: TypeAlias = (
    RuleCondition | CouponCondition | EveryCondition | SomeCondition | NotCondition
)


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Waits for a span."""

    id: str
    span_us: int


@dataclass(frozen=True, slots=True)
class UntilStep:
    """Waits until a time of the day of the person, or until some time before a coupon ends."""

    id: str
    #: The minute of the day; None = the very instant before the end of the coupon.
    clock: int | None = None
    #: Days of the week, Monday = 0.
    days: frozenset[int] = EVERY_DAY
    #: The name of a coupon of the run; empty = none.
    coupon: str = ""
    before_us: int = 0


@dataclass(frozen=True, slots=True)
class ListenStep:
    """Waits for something to happen, and takes another arm if it does not."""

    id: str
    to: ListenTrigger
    at_most_us: int
    then: tuple[JourneyStep, ...] = ()
    otherwise: tuple[JourneyStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """An arm that is taken if its condition is true and no earlier one is."""

    steps: tuple[JourneyStep, ...]
    #: None = always.
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class ChooseStep:
    """Takes the first branch whose condition is true, or none."""

    id: str
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class SplitArm:
    """An arm that a share of the persons takes."""

    name: str
    share_ppm: int
    steps: tuple[JourneyStep, ...] = ()
    #: Whether the runs of this arm end here, to be compared with the others.
    hold_out: bool = False


@dataclass(frozen=True, slots=True)
class SplitStep:
    """Divides persons by a hash of the leaf of their entry."""

    id: str
    arms: tuple[SplitArm, ...]
    #: Another salt divides the same persons otherwise.
    salt: str = ""


@dataclass(frozen=True, slots=True)
class CouponIssue:
    """A coupon that is issued with a message, and only then."""

    pool: str
    valid_us: int
    #: The event that says that it was used, as the pool has it; None = none does.
    used: CouponUse | None = None


@dataclass(frozen=True, slots=True)
class SendStep:
    """Sends a message through a destination."""

    id: str
    destination_id: str
    #: `ID` = its newest version, `ID@3` = that one.
    template: str
    #: Values of variables of the template: paths such as `entry.items`.
    values: Mapping[str, str] = field(default_factory=dict)
    #: Coupons by their names in the journey.
    issue: Mapping[str, CouponIssue] = field(default_factory=dict)
    #: Not sent if its first attempt does not begin within this span; 0 = no limit.
    valid_us: int = 0
    #: The id of the step that is sent instead where this message cannot be.
    else_to: str = ""
    #: Empty = that of the journey.
    purpose: str = ""
    #: Whether another message to the same destination may be sent at the same instant.
    together: bool = False
    #: What the message is about, such as `task.wish`; empty = the person.
    about: str = ""


@dataclass(frozen=True, slots=True)
class TaskStep:
    """Opens a task for an employee."""

    id: str
    queue: str
    title: str
    due_us: int
    #: The trait of the person that names the employee; empty = anybody of the queue.
    to_trait: str = ""


@dataclass(frozen=True, slots=True)
class JoinStep:
    """Adds the person to a destination that mirrors a state."""

    id: str
    destination_id: str


@dataclass(frozen=True, slots=True)
class DropStep:
    """Removes the person from a destination that mirrors a state."""

    id: str
    destination_id: str


@dataclass(frozen=True, slots=True)
class StartStep:
    """Begins a run of another journey."""

    id: str
    journey_id: str


@dataclass(frozen=True, slots=True)
class CloseStep:
    """Closes a task that the run has opened."""

    id: str
    task: str


@dataclass(frozen=True, slots=True)
class VoidStep:
    """Takes a coupon of the run back, if it is not used."""

    id: str
    coupon: str


@dataclass(frozen=True, slots=True)
class RepeatStep:
    """Takes its steps several times."""

    id: str
    times: int
    steps: tuple[JourneyStep, ...]


@dataclass(frozen=True, slots=True)
class ExitStep:
    """Ends the run."""

    id: str


#: The steps that change something outside of the run.
EffectStep: TypeAlias = (
    SendStep | TaskStep | PutStep | JoinStep | DropStep | StartStep | CloseStep | VoidStep
)
JourneyStep: TypeAlias = (
    EffectStep | WaitStep | UntilStep | ListenStep | ChooseStep | SplitStep | RepeatStep | ExitStep
)


@dataclass(frozen=True, slots=True)
class JourneyCap:
    """At most so many messages to one person in every span of this length."""

    at_most: int
    in_us: int


@dataclass(frozen=True, slots=True)
class RegretPolicy:
    """What follows where late facts show that a message was unwanted; nothing = it is reported."""

    unwanted: tuple[JourneyStep, ...] = ()


class PeopleInside(Enum):
    """What a new version does with open runs of the one before; the value is the word."""

    STAY = "stay"
    MOVE = "move"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Journey:
    """One version of a journey."""

    journey_id: str
    entry: JourneyEntry
    steps: tuple[JourneyStep, ...]
    title: str = ""
    purpose: str = DEFAULT_PURPOSE
    #: 0 to 100; of the messages that are due together the greatest is sent first.
    priority: int = DEFAULT_PRIORITY
    #: What ends a run with success, at once.
    goals: tuple[PersonTrigger, ...] = ()
    #: What ends a run without success, at once.
    leaves: tuple[PersonTrigger, ...] = ()
    caps: tuple[JourneyCap, ...] = ()
    on_goal: tuple[JourneyStep, ...] = ()
    regret: RegretPolicy = RegretPolicy()
    people_inside: PeopleInside = PeopleInside.STAY
    #: For steps of the version before that are gone: where their runs move.
    moved_to: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    retired: bool = False

    def at_version(self, version: int) -> Journey:
        """Return the same journey with another version."""
        return replace(self, version=version)
