"""Plays one run: walks a journey in virtual time and returns the effects and their instants.

It reads no clock, no table and no random number. The rules:

1. A goal or a leave after the entry ends the run at its instant, and goes before everything else of
   that instant.
2. `wait` and `until` let time pass.
3. `listen` takes `then` at the first matching fact after the run came to it and up to its limit,
   and `otherwise` at the limit.
4. `choose` needs the truth of its rules at the instant at which the run came to it.
5. `split` divides by a hash of the leaf of the entry.
6. The steps between two waits have one instant. If messages can be among them, it is the first one
   outside of the person's quiet hours.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.activation.domain.journeys.program import END, Program, ProgramNode
from services.activation.domain.journeys.run import (
    ArmTaken,
    ContactHours,
    PersonFacts,
    PlannedEffect,
    Question,
    RunEnd,
    RunEnding,
    RunEntry,
    RunPlay,
    RunPosition,
)
from services.kernel.ids import FactId, hash_id
from services.kernel.journeys import model
from services.kernel.journeys.model import MILLION
from services.kernel.journeys.tree import condition_parts
from services.kernel.local_time import DailyWindow

Answers = Mapping[Question, bool]


def play(
    program: Program,
    entry: RunEntry,
    facts: PersonFacts,
    answers: Answers,
    hours: ContactHours,
    now_us: int,
    since: RunPosition | None = None,
) -> RunPlay:
    """Return what follows for a run until `now_us`, with everything that is known.

    `since`: where the run was with the last effect that cannot be taken back; what came before it
    is not played again. None = the run is played from its entry.
    """
    return _Walk(program, entry, facts, answers, hours, now_us, since).play()


def share_of(*parts: str | bytes) -> int:
    """Return the number of a hash of some parts: 0 to 999,999, evenly spread."""
    return int.from_bytes(hash_id(*parts)[:8], "big") % MILLION


def is_held_out(program: Program, entry: RunEntry) -> bool:
    """Return whether a run ends at once, to be compared with the others."""
    journey, held_out_ppm = program.journey, program.journey.entry.hold_out_ppm
    if not held_out_ppm:
        return False
    share = share_of(journey.journey_id, "hold_out", entry.leaf_id)
    return share < held_out_ppm


def arm_of(program: Program, step: model.SplitStep, entry: RunEntry) -> int:
    """Return the number of the arm of a split that a run takes."""
    share = share_of(program.journey.journey_id, "split", step.id, step.salt, entry.leaf_id)
    arm = 0
    while share >= step.arms[arm].share_ppm:
        share -= step.arms[arm].share_ppm
        arm += 1
    return arm


def ending_of(
    program: Program, entry: RunEntry, facts: PersonFacts, now_us: int
) -> RunEnding | None:
    """Return the first goal or leave after an entry; of two facts in one, the goal."""
    first: tuple[int, FactId, RunEnd] | None = None
    for reason, triggers in ((RunEnd.GOAL, program.goals), (RunEnd.LEFT, program.leaves)):
        for trigger in triggers:
            fact = facts.first(trigger, entry.occurred_at_us, now_us, entry)
            if fact is not None and (first is None or fact[:2] < first[:2]):
                first = fact.occurred_at_us, fact.fact_id, reason
    return None if first is None else RunEnding(first[2], first[0], first[1])


class _Walk:
    """One walk through a program."""

    def __init__(
        self,
        program: Program,
        entry: RunEntry,
        facts: PersonFacts,
        answers: Answers,
        hours: ContactHours,
        now_us: int,
        since: RunPosition | None,
    ) -> None:
        self._program, self._entry, self._facts = program, entry, facts
        self._answers, self._hours, self._now_us = answers, hours, now_us
        self._begins = since is None
        start = since or RunPosition(_step_id(program, program.start), entry.occurred_at_us)
        self._number = program.numbers[start.step_id] if start.step_id else END
        self._at_us, self._has_waited = start.at_us, start.has_waited
        self._counts, self._coupons = dict(start.counts), dict(start.coupons)
        self._effects: list[PlannedEffect] = []
        self._arms: list[ArmTaken] = []
        self._answered: dict[Question, None] = {}
        self._overtaken_by = end = ending_of(program, entry, facts, now_us)
        self._end = end and end._replace(at_us=max(end.at_us, self._at_us))

    def play(self) -> RunPlay:
        """Walk until the run ends, waits, or needs an answer."""
        played = self._enter() if self._begins else None
        while played is None:
            if self._end is not None and self._end.at_us <= self._at_us:
                return self._ended(self._end)
            if self._number == END:
                return self._ended(RunEnding(RunEnd.DONE, self._at_us))
            played = self._leave_quiet_hours() or self._take(self._program.nodes[self._number])
        return played

    def _enter(self) -> RunPlay | None:
        condition = self._program.journey.entry.condition
        if condition is not None:
            questions = self._questions([condition])
            if questions:
                return self._stopped(questions=questions)
            if not self._holds(condition):
                return self._ended(RunEnding(RunEnd.REFUSED, self._at_us))
        if is_held_out(self._program, self._entry):
            return self._ended(RunEnding(RunEnd.HELD_OUT, self._at_us))
        return None

    def _leave_quiet_hours(self) -> RunPlay | None:
        """Move to an instant at which messages may be sent, if some can follow before a wait."""
        if not self._has_waited:
            return None
        windows: list[DailyWindow] = []
        if self._hours.quiet:
            for purpose in self._program.purposes(self._number, self._counts):
                windows += self._hours.quiet.get(purpose, ())
        if not windows:
            self._has_waited = False
            return None
        open_us = self._hours.zones.next_open(self._at_us, windows)
        if open_us is None:
            return self._ended(RunEnding(RunEnd.NO_OPEN_HOURS, self._at_us))
        if open_us == self._at_us:
            self._has_waited = False
            return None
        stopped = self._pass_time(open_us)
        self._has_waited = stopped is not None
        return stopped

    def _take(self, node: ProgramNode) -> RunPlay | None:
        """Take one step; return what follows if the run goes no further."""
        match node.step:
            case model.WaitStep(span_us=span_us):
                return self._wait(node, self._at_us + span_us)
            case model.UntilStep():
                return self._wait(node, self._until(node.step))
            case model.ListenStep():
                return self._listen(node, node.step)
            case model.ChooseStep():
                return self._choose(node, node.step)
            case model.SplitStep():
                return self._split(node, node.step)
            case model.RepeatStep():
                self._number, self._counts = node.repeat(self._counts)
                return None
            case model.ExitStep():
                return self._ended(RunEnding(RunEnd.EXITED, self._at_us))
            case _:
                self._plan(node.step, node.visit(self._counts), node.next)
                return None

    def _wait(self, node: ProgramNode, until_us: int) -> RunPlay | None:
        stopped = self._pass_time(until_us)
        if stopped is None:
            self._number, self._has_waited = node.next, True
        return stopped

    def _until(self, step: model.UntilStep) -> int:
        zones = self._hours.zones
        if not step.coupon:
            if step.clock is None:
                raise AssertionError("a checked `until` has a clock or a coupon")
            return zones.next_clock(self._at_us, step.clock, step.days)
        end_us = self._coupons.get(step.coupon)
        if end_us is None:  # the way that the run has taken issues no coupon
            return self._at_us
        if step.clock is None:
            return max(self._at_us, end_us - step.before_us)
        return zones.clock_before(self._at_us, step.clock, end_us, step.before_us)

    def _listen(self, node: ProgramNode, step: model.ListenStep) -> RunPlay | None:
        limit_us = self._at_us + step.at_most_us
        until_us = min(limit_us, self._now_us)
        to = self._program.listens[step.id]
        fact = self._facts.first(to, self._at_us, until_us, self._entry)
        visit = node.visit(self._counts)
        stopped = self._pass_time(limit_us if fact is None else fact.occurred_at_us)
        if stopped is None:
            arm = 1 if fact is None else 0
            fact_id = None if fact is None else fact.fact_id
            self._arms.append(ArmTaken(step.id, visit, self._at_us, arm, fact_id))
            self._number, self._has_waited = node.arms[arm], True
        return stopped

    def _choose(self, node: ProgramNode, step: model.ChooseStep) -> RunPlay | None:
        conditions = [branch.when for branch in step.branches if branch.when is not None]
        questions = self._questions(conditions)
        if questions:
            return self._stopped(questions=questions)
        arm = -1
        for number, branch in enumerate(step.branches):
            if branch.when is None or self._holds(branch.when):
                arm = number
                break
        self._arms.append(ArmTaken(step.id, node.visit(self._counts), self._at_us, arm))
        self._number = node.next if arm < 0 else node.arms[arm]
        return None

    def _split(self, node: ProgramNode, step: model.SplitStep) -> RunPlay | None:
        arm = arm_of(self._program, step, self._entry)
        self._arms.append(ArmTaken(step.id, node.visit(self._counts), self._at_us, arm))
        if step.arms[arm].hold_out:
            return self._ended(RunEnding(RunEnd.HELD_OUT, self._at_us))
        self._number = node.arms[arm]
        return None

    def _plan(self, step: model.EffectStep, visit: int, next_: int) -> None:
        if isinstance(step, model.SendStep):
            for name, issue in step.issue.items():
                self._coupons[name] = self._at_us + issue.valid_us
        self._number = next_
        self._effects.append(PlannedEffect(step.id, visit, self._at_us, self._position()))

    def _pass_time(self, until_us: int) -> RunPlay | None:
        """Let time pass; return what follows if the run ends meanwhile, or time has not come."""
        if self._end is not None and self._end.at_us <= until_us:
            return self._ended(self._end)
        if until_us > self._now_us:
            return self._stopped(due_us=until_us)
        self._at_us = until_us
        return None

    def _questions(self, conditions: list[model.Condition]) -> tuple[Question, ...]:
        """Return the rules of conditions whose truth at this instant is not known."""
        needed = dict.fromkeys(
            Question(part.rule, self._at_us)
            for condition in conditions
            for part in condition_parts(condition)
            if isinstance(part, model.RuleCondition)
        )
        missing = tuple(question for question in needed if question not in self._answers)
        if not missing:
            self._answered |= needed
        return missing

    def _holds(self, condition: model.Condition) -> bool:
        match condition:
            case model.RuleCondition(rule):
                return self._answers[Question(rule, self._at_us)]
            case model.CouponCondition(name, state):
                if name not in self._coupons or state is model.CouponState.ISSUED:
                    return name in self._coupons
                after_us, until_us = self._entry.occurred_at_us, self._coupons[name]
                return self._facts.uses(name, until_us, after_us, self._at_us)
            case model.EveryCondition(parts):
                return all(map(self._holds, parts))
            case model.SomeCondition(parts):
                return any(map(self._holds, parts))
            case model.NotCondition(part):
                return not self._holds(part)

    def _position(self) -> RunPosition:
        return RunPosition(
            _step_id(self._program, self._number),
            self._at_us,
            dict(self._counts),
            dict(self._coupons),
            self._has_waited,
        )

    def _stopped(self, due_us: int | None = None, questions: tuple[Question, ...] = ()) -> RunPlay:
        return self._played(due_us, questions, None)

    def _ended(self, ending: RunEnding) -> RunPlay:
        self._at_us, self._number = ending.at_us, END
        if ending.reason is RunEnd.GOAL:
            for step in self._program.journey.on_goal:
                self._plan(step, 0, END)  # type: ignore[arg-type]  # checked at the definition
        return self._played(None, (), ending)

    def _played(
        self, due_us: int | None, questions: tuple[Question, ...], ending: RunEnding | None
    ) -> RunPlay:
        return RunPlay(
            tuple(self._effects),
            tuple(self._arms),
            self._position(),
            due_us,
            questions,
            ending,
            self._overtaken_by,
            tuple(self._answered),
        )


def _step_id(program: Program, number: int) -> str:
    return "" if number == END else program.nodes[number].step.id
