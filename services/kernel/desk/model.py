"""Models the queues of tickets: who works on them, when, and how soon."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.errors import RuleError
from services.kernel.local_time import EVERY_DAY
from services.kernel.rules.names import check_zone_name

#: What a step of a journey opens.
TASK: Final = "task"


class SlaLimit(Enum):
    """What a limit of a queue is about; the value is the word in a pack and in events."""

    FIRST_ANSWER = "first_answer"
    SOLUTION = "solution"


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """The times of service: on some days from one minute to another, in the zone of the queue."""

    from_minute: int
    #: If it is not after the first one, it is that of the next day.
    to_minute: int
    #: Days of the week, Monday = 0.
    days: frozenset[int] = EVERY_DAY
    #: Dates (ISO) without service.
    closed: tuple[str, ...] = ()
    #: Dates (ISO) with service beside the days of the week.
    also_open: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.days <= EVERY_DAY or not self.days:
            raise RuleError("there is no such day of the week", "write some of mon to sun")


@dataclass(frozen=True, slots=True)
class Absence:
    """Dates (ISO) on which an agent does not work."""

    first_day: str
    #: Empty = the first one.
    last_day: str = ""

    def contains(self, day: str) -> bool:
        """Return whether a date (ISO) is one of them."""
        return self.first_day <= day <= (self.last_day or self.first_day)


@dataclass(frozen=True, slots=True)
class DeskAgent:
    """An employee who works on the tickets of a queue."""

    agent_id: str
    #: What the agent knows well, as tickets name it.
    skills: tuple[str, ...] = ()
    away: tuple[Absence, ...] = ()

    def works_on(self, day: str) -> bool:
        """Return whether the agent works on a date (ISO)."""
        return not any(absence.contains(day) for absence in self.away)


@dataclass(frozen=True, slots=True)
class DeskQueue:
    """Where tickets wait. Spans are microseconds of service; a whole day is a day of service."""

    queue_id: str
    title: str = ""
    zone: str = DEFAULT_ZONE
    #: None = at all times.
    hours: OpeningHours | None = None
    #: 0 = without a limit.
    first_answer_us: int = 0
    solution_us: int = 0
    agents: tuple[DeskAgent, ...] = ()
    version: int = 0
    #: Whether it takes no more tickets.
    retired: bool = False

    def __post_init__(self) -> None:
        check_zone_name("zone", self.zone)

    def at_version(self, version: int) -> DeskQueue:
        """Return the same queue with another version."""
        return replace(self, version=version)

    def span_us(self, limit: SlaLimit) -> int:
        """Return the span of a limit; 0 = there is none."""
        return self.first_answer_us if limit is SlaLimit.FIRST_ANSWER else self.solution_us
