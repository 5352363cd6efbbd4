"""Defines what the player works on: the facts of a person, the runs, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from services.activation.domain.journeys.program import Subject, TriggerSubject, coupon_subject
from services.kernel.ids import FactId, LeafId
from services.kernel.local_time import DailyWindow, ZoneHistory
from services.kernel.rules.model import Rule
from services.kernel.rules.values import Json, canonical_json

#: The property of the use of a coupon that says when the coupon ends.
COUPON_END: Final = "until_us"


class RunFact(NamedTuple):
    """Something that happened to a person, in the order in which it counts."""

    #: Unix microseconds.
    occurred_at_us: int
    fact_id: FactId
    subject: Subject
    #: Those properties of an event that the journey names.
    properties: Mapping[str, Json]


class PersonFacts:
    """The facts of a person by their subjects; order and repetition of the input do not matter."""

    __slots__ = ("_by_subject",)

    def __init__(self, facts: Iterable[RunFact]) -> None:
        self._by_subject: dict[Subject, list[RunFact]] = {}
        for fact in facts:
            self._by_subject.setdefault(fact.subject, []).append(fact)
        for own in self._by_subject.values():
            own.sort(key=itemgetter(0, 1))

    def first(
        self, trigger: TriggerSubject, after_us: int, until_us: int, entry: RunEntry
    ) -> RunFact | None:
        """Return the first fact of a trigger with after < occurred_at <= until, or None.

        Where the trigger compares a property, the fact has the value of the entry.
        """
        found: RunFact | None = None
        wanted = ""
        if trigger.same:
            value = entry.properties.get(trigger.same)
            if value is None:
                return None
            wanted = canonical_json(value)
        for subject in trigger.subjects:
            for fact in self._by_subject.get(subject, ()):
                if fact.occurred_at_us > until_us:
                    break
                if fact.occurred_at_us <= after_us:
                    continue
                if trigger.same and canonical_json(fact.properties.get(trigger.same)) != wanted:
                    continue
                if found is None or fact[:2] < found[:2]:
                    found = fact
                break
        return found

    def uses(self, name: str, end_us: int, after_us: int, until_us: int) -> bool:
        """Return whether a coupon that ends at an instant was used with after < use <= until.

        The end tells the coupons apart that several runs of a person have under one name.
        """
        return any(
            after_us < fact.occurred_at_us <= until_us
            and fact.properties.get(COUPON_END, end_us) == end_us
            for fact in self._by_subject.get(coupon_subject(name), ())
        )


class RunEntry(msgspec.Struct, frozen=True, gc=False):
    """What begins a run, or begins it again."""

    occurred_at_us: int
    fact_id: FactId
    leaf_id: LeafId
    #: When the log learnt it, Unix microseconds.
    recorded_at_us: int
    properties: Mapping[str, Json] = msgspec.field(default_factory=dict)
    #: The own time of the event that has changed the membership which begins the run, Unix
    #: microseconds; None = no such change begins it.
    caused_at_us: int | None = None

    @property
    def since_us(self) -> int:
        """When the entry, or the event that has caused it, took place."""
        return self.occurred_at_us if self.caused_at_us is None else self.caused_at_us

    @property
    def age_us(self) -> int:
        """How long before the log learnt it the entry, or its cause, took place."""
        return self.recorded_at_us - self.since_us

    @property
    def order(self) -> tuple[int, bytes]:
        """The order in which entries count."""
        return self.occurred_at_us, self.fact_id


class RunPosition(msgspec.Struct, frozen=True, gc=False):
    """Where a run stands: before a step, since an instant."""

    #: The step that comes next; empty = none.
    step_id: str
    at_us: int
    #: How often each repetition that is not over has begun.
    counts: Mapping[str, int] = msgspec.field(default_factory=dict)
    #: When each coupon that was issued ends, by name.
    coupons: Mapping[str, int] = msgspec.field(default_factory=dict)
    #: Whether the run has waited since it sent something, so that quiet hours count again.
    has_waited: bool = True


class PlannedEffect(msgspec.Struct, frozen=True, gc=False):
    """An effect that a run asks for."""

    step_id: str
    #: Which visit of the step this is, from 0.
    visit: int
    at_us: int
    #: Where the run stands after it.
    position: RunPosition

    @property
    def key(self) -> tuple[str, int]:
        """The step and its visit: the effect's identity in its run."""
        return self.step_id, self.visit


class RunEnd(Enum):
    """Why a run has ended."""

    DONE = "done"
    GOAL = "goal"
    LEFT = "left"
    HELD_OUT = "held_out"
    EXITED = "exited"
    #: Quiet hours leave no time for its messages.
    NO_OPEN_HOURS = "no_open_hours"
    #: The condition of its entry was false.
    REFUSED = "refused"
    #: A new version of the journey has ended it.
    EDITED = "edited"
    #: The journey was stopped.
    STOPPED = "stopped"


class RunEnding(NamedTuple):
    """The end of a run."""

    reason: RunEnd
    at_us: int
    #: The goal or the leave; None = another reason.
    fact_id: FactId | None = None


class Question(NamedTuple):
    """A rule whose truth at an instant decides the way of a run."""

    rule: Rule
    at_us: int


class ArmTaken(NamedTuple):
    """An arm that a run has taken."""

    step_id: str
    visit: int
    at_us: int
    #: The number of the arm; -1 = none.
    arm: int
    #: The fact that a `listen` has waited for; None = none.
    fact_id: FactId | None = None


class ContactHours(NamedTuple):
    """When a person may be sent messages."""

    zones: ZoneHistory
    #: Hours without messages, by purpose.
    quiet: Mapping[str, Sequence[DailyWindow]]


class RunPlay(msgspec.Struct, frozen=True, gc=False):
    """What follows for one run until an instant."""

    effects: tuple[PlannedEffect, ...]
    arms: tuple[ArmTaken, ...]
    #: Where the run stands.
    position: RunPosition
    #: When the run goes on by time alone; None = it has ended, or waits for an answer.
    due_us: int | None = None
    #: Without an answer to these the run does not go on.
    questions: tuple[Question, ...] = ()
    ending: RunEnding | None = None
    #: The first goal or leave after the entry, also where the run was over before it.
    overtaken_by: RunEnding | None = None
    #: The questions whose answers have decided the way.
    answered: tuple[Question, ...] = ()
