"""Runs the gateway before a service of gRPC, for the official conformance suite of Connect.

python conformance_server.py PROTOS

`PROTOS` has the modules that were generated from the suite's protos. The suite writes a request
to stdin, reads the address from stdout, and ends the process with SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.rpc.status_pb2 import Status

sys.path.insert(0, sys.argv[1])

from connectrpc.conformance.v1 import server_compat_pb2, service_pb2, service_pb2_grpc  # type: ignore[import-not-found]  # generated

from services.chassis.rpc.errors import DETAILS_KEY
from services.chassis.runtime.http_limits import HttpLimits
from services.chassis.runtime.http_server import HttpServer
from services.console.gateway.callers import AnyCaller
from services.console.gateway.connect import ConnectGateway
from services.console.gateway.methods import Method, MethodTable
from services.console.gateway.parts import GatewayParts
from services.console.gateway.requests import GatewayLimits
from services.console.gateway.service_calls import ServiceCalls

SERVICE = "conformance"
_LENGTH = struct.Struct(">I")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def metadata_of(headers: Any) -> list[tuple[str, str | bytes]]:
    """Return headers of the suite as metadata."""
    return [
        (header.name.lower(), value.encode() if header.name.lower().endswith("-bin") else value)
        for header in headers
        for value in header.value
    ]


def request_info(context: Any, requests: Sequence[Any]) -> Any:
    """Return what the service has seen of a call."""
    info = service_pb2.ConformancePayload.RequestInfo()
    by_name: dict[str, list[str]] = {}
    for name, value in context.invocation_metadata():
        text = value.decode() if isinstance(value, bytes) else value
        by_name.setdefault(name, []).append(text)
    for name, values in by_name.items():
        info.request_headers.add(name=name, value=values)
    remaining = context.time_remaining()
    if remaining is not None and remaining < 1e6:
        info.timeout_ms = round(remaining * 1000)
    for request in requests:
        info.requests.add().Pack(request)
    return info


class Conformance(service_pb2_grpc.ConformanceServiceServicer):
    """The service of the suite: it does what each request asks for."""

    async def Unary(self, request: Any, context: Any) -> Any:
        return await self._unary(service_pb2.UnaryResponse, [request], context)

    async def IdempotentUnary(self, request: Any, context: Any) -> Any:
        return await self._unary(service_pb2.IdempotentUnaryResponse, [request], context)

    async def ClientStream(self, requests: AsyncIterator[Any], context: Any) -> Any:
        received = [request async for request in requests]
        return await self._unary(service_pb2.ClientStreamResponse, received, context)

    async def ServerStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        responses = self._stream(service_pb2.ServerStreamResponse, [request], context)
        async for response in responses:
            yield response

    async def BidiStream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        received = [request async for request in requests]
        async for response in self._stream(service_pb2.BidiStreamResponse, received, context):
            yield response

    async def _unary(self, kind: Any, requests: Sequence[Any], context: Any) -> Any:
        wanted = requests[0].response_definition if requests else None
        info = request_info(context, requests)
        if wanted is None:
            return kind(payload=service_pb2.ConformancePayload(request_info=info))
        await context.send_initial_metadata(tuple(metadata_of(wanted.response_headers)))
        trailers = metadata_of(wanted.response_trailers)
        context.set_trailing_metadata(tuple(trailers))
        await asyncio.sleep(wanted.response_delay_ms / 1000)
        if wanted.WhichOneof("response") == "error":
            await self._fail(context, wanted.error, trailers, info)
        payload = service_pb2.ConformancePayload(data=wanted.response_data, request_info=info)
        return kind(payload=payload)

    async def _stream(self, kind: Any, requests: Sequence[Any], context: Any) -> AsyncIterator[Any]:
        if not requests:
            return
        wanted = requests[0].response_definition
        await context.send_initial_metadata(tuple(metadata_of(wanted.response_headers)))
        trailers = metadata_of(wanted.response_trailers)
        context.set_trailing_metadata(tuple(trailers))
        info = request_info(context, requests)
        for number, data in enumerate(wanted.response_data):
            await asyncio.sleep(wanted.response_delay_ms / 1000)
            payload = service_pb2.ConformancePayload(data=data)
            if number == 0:
                payload.request_info.CopyFrom(info)
            yield kind(payload=payload)
        if wanted.HasField("error"):
            unseen = None if wanted.response_data else info
            await self._fail(context, wanted.error, trailers, unseen)

    async def _fail(self, context: Any, error: Any, trailers: Any, info: Any) -> None:
        status = Status(code=error.code, message=error.message, details=error.details)
        if info is not None:
            status.details.add().Pack(info)
        details = (DETAILS_KEY, status.SerializeToString())
        await context.abort(_CODES[error.code], error.message, (*trailers, details))


async def serve() -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    head = sys.stdin.buffer.read(_LENGTH.size)
    wanted = server_compat_pb2.ServerCompatRequest.FromString(
        sys.stdin.buffer.read(_LENGTH.unpack(head)[0])
    )
    upstream = grpc.aio.server()
    service_pb2_grpc.add_ConformanceServiceServicer_to_server(Conformance(), upstream)
    port = upstream.add_insecure_port("127.0.0.1:0")
    await upstream.start()
    described = service_pb2.DESCRIPTOR.services_by_name["ConformanceService"]
    methods = MethodTable([Method.of(SERVICE, rpc) for rpc in described.methods])
    limits = GatewayLimits(
        message_bytes=wanted.message_receive_limit or 4 * 1024 * 1024,
        timeout_s=None,
        compressed_from=0,
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        gateway = ConnectGateway(
            GatewayParts(methods, ServiceCalls({SERVICE: channel}), limits, AnyCaller())
        )

        async def app(scope: Any, receive: Any, send: Any) -> None:
            place = {"service": SERVICE, "rpc": scope["path"].lstrip("/")}
            await gateway({**scope, "path_params": place}, receive, send)

        limits_of_http = HttpLimits(connections=10_000, connections_per_address=0)
        server = HttpServer(app, host="127.0.0.1", port=0, limits=limits_of_http)
        async with server.serving():
            response = server_compat_pb2.ServerCompatResponse(host="127.0.0.1", port=server.port)
            body = response.SerializeToString()
            sys.stdout.buffer.write(_LENGTH.pack(len(body)) + body)
            sys.stdout.buffer.flush()
            await stopped.wait()
    await upstream.stop(None)


if __name__ == "__main__":
    asyncio.run(serve())
