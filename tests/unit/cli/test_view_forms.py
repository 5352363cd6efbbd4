"""Forms of kinds and blocks in settings, and the options of a timeline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from onefold.profile.v1 import profile_service_pb2 as pb

from services.cli.output import Tree
from services.cli.rule_forms import read_settings, write_settings
from services.cli.timelines import TimelineOptions, add_timeline
from services.kernel.errors import InvalidField

FORM = {
    "timeline": {"order": ["settled"], "ad_click": ["came", "clicked"]},
    "blocks": {"preferences": {"traits": ["colour"], "tags": ["loyal"]}, "demographics": {}},
}


def test_settings_with_kinds_and_blocks_are_written_as_they_were_read() -> None:
    message = read_settings(FORM, "settings")
    assert {own.kind: list(own.events) for own in message.timeline} == {
        4: ["settled"],
        1: ["came", "clicked"],
    }
    assert [(own.block, list(own.traits), list(own.tags)) for own in message.blocks] == [
        (2, ["colour"], ["loyal"]),
        (1, [], []),
    ]
    assert write_settings(message) == FORM


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({"timeline": {"orders": ["x"]}}, "settings.timeline.orders"),
        ({"timeline": {"order": "x"}}, "settings.timeline.order"),
        ({"timeline": ["x"]}, "settings.timeline"),
        ({"blocks": {"likes": {}}}, "settings.blocks.likes"),
        ({"blocks": {"preferences": {"trait": ["x"]}}}, "settings.blocks.preferences"),
    ],
    ids=["kind", "no-list", "no-mapping", "block", "key"],
)
def test_wrong_form_is_rejected_with_its_place(form: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidField, match=named.replace(".", r"\.")):
        read_settings(form, "settings")


def test_unknown_kind_is_rejected_with_the_kinds_that_there_are() -> None:
    with pytest.raises(InvalidField, match="write ad_click, view, sales_contact, order"):
        TimelineOptions(kinds=["orders"]).request("")


@pytest.mark.parametrize("option", ["since", "before"])
def test_option_that_is_no_instant_is_rejected(option: str) -> None:
    with pytest.raises(InvalidField) as error:
        TimelineOptions(**{option: "yesterday"}).request("")  # type: ignore[arg-type]
    assert error.value.field == f"--{option}"


def test_request_has_all_options() -> None:
    options = TimelineOptions(
        ["order", "view"],
        ["order_paid"],
        ["web"],
        "2026-11-21T08:30:00Z",
        "2026-11-22T08:30:00Z",
        limit=3,
    )
    request = options.request("0" * 32)
    assert (list(request.kinds), list(request.events)) == ([4, 2], ["order_paid"])
    assert (list(request.source_ids), request.page_size) == (["web"], 3)
    assert request.before_us - request.since_us == 86_400_000_000


class MemoryProfiles:
    """Answers ListTimeline with fixed pages, of which some are empty."""

    def __init__(self, *pages: list[str]) -> None:
        self._pages = pages
        self.sizes: list[int] = []

    async def ListTimeline(self, request: pb.ListTimelineRequest) -> pb.ListTimelineResponse:
        number = int(request.page_token or 0)
        self.sizes.append(request.page_size)
        return pb.ListTimelineResponse(
            entries=[
                pb.TimelineEntry(name=name, type="track", timeline_kind=4)  # type: ignore[arg-type]
                for name in self._pages[number][: request.page_size]
            ],
            next_page_token=str(number + 1) if number + 1 < len(self._pages) else "",
        )


class MemoryClient:
    def __init__(self, profile: MemoryProfiles) -> None:
        self.profile = profile


def test_timeline_is_read_on_after_an_empty_page_up_to_the_limit() -> None:
    profiles, branch = MemoryProfiles([], ["a"], [], ["b", "c"], ["d"]), Tree("events")
    request = TimelineOptions(limit=3).request("0" * 32)
    asyncio.run(add_timeline(branch, MemoryClient(profiles), request))  # type: ignore[arg-type]
    assert profiles.sizes == [3, 3, 2, 2]
    assert [str(child.label)[20:] for child in branch.rendered.children] == [
        f"{name} [order]" for name in "abc"
    ]
