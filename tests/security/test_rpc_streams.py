"""A stream ends when its key is refused, however long it has been open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from security.rpc_strangers import bearer, connections, open_call, outcome
from service_fixtures import HANG_S, wait_until
from toy.rpc_services import ALLOWED, INTERNAL, REBUILD, SOURCE, STREAM, serving

from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Principal, Role
from services.chassis.access.tables import AccessKey
from services.chassis.rpc import streams
from services.kernel.ids import SourceId, WorkspaceId

OTHER = "ofk_source_other"
DISABLED = (grpc.StatusCode.UNAUTHENTICATED, "KEY_DISABLED")
NOT_ALLOWED = (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")
NEVER_S = 10_000.0
#: As in a service, but for sources: a stream of responses that never ends.
STREAMS = {**ALLOWED, REBUILD: frozenset({Role.SOURCE})}


def _source(key_id: str, role: Role = Role.SOURCE, *, disabled: bool = False) -> AccessKey:
    return AccessKey(Principal(WorkspaceId("shop"), role, key_id, SourceId("web")), disabled)


@dataclass
class Keys:
    """The keys of a store, and how often they were looked up."""

    by_hash: dict[bytes, AccessKey] = field(
        default_factory=lambda: {
            hash_key(SOURCE): _source("key_source"),
            hash_key(OTHER): _source("key_other"),
        }
    )
    lookups: int = 0
    away: bool = False

    async def load(self, key_hash: bytes) -> AccessKey | None:
        self.lookups += 1
        if self.away:
            raise ConnectionRefusedError
        return self.by_hash.get(key_hash)

    def set(self, key: str, entry: AccessKey | None) -> None:
        if entry is None:
            del self.by_hash[hash_key(key)]
        else:
            self.by_hash[hash_key(key)] = entry


def _message() -> bytes:
    return bytes(ingest_pb.StreamEventsRequest(events=[{}]).SerializeToString())


async def _open_stream(channel: grpc.aio.Channel, key: str = SOURCE) -> Any:
    """Open a stream of events, and send one."""
    call = open_call(channel, STREAM, bearer(key))
    await call.write(_message())
    assert await call.read() is not grpc.aio.EOF
    return call


async def _watch(channel: grpc.aio.Channel, key: str = SOURCE) -> Any:
    """Open a stream of responses without an end, and read one."""
    call = channel.unary_stream(REBUILD)(b"", metadata=bearer(key))
    assert await call.read() is not grpc.aio.EOF
    return call


@pytest.mark.parametrize("open_one", [_open_stream, _watch])
@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (_source("key_source", disabled=True), DISABLED),
        (None, (grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN")),
        (_source("key_source", Role.ADMIN), NOT_ALLOWED),
    ],
    ids=["disabled", "gone", "another role"],
)
async def test_idle_stream_ends_when_a_fold_changes_its_key(
    monkeypatch: pytest.MonkeyPatch,
    open_one: Callable[..., Any],
    entry: AccessKey | None,
    expected: tuple[grpc.StatusCode, str],
) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", NEVER_S)
    keys = Keys()
    async with serving(STREAMS, load=keys.load) as server, connections(server.url, 1) as [channel]:
        call, other = await open_one(channel), await open_one(channel, OTHER)
        keys.set(SOURCE, entry)
        server.authenticator.invalidate()
        async with asyncio.timeout(HANG_S):
            assert await outcome(call) == expected
        assert not other.done()


@pytest.mark.parametrize("open_one", [_open_stream, _watch])
async def test_idle_stream_ends_though_its_key_was_disabled_in_another_replica(
    monkeypatch: pytest.MonkeyPatch, open_one: Callable[..., Any]
) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.05)
    keys = Keys()
    async with (
        serving(STREAMS, load=keys.load, key_cache_s=0) as server,
        connections(server.url, 1) as [channel],
    ):
        call, other = await open_one(channel), await open_one(channel, OTHER)
        keys.set(SOURCE, _source("key_source", disabled=True))
        async with asyncio.timeout(HANG_S):
            assert await outcome(call) == DISABLED
        assert not other.done()


async def test_message_in_an_open_stream_of_a_disabled_key_is_not_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", NEVER_S)
    keys = Keys()
    async with (
        serving(load=keys.load, key_cache_s=0) as server,
        connections(server.url, 1) as [channel],
    ):
        call = await _open_stream(channel)
        keys.set(SOURCE, _source("key_source", disabled=True))
        await call.write(_message())
        async with asyncio.timeout(HANG_S):
            assert await outcome(call) == DISABLED
        assert len(server.ingest.callers) == 1


async def test_streams_that_read_nothing_end_when_they_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.05)
    keys = Keys()
    async with (
        serving(STREAMS, load=keys.load, key_cache_s=0) as server,
        connections(server.url, 1) as [channel],
    ):
        large = projection_pb.RebuildResponse(differing_rows=["x" * 1_000_000])
        server.projection.responses = [large] * 1_000
        call = channel.unary_stream(REBUILD)(b"", metadata=bearer(SOURCE))
        await wait_until(lambda: server.projection.sent > 0)
        keys.set(SOURCE, _source("key_source", disabled=True))
        async with asyncio.timeout(HANG_S):
            with pytest.raises(grpc.aio.AioRpcError):
                [_ async for _ in call]
            assert await outcome(call) == DISABLED
        assert server.projection.sent < 1_000


async def test_many_idle_streams_of_one_key_cost_one_lookup_a_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", NEVER_S)
    keys = Keys()
    async with (
        serving(STREAMS, load=keys.load, max_streams_per_key=300) as server,
        connections(server.url, 3) as channels,
    ):
        calls = [await _watch(channel) for channel in channels for _ in range(80)]
        before = keys.lookups
        server.authenticator.invalidate()
        await wait_until(lambda: keys.lookups > before)
        await asyncio.sleep(0)
        assert keys.lookups == before + 1
        assert not any(call.done() for call in calls)


async def test_streams_stay_open_while_keys_cannot_be_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.02)
    keys = Keys()
    async with (
        serving(STREAMS, load=keys.load, key_cache_s=0) as server,
        connections(server.url, 1) as [channel],
    ):
        call = await _watch(channel)
        keys.away = True
        before = keys.lookups
        await wait_until(lambda: keys.lookups > before + 3)
        assert not call.done()
        keys.away = False
        keys.set(SOURCE, _source("key_source", disabled=True))
        async with asyncio.timeout(HANG_S):
            assert await outcome(call) == DISABLED


async def test_stream_of_another_service_outlives_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RECHECK_S", 0.02)
    async with serving() as server, connections(server.url, 1) as [channel]:
        call = await _watch(channel, INTERNAL)
        checks = 0
        authenticate = server.authenticator.authenticate_internal

        async def counted(*arguments: Any) -> Principal:
            nonlocal checks
            checks += 1
            return await authenticate(*arguments)

        monkeypatch.setattr(server.authenticator, "authenticate_internal", counted)
        await wait_until(lambda: checks >= 3)
        assert not call.done()
