"""Checks the key of a call before its body is read."""

from __future__ import annotations

from typing import Protocol

import grpc
from cachetools import TTLCache
from starlette.requests import Request

from services.chassis.runtime.http_protocol import trust_connection
from services.console.gateway.errors import CallFailed
from services.console.gateway.methods import MethodTable
from services.console.gateway.requests import GatewayLimits, address_of, call_metadata
from services.console.gateway.service_calls import ServiceCalls

#: How long a key that was accepted is not checked again, seconds, and the most such keys.
_KNOWN_S, _MOST_KNOWN = 5.0, 10_000
#: What ingest answers to a key that is not accepted, or that comes too often.
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)


class CallerCheck(Protocol):
    """Decides whether the body of a call is read."""

    async def check(self, request: Request) -> None:
        """Raise CallFailed where the key of a call is not accepted."""


class AnyCaller:
    """Reads the body of every call."""

    async def check(self, request: Request) -> None:
        """Accept the call."""


class KeyCheck:
    """Asks ingest whether a key is accepted, so that strangers make the console read no body.

    The services check the key of each call themselves; this check only decides what is read.
    """

    def __init__(self, methods: MethodTable, calls: ServiceCalls, limits: GatewayLimits) -> None:
        """Raises ValueError where ingest has no method GetCaller."""
        method = methods.by_name("ingest", "GetCaller")
        if method is None:
            raise ValueError("ingest has no method GetCaller")
        self._method = method
        self._calls = calls
        self._limits = limits
        self._known: TTLCache[tuple[str, str], bool] = TTLCache(_MOST_KNOWN, _KNOWN_S)

    async def check(self, request: Request) -> None:
        """Accept a key that ingest knows; from then on the connection may wait for long."""
        address = address_of(request, self._limits)
        caller = (request.headers.get("authorization", ""), address)
        if caller not in self._known:
            metadata = call_metadata(request, self._limits)
            try:
                await self._calls.unary(self._method, b"", metadata, 10.0)
            except CallFailed as failure:
                # A key of a source may not call this method, and is a key all the same.
                if failure.code in _REFUSED:
                    raise
            self._known[caller] = True
        trust_connection(request.scope)
