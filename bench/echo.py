"""Serves gRPC and returns each request as its response, in a separate process."""

from __future__ import annotations

from typing import Any

import grpc
import uvloop

METHOD = "/bench.Echo/Echo"


async def echo(request: bytes, _context: Any) -> bytes:
    return request


async def main() -> None:
    """Print the port, and serve until the process is ended."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main())
