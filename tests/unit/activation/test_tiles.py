"""Tests which figures a tile of a dashboard has."""

from __future__ import annotations

from services.activation.domain.tiles import (
    Counted,
    Figure,
    TileFigures,
    delivery_counts,
    figures_of,
)
from services.kernel.dashboards import Tile, TileChart, TileData

COUNTED = Counted(
    members={"b": {"members": 2}, "a": {"members": 0}, "tag:x": {"members": 7}},
    pending={"a"},
    deliveries={"mail": {"delivered": 3, "dead": 1}, "hook": {}, "a": {}},
    tickets={"q": {"open": 1, "waiting": 0, "breached": 1}},
    journeys={("hello", 7): {"runs": 4}, ("hello", 30): {"runs": 9}, ("bye", 30): {"runs": 1}},
)


def figures(data: TileData, *ids: str, days: int = 0) -> TileFigures:
    """Return the figures of a tile."""
    return figures_of(Tile("t", data, TileChart.BARS, "", ids, days), COUNTED)


def test_members_have_the_order_of_the_tile_and_what_is_not_defined_has_no_number() -> None:
    found = figures(TileData.MEMBERS, "tag:x", "gone", "a", "b")
    assert found.figures == [
        *(Figure("tag:x", "members", 7), Figure("a", "members", 0), Figure("b", "members", 2))
    ]
    assert (found.unknown_ids, found.pending_ids) == (["gone"], ["a"])


def test_tile_that_names_nothing_counts_all_by_id() -> None:
    found = figures(TileData.DELIVERIES)
    assert found.figures == [Figure("mail", "delivered", 3), Figure("mail", "dead", 1)]
    assert not found.unknown_ids
    assert [f.name for f in figures(TileData.TICKETS).figures] == ["open", "waiting", "breached"]


def test_destination_without_messages_is_not_unknown() -> None:
    found = figures(TileData.DELIVERIES, "hook", "gone", "a")
    # A destination may have the id of a segment that is pending.
    assert (found.unknown_ids, found.pending_ids) == (["gone"], [])


def test_effects_without_a_destination_are_no_messages() -> None:
    effects = [("", "DELIVERY_STATE_DELIVERED", 9), ("mail", "DELIVERY_STATE_DEAD", 2)]
    assert delivery_counts(["hook"], effects) == {"hook": {}, "mail": {"dead": 2}}


def test_journeys_are_counted_over_the_days_of_the_tile() -> None:
    assert figures(TileData.JOURNEYS, "hello", days=7).figures == [Figure("hello", "runs", 4)]
    assert figures(TileData.JOURNEYS, "bye", "hello").figures == [
        *(Figure("bye", "runs", 1), Figure("hello", "runs", 9))
    ]
    assert figures(TileData.JOURNEYS, "bye", days=7).unknown_ids == ["bye"]
