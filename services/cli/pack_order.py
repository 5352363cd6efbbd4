"""Orders the tags, stages, segments and journeys of a pack by their references."""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from onefold.activation.v1.journeys_pb2 import Journey
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.rule.v1.rule_pb2 import Reference, ReferenceKind
from onefold.rule.v1.rule_pb2 import Rule as RuleMessage
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.codec.journeys import journey_from_proto
from services.cli.definitions import Pack
from services.cli.rule_forms import is_stage
from services.kernel.journeys.model import StartStep
from services.kernel.journeys.tree import all_steps

#: The word of the pack for a set of stages.
STAGES = "stages"


def in_order_of_references(pack: Pack) -> list[TagDefined | SegmentDefined]:
    """Return tags and segments, each after those of the pack that it refers to; in any order where
    they refer to each other in a cycle, which `wrong_references` reports."""
    all_ruled: list[TagDefined | SegmentDefined] = [*pack.tags, *pack.segments]
    ruled = {_name_of(each): each for each in all_ruled}
    needed = {name: _referred(each) & ruled.keys() for name, each in ruled.items()}
    try:
        return [ruled[name] for name in TopologicalSorter(needed).static_order()]
    except CycleError:
        return all_ruled


def kind_of(ruled: TagDefined) -> str:
    """Return the word of the pack for a tag or a set of stages."""
    return STAGES if is_stage(ruled) else "tag"


def of_stages(message: str) -> str:
    """Return an error about a set of stages in the words of the pack: its values are stages."""
    return re.sub(r"\bvalues(?=\[\d)", "stages", message)


def _name_of(ruled: TagDefined | SegmentDefined) -> tuple[ReferenceKind, str]:
    reference = reference_to(ruled)
    return reference.kind, reference.id


def reference_to(ruled: TagDefined | SegmentDefined) -> Reference:
    """Return a reference to a tag, a set of stages or a segment."""
    if isinstance(ruled, SegmentDefined):
        return Reference(kind=ReferenceKind.REFERENCE_KIND_SEGMENT, id=ruled.segment_id)
    stage, tag = ReferenceKind.REFERENCE_KIND_STAGE, ReferenceKind.REFERENCE_KIND_TAG
    kind = stage if is_stage(ruled) else tag
    return Reference(kind=kind, id=ruled.tag_id)


def _referred(ruled: TagDefined | SegmentDefined) -> set[tuple[ReferenceKind, str]]:
    """Return what the rules of a definition refer to."""
    if isinstance(ruled, SegmentDefined):
        rules = [ruled.rule]
    else:
        rules = [ruled.rule] if ruled.HasField("rule") else [own.rule for own in ruled.values]
    return {found for rule in rules for found in _references_in(rule)}


def _references_in(rule: RuleMessage) -> Iterator[tuple[ReferenceKind, str]]:
    match rule.WhichOneof("kind"):
        case "all" | "any" as kind:
            for part in getattr(rule, kind).rules:
                yield from _references_in(part)
        case "not":
            yield from _references_in(getattr(rule, "not"))
        case "reference":
            yield rule.reference.kind, rule.reference.id


def journeys_in_order(pack: Pack) -> list[Journey]:
    """Return the journeys of a pack, each after those of the pack that it begins.

    Raises CycleError where they begin each other.
    """
    journeys = {journey.journey_id: journey for journey in pack.journeys}
    begun = {id_: _begun_by(journey) & journeys.keys() for id_, journey in journeys.items()}
    begun = {id_: ids - {id_} for id_, ids in begun.items()}
    return [journeys[id_] for id_ in TopologicalSorter(begun).static_order()]


def cyclic_journeys(pack: Pack) -> list[str]:
    """Return a mistake for each journey that is part of a cycle of journeys."""
    try:
        journeys_in_order(pack)
    except CycleError as error:
        cycle = list(dict.fromkeys(error.args[1]))
        problem = f"the journeys {', '.join(cycle)} begin each other: remove one `start`"
        return [f"{pack.place('journey', id_)}{problem}" for id_ in cycle]
    return []


def _begun_by(journey: Journey) -> set[str]:
    steps = all_steps(journey_from_proto(journey))
    return {step.journey_id for step in steps if isinstance(step, StartStep)}
