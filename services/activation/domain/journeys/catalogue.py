"""Models what a workspace has defined of a journey over time: versions, pauses and stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from services.activation.domain.journeys.program import (
    Program,
    Subject,
    entry_subjects,
    event_subject,
    segment_subject,
    trigger_subject,
)
from services.activation.domain.journeys.run import RunEntry
from services.activation.domain.policy.gate import Flow
from services.kernel.journeys import model
from services.kernel.journeys.inputs import MEMBERSHIP_PREFIX
from services.kernel.journeys.naming import journey_triggers
from services.kernel.journeys.tree import all_steps
from services.kernel.rules.ids import structure_id


class Overdue(Enum):
    """What becomes of messages that came due during a pause."""

    SEND = "send"
    SKIP = "skip"
    RESCHEDULE = "reschedule"


class FlowChange(NamedTuple):
    """A pause, a resumption or a stop."""

    #: When the log recorded it, Unix microseconds.
    changed_at_us: int
    flow: Flow
    overdue: Overdue
    version: int


@dataclass(frozen=True, slots=True)
class FlowState:
    """Whether a journey or a destination lets messages through, as one version of a definition."""

    flow: Flow
    overdue: Overdue = Overdue.SKIP
    version: int = 0

    def at_version(self, version: int) -> FlowState:
        """Return the same state with another version."""
        return replace(self, version=version)


class JourneyVersion(NamedTuple):
    """One version of a journey."""

    #: When the log recorded it, Unix microseconds.
    defined_at_us: int
    program: Program


@dataclass(frozen=True)
class JourneyHistory:
    """A journey in all its versions, at least one, with its pauses and stops, both ascending."""

    versions: tuple[JourneyVersion, ...]
    flows: tuple[FlowChange, ...] = ()

    @property
    def journey_id(self) -> str:
        return self.versions[0].program.journey.journey_id

    def at(self, instant_us: int) -> JourneyVersion | None:
        """Return the version that is in force at an instant; None = it is not defined yet."""
        for each in reversed(self.versions):
            if each.defined_at_us <= instant_us:
                return each
        return None

    def periods(self, until_us: int) -> Iterator[tuple[JourneyVersion, int]]:
        """Yield the versions that were in force until an instant, each with when its time ended.

        That of the last one ends after the instant.
        """
        own = [each for each in self.versions if each.defined_at_us <= until_us]
        ends = [*(each.defined_at_us for each in own[1:]), until_us + 1]
        yield from zip(own, ends, strict=False)

    def later(self, version: int, until_us: int) -> Iterator[JourneyVersion]:
        """Yield the versions after one that are defined until an instant, ascending."""
        for each in self.versions:
            if each.program.journey.version > version and each.defined_at_us <= until_us:
                yield each

    def program(self, version: int) -> Program:
        """Return the program of a version. Raises LookupError if it is not defined."""
        for each in self.versions:
            if each.program.journey.version == version:
                return each.program
        raise LookupError(f"version {version} of journey {self.journey_id} is not defined")

    def flow_at(self, instant_us: int) -> Flow:
        """Return whether the journey lets messages through at an instant."""
        for change in reversed(self.flows):
            if change.changed_at_us <= instant_us:
                return change.flow
        return Flow.OPEN

    def stop_after(self, since_us: int, until_us: int) -> int | None:
        """Return the first instant of a stop with since < instant <= until, or None."""
        for change in self.flows:
            if change.flow is Flow.STOPPED and since_us < change.changed_at_us <= until_us:
                return change.changed_at_us
        return None

    def accepts(self, entry: RunEntry) -> bool:
        """Return whether the journey was live when an entry took place and when it was learnt."""
        known = self.at(entry.recorded_at_us)
        if known is None or known.program.journey.retired:
            return False
        if self.flow_at(entry.recorded_at_us) is Flow.STOPPED:
            return False
        return entry.since_us >= self.versions[0].defined_at_us

    @cached_property
    def reads_clock(self) -> bool:
        """Whether the local time of a person decides when a run of any version goes on."""
        journeys = [version.program.journey for version in self.versions]
        return any(
            isinstance(each, (model.UntilStep, model.DateTrigger, model.ScheduleTrigger))
            for journey in journeys
            for each in (journey.entry.by, *all_steps(journey))
        )

    @cached_property
    def awaited(self) -> frozenset[Subject]:
        """What the facts say that runs of any version wait for once they have begun."""
        found: set[Subject] = set()
        for version in self.versions:
            found |= version.program.awaited
        return frozenset(found)

    @cached_property
    def entries(self) -> frozenset[Subject]:
        """What the facts say that may begin runs of any version."""
        return frozenset().union(*(version.program.entries for version in self.versions))

    @cached_property
    def subjects(self) -> frozenset[Subject]:
        """What the facts say that any version waits for."""
        found: set[Subject] = set()
        for version in self.versions:
            found |= subjects_of(version.program.journey)
        return frozenset(found)

    @cached_property
    def coupon_uses(self) -> frozenset[tuple[Subject, str, str]]:
        """What the events say that use coupons of any version, with the pool and the property."""
        return frozenset(
            (event_subject(structure_id(issue.used.events)), issue.pool, issue.used.code_property)
            for version in self.versions
            for step in all_steps(version.program.journey)
            if isinstance(step, model.SendStep)
            for issue in step.issue.values()
            if issue.used is not None
        )


def subjects_of(journey: model.Journey) -> frozenset[Subject]:
    """Return what the facts say that a journey waits for."""
    found = set(entry_subjects(journey))
    if isinstance(journey.entry.by, model.DateTrigger):
        # A date that is corrected before its day begins no run.
        found.add(segment_subject(MEMBERSHIP_PREFIX + journey.journey_id, model.Movement.LEFT))
    for trigger in journey_triggers(journey):
        found.update(trigger_subject(trigger, journey.journey_id).subjects)
    return frozenset(found)
