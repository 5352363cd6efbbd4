"""Evaluates sequences of events over the times of their steps.

For each event of a step the latest completed step before it is the best start: any earlier one is
further away, and more may have happened in between. So one pass over each step is enough. Events
that are no longer stored one by one take no part.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.kernel.rules.features import Sequence as SequenceFeature
from services.kernel.rules.features import Step
from services.kernel.rules.ids import accumulator_id
from services.kernel.rules.inputs import records_of, times_of
from services.kernel.rules.readings.aggregates import FeatureFn, Reading, indexes_of
from services.kernel.rules.readings.ranges import range_of, turns_of
from services.kernel.rules.readings.views import ProfileFacts
from services.kernel.rules.values import scalar_key


class _StepIds(NamedTuple):
    """One step, with the ids of the accumulators that it reads."""

    within_us: int
    events: int
    #: None = whatever happens in between.
    without: int | None


def read_sequence(sequence: SequenceFeature) -> FeatureFn:
    """Return how a sequence is read: the number of its completions."""
    range_at, turns = range_of(sequence.window), turns_of(sequence.window)
    complete = _completions_of(sequence)

    def read(profile: ProfileFacts, as_of_us: int) -> Reading:
        times = complete(profile)

        def value_at(at_us: int) -> int:
            low, high = indexes_of(times, range_at(profile, at_us))
            return high - low

        later = turns(times, as_of_us) if turns and times else iter(())
        return Reading(value_at, later)

    return read


def completions(sequence: SequenceFeature, profile: ProfileFacts) -> Sequence[int]:
    """Return the times of the events that complete a sequence, ascending, whatever the window."""
    return _completions_of(sequence)(profile)


def _completions_of(sequence: SequenceFeature) -> Callable[[ProfileFacts], Sequence[int]]:
    steps = [_step_ids(step, sequence.same) for step in sequence.steps]
    complete = _completions_by_value if sequence.same else _completions
    return lambda profile: complete(profile, steps)


def _step_ids(step: Step, same: str) -> _StepIds:
    events = records_of(step.events, same) if same else times_of(step.events)
    without = None if step.without is None else accumulator_id(times_of(step.without))
    return _StepIds(step.within_us, accumulator_id(events), without)


def _completions(profile: ProfileFacts, steps: Sequence[_StepIds]) -> Sequence[int]:
    """Return the times of the events that complete the sequence, ascending."""
    completed: Sequence[int] = ()
    for number, step in enumerate(steps):
        times = profile.accumulator(step.events)
        if times is None:
            return ()
        completed = _advance(completed, times.exact_times(), profile, step, number)
    return completed


def _completions_by_value(profile: ProfileFacts, steps: Sequence[_StepIds]) -> Sequence[int]:
    """Return the same as `_completions`, over the events with each value on its own."""
    completed: dict[str | None, Sequence[int]] = {}
    for number, step in enumerate(steps):
        records = profile.accumulator(step.events)
        if records is None:
            return ()
        by_value: dict[str | None, list[int]] = {}
        for at_us, value in zip(records.times, records.values, strict=True):
            by_value.setdefault(scalar_key(value), []).append(at_us)
        completed = {
            key: _advance(completed.get(key, ()), times, profile, step, number)
            for key, times in by_value.items()
        }
    return sorted(at_us for times in completed.values() for at_us in times)


def _advance(
    completed: Sequence[int],
    times: Sequence[int],
    profile: ProfileFacts,
    step: _StepIds,
    number: int,
) -> Sequence[int]:
    """Return which of the times of a step continue the completions of the step before it."""
    if number == 0:
        return list(times)
    excluded = None if step.without is None else profile.accumulator(step.without)
    between: Sequence[int] = () if excluded is None else excluded.exact_times()
    continued: list[int] = []
    for at_us in times:
        index = bisect_left(completed, at_us) - 1
        if index < 0:
            continue
        start_us = completed[index]
        is_near = not step.within_us or at_us - start_us <= step.within_us
        if is_near and bisect_right(between, start_us) == bisect_left(between, at_us):
            continued.append(at_us)
    return continued
