"""Walks the trees of a journey: its steps and its conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from services.kernel.journeys.coupons import CouponUse
from services.kernel.journeys.model import (
    ChooseStep,
    Condition,
    EveryCondition,
    Journey,
    JourneyStep,
    ListenStep,
    NotCondition,
    RepeatStep,
    SendStep,
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


def with_coupon_uses(journey: Journey, uses: Mapping[str, CouponUse | None]) -> Journey:
    """Return a journey whose coupons have the events that use them, by their pools."""

    def changed(step: SendStep) -> SendStep:
        issue = {
            name: replace(own, used=uses.get(own.pool)) for name, own in sorted(step.issue.items())
        }
        return replace(step, issue=issue)

    regret = replace(journey.regret, unwanted=_mapped(journey.regret.unwanted, changed))
    return replace(
        journey,
        steps=_mapped(journey.steps, changed),
        on_goal=_mapped(journey.on_goal, changed),
        regret=regret,
    )


def _mapped(
    steps: tuple[JourneyStep, ...], change: Callable[[SendStep], SendStep]
) -> tuple[JourneyStep, ...]:
    """Return steps in which every one that sends is changed."""
    return tuple(_mapped_step(step, change) for step in steps)


def _mapped_step(step: JourneyStep, change: Callable[[SendStep], SendStep]) -> JourneyStep:
    match step:
        case SendStep():
            return change(step) if step.issue else step
        case ListenStep():
            then, otherwise = _mapped(step.then, change), _mapped(step.otherwise, change)
            return replace(step, then=then, otherwise=otherwise)
        case ChooseStep():
            own = (replace(each, steps=_mapped(each.steps, change)) for each in step.branches)
            return replace(step, branches=tuple(own))
        case SplitStep():
            arms = (replace(each, steps=_mapped(each.steps, change)) for each in step.arms)
            return replace(step, arms=tuple(arms))
        case RepeatStep():
            return replace(step, steps=_mapped(step.steps, change))
        case _:
            return step
