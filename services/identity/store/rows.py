"""Converts between columns of tables and values of the domain."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from services.identity.domain.evidence import FirstSeen, IdentifierInWorkspace, SeenSpan
from services.identity.domain.held import HeldEdge
from services.identity.domain.rows import EdgeRow, IdentifierRow, StoredIdentifier
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import FactId, ProfileId, WorkspaceId


def columns_of(rows: Collection[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """Return the `count` columns of some rows, for unnest()."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * count


def zip_columns(row: Any, names: str) -> Iterator[tuple[Any, ...]]:
    """Return the rows of a table that was read as arrays of columns; null = no rows."""
    return zip(*(row[name] or () for name in names.split()), strict=True)


def identifier_of(
    workspace_id: str, namespace: str | None, value: str | None
) -> IdentifierInWorkspace:
    """Return the identifier of a row, whose namespace and value may be null."""
    identifier = None if namespace is None else Identifier(namespace, value or "")
    return IdentifierInWorkspace(WorkspaceId(workspace_id), identifier)


def stored_identifier_of(row: Any) -> StoredIdentifier:
    """Return the identifier of a row with the columns of `load_members`."""
    return StoredIdentifier(
        identifier_of(row["workspace_id"], row["namespace"], row["value"]),
        IdentifierRow(
            ProfileId(row["profile_id"]),
            FirstSeen(row["first_seen_us"], FactId(row["first_fact"])),
            row["flags"],
        ),
    )


def edge_row_of(row: Any) -> EdgeRow:
    """Return the edge of a row with the columns of `load_edges`."""
    first = FirstSeen(row["first_seen_us"], FactId(row["first_fact"]))
    held = HeldEdge(row["held_reason"], row["held_namespace"]) if row["held_reason"] else None
    return EdgeRow(SeenSpan(first, row["last_seen_day"]), held)


def edge_columns_of(row: EdgeRow) -> tuple[object, ...]:
    """Return first_seen_us, first_fact, last_seen_day, held_reason and held_namespace."""
    first, last_seen_day = row.span
    reason, namespace = row.held or (0, "")
    return (first.occurred_at_us, first.fact_id, last_seen_day, reason, namespace)
