"""Strangers cannot hold the HTTP server by its connections, heads, bodies or unread responses."""

from __future__ import annotations

import asyncio

import pytest
from security.http_strangers import HEAD_LIMIT, OPEN_HEAD, REQUEST, serving
from service_fixtures import wait_until

LONG = 64 << 20
SMALL_CHUNK = b"1\r\nx\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        (OPEN_HEAD + b"X: ", b"a"),
        (OPEN_HEAD, b"a"),
        (b"GET /", b"a"),
        (b"", b"\r\n"),
        (OPEN_HEAD, b"X: a\r\n"),
        (OPEN_HEAD + b"X:", b" "),
    ],
    ids=["header value", "header name", "path", "empty lines", "many headers", "spaces"],
)
async def test_long_head_is_cut_off_at_the_limit(start: bytes, unit: bytes) -> None:
    head = start + unit * (LONG // len(unit))
    async with serving() as server:
        stranger = await server.connect()
        assert await stranger.send(head) < LONG // 2  # what the buffers of the kernel take
        await stranger.rest()
        assert server.cut_offs.total() == 1
        assert await (await server.connect(REQUEST)).response() == (200, b'{"size":2}')


@pytest.mark.parametrize("piece", [1, 7, 1_000])
async def test_long_head_in_pieces_is_answered_with_431(piece: int) -> None:
    async with serving() as server:
        stranger = await server.connect()
        stranger.writer.transport.set_write_buffer_limits(0)
        head = OPEN_HEAD + b"X: " + b"a" * HEAD_LIMIT
        for start in range(0, len(head), piece):
            await stranger.send(head[start : start + piece])
        received = await stranger.rest()
        assert received.startswith(b"HTTP/1.1 431 ")
        assert b'"code": "HEAD_TOO_LARGE"' in received
        assert b"Access-Control-Allow-Origin: *" in received


async def test_request_with_many_short_headers_is_answered_with_431() -> None:
    async with serving() as server:
        most = server.http.connections.limits.headers
        received = await server.answer(OPEN_HEAD + b"X: a\r\n" * most + b"\r\n")
        assert received.startswith(b"HTTP/1.1 431 ")


async def test_head_at_the_limit_is_served() -> None:
    async with serving() as server:
        end = b"\r\nContent-Length: 2\r\n\r\n{}"
        filler = b"a" * (HEAD_LIMIT - len(OPEN_HEAD) - len(b"X: ") - len(end))
        client = await server.connect(OPEN_HEAD + b"X: " + filler + end)
        assert await client.response() == (200, b'{"size":2}')


async def test_half_sent_heads_are_closed_in_time() -> None:
    async with serving() as server:
        heads = (b"", b"P", OPEN_HEAD, OPEN_HEAD + b"X: ", b"\r\n")
        received = await asyncio.gather(*(server.answer(head) for head in heads))
        assert not received[0]
        assert all(b" 408 " in answer for answer in received[1:])
        assert len(server.http.connections) == 0


async def test_head_that_never_ends_is_closed_in_time() -> None:
    async with serving() as server:
        stranger = await server.connect(OPEN_HEAD)
        await stranger.trickle()
        assert server.cut_offs == {"TOO_SLOW": 1}


async def test_idle_connection_is_closed_after_a_response() -> None:
    async with serving() as server:
        client = await server.connect(REQUEST)
        assert (await client.response())[0] == 200
        assert await client.rest() == b""
        assert not server.cut_offs


async def test_new_client_displaces_the_connection_that_waits_for_longest() -> None:
    async with serving(head_s=60.0, connections=5) as server:
        strangers = [await server.connect(OPEN_HEAD) for _ in range(5)]
        await wait_until(lambda: len(server.http.connections) == 5)
        for _ in range(3):
            client = await server.connect(REQUEST)
            assert (await client.response())[0] == 200
        await wait_until(lambda: server.cut_offs["CONNECTIONS"] == 3)
        assert [s.reader.at_eof() for s in strangers[3:]] == [False, False]
        assert len(server.http.connections) == 5


async def test_connections_of_one_address_leave_room_for_others() -> None:
    async with serving(connections_per_address=3, head_s=60.0) as server:
        for _ in range(3):
            await server.connect(OPEN_HEAD)
        refused = await server.answer(REQUEST)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in refused
        other = await server.connect(REQUEST, local_addr=("127.0.0.2", 0))
        assert (await other.response())[0] == 200


async def test_request_with_a_known_key_is_not_dropped() -> None:
    async with serving(connections=2) as server:
        client = await server.connect(REQUEST.replace(b"/echo", b"/hold"))
        await wait_until(lambda: len(server.http.connections) == 1)
        for _ in range(5):
            await server.connect(OPEN_HEAD)
        await wait_until(lambda: server.cut_offs.total() >= 4)
        server.released.set()
        assert (await client.response())[0] == 200


async def test_slow_body_without_a_known_key_is_closed_in_time() -> None:
    async with serving() as server:
        stranger = await server.connect(OPEN_HEAD + b"Content-Length: 99\r\n\r\n")
        assert b" 408 " in await stranger.trickle()


async def test_body_that_follows_its_response_is_not_read_for_ever() -> None:
    async with serving() as server:
        head = b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n"
        stranger = await server.connect(head)
        assert (await stranger.response())[0] == 200
        assert await stranger.trickle() == b""


@pytest.mark.parametrize(
    "body",
    [
        SMALL_CHUNK * 5_000,
        b"1;" + b"a" * 9_000 + b"\r\n",
        b"1\r\nx\r\n0\r\n" + b"X: a\r\n" * 5_000,
        b"1\r\nx\r\n0\r\nX: " + b"a" * 9_000,
        b"0" * 9_000,
    ],
    ids=["tiny chunks", "chunk extension", "trailers", "long trailer", "long size"],
)
async def test_body_of_mostly_framing_is_cut_off(body: bytes) -> None:
    async with serving(head_s=60.0) as server:
        stranger = await server.connect(CHUNKED)
        await stranger.send(body)
        await stranger.rest()
        assert server.cut_offs.total() == 1
        assert not server.cut_offs["TOO_SLOW"]


async def test_body_in_moderate_chunks_is_served() -> None:
    async with serving() as server:
        client = await server.connect(CHUNKED + b"40\r\n%s\r\n" % (b"x" * 64) * 1_000)
        await client.send(b"0\r\nX: y\r\n\r\n")
        assert await client.response() == (200, b'{"size":64000}')


async def test_pipelined_requests_beyond_the_limit_are_cut_off() -> None:
    async with serving() as server:
        answered = await server.answer(
            REQUEST * 3 + REQUEST.replace(b"x\r\n", b"x\r\nConnection: close\r\n")
        )
        assert answered.count(b" 200 ") == 4
        await server.answer(REQUEST * 500)
        assert server.cut_offs == {"PIPELINED": 1}


async def test_bodies_that_no_endpoint_reads_are_bounded_together() -> None:
    async with serving(head_s=60.0, buffered_bytes=100_000) as server:
        body = (
            OPEN_HEAD.replace(b"/echo", b"/slow") + b"Content-Length: 30000\r\n\r\n" + b"x" * 30_000
        )
        clients = [await server.connect(body) for _ in range(5)]
        await wait_until(lambda: server.cut_offs["BUSY"] == 2)
        assert server.http.connections.buffered <= 100_000
        server.released.set()
        served = [
            answer for client in clients if b" 200 " in (answer := await client.reader.read(999))
        ]
        assert len(served) == 3
        assert server.http.connections.buffered == 0


async def test_client_that_reads_no_response_is_dropped() -> None:
    async with serving() as server:
        stranger = await server.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        stranger.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await wait_until(lambda: server.cut_offs["UNREAD"] == 1)
        assert len(server.http.connections) == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT inner:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300,
        OPEN_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        OPEN_HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OPEN_HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        OPEN_HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        OPEN_HEAD + b"Content-Length: -1\r\n\r\n",
        OPEN_HEAD + b"Content-Length: 1e3\r\n\r\n",
        OPEN_HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OPEN_HEAD + b" folded: a\r\nContent-Length: 2\r\n\r\n{}",
        OPEN_HEAD + b"X: a\nY: b\r\n\r\n",
        OPEN_HEAD + b"X : a\r\nContent-Length: 2\r\n\r\n{}",
        OPEN_HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        OPEN_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    ],
)
async def test_ambiguous_request_gets_one_answer_and_its_connection_is_closed(
    request_: bytes,
) -> None:
    async with serving() as server:
        received = await server.answer(request_)
        assert received.startswith(b"HTTP/1.1 400 ")
        assert received.count(b"HTTP/1.1") == 1
        assert b'"code": "REQUEST_INVALID"' in received
