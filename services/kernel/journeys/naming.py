"""Finds what a journey names, and what of it a workspace has not defined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.journeys import model
from services.kernel.journeys.model import Journey
from services.kernel.journeys.puts import PutStage, PutStep
from services.kernel.journeys.template_names import template_id_of
from services.kernel.journeys.tree import all_steps, condition_parts
from services.kernel.rules.model import Reference, ReferenceKind, Rule
from services.kernel.rules.references import references


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The names that a workspace has defined, by what they name; None = these are not checked."""

    destinations: frozenset[str] | None = None
    templates: frozenset[str] | None = None
    pools: frozenset[str] | None = None
    segments: frozenset[str] | None = None
    tags: frozenset[str] | None = None
    journeys: frozenset[str] | None = None
    queues: frozenset[str] | None = None


class JourneyProblem(NamedTuple):
    """A mistake of a journey, or something that is likely to be one."""

    #: The id of the step, or the name of the part.
    at: str
    problem: str
    remedy: str
    #: Whether the journey can be defined all the same.
    is_warning: bool = False

    def __str__(self) -> str:
        return f"{self.at}: {self.problem}; {self.remedy}"


def journey_rules(journey: Journey) -> Iterator[tuple[str, Rule]]:
    """Yield the rules of a journey, each with the id of its step; `enter` for its entry."""
    conditions = [("enter", journey.entry.condition)]
    for step in all_steps(journey):
        if isinstance(step, model.ChooseStep):
            conditions += [(step.id, branch.when) for branch in step.branches]
    for at, condition in conditions:
        for part in condition_parts(condition):
            if isinstance(part, model.RuleCondition):
                yield at, part.rule


def journey_triggers(journey: Journey) -> Iterator[model.ListenTrigger]:
    """Yield what the goals, the leaves and the steps of a journey wait for."""
    yield from (*journey.goals, *journey.leaves)
    for step in all_steps(journey):
        if isinstance(step, model.ListenStep):
            yield step.to


def unknown_names(journey: Journey, known: KnownNames) -> Iterator[JourneyProblem]:
    """Yield the names of a journey that are not defined."""
    for at, kind, name, names in _named(journey, known):
        if names is not None and name not in names:
            yield JourneyProblem(at, f"the {kind} {name!r} is not defined", "define it first")


def _named(
    journey: Journey, known: KnownNames
) -> Iterator[tuple[str, str, str, frozenset[str] | None]]:
    """Yield what a journey names: where, what it is, its name, the names that are defined."""
    entry = journey.entry
    if isinstance(entry.by, model.SegmentTrigger):
        yield "enter", "segment", entry.by.segment_id, known.segments
    if isinstance(entry.by, model.StageTrigger):
        yield "enter", "set of stages", entry.by.stages_id, known.tags
    if entry.audience:
        yield "enter", "segment", entry.audience, known.segments
    for trigger in journey_triggers(journey):
        if isinstance(trigger, model.SegmentTrigger):
            yield "goal, leave or listen", "segment", trigger.segment_id, known.segments
    for step in all_steps(journey):
        match step:
            case model.SendStep():
                yield step.id, "destination", step.destination_id, known.destinations
                yield step.id, "template", template_id_of(step.template), known.templates
                for issue in step.issue.values():
                    yield step.id, "pool", issue.pool, known.pools
            case model.JoinStep() | model.DropStep():
                yield step.id, "destination", step.destination_id, known.destinations
            case model.TaskStep():
                yield step.id, "queue", step.queue, known.queues
            case PutStep(stage=PutStage(stages_id=id_)):
                yield step.id, "set of stages", id_, known.tags
            case model.StartStep():
                yield step.id, "journey", step.journey_id, known.journeys
    for at, rule in journey_rules(journey):
        for reference in references(rule):
            is_segment = reference.kind is ReferenceKind.SEGMENT
            names = known.segments if is_segment else known.tags
            yield at, reference.kind.value, reference.id, names


def named_memberships(journey: Journey) -> Iterator[tuple[str, Rule]]:
    """Yield the memberships that a journey names, as rules, each with where it is named."""
    entry = journey.entry
    if isinstance(entry.by, model.SegmentTrigger):
        yield "enter", reference_of(entry.by.segment_id)
    if isinstance(entry.by, model.StageTrigger):
        yield "enter", Reference(ReferenceKind.STAGE, entry.by.stages_id, entry.by.stage)
    if entry.audience:
        yield "enter", reference_of(entry.audience)
    for trigger in journey_triggers(journey):
        if isinstance(trigger, model.SegmentTrigger):
            yield "goal, leave or listen", reference_of(trigger.segment_id)
    for step in all_steps(journey):
        if isinstance(step, PutStep) and step.stage is not None:
            yield step.id, Reference(ReferenceKind.STAGE, step.stage.stages_id, step.stage.stage)


def reference_of(segment_id: str) -> Reference:
    """Return the reference to what a membership is one of, such as `tag:ID=VALUE`."""
    for kind in (ReferenceKind.TAG, ReferenceKind.STAGE):
        if segment_id.startswith(f"{kind.value}:"):
            id_, _, value = segment_id.removeprefix(f"{kind.value}:").partition("=")
            return Reference(kind, id_, value)
    return Reference(ReferenceKind.SEGMENT, segment_id)
