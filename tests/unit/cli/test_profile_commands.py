"""Tests what `./onefold correct` sends, and how a profile shows where its values come from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded, TraitCorrected

from services.cli import timelines
from services.cli.commands import profiles
from services.cli.commands.corrections import correction_of
from services.cli.output import Tree
from services.kernel.errors import InvalidField


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
