"""Reads the body of a request: the sender's key first, then the rest, within a memory budget."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from services.chassis.codec.compression import too_large
from services.chassis.runtime.http_protocol import has_whole_body
from services.ingest.api.http_request import HttpRequest
from services.ingest.codec.compression import decompress, decompress_start
from services.ingest.domain.body_budget import BodyBudget, Reservation
from services.ingest.domain.request_body import find_write_key
from services.kernel.errors import RateLimited

#: Without a known key no more of a body is read, and no more of it is decompressed.
KEY_BYTES = 64 * 1024


class BodyTimeout(Exception):
    """A body did not arrive in time."""


class BodyReader:
    """Reads one body. `async with BodyReader(…) as body:` returns its memory at the end."""

    def __init__(
        self,
        request: HttpRequest,
        receive: Receive,
        budget: BodyBudget,
        *,
        max_bytes: int,
        timeout_s: float,
    ) -> None:
        self._scope = request.scope
        self._receive = receive
        self._encoding = request.first(b"content-encoding")
        self._stated_size = int(request.first(b"content-length") or 0)
        self._reservation = Reservation(budget)
        self._max_bytes = max_bytes
        self._ends_at = asyncio.get_running_loop().time() + timeout_s
        self._received = b""
        self._is_complete = False

    async def find_key(self) -> str | None:
        """Return the `writeKey` of a body whose headers have no key, from its first KEY_BYTES.

        None = there is none. Raises BodyTimeout, RateLimited.
        """
        await self._read(KEY_BYTES)
        start = decompress_start(self._received[:KEY_BYTES], self._encoding, KEY_BYTES)
        return find_write_key(start)

    async def read(self, key_id: str) -> bytes:
        """Return the whole body, as it was sent. `key_id`: that of the sender's key.

        Raises BodyTimeout, RateLimited, and TooLarge as soon as the body has too many bytes.
        """
        if self._stated_size > self._max_bytes:
            raise too_large(self._max_bytes)
        if not self._reservation.move_to(key_id):
            raise _busy()
        await self._read(self._max_bytes)
        if not self._is_complete:
            raise too_large(self._max_bytes)
        return self._received

    def decompress(self, raw: bytes) -> bytes:
        """Return the decompressed body. Raises BadEncoding, RateLimited, TooLarge."""
        plain = decompress(raw, self._encoding, self._max_bytes)
        self._take(len(plain) if plain is not raw else 0)
        return plain

    async def _read(self, limit: int) -> None:
        """Read until the body has ended or has more than `limit` bytes."""
        if has_whole_body(self._scope):
            # Most bodies have arrived with their heads: they need no timer and no copy.
            await self._read_chunks(limit)
            return
        try:
            async with asyncio.timeout_at(self._ends_at):
                await self._read_chunks(limit)
        except TimeoutError:
            raise BodyTimeout from None

    async def _read_chunks(self, limit: int) -> None:
        chunks, size = [self._received], len(self._received)
        try:
            while not self._is_complete and size <= limit:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                self._take(len(chunk))
                chunks.append(chunk)
                size += len(chunk)
                self._is_complete = not message.get("more_body", False)
        finally:
            self._received = b"".join(chunks)

    def _take(self, size: int) -> None:
        if not self._reservation.add(size):
            raise _busy()

    async def __aenter__(self) -> BodyReader:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._reservation.end()


def _busy() -> RateLimited:
    return RateLimited("too many bodies are received at once: send it again")
