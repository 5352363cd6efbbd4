"""Stores what was computed of the items of slots."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec

from services.activation.domain.item_similarity import EVERY_CATEGORY, ItemTable, Ranked
from services.chassis.postgres.database import Queries
from services.kernel.ids import WorkspaceId

Q = Queries.load(__package__, "recommendations.sql")
_SIMILAR: Final = 1
_POPULAR: Final = 2


class _Row(msgspec.Struct, array_like=True):
    """The payload of a row."""

    category: str | None
    ranked: list[Ranked]


@dataclass(frozen=True, slots=True)
class LoadedItems:
    """What the ranking for a person needs of the last computation."""

    similar: Mapping[str, list[Ranked]]
    popular: Mapping[str, list[Ranked]]
    categories: Mapping[str, str]


async def save_table(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    slot_id: str,
    slot_version: int,
    at_us: int,
    table: ItemTable,
) -> None:
    """Replace what was computed from an older state of the log; inside a transaction."""
    key = workspace_id, slot_id
    figures = slot_version, at_us, table.persons, len(table.popular.get(EVERY_CATEGORY, ()))
    fit = await conn.fetchval(Q.begin_fit, *key, *figures)
    if fit is None:
        return
    columns = ["workspace_id", "slot_id", "fit", "kind", "key", "payload"]
    await conn.copy_records_to_table(
        "item_ranking", records=[(*key, fit, *row) for row in _rows(table)], columns=columns
    )
    await conn.execute(Q.delete_fits, *key, fit)


async def load_items(
    conn: asyncpg.Connection, workspace_id: WorkspaceId, slot_id: str, items: Collection[str]
) -> LoadedItems:
    """Return what is similar to some items, and what is popular in their categories."""
    own = await _load(conn, workspace_id, slot_id, _SIMILAR, items)
    categories = {item: row.category for item, row in own.items() if row.category is not None}
    wanted = {EVERY_CATEGORY, *categories.values()}
    popular = await _load(conn, workspace_id, slot_id, _POPULAR, wanted)
    return LoadedItems(
        {item: row.ranked for item, row in own.items()},
        {category: row.ranked for category, row in popular.items()},
        categories,
    )


async def _load(
    conn: asyncpg.Connection,
    workspace_id: WorkspaceId,
    slot_id: str,
    kind: int,
    keys: Collection[str],
) -> dict[str, _Row]:
    rows = await conn.fetch(Q.load_rankings, workspace_id, slot_id, kind, sorted(keys))
    return {row["key"]: msgspec.json.decode(row["payload"], type=_Row) for row in rows}


def _rows(table: ItemTable) -> Iterator[tuple[int, str, bytes]]:
    for item in {*table.similar, *table.categories}:
        row = _Row(table.categories.get(item), list(table.similar.get(item, ())))
        yield _SIMILAR, item, msgspec.json.encode(row)
    for category, found in table.popular.items():
        yield _POPULAR, category, msgspec.json.encode(_Row(None, list(found)))
