"""Counts what replays have found: runs, entries that begin none, effects by step and day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from services.activation.domain.journeys.looks import RunState
from services.activation.domain.journeys.persons import EntryRefusal
from services.activation.domain.journeys.replays import Replay, ReplayedEffect
from services.activation.domain.journeys.run import RunEnd
from services.kernel.ids import ProfileId
from services.kernel.time import DAY_US


class StepDay(NamedTuple):
    """A step, and a day by its begin in UTC (Unix microseconds); 0 = all days."""

    step_id: str
    day_us: int = 0


@dataclass
class NamedCount:
    """A number of occurrences, with some of the persons, each once."""

    count: int = 0
    profile_ids: list[ProfileId] = field(default_factory=list)

    def add(self, profile_id: ProfileId, most: int) -> None:
        """Count one more of a person; at most `most` persons are named."""
        self.count += 1
        if len(self.profile_ids) < most and profile_id not in self.profile_ids:
            self.profile_ids.append(profile_id)


@dataclass
class ReplayTally:
    """The sums of some replays; memory grows with steps and days, not with persons."""

    #: Persons that are named for each number.
    people: int = 0
    begun: int = 0
    ended: Counter[RunEnd] = field(default_factory=Counter)
    open: dict[StepDay, NamedCount] = field(default_factory=dict)
    refused: Counter[EntryRefusal] = field(default_factory=Counter)
    effects: dict[StepDay, NamedCount] = field(default_factory=dict)

    def add(self, replay: Replay, effects: Iterable[ReplayedEffect], from_us: int = 0) -> None:
        """Add the runs of a replay that began at an instant or later, and some of its effects."""
        for run in replay.runs.values():
            if run.record.first.occurred_at_us < from_us:
                continue
            self.begun += 1
            ending = run.record.ending
            if ending is not None:
                self.ended[ending.reason] += 1
            elif run.state is RunState.OPEN:
                own = self.open.setdefault(StepDay(run.step_id), NamedCount())
                own.add(run.profile_id, self.people)
        self.refused.update(
            reason for entry, reason in replay.refusals if entry.occurred_at_us >= from_us
        )
        for each in effects:
            at = StepDay(each.effect.step_id, each.effect.at_us - each.effect.at_us % DAY_US)
            own = self.effects.setdefault(at, NamedCount())
            own.add(each.effect.profile_id, self.people)


def effects_within(replay: Replay, from_us: int, to_us: int) -> Iterator[ReplayedEffect]:
    """Yield the effects with from <= instant < to in their order, also those withdrawn."""
    own = [each for each in replay.effects.values() if from_us <= each.effect.at_us < to_us]
    yield from sorted(own, key=lambda each: (each.effect.at_us, each.effect.effect_id))
