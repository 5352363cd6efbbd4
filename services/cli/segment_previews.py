"""Previews the segments, tags and stages of packs, and prints the sizes that they would have."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import NamedTuple

from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import (
    Estimate,
    PreviewSegmentRequest,
    PreviewSegmentResponse,
)

from services.chassis.codec.named_rules import segment_rules, tag_rules
from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.cli import output
from services.cli.rule_forms import is_stage
from services.client.client import Client
from services.kernel.errors import ClientError, InvalidField, NotAllowed
from services.kernel.rules.model import ReferenceKind
from services.kernel.rules.references import (
    Definitions,
    Name,
    all_dependants,
    expand_some,
    names_of,
)


class Previewed(NamedTuple):
    """The preview of one definition."""

    id: str
    #: None where it cannot be previewed, for the reason in `problem`.
    response: PreviewSegmentResponse | None
    problem: str = ""


async def preview(
    client: Client,
    definitions: Iterable[TagDefined | SegmentDefined],
    sample_size: int = 0,
    changed: Set[Name] | None = None,
) -> list[Previewed]:
    """Preview definitions that are not retired; those that cannot be previewed say why.

    A reference from one of them to another means that other one, which need not be defined yet.
    With `changed` only these are previewed, and those that refer to them. Raises OnefoldError.
    """
    current = [each for each in definitions if not each.retired]
    named = _named(current)
    if changed is not None:
        affected = set(changed).union(*(all_dependants(name, named) for name in changed))
        current = [each for each in current if _name(each) in affected]
    previewed: list[Previewed] = []
    for each in current:
        id_ = _name(each).id
        try:
            request = _request(each, named)
            request.sample_size = sample_size
            previewed.append(Previewed(id_, await client.segment.PreviewSegment(request)))
        except NotAllowed:
            raise
        except ClientError as error:
            previewed.append(Previewed(id_, None, error.message))
    return previewed


def _name(each: TagDefined | SegmentDefined) -> Name:
    if isinstance(each, SegmentDefined):
        return Name(ReferenceKind.SEGMENT, each.segment_id)
    return Name(ReferenceKind.STAGE if is_stage(each) else ReferenceKind.TAG, each.tag_id)


def _named(definitions: Iterable[TagDefined | SegmentDefined]) -> Definitions:
    """Return what the rules of definitions may refer to; fitted values have no rules yet."""
    decoded = (
        tag_rules(each) if isinstance(each, TagDefined) else segment_rules(each)
        for each in definitions
        if isinstance(each, SegmentDefined) or not each.HasField("rfm")
    )
    return names_of(decoded)


def _request(each: TagDefined | SegmentDefined, named: Definitions) -> PreviewSegmentRequest:
    """Return the request for one definition, in which the others take the place of their names."""
    if isinstance(each, SegmentDefined):
        request = PreviewSegmentRequest(segment=each)
        rules = [request.segment.rule]
    else:
        if each.HasField("rfm"):
            remedy = f"apply it, then run `./onefold tags fit {each.tag_id}`"
            raise InvalidField(f"its values are computed over all persons: {remedy}")
        request = PreviewSegmentRequest(tag=each)
        rules = [own.rule for own in request.tag.values] or [request.tag.rule]
    for rule in rules:
        rule.CopyFrom(rule_to_proto(expand_some(rule_from_proto(rule, "rule"), named)))
    return request


def print_sizes(previewed: Iterable[Previewed]) -> None:
    """Print one line for each segment, value and stage, and what could not be previewed."""
    rows: list[tuple[str, str, str, str]] = []
    problems: list[str] = []
    for one in previewed:
        if one.response is None:
            problems.append(f"{one.id} is not previewed: {one.problem}")
            continue
        for members in one.response.members:
            changes = (members.size, members.entering, members.leaving)
            size, entering, leaving = map(format_estimate, changes)
            rows.append((members.segment_id or "the rule", size, entering, leaving))
    if rows:
        output.print_table(("segment", "members", "would enter", "would leave"), rows)
    for problem in problems:
        output.err.print(problem, soft_wrap=True)


def format_estimate(found: Estimate) -> str:
    """Return a number, with its bounds where it is an estimate."""
    if found.low == found.high:
        return f"{found.value:,}"
    return f"about {found.value:,} ({found.low:,} to {found.high:,})"
