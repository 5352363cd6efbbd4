"""Tests what `./onefold correct` sends, and how a profile shows where its values come from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded, TraitCorrected
from onefold.segment.v1.segment_service_pb2 import Stay
from onefold.segment.v1.segment_stream_pb2 import MEMBERSHIP_CAUSE_RULE

from services.cli import timelines
from services.cli.commands import profiles
from services.cli.commands.corrections import correction_of
from services.cli.output import Tree
from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US


@pytest.mark.parametrize(
    ("value", "is_json", "expected"),
    [
        *(("Bonn", False, "Bonn"), ("13800000000", False, "13800000000"), ("", False, "")),
        *(("7", True, 7), ("null", True, None), ('["a"]', True, ["a"])),
    ],
)
def test_value_is_a_text_unless_it_is_marked_as_json(
    value: str, is_json: bool, expected: Any
) -> None:
    found = correction_of("city", value, "why", as_json=is_json, withdraw=False)
    assert json.loads(found.value) == expected
    assert (found.trait, found.reason, found.withdrawn) == ("city", "why", False)


def test_withdrawal_has_no_value() -> None:
    found = correction_of("city", None, "why", as_json=False, withdraw=True)
    assert found == TraitCorrected(trait="city", reason="why", withdrawn=True)


@pytest.mark.parametrize(("value", "withdraw"), [(None, False), ("Bonn", True)])
def test_value_or_withdrawal_is_required_and_not_both(value: str | None, withdraw: bool) -> None:
    with pytest.raises(InvalidField, match="--withdraw"):
        correction_of("city", value, "why", as_json=False, withdraw=withdraw)


def test_trait_shows_its_source_or_who_corrected_it() -> None:
    stated: Any = pb.Trait(source_id="crm")
    stated.trust, stated.party = 3, 2
    assert profiles._origin(stated) == "crm, system_of_record, second party"
    corrected = pb.Trait(correction=pb.Correction(actor="key_1", reason="typing error"))
    assert profiles._origin(corrected) == "corrected by key_1: typing error"


def test_trait_shows_its_standard_form_beside_the_raw_value() -> None:
    lines: list[str] = []

    class Recorded(Tree):
        def add(self, *texts: str) -> Tree:
            lines.extend(texts)
            return self

    read: Any = pb.Trait(name="home", value=b'"Nanjing"', cleaner="city@1", source_id="crm")
    read.standard, read.trust = '"南京市"'.encode(), 3
    unread: Any = pb.Trait(name="work", value=b"7", cleaner="city@1", source_id="crm")
    unread.trust = 3
    profiles._add_traits(Recorded(), [read, unread])
    shown = [line.partition(" (since")[0] for line in lines]
    assert shown == [
        "traits",
        'home = "Nanjing" → "南京市" by city@1',
        "work = 7 → no standard form by city@1",
    ]


def test_profile_shows_touches_and_predictions() -> None:
    lines: list[str] = []

    class Recorded(Tree):
        def add(self, text: str) -> Tree:
            lines.append(text)
            return self

    touch = pb.Touch(source="ads", click_id="7", occurred_at_us=0, fact_id="00" * 16)
    tree = Recorded("profile")
    profiles._add_touches(tree, pb.Profile(first_touch=touch))
    predicted = pb.Prediction(model_id="churn", model_version="7", score=0.25, as_of_us=0)
    profiles._add_predictions(tree, [predicted])
    assert lines[0].startswith("first touch: source ads, click_id 7 (")
    assert lines[1] == "predicted by models"
    assert lines[2].startswith("churn = 0.25 (7, as of ")
    assert len(lines) == 3


def test_timeline_shows_corrections_and_scores() -> None:
    correction = TraitCorrected(trait="city", value=b'"Bonn"', reason="why")
    entry = pb.TimelineEntry(actor="key_1", correction=correction)
    assert timelines._line(entry).endswith('city corrected = "Bonn" (key_1: why)')
    entry.correction.withdrawn = True
    assert timelines._line(entry).endswith("city corrected withdrawn (key_1: why)")
    scored = ScoreRecorded(model_id="churn", model_version="7", score=0.25)
    entry = pb.TimelineEntry(name="churn", score=scored)
    assert timelines._line(entry).endswith("churn scored 0.25 (7)")


def stay(segment_id: str, entered_at_us: int, duration_us: int) -> Stay:
    made = Stay(segment_id=segment_id, entered_at_us=entered_at_us, segment_version=2)
    made.duration_us, made.entered_cause = duration_us, MEMBERSHIP_CAUSE_RULE
    return made


STAYS = [
    stay("stage:life=new", DAY_US, 3 * DAY_US),
    stay("stage:life=loyal", 4 * DAY_US, 9 * DAY_US),
    stay("stage:tier=gold", 2 * DAY_US, 11 * DAY_US),
    stay("tag:keen", 2 * DAY_US, DAY_US),
    stay("buyers", 2 * DAY_US, DAY_US),
]


def test_change_of_a_stage_has_the_time_in_the_stage_before_the_cause_and_the_version() -> None:
    assert [line.text for line in timelines.stage_changes(STAYS)] == [
        "1970-01-02 00:00:00 life = new [stage] (rule, version 2)",
        "1970-01-03 00:00:00 tier = gold [stage] (rule, version 2)",
        "1970-01-05 00:00:00 life = loyal [stage] after 3.0 days of new (rule, version 2)",
    ]


class Pages:
    """A client whose profile has one event a day, `left` of them, one on a page."""

    def __init__(self, left: int) -> None:
        self.profile, self._left = self, left

    async def ListTimeline(self, request: pb.ListTimelineRequest) -> pb.ListTimelineResponse:
        at_us, self._left = self._left * DAY_US, self._left - 1
        entry = pb.TimelineEntry(name=f"event of day {at_us // DAY_US}", occurred_at_us=at_us)
        more = "more" if self._left else ""
        return pb.ListTimelineResponse(entries=[entry], next_page_token=more)


async def lines_of(request: pb.ListTimelineRequest) -> list[str]:
    found: list[str] = []

    class Recorded(Tree):
        def add(self, text: str) -> Tree:
            found.append(text.split(" ", 2)[2])
            return self

    await timelines.add_timeline(Recorded("events"), Pages(5), request, STAYS)  # type: ignore[arg-type]  # one call is enough
    return [line.partition(" [")[0] for line in found]


async def test_timeline_marks_the_changes_of_stages_between_the_events_that_are_shown() -> None:
    shown = await lines_of(pb.ListTimelineRequest(page_size=4))
    assert shown == [
        "event of day 5",
        "life = loyal",
        "event of day 4",
        "event of day 3",
        "tier = gold",
        "event of day 2",
    ]
    assert (await lines_of(pb.ListTimelineRequest(page_size=9)))[-2:] == [
        "life = new",
        "event of day 1",
    ]
    before = pb.ListTimelineRequest(page_size=9, before_us=4 * DAY_US)
    assert "life = loyal" not in await lines_of(before)


@pytest.mark.parametrize("selected", [{"events": ["paid"]}, {"source_ids": ["shop"]}])
async def test_timeline_of_selected_events_marks_no_stages(selected: dict[str, Any]) -> None:
    request = pb.ListTimelineRequest(page_size=9, **selected)
    assert await lines_of(request) == [f"event of day {day}" for day in (5, 4, 3, 2, 1)]
