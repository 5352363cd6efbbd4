"""Stores erasures of persons, and overwrites their facts in the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import asyncpg
import msgspec

from services.chassis.postgres.database import Queries, acquire
from services.ingest.domain.erasure import (
    NO_IDS,
    ErasureRequest,
    ErasureStatus,
    ErasureTotals,
    ServiceRows,
    WorkspaceIds,
    ids_by_workspace,
)

Q = Queries.load(__package__, "erasures.sql")


class StoredFact(NamedTuple):
    """A fact that may have to be overwritten."""

    shard: int
    offset: int
    kind_id: int
    leaf_id: bytes
    occurred_at_us: int
    payload: bytes


class NewContent(NamedTuple):
    """What takes the place of a fact."""

    shard: int
    offset: int
    kind_id: int
    leaf_id: bytes
    payload: bytes
    #: The ids of the identifiers that are left in an erased fact.
    left: frozenset[bytes] = frozenset()


async def save_requests(conn: asyncpg.Connection, requests: Iterable[ErasureRequest]) -> None:
    """Store requests; those that are stored stay as they are."""
    await conn.executemany(Q.save, [*requests])


async def mark_erased(
    conn: asyncpg.Connection,
    workspace_id: str,
    request_id: bytes,
    at_us: int,
    token: Sequence[int] | None,
) -> None:
    """Store that nothing of a person is left in the log, and from which state on."""
    await conn.execute(Q.mark_erased, workspace_id, request_id, at_us, token)


async def add_folded(
    conn: asyncpg.Connection, workspace_id: str, request_id: bytes, folded: ServiceRows
) -> None:
    """Store what a service has deleted of a person."""
    rows = msgspec.json.encode(dict(folded.rows)).decode()
    await conn.execute(Q.add_folded, workspace_id, request_id, folded.service, rows)


async def add_totals(
    conn: asyncpg.Connection, request: ErasureRequest, more: ErasureTotals
) -> ErasureTotals:
    """Add to the totals of an erasure, and return them."""
    key = (request.workspace_id, request.request_id)
    found = (list(more.account_ids), list(more.changed_ids))
    row = await conn.fetchrow(Q.add_counts, *key, *more[:3], *found)
    if row is None:
        raise LookupError("an erasure under way has a row")
    facts, facts_of_others, refused_events, accounts, changed = row
    counts = (facts, facts_of_others, refused_events)
    return ErasureTotals(*counts, frozenset(accounts), frozenset(changed))


async def own_facts(
    conn: asyncpg.Connection, request: ErasureRequest, limit: int
) -> list[StoredFact]:
    """Return some facts of the leaves of the person."""
    ids = list(request.identifier_ids)
    rows = await conn.fetch(Q.own_facts, request.workspace_id, ids, limit)
    return [StoredFact(*row) for row in rows]


async def erased_facts(
    conn: asyncpg.Connection, request: ErasureRequest, limit: int
) -> list[StoredFact]:
    """Return some facts that an earlier erasure has overwritten and that name the person."""
    ids = list(request.identifier_ids)
    rows = await conn.fetch(Q.erased_facts, request.workspace_id, ids, limit)
    return [StoredFact(*row) for row in rows]


async def delete_names(
    conn: asyncpg.Connection, request: ErasureRequest, facts: Collection[StoredFact]
) -> None:
    """Delete that erased facts name the person."""
    places = ([one.shard for one in facts], [one.offset for one in facts])
    await conn.execute(Q.delete_names, request.workspace_id, list(request.identifier_ids), *places)


async def facts_of_leaf(
    conn: asyncpg.Connection, workspace_id: str, leaf_id: bytes, after: tuple[int, int], limit: int
) -> list[StoredFact]:
    """Return the next facts of a leaf after (occurred at, offset)."""
    rows = await conn.fetch(Q.facts_of_leaf, workspace_id, leaf_id, *after, limit)
    return [StoredFact(*row) for row in rows]


async def account_facts(
    conn: asyncpg.Connection, workspace_id: str, accounts: Collection[tuple[bytes, int]]
) -> list[StoredFact]:
    """Return the facts of accounts (leaf, instant)."""
    leaves, instants = [one[0] for one in accounts], [one[1] for one in accounts]
    rows = await conn.fetch(Q.account_facts, workspace_id, leaves, instants)
    return [StoredFact(*row) for row in rows]


async def facts_in_range(
    conn: asyncpg.Connection, workspace_id: str, shard: int, first: int, end: int
) -> list[StoredFact]:
    """Return the facts of persons in a range of offsets of a shard."""
    rows = await conn.fetch(Q.facts_in_range, workspace_id, shard, first, end)
    return [StoredFact(*row) for row in rows]


async def overwrite(
    conn: asyncpg.Connection, workspace_id: str, contents: Collection[NewContent]
) -> None:
    """Overwrite facts, and store the identifiers that the erased ones still name."""
    columns = map(list, zip(*(one[:5] for one in contents), strict=True))
    await conn.execute(Q.overwrite, workspace_id, *columns)
    names = [(id_, one.shard, one.offset) for one in contents for id_ in one.left]
    if names:
        columns = map(list, zip(*names, strict=True))
        await conn.execute(Q.add_names, workspace_id, *columns)


async def erased_after(
    conn: asyncpg.Connection, workspaces: Collection[str], instant_us: int
) -> WorkspaceIds:
    """Return the identifiers of the persons who were erased after an instant, by workspace."""
    rows = await conn.fetch(Q.erased_after, list(workspaces), instant_us)
    return ids_by_workspace((row["workspace_id"], row["identifier_ids"]) for row in rows)


async def refused_after(
    conn: asyncpg.Connection, workspace_id: str, after: tuple[int, bytes], limit: int
) -> list[asyncpg.Record]:
    """Return the next refused events, the oldest first, after (received at, id)."""
    return list(await conn.fetch(Q.refused_after, workspace_id, *after, limit))


async def refused_with(
    conn: asyncpg.Connection, workspace_id: str, values: Sequence[bytes]
) -> list[asyncpg.Record]:
    """Return the places of the refused events that contain one of some values."""
    return list(await conn.fetch(Q.refused_with, workspace_id, values))


class ErasureStore:
    """Reads the table `erasure`. All methods raise StoreUnavailable.

    `pool`: that of the fold role; `api_pool`: that of the api role.
    """

    def __init__(self, api_pool: asyncpg.Pool, pool: asyncpg.Pool) -> None:
        self._api_pool = api_pool
        self._pool = pool

    async def newest(
        self, workspace_id: str, request_id: bytes | None, limit: int
    ) -> list[ErasureStatus]:
        """Return the erasures of a workspace, the newest first."""
        async with acquire(self._api_pool, workspace_id) as conn:
            rows = await conn.fetch(Q.newest, workspace_id, request_id, limit)
        return [
            ErasureStatus._make(row)._replace(folded=msgspec.json.decode(row["folded"]))
            for row in rows
        ]

    async def pending(self) -> list[ErasureRequest]:
        """Return the requests that are not carried out, the oldest first."""
        async with acquire(self._pool) as conn:
            rows = await conn.fetch(Q.pending)
        return [
            ErasureRequest(
                row["workspace_id"],
                row["request_id"],
                row["requested_at"],
                row["actor"],
                row["legal_ground"],
                row["block"],
                tuple(row["identifier_ids"]),
                tuple(row["related_ids"]),
                tuple(row["known_to"]),
            )
            for row in rows
        ]

    async def known(self, request_ids: Sequence[bytes]) -> set[bytes]:
        """Return which of some requests are stored."""
        async with acquire(self._pool) as conn:
            rows = await conn.fetch(Q.known_requests, request_ids)
        return {row["request_id"] for row in rows}


class BlockedIdentifiers:
    """The identifiers whose events are refused, as they were last read."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._ids: WorkspaceIds = {}

    async def refresh(self) -> None:
        """Read them again. Raises StoreUnavailable."""
        async with acquire(self._pool) as conn:
            rows = await conn.fetch(Q.blocked)
        self._ids = ids_by_workspace((row["workspace_id"], row["identifier_ids"]) for row in rows)

    def of(self, workspace_id: str) -> frozenset[bytes]:
        """Return those of a workspace."""
        return self._ids.get(workspace_id, NO_IDS)
