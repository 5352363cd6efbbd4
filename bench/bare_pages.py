"""Serves the least that an endpoint for pages of people can do: one query, its rows as JSON.

A bare application of ASGI in uvicorn; a process of its own, which `bench.console` starts. It knows
no keys, no rights and no audit, and a request names the query and its arguments.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec

from bench.bare_endpoint import read_body, serve
from services.kernel.fold.leaf import decode

#: The environment variable with the database of profile.
DSN = "BENCH_PROFILE_DSN"
_CONNECTIONS = 2
_ROWS = """
CROSS JOIN LATERAL (
    SELECT a.profile_id, a.namespace, a.value, l.state
    FROM assignment a LEFT JOIN leaf l ON l.shard = a.shard AND l.leaf_id = a.identifier_id
    WHERE a.workspace_id = $1 AND a.profile_id = e.profile_id OFFSET 0
) AS r ORDER BY r.profile_id, r.namespace, r.value
"""
#: The bare queries: the identifiers and the states of the next people, of the people of some
#: identifiers, and of the people with a name that has a form with a beginning.
QUERIES: Mapping[str, str] = {
    "page": "SELECT r.* FROM (SELECT profile_id FROM evaluation WHERE workspace_id = $1"
    " AND merged_into IS NULL AND profile_id > $2 ORDER BY profile_id LIMIT $3) AS e" + _ROWS,
    "lookup": "SELECT r.* FROM (SELECT DISTINCT profile_id FROM assignment WHERE workspace_id = $1"
    " AND identifier_id = ANY ($2::bytea[])) AS e" + _ROWS,
    "search": "SELECT r.* FROM (SELECT DISTINCT a.profile_id FROM (SELECT shard, leaf_id FROM name"
    " WHERE workspace_id = $1 AND forms @@ $2::text::tsquery LIMIT $3) AS n JOIN assignment a"
    " ON a.identifier_id = n.leaf_id AND a.shard = n.shard) AS e" + _ROWS,
}


class BareQuery(msgspec.Struct, frozen=True):
    """One query for a page."""

    #: A name in QUERIES.
    query: str
    workspace_id: str
    #: The most people of the page.
    size: int
    #: The end of the page before.
    after: bytes = b""
    #: Identifiers.
    ids: tuple[bytes, ...] = ()
    #: An expression of a text search.
    forms: str = ""

    def arguments(self) -> list[object]:
        """Return what the query takes. A page is read with one person more, as lists are."""
        match self.query:
            case "page":
                return [self.workspace_id, self.after, self.size + 1]
            case "lookup":
                return [self.workspace_id, self.ids]
        return [self.workspace_id, self.forms, self.size + 1]


async def connect(dsn: str) -> asyncpg.Connection:
    """Open a connection whose queries read the tables of profile by their indexes."""
    conn = await asyncpg.connect(dsn, server_settings={"enable_seqscan": "off", "jit": "off"})
    await conn.execute("SET search_path = profile_g1, profile")
    return conn


async def read_page(conn: asyncpg.Connection, query: BareQuery) -> bytes:
    """Return what a page shows of its people, as JSON."""
    return page_of(await conn.fetch(QUERIES[query.query], *query.arguments()), query.size)


def page_of(rows: Iterable[asyncpg.Record], size: int) -> bytes:
    """Return the JSON of the people of some rows."""
    people: dict[bytes, dict[str, Any]] = {}
    for profile_id, namespace, value, state in rows:
        person = people.get(profile_id)
        if person is None:
            person = people[profile_id] = {"profile_id": profile_id.hex(), "identifiers": []}
        person["identifiers"].append({"namespace": namespace, "value": value})
        if state is not None:
            leaf = decode(state)
            person["name"] = msgspec.Raw(leaf.traits["name"][3])
            person["event_count"] = leaf.event_count
            person["first_seen_us"] = leaf.first_seen_us
            person["last_seen_us"] = leaf.last_seen_us
    return msgspec.json.encode({"profiles": list(people.values())[:size]})


class BarePages:
    """Answers queries over free connections."""

    def __init__(self, connections: Iterable[asyncpg.Connection]) -> None:
        self._free: asyncio.Queue[asyncpg.Connection] = asyncio.Queue()
        for conn in connections:
            self._free.put_nowait(conn)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, whose body is a `BareQuery` in JSON."""
        body = await read_body(receive)
        conn = await self._free.get()
        try:
            answer = await read_page(conn, msgspec.json.decode(body, type=BareQuery))
        finally:
            self._free.put_nowait(conn)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def main() -> None:
    """Serve over some connections."""
    await serve(BarePages([await connect(os.environ[DSN]) for _ in range(_CONNECTIONS)]))


if __name__ == "__main__":
    import uvloop

    with suppress(asyncio.CancelledError):
        uvloop.run(main())
