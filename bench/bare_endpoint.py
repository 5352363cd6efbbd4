"""Serves the least that an endpoint for events can do: it stores each body as one row, by COPY.

A bare application of ASGI in uvicorn; a process of its own, which `bench.ingest` starts. Each
request is one commit. It checks nothing, and recognises no repeats.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

import asyncpg
import uvicorn

#: The environment variable with the database of the table.
DSN = "BENCH_DSN"
_CONNECTIONS = 8
_RESPONSE = b'{"success":true}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_RESPONSE))]


class BareEndpoint:
    """Stores bodies through a pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Store the body of a request, and answer after the commit."""
        body = await read_body(receive)
        async with self._pool.acquire() as conn:
            await conn.copy_records_to_table("body", records=[(body,)], columns=["content"])
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _RESPONSE})


async def read_body(receive: Any) -> bytes:
    """Return the body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def serve(app: Any) -> None:
    """Print the port, and serve an application until the process is ended."""
    bound = socket.create_server(("127.0.0.1", 0))
    print(bound.getsockname()[1], flush=True)
    config = uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, ws="none")
    await uvicorn.Server(config).serve(sockets=[bound])


async def main() -> None:
    """Serve over a pool of connections."""
    async with asyncpg.create_pool(
        os.environ[DSN], min_size=_CONNECTIONS, max_size=_CONNECTIONS
    ) as pool:
        await pool.execute("CREATE TABLE body (id bigserial PRIMARY KEY, content bytea NOT NULL)")
        await serve(BareEndpoint(pool))


if __name__ == "__main__":
    import uvloop

    with suppress(asyncio.CancelledError):
        uvloop.run(main())
