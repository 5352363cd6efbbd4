"""Of a body without a known key little is read, and the memory of all bodies is bounded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest

from services.ingest.api.http_body import KEY_BYTES, BodyReader
from services.ingest.api.http_request import HttpRequest
from services.ingest.domain.body_budget import BodyBudget
from services.kernel.errors import RateLimited, TooLarge

LIMIT = 1_000_000
MIB = 1 << 20


class Upload:
    """A request whose body arrives in chunks; it counts what was taken of it."""

    def __init__(self, chunks: Sequence[bytes], budget: BodyBudget | None = None) -> None:
        self.taken = 0
        self.budget = budget or BodyBudget(100 * MIB)
        self._chunks = list(chunks)

    async def receive(self) -> dict[str, Any]:
        if not self._chunks:
            return {"type": "http.request", "body": b"", "more_body": False}
        chunk = self._chunks.pop(0)
        self.taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    def reader(self, **headers: str) -> BodyReader:
        raw = [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()]
        request = HttpRequest({"type": "http", "method": "POST", "path": "/", "headers": raw})
        return BodyReader(request, self.receive, self.budget, max_bytes=LIMIT, timeout_s=20)


@pytest.mark.parametrize(
    "body",
    [
        b'{"writeKey":"k","batch":[',
        b'{"batch":[{"a":"}]"},NaN],"writeKey":"k"}',
        b' {"context":{"writeKey":"other"}, "writeKey" : "k" , "batch": 5',
        gzip.compress(b'{"writeKey":"k","batch":[' + b"1," * 500_000),
    ],
)
async def test_key_is_found_in_the_start_of_a_body(body: bytes) -> None:
    async with Upload([body]).reader() as reader:
        assert await reader.find_key() == "k"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"writeKey":5}',
        b'{"writeKey":null}',
        b'{"writeKey":"k',
        b'{"batch":[{"writeKey":"k"}]}',
        b'{"batch":"' + b"x" * KEY_BYTES + b'","writeKey":"k"}',
        gzip.compress(b'{"batch":"' + b"x" * KEY_BYTES + b'","writeKey":"k"}'),
        gzip.compress(b" " * (64 * MIB)),
        b'{"a":' + b"[" * 60_000 + b',"writeKey":"k"}',
        b"\x1f\x8b broken",
    ],
)
async def test_body_without_a_key_in_its_start_has_none(body: bytes) -> None:
    async with Upload([body]).reader() as reader:
        assert await reader.find_key() is None


async def test_no_more_than_the_start_is_read_without_a_key() -> None:
    upload = Upload([b"x" * 10_000] * 400)
    async with upload.reader() as reader:
        assert await reader.find_key() is None
    assert upload.taken <= KEY_BYTES + 10_000


async def test_whole_body_is_read_after_its_key_was_found() -> None:
    body = json.dumps({"writeKey": "k", "batch": ["x" * 900] * 1_000}).encode()
    upload = Upload([body[i : i + 50_000] for i in range(0, len(body), 50_000)])
    async with upload.reader() as reader:
        assert await reader.find_key() == "k"
        assert await reader.read("key_1") == body


async def test_reading_ends_at_the_limit() -> None:
    upload = Upload([b"x" * 10_000] * 400)
    async with upload.reader() as reader:
        with pytest.raises(TooLarge):
            await reader.read("key_1")
    assert upload.taken == LIMIT + 10_000


async def test_nothing_is_read_of_a_body_whose_stated_size_is_over_the_limit() -> None:
    upload = Upload([b"x"])
    async with upload.reader(content_length=str(LIMIT + 1)) as reader:
        with pytest.raises(TooLarge):
            await reader.read("key_1")
    assert upload.taken == 0


async def test_memory_of_bodies_is_returned_at_their_end() -> None:
    upload = Upload([gzip.compress(b" " * 900_000)])
    async with upload.reader() as reader:
        raw = await reader.read("key_1")
        assert upload.budget.held_bytes == len(raw)
        reader.decompress(raw)
        assert upload.budget.held_bytes == len(raw) + 900_000
    assert upload.budget.held_bytes == 0


async def test_strangers_and_a_public_key_leave_memory_for_other_keys() -> None:
    budget = BodyBudget(4 * MIB)
    readers: list[BodyReader] = []

    async def fill(key_id: str, size: int) -> int:
        taken = 0
        while True:
            reader = Upload([b"x" * size], budget).reader()
            readers.append(await reader.__aenter__())
            try:
                await (reader.read(key_id) if key_id else reader.find_key())
            except RateLimited:
                return taken
            taken += size

    assert await fill("", 60_000) <= MIB // 2
    assert await fill("public", 500_000) <= 2 * MIB
    assert await fill("honest", 500_000) >= 1_000_000
    assert budget.held_bytes <= 4 * MIB
    for reader in readers:
        await reader.__aexit__()
    assert budget.held_bytes == 0
