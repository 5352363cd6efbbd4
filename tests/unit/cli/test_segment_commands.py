"""Tests the previews that `./onefold segments preview` and `apply --dry-run` print."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.cli.output import format_actual
from services.cli.segment_previews import format_estimate, preview, print_sizes
from services.kernel.errors import InvalidField, NotAllowed


def client_of(call: Any) -> Any:
    return SimpleNamespace(segment=SimpleNamespace(PreviewSegment=call))


def test_definitions_are_previewed_and_one_that_cannot_be_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def call(request: pb.PreviewSegmentRequest) -> pb.PreviewSegmentResponse:
        if request.WhichOneof("definition") == "tag":
            raise InvalidField("there is no segment `new`: define the segment first")
        size = pb.Estimate(value=1_200, low=1_100, high=1_300)
        members = pb.PreviewedMembers(segment_id=request.segment.segment_id, size=size)
        return pb.PreviewSegmentResponse(members=[members])

    definitions = [
        TagDefined(tag_id="vip"),
        SegmentDefined(segment_id="buyers"),
        SegmentDefined(segment_id="gone", retired=True),
    ]
    found = asyncio.run(preview(client_of(call), definitions))
    print_sizes(found)
    printed = capsys.readouterr()
    assert "buyers" in printed.out
    assert "about 1,200 (1,100 to 1,300)" in printed.out
    assert "gone" not in printed.out
    assert "vip is not previewed: there is no segment" in printed.err


def test_caller_without_the_right_sees_the_error_itself() -> None:
    async def call(_request: Any) -> Any:
        raise NotAllowed("this key may not read")

    with pytest.raises(NotAllowed):
        asyncio.run(preview(client_of(call), [SegmentDefined(segment_id="a")]))


def test_span_of_time_is_shown_in_days_and_other_values_as_json() -> None:
    assert format_actual(b"4797640917110", is_span=True) == "55d 12h 40m 40s"
    assert format_actual(b"null", is_span=True) == "null"
    assert format_actual(b"1600.0", is_span=False) == "1600.0"


def test_exact_number_has_no_bounds() -> None:
    assert format_estimate(pb.Estimate(value=3, low=3, high=3)) == "3"
