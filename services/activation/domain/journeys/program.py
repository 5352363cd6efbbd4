"""Compiles a journey into numbered nodes, each with the one that follows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from services.kernel.journeys import model
from services.kernel.journeys.inputs import MEMBERSHIP_PREFIX, call_filter_id, report_filter_id
from services.kernel.journeys.model import Journey, JourneyStep
from services.kernel.journeys.tree import all_steps, arms_of, walk_steps
from services.kernel.rules.ids import structure_id

#: The number of the node behind the last one.
END: Final = -1
#: What a fact says, as the player looks it up: a kind and names.
Subject: TypeAlias = tuple[str, ...]
#: The kind of the subjects of segments.
SEGMENT: Final = "segment"


class Loop(NamedTuple):
    """A repetition that contains a node."""

    step_id: str
    times: int


@dataclass(frozen=True, slots=True)
class ProgramNode:
    """One step of a journey, and where a run goes from it."""

    step: JourneyStep
    #: The number of the node that follows, after all arms.
    next: int
    #: The number of the first node of each arm; of an empty arm, the node that follows.
    arms: tuple[int, ...]
    #: The repetitions that contain the node, the outermost first.
    loops: tuple[Loop, ...]

    def repeat(self, counts: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """Return where a run goes from a repetition, and how often each has begun then."""
        if not isinstance(self.step, model.RepeatStep):
            raise TypeError("this step is not repeated")
        others = {id_: count for id_, count in counts.items() if id_ != self.step.id}
        count = counts.get(self.step.id, 0) + 1
        if count > self.step.times:
            return self.next, others
        return self.arms[0], {**others, self.step.id: count}

    def visit(self, counts: Mapping[str, int]) -> int:
        """Return which visit of the step this is, from 0, by the counts of its repetitions."""
        number = 0
        for loop in self.loops:
            number = number * loop.times + counts[loop.step_id] - 1
        return number


@dataclass(frozen=True, slots=True)
class Program:
    """A journey in the form in which runs are played."""

    journey: Journey
    nodes: tuple[ProgramNode, ...]
    #: The number of the first node.
    start: int
    #: The number of the node of each step.
    numbers: Mapping[str, int]
    goals: tuple[TriggerSubject, ...]
    leaves: tuple[TriggerSubject, ...]
    #: The steps that change something outside of the run, by id.
    effects: Mapping[str, model.EffectStep]
    #: Whether a step issues coupons.
    issues_coupons: bool
    #: What the facts say that begin a run.
    entries: frozenset[Subject]
    #: What each `listen` waits for, by the id of the step.
    listens: Mapping[str, TriggerSubject]
    #: What the facts say that a run waits for once it has begun, uses of its coupons included.
    awaited: frozenset[Subject]
    #: The steps that follow a goal or a regret, by id.
    after_end: frozenset[str]
    _purposes: dict[tuple[int, tuple[tuple[str, int], ...]], frozenset[str]] = field(
        default_factory=dict, compare=False, repr=False
    )
    _awaited_at: dict[str, frozenset[Subject]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def awaited_at(self, step_id: str) -> frozenset[Subject]:
        """Return what the facts say that a run waits for which stands before a step."""
        if step_id not in self._awaited_at:
            triggers = [*self.goals, *self.leaves]
            if step_id in self.listens:
                triggers.append(self.listens[step_id])
            subjects = {subject for trigger in triggers for subject in trigger.subjects}
            self._awaited_at[step_id] = frozenset(subjects)
        return self._awaited_at[step_id]

    def purposes(self, number: int, counts: Mapping[str, int]) -> frozenset[str]:
        """Return the purposes of the messages that can follow from a node on before a wait.

        They move together out of the quiet hours. `counts`: how often each repetition has begun.
        """
        key = number, tuple(sorted(counts.items()))
        if key not in self._purposes:
            self._purposes[key] = frozenset(_purposes(self, number, counts))
        return self._purposes[key]


class TriggerSubject(NamedTuple):
    """What facts a trigger waits for."""

    subjects: tuple[Subject, ...]
    #: The property that they have in common with the entry; empty = none.
    same: str


@lru_cache(maxsize=4_096)
def trigger_subject(trigger: model.ListenTrigger, journey_id: str) -> TriggerSubject:
    """Return what facts a trigger of a journey waits for."""
    match trigger:
        case model.EventTrigger(events, same):
            return TriggerSubject((event_subject(structure_id(events)),), same)
        case model.SegmentTrigger(segment_id, on):
            return TriggerSubject((segment_subject(segment_id, on),), "")
        case model.ReportTrigger(of, what):
            reports = tuple(report_subject(journey_id, step_id, what) for step_id in of)
            return TriggerSubject(reports, "")


@lru_cache(maxsize=4_096)
def event_subject(filter_id: int) -> Subject:
    """Return the subject of the events that a filter matches; its id is its `structure_id`."""
    return "event", str(filter_id)


@lru_cache(maxsize=4_096)
def event_subjects(filter_ids: tuple[int, ...]) -> tuple[Subject, ...]:
    """Return the subjects of an event that some filters match."""
    return tuple(map(event_subject, filter_ids))


def segment_subject(segment_id: str, on: model.Movement) -> Subject:
    """Return the subject of the entries into a segment, or of the exits."""
    return SEGMENT, segment_id, on.value


def report_subject(journey_id: str, step_id: str, what: model.ReportKind) -> Subject:
    """Return the subject of the reports of one kind about the messages of a step."""
    return event_subject(report_filter_id(journey_id, step_id, what))


def schedule_subject(journey_id: str) -> Subject:
    """Return the subject of the members of the audience of a journey, when they begin."""
    return "schedule", journey_id


def coupon_subject(name: str) -> Subject:
    """Return the subject of the uses of a coupon of the run."""
    return "coupon", name


def entry_subjects(journey: model.Journey) -> frozenset[Subject]:
    """Return what the facts say that begin runs of a journey."""
    match journey.entry.by:
        case model.EventTrigger() | model.SegmentTrigger() as trigger:
            return frozenset(trigger_subject(trigger, journey.journey_id).subjects)
        case model.StageTrigger(stages_id, stage):
            subject = segment_subject(f"stage:{stages_id}={stage}", model.Movement.ENTERED)
        case model.ScheduleTrigger():
            subject = schedule_subject(journey.journey_id)
        case model.CallTrigger():
            subject = event_subject(call_filter_id(journey.journey_id))
        case _:
            # A membership that no list shows; its rule is the date, or any event ever.
            subject = segment_subject(
                MEMBERSHIP_PREFIX + journey.journey_id, model.Movement.ENTERED
            )
    return frozenset({subject})


def compile_journey(journey: Journey) -> Program:
    """Return the program of a journey that was checked."""
    nodes: list[ProgramNode] = []
    start = _add(journey.steps, END, (), nodes)
    goals, leaves = (
        tuple(trigger_subject(each, journey.journey_id) for each in triggers)
        for triggers in (journey.goals, journey.leaves)
    )
    listens = {
        node.step.id: trigger_subject(node.step.to, journey.journey_id)
        for node in nodes
        if isinstance(node.step, model.ListenStep)
    }
    awaited = {s for each in (*goals, *leaves, *listens.values()) for s in each.subjects}
    sends = [step for step in all_steps(journey) if isinstance(step, model.SendStep)]
    awaited |= {coupon_subject(name) for step in sends for name in step.issue}
    return Program(
        journey,
        tuple(nodes),
        start,
        {node.step.id: number for number, node in enumerate(nodes)},
        goals,
        leaves,
        {s.id: s for s in all_steps(journey) if isinstance(s, model.EffectStep)},
        any(step.issue for step in sends),
        entry_subjects(journey),
        listens,
        frozenset(awaited),
        frozenset(s.id for s in (*journey.on_goal, *journey.regret.unwanted)),
    )


def _add(
    steps: tuple[JourneyStep, ...], after: int, loops: tuple[Loop, ...], nodes: list[ProgramNode]
) -> int:
    """Add the nodes of some steps; return the number of the first, or `after` without steps."""
    for step in reversed(steps):
        number = len(nodes)
        if isinstance(step, model.RepeatStep):
            # Its steps lead back to it, so its number is fixed before theirs.
            nodes.append(ProgramNode(step, after, (), loops))
            inner = (*loops, Loop(step.id, step.times))
            first = _add(step.steps, number, inner, nodes)
            nodes[number] = ProgramNode(step, after, (first,), loops)
        else:
            arms = tuple(_add(arm, after, loops, nodes) for arm in arms_of(step))
            number = len(nodes)
            nodes.append(ProgramNode(step, after, arms, loops))
        after = number
    return after


def _purposes(program: Program, number: int, counts: Mapping[str, int]) -> Iterator[str]:
    """Yield the purposes of the messages from a node on, up to the next waits."""
    ways = [(number, dict(counts))]
    seen = set[tuple[int, tuple[tuple[str, int], ...]]]()
    while ways:
        at, counted = ways.pop()
        key = at, tuple(sorted(counted.items()))
        if at == END or key in seen:
            continue
        seen.add(key)
        node = program.nodes[at]
        match node.step:
            case model.WaitStep() | model.UntilStep() | model.ListenStep() | model.ExitStep():
                continue
            case model.RepeatStep():
                at, counted = node.repeat(counted)
                ways.append((at, counted))
                continue
            case model.ChooseStep(branches=branches):
                after = () if branches[-1].when is None else (node.next,)
                following = (*node.arms, *after)
            case model.SplitStep(arms=arms):
                following = tuple(
                    first for first, arm in zip(node.arms, arms, strict=True) if not arm.hold_out
                )
            case step:
                if isinstance(step, model.SendStep):
                    yield step.purpose or program.journey.purpose
                following = (node.next,)
        ways += [(each, counted) for each in following]


def named_events(journey: Journey) -> Iterator[model.EventTrigger]:
    """Yield the events that a journey waits for: of its entry, its endings and its steps."""
    listened = [s.to for s in walk_steps(journey.steps) if isinstance(s, model.ListenStep)]
    for trigger in (journey.entry.by, *journey.goals, *journey.leaves, *listened):
        if isinstance(trigger, model.EventTrigger):
            yield trigger
