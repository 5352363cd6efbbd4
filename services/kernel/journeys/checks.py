"""Checks a journey before it is defined: what it names, how long it takes, and what it misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from services.kernel.calendar import is_zone
from services.kernel.cron import parse_cron
from services.kernel.errors import InvalidField, RuleError
from services.kernel.journeys import model
from services.kernel.journeys.model import MILLION, PERSON_ZONE, Journey, JourneyStep, SendStep
from services.kernel.journeys.naming import (
    JourneyProblem,
    KnownNames,
    journey_triggers,
    unknown_names,
)
from services.kernel.journeys.puts import PutStep
from services.kernel.journeys.tree import all_steps, arms_of, condition_parts, walk_steps
from services.kernel.time import DAY_US, format_span

MAX_STEPS: Final = 200
MAX_STEP_DEPTH: Final = 20
#: The longest time from an entry to the end of its run.
MAX_RUN_US: Final = 730 * DAY_US
#: The most steps that a run takes, each one as often as it is repeated.
MAX_VISITS: Final = 10_000
#: The longest wait for a time of the day on some days of the week.
_CLOCK_US: Final = 8 * DAY_US


def check_journey(
    journey: Journey,
    known: KnownNames | None = None,
    *,
    has_quiet_hours: bool = True,
    more: Iterable[JourneyProblem] = (),
) -> list[JourneyProblem]:
    """Return the warnings about a journey that can be defined. Raises InvalidField with mistakes.

    `known`: None = what the journey names is not checked. `has_quiet_hours`: whether the contact
    policy has some for its purpose. `more`: problems that were found elsewhere.
    """
    found = [*_problems(journey, known, has_quiet_hours), *more]
    mistakes = [str(each) for each in found if not each.is_warning]
    if mistakes:
        raise InvalidField(
            f"the journey {journey.journey_id!r} has mistakes: {'. '.join(mistakes)}",
            field="journey",
        )
    return found


def _problems(
    journey: Journey, known: KnownNames | None, has_quiet_hours: bool
) -> Iterator[JourneyProblem]:
    sized = list(_size_problems(journey))
    yield from sized
    if sized:  # the other checks take time that grows with the size
        return
    yield from _entry_problems(journey)
    yield from _dead_steps(journey.steps)
    yield from _id_problems(journey)
    for step in all_steps(journey):
        yield from _step_problems(journey, step)
    yield from _reference_problems(journey)
    yield from _repeated_messages(journey)
    if known is not None:
        yield from unknown_names(journey, known)
    yield from _warnings(journey, has_quiet_hours)


def _size_problems(journey: Journey) -> Iterator[JourneyProblem]:
    if not journey.steps:
        yield JourneyProblem("steps", "there is none", "write at least one step")
    if sum(1 for _ in all_steps(journey)) > MAX_STEPS:
        yield JourneyProblem("steps", "there are too many", f"write at most {MAX_STEPS}")
    if max(map(_depth, (journey.steps, journey.on_goal, journey.regret.unwanted))) > MAX_STEP_DEPTH:
        remedy = f"write at most {MAX_STEP_DEPTH} levels"
        yield JourneyProblem("steps", "they are nested too deep", remedy)
        return
    longest = _longest(journey.steps, _coupon_spans(journey))
    if longest > MAX_RUN_US:
        remedy = f"let the waits of one way add up to at most {format_span(MAX_RUN_US)}"
        yield JourneyProblem("steps", "a run could take too long", remedy)
    if _visits(journey.steps) > MAX_VISITS:
        remedy = f"let a run take at most {MAX_VISITS} steps, counting repetitions"
        yield JourneyProblem("steps", "a run could take too many steps", remedy)


def _depth(steps: tuple[JourneyStep, ...]) -> int:
    deepest, level = 0, [steps]
    while level:
        deepest += 1
        level = [arm for list_ in level for step in list_ for arm in arms_of(step) if arm]
        if deepest > MAX_STEP_DEPTH:
            break
    return deepest


def _coupon_spans(journey: Journey) -> dict[str, int]:
    """Return for each coupon of a journey how long it is valid."""
    return {name: issue.valid_us for _, name, issue in _issues(journey)}


def _issues(journey: Journey) -> Iterator[tuple[SendStep, str, model.CouponIssue]]:
    for step in walk_steps(journey.steps):
        if isinstance(step, SendStep):
            for name, issue in step.issue.items():
                yield step, name, issue


def _longest(steps: tuple[JourneyStep, ...], coupons: dict[str, int]) -> int:
    """Return an upper bound of the time that a run takes for some steps, in microseconds."""
    total = 0
    for step in steps:
        match step:
            case model.WaitStep():
                total += step.span_us
            case model.UntilStep():
                total += coupons.get(step.coupon, 0) if step.coupon else _CLOCK_US
            case model.ListenStep():
                total += step.at_most_us
        inner = max((_longest(arm, coupons) for arm in arms_of(step)), default=0)
        total += inner * (step.times if isinstance(step, model.RepeatStep) else 1)
    return total


def _visits(steps: tuple[JourneyStep, ...]) -> int:
    total = 0
    for step in steps:
        inner = max((_visits(arm) for arm in arms_of(step)), default=0)
        total += 1 + (inner + 1) * (step.times if isinstance(step, model.RepeatStep) else 1)
    return total


def _entry_problems(journey: Journey) -> Iterator[JourneyProblem]:
    entry = journey.entry
    has_properties = isinstance(entry.by, model.EventTrigger | model.CallTrigger)
    compared = [
        t.same for t in journey_triggers(journey) if isinstance(t, model.EventTrigger) and t.same
    ]
    if (entry.per or compared) and not has_properties:
        remedy = "let an event or a call begin the run, or remove it"
        yield JourneyProblem("enter", "`per` and `same` need an entry with properties", remedy)
    if isinstance(entry.by, model.EventTrigger) and entry.by.same:
        yield JourneyProblem("enter.event", "an entry has no `same`", "write it in a goal")
    if entry.restart_until_us and entry.while_inside is not model.WhileInside.RESTART:
        remedy = "write `while_inside: restart`, or remove it"
        yield JourneyProblem("enter", "`restart_until` has no effect", remedy)
    scheduled = isinstance(entry.by, model.ScheduleTrigger)
    if scheduled != bool(entry.audience) or (entry.pace_an_hour and not scheduled):
        remedy = "write `schedule: {...}` and `audience: SEGMENT` together"
        yield JourneyProblem("enter", "a schedule and its audience belong together", remedy)
    match entry.by:
        case model.ScheduleTrigger(at, cron, zone):
            if bool(at) == bool(cron):
                yield JourneyProblem("enter.schedule", "it has no time", "write `at` or `cron`")
            if at and not _is_local_time(at):
                remedy = "write one such as 2026-12-01T10:00, without a zone"
                yield JourneyProblem("enter.schedule.at", "this is no local time", remedy)
            if cron:
                yield from _cron_problems(cron)
            yield from _zone_problems("enter.schedule.zone", zone)
        case model.DateTrigger(_, _, before_us, zone):
            if before_us % DAY_US or before_us > 365 * DAY_US:
                remedy = "write whole days, at most 365d"
                yield JourneyProblem("enter.date.before", "these are no days", remedy)
            yield from _zone_problems("enter.date.zone", zone)


def _cron_problems(cron: str) -> Iterator[JourneyProblem]:
    try:
        parse_cron(cron)
    except RuleError as error:
        yield JourneyProblem("enter.schedule.cron", error.problem, error.remedy)


def _is_local_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is None and "T" in text
    except ValueError:
        return False


def _zone_problems(at: str, zone: str) -> Iterator[JourneyProblem]:
    if zone != PERSON_ZONE and not is_zone(zone):
        remedy = "write `person`, or an IANA name such as Asia/Shanghai"
        yield JourneyProblem(at, "the time zone is not known", remedy)


def _id_problems(journey: Journey) -> Iterator[JourneyProblem]:
    counts = Counter(step.id for step in all_steps(journey))
    for id_, count in counts.items():
        if count > 1:
            yield JourneyProblem(id_, "several steps have this id", "give each its own")


def _dead_steps(steps: tuple[JourneyStep, ...]) -> Iterator[JourneyProblem]:
    for step, behind in pairwise(steps):
        if isinstance(step, model.ExitStep):
            yield JourneyProblem(behind.id, "it follows an exit", "remove it, or the exit")
    for step in steps:
        for arm in arms_of(step):
            yield from _dead_steps(arm)


def _step_problems(journey: Journey, step: JourneyStep) -> Iterator[JourneyProblem]:
    match step:
        case model.SplitStep(_, arms):
            if sum(arm.share_ppm for arm in arms) != MILLION:
                remedy = "let the shares of the arms add up to 100%"
                yield JourneyProblem(step.id, "the shares are not a whole", remedy)
            if len({arm.name for arm in arms}) < len(arms):
                yield JourneyProblem(step.id, "two arms have one name", "give each its own")
            if any(arm.hold_out and arm.steps for arm in arms):
                remedy = "remove its steps, or `hold_out`"
                yield JourneyProblem(step.id, "an arm that is held out ends here", remedy)
        case model.ChooseStep(_, branches):
            if not branches:
                yield JourneyProblem(step.id, "there is no branch", "write at least one")
            if any(branch.when is None for branch in branches[:-1]):
                remedy = "put the branch without `when` at the end"
                yield JourneyProblem(step.id, "a branch can never be taken", remedy)
        case model.UntilStep(_, clock, days, coupon, before_us):
            if clock is None and not coupon:
                remedy = "write `clock`, `coupon`, or both"
                yield JourneyProblem(step.id, "it has nothing to wait for", remedy)
            if before_us and not coupon:
                remedy = "name a `coupon`, or remove it"
                yield JourneyProblem(step.id, "`before` has nothing to come before", remedy)
            if coupon and len(days) < 7:
                yield JourneyProblem(step.id, "a coupon ends on one day", "remove `days`")
            if clock is not None and before_us % DAY_US:
                remedy = "write whole days, or remove `clock`"
                yield JourneyProblem(step.id, "`before` names a part of a day", remedy)
        case model.ListenStep(_, _, _, then, otherwise):
            if not then and not otherwise:
                yield JourneyProblem(step.id, "nothing follows", "write `then` or `otherwise`")
        case PutStep(_, tag, stage):
            if bool(tag) == (stage is not None):
                remedy = "write either `tag` or `stage`"
                yield JourneyProblem(step.id, "it puts nothing, or two things", remedy)
        case model.RepeatStep(_, _, steps):
            if not steps:
                yield JourneyProblem(step.id, "nothing is repeated", "write `steps`")


def _reference_problems(journey: Journey) -> Iterator[JourneyProblem]:
    """Yield the steps that name a message, coupon or task that no earlier step makes."""
    yield from _ordered_references(journey.steps, frozenset())
    sends = {step.id: step for step in all_steps(journey) if isinstance(step, SendStep)}
    made = frozenset(_made(journey.steps))
    for steps in (journey.on_goal, journey.regret.unwanted):
        yield from _ordered_references(steps, made)
        for step in walk_steps(steps):
            if not isinstance(step, model.EffectStep):
                remedy = "write send, task, put, join, drop, start, close and void only"
                yield JourneyProblem(step.id, "an ended run takes no such step", remedy)
    for send in sends.values():
        seen = {send.id}
        while send.else_to:
            if send.else_to not in sends or send.else_to in seen:
                remedy = "name a step that sends another message"
                yield JourneyProblem(send.id, "`else_to` leads to no other message", remedy)
                break
            send = sends[send.else_to]
            seen.add(send.id)
    coupons = Counter(name for _, name, _ in _issues(journey))
    for name, count in coupons.items():
        if count > 1:
            remedy = "give each its own name"
            yield JourneyProblem(f"issue.{name}", "several messages issue this coupon", remedy)


class _Made(NamedTuple):
    kind: str
    name: str


def _made(steps: tuple[JourneyStep, ...]) -> Iterator[_Made]:
    for step in walk_steps(steps):
        yield from _made_by(step)


def _made_by(step: JourneyStep) -> Iterator[_Made]:
    match step:
        case SendStep():
            yield _Made("message", step.id)
            yield from (_Made("coupon", name) for name in step.issue)
        case model.TaskStep():
            yield _Made("task", step.id)


def _ordered_references(
    steps: tuple[JourneyStep, ...], before: frozenset[_Made]
) -> Iterator[JourneyProblem]:
    for step in steps:
        for needed in _needed(step):
            if needed not in before and needed not in set(_made_by(step)):
                remedy = f"name a {needed.kind} of an earlier step"
                problem = f"no earlier step makes the {needed.kind} {needed.name!r}"
                yield JourneyProblem(step.id, problem, remedy)
        before = before.union(_made_by(step))
        for arm in arms_of(step):
            yield from _ordered_references(arm, before)
        before = before.union(_made((step,)))


def _needed(step: JourneyStep) -> Iterator[_Made]:
    match step:
        case model.ListenStep(to=model.ReportTrigger(of)):
            yield from (_Made("message", id_) for id_ in of)
        case model.UntilStep(coupon=coupon) if coupon:
            yield _Made("coupon", coupon)
        case model.VoidStep():
            yield _Made("coupon", step.coupon)
        case model.CloseStep():
            yield _Made("task", step.task)
        case model.ChooseStep():
            for branch in step.branches:
                for part in condition_parts(branch.when):
                    if isinstance(part, model.CouponCondition):
                        yield _Made("coupon", part.name)
        case SendStep(about=about) if about:
            kind, _, name = about.partition(".")
            yield _Made(kind, name)


def _repeated_messages(journey: Journey) -> Iterator[JourneyProblem]:
    """Yield the messages to a destination that the same way has sent to at the same instant."""
    found: dict[str, str] = {}
    _sent_at_once(journey.steps, frozenset(), found)
    for id_, destination in found.items():
        remedy = "write a wait between them, or `together: true`"
        problem = f"a way sends twice to {destination!r} at one instant"
        yield JourneyProblem(id_, problem, remedy)


def _sent_at_once(
    steps: tuple[JourneyStep, ...], before: frozenset[str], found: dict[str, str]
) -> frozenset[str]:
    """Return the destinations that some way through the steps has sent to since its last wait."""
    for step in steps:
        match step:
            case SendStep():
                if step.destination_id in before and not step.together:
                    found[step.id] = step.destination_id
                before |= {step.destination_id}
            case model.WaitStep() | model.UntilStep():
                before = frozenset()
            case model.ExitStep():
                return frozenset()
            case model.RepeatStep():
                before = _sent_at_once(step.steps, before, found)
                if step.times > 1:
                    before = _sent_at_once(step.steps, before, found)
            case model.ListenStep() | model.ChooseStep() | model.SplitStep():
                start = frozenset[str]() if isinstance(step, model.ListenStep) else before
                ways = [_sent_at_once(arm, start, found) for arm in arms_of(step)]
                if isinstance(step, model.ChooseStep) and all(
                    branch.when for branch in step.branches
                ):
                    ways.append(start)
                before = frozenset[str]().union(*ways)
    return before


def _warnings(journey: Journey, has_quiet_hours: bool) -> Iterable[JourneyProblem]:
    def warning(at: str, problem: str, remedy: str) -> JourneyProblem:
        return JourneyProblem(at, problem, remedy, is_warning=True)

    if not journey.goals:
        remedy = "write `goal`, so that the run ends when its purpose is reached"
        yield warning("goal", "there is none", remedy)
    if isinstance(journey.entry.by, model.EventTrigger) and not journey.entry.not_after_us:
        remedy = "write `not_after: 24h`, so that an import of old events begins no run"
        yield warning("enter", "an event of any age begins a run", remedy)
    if journey.purpose == model.DEFAULT_PURPOSE and not has_quiet_hours:
        remedy = "write `quiet: {from, to}` for its purpose in the contact policy"
        yield warning("purpose", "messages may be sent at night", remedy)
