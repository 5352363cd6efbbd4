"""Previews the segments, tags and stages of packs, and prints the sizes that they would have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import (
    Estimate,
    PreviewSegmentRequest,
    PreviewSegmentResponse,
)

from services.cli import output
from services.client.client import Client
from services.kernel.errors import ClientError, NotAllowed


class Previewed(NamedTuple):
    """The preview of one definition."""

    id: str
    #: None where it cannot be previewed, for the reason in `problem`.
    response: PreviewSegmentResponse | None
    problem: str = ""


async def preview(
    client: Client, definitions: Iterable[TagDefined | SegmentDefined], sample_size: int = 0
) -> list[Previewed]:
    """Preview definitions that are not retired; those that cannot be previewed say why.

    A definition that refers to another one that is new cannot be, before that one is defined.
    Raises OnefoldError.
    """
    previewed: list[Previewed] = []
    for each in definitions:
        if each.retired:
            continue
        if isinstance(each, TagDefined):
            id_, request = each.tag_id, PreviewSegmentRequest(tag=each)
        else:
            id_, request = each.segment_id, PreviewSegmentRequest(segment=each)
        request.sample_size = sample_size
        try:
            previewed.append(Previewed(id_, await client.segment.PreviewSegment(request)))
        except NotAllowed:
            raise
        except ClientError as error:
            previewed.append(Previewed(id_, None, error.message))
    return previewed


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
