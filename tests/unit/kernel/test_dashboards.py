"""Tests the form of dashboards, their messages, and their mistakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from onefold.activation.v1 import dashboards_pb2 as pb

from services.chassis.codec.journeys import (
    dashboard_from_proto,
    dashboard_to_proto,
    tiles_from_proto,
)
from services.kernel.dashboards import (
    COLUMNS,
    MAX_DAYS,
    MAX_SUBJECTS,
    MAX_TILES,
    Dashboard,
    Tile,
    TileChart,
    TileData,
    check_dashboard,
    dump_dashboard,
    parse_dashboard,
)
from services.kernel.errors import InvalidField, RuleError

FORM: dict[str, Any] = {
    "id": "overview",
    "title": "总览",
    "tiles": [
        {"id": "leads", "title": "Leads", "data": "members", "of": ["a"], "chart": "numbers"},
        {"id": "way", "data": "members", "of": ["stage:l=lead", "a"], "chart": "funnel"},
        {"id": "mails", "data": "deliveries", "chart": "bars", "width": 12},
        {"id": "hello", "data": "journeys", "of": ["hello"], "days": 7, "chart": "table"},
    ],
}
LEADS = Tile("leads", TileData.MEMBERS, TileChart.NUMBERS, "Leads", ("a",))
DASHBOARD = Dashboard(
    "overview",
    "总览",
    (
        LEADS,
        Tile("way", TileData.MEMBERS, TileChart.FUNNEL, "", ("stage:l=lead", "a")),
        Tile("mails", TileData.DELIVERIES, TileChart.BARS, width=12),
        Tile("hello", TileData.JOURNEYS, TileChart.TABLE, "", ("hello",), 7),
    ),
)


def test_dashboard_is_read_and_written() -> None:
    assert parse_dashboard(FORM) == DASHBOARD
    assert dump_dashboard(DASHBOARD) == FORM


@pytest.mark.parametrize("dashboard", [DASHBOARD, Dashboard("d"), DASHBOARD.at_version(3)])
def test_dashboard_survives_its_message(dashboard: Dashboard) -> None:
    check_dashboard(dashboard)
    assert dashboard_from_proto(dashboard_to_proto(dashboard)) == dashboard


MISTAKES: dict[str, tuple[Dashboard, str]] = {
    "no id": (Dashboard(""), "dashboard_id"),
    "long title": (Dashboard("d", "x" * 201), "title"),
    "many tiles": (
        Dashboard("d", "", tuple(replace(LEADS, tile_id=str(n)) for n in range(MAX_TILES + 1))),
        "tiles",
    ),
    "same id": (Dashboard("d", "", (LEADS, LEADS)), "tiles[1].tile_id"),
    **{
        name: (Dashboard("d", "", (replace(LEADS, **change),)), f"tiles[0].{field}")
        for name, change, field in (
            ("tile without id", {"tile_id": "\n"}, "tile_id"),
            ("no subjects", {"subject_ids": ()}, "subject_ids"),
            ("no journeys", {"subject_ids": (), "data": TileData.JOURNEYS}, "subject_ids"),
            ("subject twice", {"subject_ids": ("a", "a")}, "subject_ids"),
            ("empty subject", {"subject_ids": ("a", "")}, "subject_ids[1]"),
            (
                "many subjects",
                {"subject_ids": tuple(map(str, range(MAX_SUBJECTS + 1)))},
                "subject_ids",
            ),
            ("days of members", {"days": 1}, "days"),
            ("many days", {"days": MAX_DAYS + 1, "data": TileData.JOURNEYS}, "days"),
            ("wide", {"width": COLUMNS + 1}, "width"),
        )
    },
}


@pytest.mark.parametrize("name", MISTAKES)
def test_dashboard_with_a_mistake_is_refused_with_its_place(name: str) -> None:
    dashboard, field = MISTAKES[name]
    with pytest.raises(RuleError) as refused:
        check_dashboard(dashboard)
    assert refused.value.field == f"dashboard.{field}"


@pytest.mark.parametrize(
    ("tile", "field"),
    [
        (pb.Tile(tile_id="a", chart=pb.TILE_CHART_BARS), "tiles[0].data"),
        (pb.Tile(tile_id="a", data=pb.TILE_DATA_TICKETS), "tiles[0].chart"),
        (pb.Tile(tile_id="a", data=99, chart=pb.TILE_CHART_BARS), "tiles[0].data"),  # type: ignore[arg-type]
    ],
)
def test_tile_without_data_or_chart_is_refused(tile: pb.Tile, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        tiles_from_proto([tile])
    assert refused.value.field == field
