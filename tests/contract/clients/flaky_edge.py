"""A proxy that loses responses: ingest handles the request, and the client gets an error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass
class FlakyEdge:
    """The URL of the proxy, and the requests that it has forwarded."""

    url: str = ""
    #: The forwarded bodies, and the status of the response to each.
    forwarded: list[tuple[bytes, int]] = field(default_factory=list)


@asynccontextmanager
async def losing_responses(target: str, first: int) -> AsyncIterator[FlakyEdge]:
    """Forward to `target`, and replace the first responses by status 503."""
    edge = FlakyEdge()
    async with aiohttp.ClientSession(auto_decompress=False) as client:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
            async with client.post(
                f"{target}{request.path}", data=body, headers=headers
            ) as response:
                content = await response.read()
                edge.forwarded.append((body, response.status))
                if len(edge.forwarded) <= first:
                    lost = {"code": "LOST", "message": "the response was lost"}
                    return web.json_response(lost, status=503)
                return web.Response(
                    body=content, status=response.status, content_type="application/json"
                )

        # A compressed body is forwarded compressed.
        app = web.Application(client_max_size=1 << 24, handler_args={"auto_decompress": False})
        app.router.add_post("/{path:.*}", forward)
        runner = web.AppRunner(app, auto_decompress=False)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        edge.url = f"http://{host}:{port}"
        try:
            yield edge
        finally:
            await runner.cleanup()
