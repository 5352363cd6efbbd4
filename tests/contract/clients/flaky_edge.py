"""A proxy that loses answers: the request is served, and its sender is told that it was not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass
class FlakyEdge:
    """Where it listens, and what it has seen."""

    url: str = ""
    #: Bodies that were forwarded, and the status that was answered behind the proxy.
    seen: list[tuple[bytes, int]] = field(default_factory=list)


@asynccontextmanager
async def losing_answers(target: str, first: int) -> AsyncIterator[FlakyEdge]:
    """Forward to `target`, and answer 503 in the place of the first answers."""
    edge = FlakyEdge()
    async with aiohttp.ClientSession(auto_decompress=False) as client:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
            async with client.post(f"{target}{request.path}", data=body, headers=headers) as answer:
                said = await answer.read()
                edge.seen.append((body, answer.status))
                if len(edge.seen) <= first:
                    lost = {"code": "LOST", "message": "the answer was lost"}
                    return web.json_response(lost, status=503)
                return web.Response(
                    body=said, status=answer.status, content_type="application/json"
                )

        # What is packed is passed on packed.
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
