"""Tests the previews that `./onefold segments preview` and `apply --dry-run` print."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from onefold.profile.v1.profile_facts_pb2 import TAG_KIND_STAGE, RfmModel, TagDefined
from onefold.rule.v1.rule_pb2 import Rule
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.codec.rules import rule_to_proto
from services.cli.output import format_actual
from services.cli.segment_previews import Previewed, format_estimate, preview, print_sizes
from services.kernel.errors import InvalidField, NotAllowed
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import ReferenceKind
from services.kernel.rules.references import Name

BOUGHT_FORM = {"count": {"event": "bought", "at_least": 1}}


def rule(form: Any) -> Rule:
    return rule_to_proto(parse_rule(form))


BOUGHT = rule(BOUGHT_FORM)


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
        TagDefined(tag_id="vip", rule=rule({"segment": "new"})),
        SegmentDefined(segment_id="buyers", rule=BOUGHT),
        SegmentDefined(segment_id="gone", rule=BOUGHT, retired=True),
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
        asyncio.run(preview(client_of(call), [SegmentDefined(segment_id="a", rule=BOUGHT)]))


def previewed_requests(
    *definitions: Any, **options: Any
) -> tuple[list[pb.PreviewSegmentRequest], list[Previewed]]:
    requests: list[pb.PreviewSegmentRequest] = []

    async def call(request: pb.PreviewSegmentRequest) -> pb.PreviewSegmentResponse:
        requests.append(request)
        return pb.PreviewSegmentResponse()

    return requests, asyncio.run(preview(client_of(call), definitions, **options))


def test_preview_of_a_pack_reads_what_the_pack_refers_to_as_the_pack_defines_it() -> None:
    tiers = TagDefined(tag_id="tier", kind=TAG_KIND_STAGE, default_value="none")
    tiers.values.add(value="gold", rule=rule({"tag": "buyer"}))
    form = {"all": [{"stage": {"of": "tier", "is": "gold"}}, {"segment": "of-another-pack"}]}
    requests, found = previewed_requests(
        SegmentDefined(segment_id="golden", rule=rule(form)),
        tiers,
        TagDefined(tag_id="buyer", rule=BOUGHT),
    )
    assert [one.id for one in found if one.response is None] == []
    assert requests[0].segment.rule == rule({"all": [BOUGHT_FORM, {"segment": "of-another-pack"}]})
    assert requests[1].tag.values[0].rule == BOUGHT


def test_preview_of_changes_has_what_refers_to_them_and_nothing_else() -> None:
    definitions = (
        TagDefined(tag_id="buyer", rule=BOUGHT),
        SegmentDefined(segment_id="direct", rule=rule({"tag": "buyer"})),
        SegmentDefined(segment_id="indirect", rule=rule({"segment": "direct"})),
        SegmentDefined(segment_id="other", rule=BOUGHT),
    )
    buyer = Name(ReferenceKind.TAG, "buyer")
    _, found = previewed_requests(*definitions, changed={buyer})
    assert [one.id for one in found] == ["buyer", "direct", "indirect"]


def test_preview_of_fitted_values_says_how_they_are_computed() -> None:
    fitted = TagDefined(tag_id="rfm", rfm=RfmModel(quantiles=5))
    requests, (found,) = previewed_requests(fitted)
    assert requests == []
    assert "./onefold tags fit rfm" in found.problem


def test_span_of_time_is_shown_in_days_and_other_values_as_json() -> None:
    assert format_actual(b"4797640917110", is_span=True) == "55d 12h 40m 40s"
    assert format_actual(b"null", is_span=True) == "null"
    assert format_actual(b"1600.0", is_span=False) == "1600.0"


def test_exact_number_has_no_bounds() -> None:
    assert format_estimate(pb.Estimate(value=3, low=3, high=3)) == "3"
