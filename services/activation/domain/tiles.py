"""Finds the figures of the tiles of dashboards in what was counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.kernel.dashboards import Tile, TileData

#: The days of a tile about journeys that names none.
USUAL_DAYS: Final = 30
_STATE: Final = "DELIVERY_STATE_"

#: Numbers by what they count.
Counts = Mapping[str, int]


class Figure(NamedTuple):
    """A number of something."""

    subject_id: str
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class TileFigures:
    """What is known of a tile."""

    tile_id: str
    figures: Sequence[Figure]
    #: Ids of the tile that are not defined.
    unknown_ids: Sequence[str] = ()
    #: Ids whose backfill has not finished.
    pending_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of everything that some tiles show, by id."""

    members: Mapping[str, Counts] = field(default_factory=dict)
    #: Segments, tags and stages whose backfill has not finished.
    pending: Collection[str] = ()
    deliveries: Mapping[str, Counts] = field(default_factory=dict)
    tickets: Mapping[str, Counts] = field(default_factory=dict)
    #: By journey and days.
    journeys: Mapping[tuple[str, int], Counts] = field(default_factory=dict)


def days_of(tile: Tile) -> int:
    """Return the days that a tile about journeys counts."""
    return tile.days or USUAL_DAYS


def delivery_counts(
    destinations: Iterable[str], effects: Iterable[tuple[str, str, int]]
) -> Mapping[str, Counts]:
    """Return the messages of each destination by state.

    `effects`: their destination, the name of their state and their number. Tasks and coupons of
    journeys have no destination: they are no messages.
    """
    found: dict[str, dict[str, int]] = {destination_id: {} for destination_id in destinations}
    for destination_id, state, count in effects:
        if destination_id:
            counts = found.setdefault(destination_id, {})
            counts[state.removeprefix(_STATE).lower()] = count
    return found


def figures_of(tile: Tile, counted: Counted) -> TileFigures:
    """Return the figures of a tile, in the order of its ids; of all ids in their own order."""
    counts = _counts_of(tile, counted)
    subjects = tile.subject_ids or sorted(counts)
    known = [each for each in subjects if each in counts]
    is_members = tile.data is TileData.MEMBERS
    return TileFigures(
        tile.tile_id,
        [Figure(each, name, value) for each in known for name, value in counts[each].items()],
        [each for each in subjects if each not in counts],
        [each for each in known if is_members and each in counted.pending],
    )


def _counts_of(tile: Tile, counted: Counted) -> Mapping[str, Counts]:
    match tile.data:
        case TileData.MEMBERS:
            return counted.members
        case TileData.DELIVERIES:
            return counted.deliveries
        case TileData.TICKETS:
            return counted.tickets
        case TileData.JOURNEYS:
            days = days_of(tile)
            return {id_: own for (id_, of), own in counted.journeys.items() if of == days}
