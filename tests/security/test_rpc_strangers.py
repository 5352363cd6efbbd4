"""Callers without a key, or with the public key of a source, cost little and lock no others out."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc
import pytest
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from prometheus_client import generate_latest
from security.rpc_strangers import (
    RawCall,
    bearer,
    closed,
    connections,
    message_head,
    open_call,
    outcome,
    silent,
)
from service_fixtures import HANG_S, wait_until
from structlog.testing import capture_logs
from toy.rpc_services import ADMIN, INGEST, INTERNAL, SOURCE, STREAM, Served, serving

from services.chassis.access.principal import WORKSPACE_KEY
from services.chassis.rpc import server as rpc_server
from services.chassis.rpc import streams
from services.chassis.rpc.channel import open_channel
from services.kernel.errors import RateLimited

REFUSED = (grpc.StatusCode.UNAUTHENTICATED, "KEY_MISSING")
LATE = (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


async def _is_served(url: str, key: str) -> bool:
    """Send one honest call."""
    async with open_channel(url, key) as channel:
        request = ingest_pb.IngestEventsRequest(events=[{}])
        response = await ingest_grpc.IngestServiceStub(channel).IngestEvents(request)
        return bool(response.accepted == 1)


@pytest.mark.parametrize("method", [INGEST, STREAM])
async def test_calls_without_key_and_message_end_at_once(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(rpc_server, "_MAX_CONCURRENT_CALLS", 500)
    async with serving() as server, connections(server.public_url, 20) as channels:
        calls = [open_call(channel, method) for channel in channels for _ in range(100)]
        async with asyncio.timeout(HANG_S):
            outcomes = Counter(await asyncio.gather(*map(outcome, calls)))
        # The transport itself refuses calls while too many are being refused.
        assert set(outcomes) <= {REFUSED, (grpc.StatusCode.RESOURCE_EXHAUSTED, "")}
        assert outcomes[REFUSED] > 500
        assert await _is_served(server.public_url, ADMIN)


async def test_admin_is_served_while_strangers_knock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "_MAX_CONCURRENT_CALLS", 60)
    async with serving() as server, connections(server.public_url, 10) as channels:
        for _ in range(20):
            calls = [open_call(channel, INGEST) for channel in channels for _ in range(5)]
            async with asyncio.timeout(HANG_S):
                assert await _is_served(server.public_url, ADMIN)
                assert set(await asyncio.gather(*map(outcome, calls))) == {REFUSED}


async def test_call_of_an_unknown_key_is_refused_before_its_message_arrives() -> None:
    async with serving() as server, connections(server.public_url, 1) as [channel]:
        async with asyncio.timeout(HANG_S):
            found = await outcome(open_call(channel, INGEST, bearer("wrong")))
        assert found == (grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN")


async def test_calls_of_a_public_key_that_never_send_their_message_are_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "MESSAGE_TIMEOUT_S", 0.2)
    async with serving() as server, connections(server.public_url, 3) as channels:
        calls = [open_call(c, INGEST, bearer(SOURCE)) for c in channels for _ in range(50)]
        async with asyncio.timeout(HANG_S):
            assert set(await asyncio.gather(*map(outcome, calls))) == {LATE}
        assert server.ingest.callers == []
        assert await _is_served(server.public_url, SOURCE)


async def test_public_key_with_too_many_waiting_calls_is_limited_and_others_are_served() -> None:
    async with (
        serving(max_calls_per_key=20) as server,
        connections(server.public_url, 1) as [channel],
    ):
        calls = [open_call(channel, INGEST, bearer(SOURCE)) for _ in range(25)]
        async with asyncio.timeout(HANG_S):
            outcomes = [asyncio.ensure_future(outcome(call)) for call in calls]
            # One address has half of the calls of the key.
            await wait_until(lambda: sum(each.done() for each in outcomes) == 15)
            assert {each.result() for each in outcomes if each.done()} == {BUSY}
            with pytest.raises(RateLimited):
                await _is_served(server.public_url, SOURCE)
            assert await _is_served(server.public_url, ADMIN)
        for call in calls:
            call.cancel()
        await wait_until(lambda: _is_served_again(server))


async def _is_served_again(server: Served) -> bool:
    try:
        return await _is_served(server.public_url, SOURCE)
    except RateLimited:
        return False


async def test_streams_of_a_key_are_bounded_and_a_closed_one_makes_room() -> None:
    async with (
        serving(max_streams_per_key=10) as server,
        connections(server.public_url, 1) as [channel],
    ):
        async with asyncio.timeout(HANG_S):
            open_ones = [await _stream(channel) for _ in range(5)]
            refused = open_call(channel, STREAM, bearer(SOURCE))
            assert await outcome(refused) == BUSY
            # A single call of the same key has room.
            assert await _is_served(server.public_url, SOURCE)
            open_ones[0].cancel()
            await wait_until(lambda: _has_room(channel))


async def _stream(channel: grpc.aio.Channel) -> Any:
    """Open a stream and send one message, whose response shows that the stream was admitted."""
    call = open_call(channel, STREAM, bearer(SOURCE))
    await call.write(ingest_pb.StreamEventsRequest(events=[{}]).SerializeToString())
    assert await call.read() is not grpc.aio.EOF
    return call


async def _has_room(channel: grpc.aio.Channel) -> bool:
    call = open_call(channel, STREAM, bearer(SOURCE))
    await call.write(ingest_pb.StreamEventsRequest(events=[{}]).SerializeToString())
    try:
        return await call.read() is not grpc.aio.EOF
    except grpc.aio.AioRpcError:
        return False


async def test_sources_together_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "_MAX_CALLS_OF_SOURCES", 3)
    async with serving() as server, connections(server.public_url, 1) as [channel]:
        async with asyncio.timeout(HANG_S):
            for _ in range(3):
                await _stream(channel)
            assert await outcome(open_call(channel, INGEST, bearer(SOURCE))) == BUSY
            assert await _is_served(server.public_url, ADMIN)


async def test_message_that_dribbles_in_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MESSAGE_TIMEOUT_S", 0.3)
    async with serving() as server:
        headers = bearer(SOURCE)
        call = await RawCall.begin(server.public_port, INGEST, headers)
        await call.send(message_head(1_000_000))
        sending = asyncio.create_task(_dribble(call))
        async with asyncio.timeout(HANG_S):
            await call.ended()
        sending.cancel()
        await call.close()
        assert server.ingest.callers == []


async def _dribble(call: RawCall) -> None:
    while True:
        await call.send(b"\x00")
        await asyncio.sleep(0)


async def test_message_in_pieces_is_accepted() -> None:
    request = ingest_pb.IngestEventsRequest(events=[{"name": "x"}]).SerializeToString()
    async with serving() as server:
        call = await RawCall.begin(server.public_port, INGEST, bearer(SOURCE))
        for part in (message_head(len(request)), request[:2], request[2:]):
            await call.send(part)
        async with asyncio.timeout(HANG_S):
            await call.ended()
        await call.close()
        assert len(server.ingest.callers) == 1


async def test_call_that_ends_without_a_message_is_an_invalid_argument() -> None:
    async with serving() as server, connections(server.public_url, 1) as [channel]:
        call = open_call(channel, INGEST, bearer(SOURCE))
        await call.done_writing()
        assert await outcome(call) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


async def test_connection_without_a_call_gives_way_and_the_internal_port_has_no_limit() -> None:
    async with serving(max_grpc_connections=5) as server:
        with silent(server.public_port, 5) as oldest, silent(server.public_port, 3) as newest:
            await wait_until(lambda: closed(oldest) == 3)
            assert closed(newest) == 0
            assert server.count("grpc_cut_offs", reason="CONNECTIONS") == 3
            assert await _is_served(server.url, ADMIN)
            await wait_until(lambda: _connects(server))


async def test_address_with_its_share_of_connections_leaves_room_for_others() -> None:
    async with serving(max_grpc_connections_per_address=4) as server:
        with silent(server.public_port, 6, "127.0.0.9") as opened:
            await wait_until(lambda: closed(opened) == 2)
            assert server.count("grpc_cut_offs", reason="ADDRESS") == 2
            assert await _is_served(server.public_url, SOURCE)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_connection_with_an_admitted_call_outlasts_silent_ones(host: str) -> None:
    async with serving(host=host, max_grpc_connections=3) as server:
        url = f"[{host}]:{server.public_port}" if ":" in host else server.public_url
        async with connections(url, 1) as [channel]:
            call = await _stream(channel)
            with silent(server.public_port, 5, host) as opened:
                await wait_until(lambda: closed(opened) == 3)
            assert not call.done()


async def test_connections_of_a_trusted_proxy_are_not_limited_by_address() -> None:
    more = {"max_grpc_connections": 5, "max_grpc_connections_per_address": 1}
    async with serving(trusted_proxies="127.0.0.0/8", **more) as server:
        with silent(server.public_port, 6) as opened:
            await wait_until(lambda: closed(opened) == 1)
            assert server.count("grpc_cut_offs", reason="CONNECTIONS") == 1
            assert server.count("grpc_cut_offs", reason="ADDRESS") == 0


async def test_address_with_far_too_many_connections_is_ignored_and_others_are_not() -> None:
    async with serving(max_grpc_connections_per_address=4) as server:
        with capture_logs() as logs, silent(server.public_port, 40, "127.0.0.9") as opened:
            await wait_until(lambda: closed(opened) == 40)
            with silent(server.public_port, 1, "127.0.0.9") as [ignored]:
                assert await _is_served(server.public_url, SOURCE)
                # The kernel has not even answered.
                with pytest.raises(OSError, match="not connected"):
                    ignored.getpeername()
        assert server.count("grpc_cut_offs", reason="REFUSALS") > 0
        [line] = [each for each in logs if each["event"] == "grpc_connections_closed"]
        assert "127.0.0.9" not in str(line)


async def _connects(server: Served) -> bool:
    async with connections(server.public_url, 1) as [channel]:
        return await outcome(open_call(channel, INGEST)) == REFUSED


@pytest.mark.parametrize(
    ("name", "value"), [("authorization", f"Bearer {SOURCE}"), (WORKSPACE_KEY, "shop")]
)
@pytest.mark.parametrize("public", [True, False])
async def test_metadata_that_name_a_caller_twice_are_refused(
    name: str, value: str, public: bool
) -> None:
    async with serving() as server:
        url = server.public_url if public else server.url
        async with connections(url, 1) as [channel]:
            for metadata in ([(name, value)] * 2, [(name, value), (name, "another")]):
                call = channel.unary_unary(INGEST)(b"", metadata=metadata)
                assert await outcome(call) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
                assert name in await call.details()
                assert SOURCE not in await call.details()
        assert server.ingest.callers == []


async def test_workspace_in_the_metadata_counts_for_the_internal_key_only() -> None:
    async with serving() as server:
        async with open_channel(server.url, ADMIN, workspace_id="another") as channel:
            await ingest_grpc.IngestServiceStub(channel).IngestEvents(
                ingest_pb.IngestEventsRequest(events=[{}])
            )
        [caller] = server.ingest.callers
        assert caller.workspace_id == "shop"


@pytest.mark.parametrize("key", [None, SOURCE, ADMIN, INTERNAL])
async def test_unknown_names_of_methods_are_unimplemented_and_take_no_memory(
    key: str | None,
) -> None:
    async with serving() as server, connections(server.public_url, 1) as [channel]:
        for number in range(50):
            call = channel.unary_unary(f"/onefold.ingest.v1.IngestService/Name{number}")(
                b"", metadata=bearer(key)
            )
            assert (await call.code()) is grpc.StatusCode.UNIMPLEMENTED
        assert b"Name" not in generate_latest(server.metrics.registry)


@pytest.mark.parametrize("method", [INGEST, STREAM])
async def test_compressed_message_that_unfolds_beyond_the_limit_is_refused(method: str) -> None:
    async with serving() as server:
        gzip = grpc.Compression.Gzip
        huge = ingest_pb.IngestEventsRequest(events=[{"name": "x" * 60_000_000}])
        async with grpc.aio.insecure_channel(server.public_url, compression=gzip) as channel:
            call = channel.stream_stream(method)(
                iter([huge.SerializeToString()]), metadata=bearer(SOURCE)
            )
            async with asyncio.timeout(HANG_S):
                assert (await call.code()) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert server.ingest.callers == []
        assert await _is_served(server.public_url, SOURCE)
