"""Walks the trees of a journey: its steps and its conditions."""

from __future__ import annotations

from collections.abc import Iterator

from services.kernel.journeys.model import (
    ChooseStep,
    Condition,
    EveryCondition,
    Journey,
    JourneyStep,
    ListenStep,
    NotCondition,
    RepeatStep,
    SomeCondition,
    SplitStep,
)


def condition_parts(condition: Condition | None) -> Iterator[Condition]:
    """Yield a condition and all that it consists of; none for None."""
    if condition is None:
        return
    yield condition
    match condition:
        case EveryCondition(parts) | SomeCondition(parts):
            for part in parts:
                yield from condition_parts(part)
        case NotCondition(part):
            yield from condition_parts(part)


def arms_of(step: JourneyStep) -> tuple[tuple[JourneyStep, ...], ...]:
    """Return the lists of steps that a step contains."""
    match step:
        case ListenStep():
            return step.then, step.otherwise
        case ChooseStep():
            return tuple(branch.steps for branch in step.branches)
        case SplitStep():
            return tuple(arm.steps for arm in step.arms)
        case RepeatStep():
            return (step.steps,)
        case _:
            return ()


def walk_steps(steps: tuple[JourneyStep, ...]) -> Iterator[JourneyStep]:
    """Yield all steps of a list, each before those that it contains."""
    for step in steps:
        yield step
        for arm in arms_of(step):
            yield from walk_steps(arm)


def all_steps(journey: Journey) -> Iterator[JourneyStep]:
    """Yield all steps of a journey, those of its goal and of its regrets at the end."""
    for steps in (journey.steps, journey.on_goal, journey.regret.unwanted):
        yield from walk_steps(steps)
