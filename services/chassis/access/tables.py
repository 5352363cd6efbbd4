"""Folds workspaces, their field classes, keys and sources into tables of each service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

import asyncpg
import msgspec
from onefold.ingest.v1.ingest_facts_pb2 import (
    FieldClassesDefined,
    KeyDefined,
    SourceDefined,
    WorkspaceDefined,
)
from onefold.log.v1.log_pb2 import Fact

from services.chassis.access.lookups import BatchedLookups
from services.chassis.access.principal import Principal, Role
from services.chassis.postgres.database import Queries, acquire
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.ids import SourceId, WorkspaceId
from services.kernel.masking import DEFAULT_CLASSES, FieldClass, FieldClasses
from services.kernel.restrictions import NO_RESTRICTIONS, Restrictions

KEY_DEFINED = KeyDefined.DESCRIPTOR.full_name
SOURCE_DEFINED = SourceDefined.DESCRIPTOR.full_name
WORKSPACE_DEFINED = WorkspaceDefined.DESCRIPTOR.full_name
FIELD_CLASSES_DEFINED = FieldClassesDefined.DESCRIPTOR.full_name
#: The kinds of facts that define keys, sources, workspaces and their field classes.
ACCESS_KINDS = frozenset({KEY_DEFINED, SOURCE_DEFINED, WORKSPACE_DEFINED, FIELD_CLASSES_DEFINED})

Q = Queries.load(__package__, "tables.sql")

#: The values of a table's columns, in the order of its statement in tables.sql.
Row = tuple[Any, ...]
#: The roles that a key in the log can have.
_KEY_ROLES: frozenset[int] = frozenset(set(Role) - {Role.INTERNAL})
_HASH_BYTES = 32
_CLASS_NUMBERS = frozenset(map(int, FieldClass))
_CLASSES = msgspec.json.Decoder(dict[str, FieldClass])


class AccessKey(NamedTuple):
    """A key as the log defines it."""

    principal: Principal
    disabled: bool
    #: Unix microseconds; 0 = never.
    expires_at_us: int = 0
    restrictions: Restrictions = NO_RESTRICTIONS


#: Returns the key with a hash (SHA-256); None if there is none.
LoadKey = Callable[[bytes], Awaitable[AccessKey | None]]
#: Returns the default region of a workspace; None if it is not known yet.
LoadRegion = Callable[[str], Awaitable[str | None]]


def key_loader(pool: asyncpg.Pool) -> LoadKey:
    """Return a function that reads keys from the table of the service that owns `pool`.

    Concurrent calls share their statements. It raises RateLimited and StoreUnavailable.
    """

    async def load_many(hashes: Sequence[bytes]) -> dict[bytes, AccessKey]:
        async with acquire(pool) as conn:
            rows = await conn.fetch(Q.load_keys, hashes)
        return {row["key_hash"]: _access_key(row) for row in rows}

    return BatchedLookups(load_many).load


def _access_key(row: asyncpg.Record) -> AccessKey:
    workspace_id, source_id = WorkspaceId(row["workspace_id"]), SourceId(row["source_id"])
    region = row["default_region"] or DEFAULT_REGION
    classes = parse_classes(row["identifiers"] or "{}", row["names"] or "{}")
    holder = Principal(workspace_id, Role(row["role"]), row["key_id"], source_id, region, classes)
    restrictions = Restrictions.load(
        row["allowed_origins"].split(), row["allowed_addresses"].split()
    )
    return AccessKey(holder, row["disabled"], row["expires_at_us"], restrictions)


@lru_cache(maxsize=1_024)
def parse_classes(identifiers: str, names: str) -> FieldClasses:
    """Return the classes in the columns of a row: JSON objects of numbers of FieldClass."""
    if identifiers == names == "{}":
        return DEFAULT_CLASSES
    return FieldClasses.of(*(_CLASSES.decode(text) for text in (identifiers, names)))


def region_loader(pool: asyncpg.Pool) -> LoadRegion:
    """Return a function that reads regions from the table of the service that owns `pool`."""

    async def load(workspace_id: str) -> str | None:
        async with acquire(pool) as conn:
            found = await _regions(conn, [workspace_id])
        return found.get(workspace_id)

    return load


class WorkspaceRegions:
    """The default regions of workspaces, for a fold.

    A workspace is defined once, before everything else of it, in every shard of the log. So the
    result is a function of the log, although the table may be ahead of the shard.
    """

    def __init__(self) -> None:
        self._by_workspace: dict[str, str] = {}

    def of(self, workspace_id: str) -> str:
        """Return the default region of a workspace that `load` has read."""
        return self._by_workspace.get(workspace_id, DEFAULT_REGION)

    def fold(self, facts: Iterable[Fact]) -> None:
        """Read the regions of the workspaces that facts define."""
        for fact in facts:
            if fact.kind == WORKSPACE_DEFINED:
                self._by_workspace[fact.workspace_id] = _defined_region(fact)

    async def load(
        self, conn: asyncpg.Connection, facts: Iterable[Fact], workspaces: Iterable[str]
    ) -> None:
        """Load the regions of `workspaces` from `facts` of this batch and from the table."""
        self.fold(facts)
        missing = list(set(workspaces) - self._by_workspace.keys())
        if missing:
            found = await _regions(conn, missing)
            self._by_workspace |= {name: found.get(name, DEFAULT_REGION) for name in missing}


async def _regions(conn: asyncpg.Connection, workspaces: list[str]) -> dict[str, str]:
    rows = await conn.fetch(Q.load_regions, workspaces)
    return {row["workspace_id"]: row["default_region"] for row in rows}


def _defined_region(fact: Fact) -> str:
    return WorkspaceDefined.FromString(fact.payload).default_region or DEFAULT_REGION


async def fold_access_facts(conn: asyncpg.Connection, facts: Iterable[Fact]) -> bool:
    """Fold the facts that define workspaces, keys and sources; ignore the others.

    Any order and any repetition ends in the same state. Return whether there were any; then call
    `Authenticator.invalidate` after the commit.
    """
    found = False
    rows: dict[AccessTable, list[Row]] = {table: [] for table in AccessTable}
    for fact in facts:
        if fact.kind in ACCESS_KINDS:
            found = True
            if (defined := access_row(fact)) is not None:
                rows[defined[0]].append(defined[1])
    for table, new in rows.items():
        await save_access_rows(conn, table, new)
    return found


class AccessTable(Enum):
    """A table that the facts of ACCESS_KINDS are folded into, in the order of folding."""

    WORKSPACE = "access_workspace"
    KEY = "access_key"
    SOURCE = "access_source"
    FIELD_CLASSES = "access_field_classes"


_FOLDS = {
    AccessTable.WORKSPACE: Q.fold_workspaces,
    AccessTable.KEY: Q.fold_keys,
    AccessTable.SOURCE: Q.fold_sources,
    AccessTable.FIELD_CLASSES: Q.fold_field_classes,
}


def access_row(fact: Fact) -> tuple[AccessTable, Row] | None:
    """Return the row that a fact defines, and its table; None for any other fact."""
    if fact.kind == WORKSPACE_DEFINED:
        return AccessTable.WORKSPACE, (fact.workspace_id, _defined_region(fact))
    if fact.kind == SOURCE_DEFINED:
        source = SourceDefined.FromString(fact.payload)
        row = (fact.workspace_id, source.source_id, source.version, source.disabled)
        return AccessTable.SOURCE, row
    if fact.kind == FIELD_CLASSES_DEFINED:
        classes = FieldClassesDefined.FromString(fact.payload)
        columns = (_encode_classes(each) for each in (classes.identifiers, classes.names))
        return AccessTable.FIELD_CLASSES, (fact.workspace_id, classes.version, *columns)
    if fact.kind == KEY_DEFINED:
        key = KeyDefined.FromString(fact.payload)
        holder = (key.key_hash, key.key_id, fact.workspace_id, key.role, key.source_id)
        restrictions = (" ".join(key.allowed_origins), " ".join(key.allowed_addresses))
        if key.role in _KEY_ROLES and len(key.key_hash) == _HASH_BYTES:
            state = (key.version, key.disabled, key.expires_at_us)
            return AccessTable.KEY, (*holder, *state, *restrictions)
    return None


def _encode_classes(classes: Mapping[str, int]) -> str:
    known = {name: number for name, number in sorted(classes.items()) if number in _CLASS_NUMBERS}
    return msgspec.json.encode(known).decode()


async def save_access_rows(conn: asyncpg.Connection, table: AccessTable, rows: list[Row]) -> None:
    """Fold rows into a table: the newest version of each stays."""
    if rows:
        await conn.execute(_FOLDS[table], *map(list, zip(*rows, strict=True)))
