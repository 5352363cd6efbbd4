"""Tests the models of tags in packs: read, refused at their place, and written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onefold.profile.v1.profile_service_pb2 import FitTagResponse

from services.cli.commands.tags import print_fit
from services.cli.definitions import read_pack
from services.cli.rule_forms import RuleDefaults, membership_ids, read_tag, write_tag
from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US

FORM: dict[str, Any] = {
    "id": "value",
    "title": "Value",
    "rfm": {
        "quantiles": 5,
        "period": "quarter",
        "values": [
            {"value": "high", "recency": 4, "frequency": 4, "monetary": 5},
            {"value": "mid", "monetary": 3},
        ],
    },
    "default": "low",
}


def changed(**parts: Any) -> dict[str, Any]:
    return FORM | {"rfm": FORM["rfm"] | parts}


def test_model_in_a_pack_is_read_and_written_as_it_was() -> None:
    tag = read_tag(FORM, "tags[0]", RuleDefaults())
    assert [tuple(own.value for own in tag.rfm.values), tag.rfm.quantiles] == [("high", "mid"), 5]
    assert membership_ids(tag) == ["tag:value=high", "tag:value=mid", "tag:value=low"]
    tag.rfm.fit.persons = 7
    assert write_tag(tag, RuleDefaults()) == FORM


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (changed(period="fortnight"), "tags[0].rfm.period"),
        (changed(quantiles="many"), "tags[0].rfm.quantiles"),
        (changed(values=[{"value": "a", "recency": -1}]), "tags[0].rfm.values[0].recency"),
        (changed(values=[{"recency": 1}]), "tags[0].rfm.values[0].value"),
        (FORM | {"rule": {"count": {"event": "a", "at_least": 1}}}, "tags[0].rfm"),
    ],
)
def test_model_with_a_mistake_is_refused_at_its_place(form: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read_tag(form, "tags[0]", RuleDefaults())
    assert refused.value.field == field


def test_pack_with_a_model_is_read_completely(tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(
        "tags: [{id: v, title: V, rfm: {quantiles: 3, period: month, values: [{value: a}]}}]"
    )
    [tag] = read_pack(file, {}).tags
    assert tag.rfm.quantiles == 3


def test_fit_is_printed_with_its_edges(capsys: pytest.CaptureFixture[str]) -> None:
    response = FitTagResponse(fitted=True)
    response.tag.tag_id = "value"
    edges = response.tag.rfm.fit
    edges.persons = 1_200
    edges.recency_us.extend([30 * DAY_US, 90 * DAY_US])
    edges.frequency.extend([2, 5])
    edges.monetary_micros.extend([1_234_500_000, 9_000_000_000])
    print_fit(response)
    printed = capsys.readouterr().out
    assert "fitted now, over 1,200 persons" in printed
    rows = [line.split() for line in printed.splitlines() if line.split()[0].isdigit()]
    # The least score has the persons whose last order was longest ago.
    assert rows == [["1", "90.0", "d", "2", "1,234.50"], ["2", "30.0", "d", "5", "9,000.00"]]
