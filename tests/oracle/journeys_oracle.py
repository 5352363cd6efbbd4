"""Runs the journeys of one person slowly and obviously: an instant after the other, facts first.

Where `services.activation.domain.journeys` walks a run through virtual time and looks facts up,
this is a simulation: a run is a coroutine that waits, and time goes from one instant to the next.
At each instant the endings come first, then the entries, then what the runs have waited for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from services.kernel.journeys import model
from services.kernel.rules.filters import matcher

MINUTE_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Happening:
    """Something that happened to the person."""

    at: int
    id: bytes
    #: `event`, `segment`, `report` or `coupon`.
    kind: str
    #: The event's name, the segment, the step of the message, the coupon.
    name: str
    #: `entered` or `left`, or what a report says.
    detail: str = ""
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contact:
    """When the person may be sent messages."""

    #: From when on which zone counts; the first one from ever.
    zones: tuple[tuple[int, str], ...] = ((0, "UTC"),)
    #: By purpose: hours from one minute of the day to just before another.
    quiet: dict[str, tuple[int, int]] = field(default_factory=dict)

    def local(self, at: int) -> datetime:
        zone = [name for since, name in self.zones if since <= at or since == self.zones[0][0]][-1]
        return (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))

    def is_quiet(self, at: int, purposes: Iterable[str]) -> bool:
        local = self.local(at)
        minute = local.hour * 60 + local.minute
        for purpose in purposes:
            if purpose in self.quiet:
                start, end = self.quiet[purpose]
                inside = start <= minute < end if start < end else minute >= start or minute < end
                if inside:
                    return True
        return False


Truth = Callable[[Any, int], bool]


@dataclass
class Wait:
    """What a coroutine waits for: an instant, or a fact before it."""

    until: int
    for_: model.ListenTrigger | None = None


@dataclass
class OracleRun:
    """A run, as far as it has come."""

    first: Happening
    start: Happening
    way: Generator[Wait, Happening | None, str]
    wait: Wait | None = None
    #: When the current wait began.
    since: int = 0
    effects: list[tuple[str, int, int]] = field(default_factory=list)
    end: tuple[str, int] | None = None


class Oracle:
    """The runs of one person through one journey."""

    def __init__(
        self,
        journey: model.Journey,
        happenings: Iterable[Happening],
        leaf: bytes,
        truth: Truth,
        contact: Contact,
        now: int,
        recorded: dict[bytes, int] | None = None,
    ) -> None:
        self.journey, self.leaf, self.truth = journey, leaf, truth
        self.contact, self.now, self.recorded = contact, now, recorded or {}
        self.happenings = sorted({h.id: h for h in happenings}.values(), key=lambda h: (h.at, h.id))
        self.runs: list[OracleRun] = []
        self.at = 0

    def play(self) -> list[OracleRun]:
        """Let time pass until now."""
        moments = [h.at for h in self.happenings if h.at <= self.now]
        heapq.heapify(moments)
        while moments:
            self.at = heapq.heappop(moments)
            while moments and moments[0] == self.at:
                heapq.heappop(moments)
            current = [h for h in self.happenings if h.at == self.at]
            for ending, reason in ((self.journey.goals, "goal"), (self.journey.leaves, "left")):
                for run in self.runs:
                    self._end_by(run, current, ending, reason)
            for happening in current:
                if self._matches(self.journey.entry.by, happening, None):
                    self._enter(happening)
            for run in self.runs:
                self._go_on(run, current)
            for run in self.runs:
                if run.end is None and run.wait is not None and run.wait.until <= self.now:
                    heapq.heappush(moments, run.wait.until)
        return self.runs

    def _end_by(self, run: OracleRun, current: list[Happening], triggers: Any, reason: str) -> None:
        # A goal goes before a leave of the same instant only if its fact does.
        if run.end is not None or run.start.at >= self.at:
            return
        hits = [
            (h.id, kind)
            for h in current
            for kind, some in (("goal", self.journey.goals), ("left", self.journey.leaves))
            if any(self._matches(t, h, run.start) for t in some)
        ]
        if hits and min(hits, key=lambda hit: (hit[0], hit[1] != "goal"))[1] == reason:
            run.end = (reason, self.at)
            if reason == "goal":
                run.effects += [(step.id, 0, self.at) for step in self.journey.on_goal]

    def _enter(self, happening: Happening) -> None:
        entry = self.journey.entry
        late = self.recorded.get(happening.id, happening.at) - happening.at
        if entry.not_after_us and late > entry.not_after_us:
            return
        if entry.per and happening.properties.get(entry.per) is None:
            return
        if entry.condition is not None and not self._holds(entry.condition, None, {}):
            return
        same_key = [
            run
            for run in self.runs
            if not entry.per
            or _same(run.first.properties.get(entry.per), happening.properties.get(entry.per))
        ]
        if same_key:
            last = same_key[-1]
            if last.end is None:
                if self._restarts(last, happening):
                    last.start, last.way = happening, self._way(last, happening)
                    last.wait, last.since = Wait(self.at), self.at
                    last.effects = []
                return
            if entry.again_after_us is None or self.at < last.end[1] + entry.again_after_us:
                return
        run = OracleRun(happening, happening, way=None, wait=Wait(self.at), since=self.at)  # type: ignore[arg-type]  # set below
        run.way = self._way(run, happening)
        self.runs.append(run)

    def _restarts(self, run: OracleRun, happening: Happening) -> bool:
        entry = self.journey.entry
        if entry.while_inside is not model.WhileInside.RESTART or run.effects:
            return False
        limit = entry.restart_until_us
        return not limit or happening.at <= run.first.at + limit

    def _go_on(self, run: OracleRun, current: list[Happening]) -> None:
        """Let a run take steps until it waits for something later."""
        while run.end is None and run.wait is not None:
            answer: Happening | None = None
            if run.wait.for_ is not None and run.since < self.at <= run.wait.until:
                hits = [h for h in current if self._matches(run.wait.for_, h, run.start)]
                answer = hits[0] if hits else None
            if answer is None and run.wait.until > self.at:
                return
            try:
                if run.wait.for_ is not None:
                    run.wait = run.way.send(answer)
                else:
                    run.wait = next(run.way)
                run.since = self.at
            except StopIteration as stop:
                run.end = (stop.value, self.at)

    def _matches(self, trigger: Any, happening: Happening, start: Happening | None) -> bool:
        match trigger:
            case model.EventTrigger(events, same):
                if happening.kind != "event" or not (
                    "*" in events.names or happening.name in events.names
                ):
                    return False
                if not matcher(events.where)(happening.properties):
                    return False
                if same and start is not None:
                    value = start.properties.get(same)
                    return value is not None and _same(value, happening.properties.get(same))
                return True
            case model.SegmentTrigger(segment_id, on):
                return (happening.kind, happening.name, happening.detail) == (
                    *("segment", segment_id),
                    on.value,
                )
            case model.ReportTrigger(of, what):
                return (
                    happening.kind == "report"
                    and happening.name in of
                    and happening.detail == what.value
                )
        return False

    # -- the way of one run ------------------------------------------------------------------

    def _way(self, run: OracleRun, start: Happening) -> Generator[Wait, Happening | None, str]:
        entry = self.journey.entry
        coupons: dict[str, int] = {}
        if self._share(self.journey.journey_id, "hold_out", self.leaf) < entry.hold_out_ppm:
            return "held_out"
        yield Wait(self.at)
        end = yield from self._steps(list(self.journey.steps), run, coupons, True, 0)
        return end if isinstance(end, str) else "done"

    def _steps(
        self,
        steps: list[model.JourneyStep],
        run: OracleRun,
        coupons: dict[str, int],
        waited: bool,
        visit: int,
    ) -> Generator[Wait, Happening | None, str | bool]:
        """Take steps; return the reason of an end, or whether the run has waited."""
        queue: list[Any] = [(step, visit) for step in steps]
        while queue:
            if waited:
                purposes = set(self._soon([step for step, _ in queue]))
                while self.contact.is_quiet(self.at, purposes):
                    yield Wait(self.at - self.at % MINUTE_US + MINUTE_US)
                waited = False
            step, visit = queue.pop(0)
            rest, queue = queue, []
            match step:
                case model.WaitStep():
                    yield Wait(self.at + step.span_us)
                    waited = True
                case model.UntilStep():
                    until = self._until(step, coupons)
                    yield Wait(until)
                    waited = True
                case model.ListenStep():
                    found = yield Wait(self.at + step.at_most_us, step.to)
                    arm = step.otherwise if found is None else step.then
                    queue = [(each, visit) for each in arm]
                    waited = True
                case model.ChooseStep():
                    for branch in step.branches:
                        if branch.when is None or self._holds(branch.when, run, coupons):
                            queue = [(each, visit) for each in branch.steps]
                            break
                case model.SplitStep():
                    share = self._share(
                        self.journey.journey_id, "split", step.id, step.salt, self.leaf
                    )
                    for arm_ in step.arms:
                        if share < arm_.share_ppm:
                            break
                        share -= arm_.share_ppm
                    if arm_.hold_out:
                        return "held_out"
                    queue = [(each, visit) for each in arm_.steps]
                case model.RepeatStep():
                    for number in range(step.times):
                        queue += [(each, visit * step.times + number) for each in step.steps]
                case model.ExitStep():
                    return "exited"
                case _:
                    if isinstance(step, model.SendStep):
                        for name, issue in step.issue.items():
                            coupons[name] = self.at + issue.valid_us
                    run.effects.append((step.id, visit, self.at))
            queue += rest
        return waited

    def _soon(self, steps: list[model.JourneyStep]) -> list[str]:
        """Return the purposes of the messages that can come before the next wait."""
        purposes, ways = [], [list(steps)]
        while ways:
            way = ways.pop()
            while way:
                step = way.pop(0)
                if isinstance(step, model.WaitStep | model.UntilStep | model.ListenStep):
                    break
                if isinstance(step, model.ExitStep):
                    break
                if isinstance(step, model.SendStep):
                    purposes.append(step.purpose or self.journey.purpose)
                if isinstance(step, model.RepeatStep):
                    way = [*list(step.steps) * step.times, *way]
                if isinstance(step, model.ChooseStep):
                    ways += [[*branch.steps, *way] for branch in step.branches]
                    if step.branches[-1].when is None:
                        break
                if isinstance(step, model.SplitStep):
                    ways += [[*a.steps, *way] for a in step.arms if not a.hold_out]
                    break
        return purposes

    def _until(self, step: model.UntilStep, coupons: dict[str, int]) -> int:
        """Return the instant that a step waits for, minute by minute; zones do not change here."""
        if step.coupon and step.coupon not in coupons:
            return self.at
        if step.coupon and step.clock is None:
            return max(self.at, coupons[step.coupon] - step.before_us)
        at = self.at if self.at % MINUTE_US == 0 else self.at - self.at % MINUTE_US + MINUTE_US
        while True:
            local = self.contact.local(at)
            minute = local.hour * 60 + local.minute
            if step.coupon:
                end = self.contact.local(coupons[step.coupon])
                day = end.date() - timedelta(microseconds=step.before_us)
                if (local.date(), minute) >= (day, step.clock):
                    passed = self.contact.local(self.at)
                    at_once = (passed.date(), passed.hour * 60 + passed.minute) >= (day, step.clock)
                    return self.at if at_once else at
            elif minute == step.clock and local.weekday() in step.days:
                return at
            at += MINUTE_US

    def _holds(
        self, condition: model.Condition, run: OracleRun | None, coupons: dict[str, int]
    ) -> bool:
        match condition:
            case model.RuleCondition(rule):
                return self.truth(rule, self.at)
            case model.CouponCondition(name, state):
                used = any(
                    run and h.kind == "coupon" and h.name == name and run.start.at < h.at <= self.at
                    for h in self.happenings
                )
                return name in coupons and (state is model.CouponState.ISSUED or used)
            case model.EveryCondition(parts):
                return False not in [self._holds(part, run, coupons) for part in parts]
            case model.SomeCondition(parts):
                return True in [self._holds(part, run, coupons) for part in parts]
            case model.NotCondition(part):
                return self._holds(part, run, coupons) is False

    @staticmethod
    def _share(*parts: str | bytes) -> int:
        text = b"".join((p.encode() if isinstance(p, str) else p) + b"\0" for p in parts)
        return int.from_bytes(blake2b(text, digest_size=16).digest()[:8], "big") % 1_000_000


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
