"""Models dashboards and their tiles, checks them, and reads and writes their form in packs.

id: overview
title: Overview
tiles:
  - {id: leads, title: Leads, data: members, of: [high_intent], chart: numbers, width: 3}
  - {id: way, data: members, of: ["stage:life=lead", "stage:life=customer"], chart: funnel}
  - {id: mails, data: deliveries, chart: bars}                        # of all destinations
  - {id: welcome, data: journeys, of: [welcome], days: 7, chart: table}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.errors import RuleError
from services.kernel.journeys.form_kinds import (
    FLAG,
    NAME,
    NAMES,
    FormContext,
    Key,
    ListOf,
    Record,
    whole,
    word,
)
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.values import Json

MAX_ID: Final = 128
MAX_TITLE: Final = 200
MAX_SUBJECT: Final = 300
MAX_TILES: Final = 50
MAX_SUBJECTS: Final = 50
#: The columns of a dashboard.
COLUMNS: Final = 12
#: The facts of runs that have ended are stored for so many days.
MAX_DAYS: Final = 60
_CONTEXT: Final = FormContext(Defaults(DEFAULT_ZONE))


class TileData(Enum):
    """What a tile counts."""

    MEMBERS = "members"
    DELIVERIES = "deliveries"
    JOURNEYS = "journeys"
    TICKETS = "tickets"


class TileChart(Enum):
    """How a tile shows its figures."""

    NUMBERS = "numbers"
    BARS = "bars"
    FUNNEL = "funnel"
    TABLE = "table"


#: What cannot be counted of everything that is there.
_NEEDS_SUBJECTS: Final = frozenset({TileData.MEMBERS, TileData.JOURNEYS})


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a dashboard."""

    tile_id: str
    data: TileData
    chart: TileChart
    title: str = ""
    #: Ids of what it counts; of deliveries and tickets empty = all.
    subject_ids: tuple[str, ...] = ()
    #: Of journeys; 0 = 30.
    days: int = 0
    #: Columns; 0 = 4.
    width: int = 0


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Tiles that are shown together, in order."""

    dashboard_id: str
    title: str = ""
    tiles: tuple[Tile, ...] = ()
    retired: bool = False
    version: int = 0

    def at_version(self, version: int) -> Dashboard:
        return replace(self, version=version)


def check_dashboard(dashboard: Dashboard, path: str = "dashboard") -> None:
    """Raise RuleError with the path of the first mistake of a dashboard."""
    _check_text(dashboard.dashboard_id, MAX_ID, f"{path}.dashboard_id")
    _check_title(dashboard.title, f"{path}.title")
    check_tiles(dashboard.tiles, f"{path}.tiles")


def check_tiles(tiles: tuple[Tile, ...], path: str = "tiles") -> None:
    """Raise RuleError with the path of the first mistake of some tiles."""
    if len(tiles) > MAX_TILES:
        raise RuleError(f"there are {len(tiles)} tiles", f"write at most {MAX_TILES}", field=path)
    ids = [tile.tile_id for tile in tiles]
    for index, tile in enumerate(tiles):
        at = f"{path}[{index}]"
        if tile.tile_id in ids[:index]:
            raise RuleError("another tile has this id", "give each its own", field=f"{at}.tile_id")
        for problem in _problems(tile, at):
            raise problem


def _problems(tile: Tile, path: str) -> Iterator[RuleError]:
    _check_text(tile.tile_id, MAX_ID, f"{path}.tile_id")
    _check_title(tile.title, f"{path}.title")
    subjects = f"{path}.subject_ids"
    if len(tile.subject_ids) > MAX_SUBJECTS:
        yield RuleError("a tile counts too much", f"name at most {MAX_SUBJECTS}", field=subjects)
    for index, subject in enumerate(tile.subject_ids):
        _check_text(subject, MAX_SUBJECT, f"{subjects}[{index}]")
    if len(set(tile.subject_ids)) < len(tile.subject_ids):
        yield RuleError("an id is named twice", "name each once", field=subjects)
    if tile.data in _NEEDS_SUBJECTS and not tile.subject_ids:
        remedy = f"name the {tile.data.value} that it counts by their ids"
        if tile.data is TileData.MEMBERS:
            remedy = "name segments, `tag:ID`, `tag:ID=VALUE` or `stage:SET=STAGE`"
        yield RuleError("the tile counts nothing", remedy, field=subjects)
    if tile.days and tile.data is not TileData.JOURNEYS:
        remedy = "leave the days out, or count journeys"
        yield RuleError("only journeys are counted by days", remedy, field=f"{path}.days")
    if not 0 <= tile.days <= MAX_DAYS:
        yield RuleError("the days are too many", f"write 1 to {MAX_DAYS}", field=f"{path}.days")
    if not 0 <= tile.width <= COLUMNS:
        yield RuleError("the tile is too wide", f"write 1 to {COLUMNS}", field=f"{path}.width")


def _check_text(text: str, most: int, path: str) -> None:
    if not 0 < len(text) <= most or not text.isprintable():
        remedy = f"write 1 to {most} printable characters"
        raise RuleError("an id is empty, long or not printable", remedy, field=path)


def _check_title(title: str, path: str) -> None:
    if len(title) > MAX_TITLE or "\0" in title:
        raise RuleError("the title is long", f"write at most {MAX_TITLE} characters", field=path)


def parse_dashboard(form: Json, path: str = "") -> Dashboard:
    """Return the dashboard of a decoded YAML or JSON form. Raises RuleError with a path."""
    dashboard: Dashboard = _DASHBOARD.read(form, path, _CONTEXT)
    return dashboard


def dump_dashboard(dashboard: Dashboard) -> Json:
    """Return the form of a dashboard, as `parse_dashboard` reads it."""
    return _DASHBOARD.write(dashboard, _CONTEXT)


_TILE: Final = Record(
    Tile,
    [
        Key("id", "tile_id", NAME),
        Key("title", "title", NAME),
        Key("data", "data", word(TileData)),
        Key("of", "subject_ids", NAMES),
        Key("days", "days", whole(1, MAX_DAYS)),
        Key("chart", "chart", word(TileChart)),
        Key("width", "width", whole(1, COLUMNS)),
    ],
)
_DASHBOARD: Final = Record(
    Dashboard,
    [
        Key("id", "dashboard_id", NAME),
        Key("title", "title", NAME),
        Key("tiles", "tiles", ListOf(_TILE)),
        Key("retired", "retired", FLAG),
    ],
)
