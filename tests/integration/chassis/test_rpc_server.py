"""The gRPC door: who may come in, what they are told, how it is shut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.ingest.v1 import ingest_service_pb2_grpc as ingest_grpc
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.projection.v1 import projection_service_pb2_grpc as projection_grpc

from services.chassis.access.authenticator import Authenticator
from services.chassis.access.keys import hash_key
from services.chassis.access.principal import Principal, Role, principal
from services.chassis.access.tables import AccessKey
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import DETAILS_KEY
from services.chassis.rpc.server import RpcServer
from services.chassis.runtime.deadlines import deadline
from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.telemetry import Metrics
from services.chassis.testing import wait_until
from services.kernel import errors
from services.kernel.ids import SourceId, WorkspaceId

INTERNAL = "the-internal-key-of-this-test"
SOURCE, ADMIN, DISABLED = "ofk_source_test", "ofk_admin_test", "ofk_source_disabled"
KEYS = {
    hash_key(SOURCE): AccessKey(
        Principal(WorkspaceId("shop"), Role.SOURCE, "key_source", SourceId("web")), False
    ),
    hash_key(ADMIN): AccessKey(Principal(WorkspaceId("shop"), Role.ADMIN, "key_admin"), False),
    hash_key(DISABLED): AccessKey(Principal(WorkspaceId("shop"), Role.SOURCE, "key_off"), True),
}
INGEST = "/onefold.ingest.v1.IngestService/IngestEvents"
STREAM = "/onefold.ingest.v1.IngestService/StreamEvents"
STATUS = "/onefold.projection.v1.ProjectionService/GetStatus"
REBUILD = "/onefold.projection.v1.ProjectionService/Rebuild"
DIGEST = "/onefold.projection.v1.ProjectionService/GetDigest"
ALLOWED = {
    INGEST: frozenset({Role.SOURCE, Role.ADMIN}),
    STREAM: frozenset({Role.SOURCE}),
    STATUS: frozenset({Role.INTERNAL}),
    REBUILD: frozenset({Role.INTERNAL}),
}


@dataclass
class Ingest(ingest_grpc.IngestServiceServicer):
    """Answers as it is told."""

    act: Callable[[], Awaitable[Any]] | None = None
    callers: list[Principal] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)

    async def IngestEvents(self, request: Any, context: Any) -> Any:
        self.callers.append(principal())
        self.deadlines.append(deadline())
        if self.act:
            await self.act()
        return ingest_pb.IngestEventsResponse(accepted=len(request.events))

    async def StreamEvents(self, request_iterator: Any, context: Any) -> Any:
        async for request in request_iterator:
            self.callers.append(principal())
            result = ingest_pb.IngestEventsResponse(accepted=len(request.events))
            yield ingest_pb.StreamEventsResponse(result=result)


@dataclass
class Projection(projection_grpc.ProjectionServiceServicer):
    """A rebuild that goes on for ever, unless it is told to fail."""

    fail: Exception | None = None
    ended: list[str] = field(default_factory=list)

    async def GetStatus(self, request: Any, context: Any) -> Any:
        return projection_pb.GetStatusResponse(service=principal().workspace_id)

    async def GetDigest(self, request: Any, context: Any) -> Any:
        raise AssertionError("not in the table of allowed roles")

    async def Rebuild(self, request: Any, context: Any) -> Any:
        try:
            yield projection_pb.RebuildResponse(done=1)
            if self.fail:
                raise self.fail
            await asyncio.Event().wait()
        finally:
            self.ended.append("rebuild")


async def _load(key_hash: bytes) -> AccessKey | None:
    return KEYS.get(key_hash)


@dataclass
class Door:
    """A server under test."""

    port: int
    ingest: Ingest
    projection: Projection
    metrics: Metrics

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"onefold_test_{name}_total", labels) or 0.0


def _settings(**fields: Any) -> ServiceSettings:
    required = {"postgres_dsn": "x", "nats_url": "x", "internal_key": INTERNAL}
    return ServiceSettings(**{**required, "drain_s": 5.0, **fields})


@asynccontextmanager
async def serving(
    allowed: Mapping[str, frozenset[Role]] = ALLOWED, load: Any = _load, **fields: Any
) -> AsyncIterator[Door]:
    metrics = Metrics("test")
    server = RpcServer(_settings(**fields), Authenticator(load, INTERNAL), allowed, metrics)
    ingest, projection = Ingest(), Projection()
    server.add(ingest_grpc.add_IngestServiceServicer_to_server, ingest)
    server.add(projection_grpc.add_ProjectionServiceServicer_to_server, projection)
    async with server:
        yield Door(server.port, ingest, projection, metrics)


def _events(count: int = 1) -> Any:
    return ingest_pb.IngestEventsRequest(events=[{} for _ in range(count)])


async def _refusal(door: Door, key: str | None, method: str, request: bytes = b"") -> Any:
    """The status, with its details, of one raw call."""
    metadata = [("authorization", f"Bearer {key}")] if key is not None else []
    async with grpc.aio.insecure_channel(door.url) as raw:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw.unary_unary(method)(request, metadata=metadata, timeout=10)
    return caught.value


def _details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    packed = dict(error.trailing_metadata())[DETAILS_KEY]
    found: dict[str, Any] = {}
    for detail in status_pb2.Status.FromString(packed).details:
        for kind in ("ErrorInfo", "BadRequest", "RetryInfo"):
            message = getattr(error_details_pb2, kind)()
            if detail.Unpack(message):
                found[kind] = message
    return found


def _reason(error: grpc.aio.AioRpcError) -> str:
    return str(_details(error)["ErrorInfo"].reason)


async def test_a_key_opens_what_its_role_may() -> None:
    async with serving() as door, open_channel(door.url, SOURCE) as peer:
        answer = await ingest_grpc.IngestServiceStub(peer).IngestEvents(_events(3))
        assert answer.accepted == 3
        [caller] = door.ingest.callers
        assert (caller.workspace_id, caller.source_id) == ("shop", "web")
        assert door.count("calls", method=INGEST, code="OK") == 1


@pytest.mark.parametrize(
    ("key", "method", "code", "reason"),
    [
        (None, INGEST, grpc.StatusCode.UNAUTHENTICATED, "KEY_MISSING"),
        ("", INGEST, grpc.StatusCode.UNAUTHENTICATED, "KEY_MISSING"),
        ("wrong", INGEST, grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN"),
        (DISABLED, INGEST, grpc.StatusCode.UNAUTHENTICATED, "KEY_DISABLED"),
        (SOURCE, STATUS, grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
        (INTERNAL, INGEST, grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
        (ADMIN, STREAM, grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
        (ADMIN, DIGEST, grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
        (INTERNAL, DIGEST, grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
    ],
)
async def test_denies_by_default(
    key: str | None, method: str, code: grpc.StatusCode, reason: str
) -> None:
    async with serving() as door:
        error = await _refusal(door, key, method)
        assert (error.code(), _reason(error)) == (code, reason)
        assert door.ingest.callers == []
        assert door.count("refused", reason=reason) == 1
        for secret in (SOURCE, ADMIN, DISABLED, INTERNAL):
            assert secret not in str(error)


async def test_the_message_of_a_stranger_is_not_even_read() -> None:
    async with serving() as door:
        error = await _refusal(door, "wrong", INGEST, b"\xff\xff no message")
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_internal_call_names_its_workspace() -> None:
    async with serving() as door:
        async with open_channel(door.url, INTERNAL, workspace_id="academy") as peer:
            stub = projection_grpc.ProjectionServiceStub(peer)
            answer = await stub.GetStatus(projection_pb.GetStatusRequest())
            assert answer.service == "academy"
        async with open_channel(door.url, INTERNAL) as peer:
            stub = projection_grpc.ProjectionServiceStub(peer)
            answer = await stub.GetStatus(projection_pb.GetStatusRequest())
            assert answer.service == ""


async def test_a_method_that_nobody_wrote_is_unimplemented() -> None:
    async with serving() as door:
        error = await _refusal(door, ADMIN, "/onefold.ingest.v1.IngestService/ListQuarantined")
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_table_must_not_list_what_is_not_served() -> None:
    with pytest.raises(ValueError, match="/no/Such"):
        async with serving({**ALLOWED, "/no/Such": frozenset()}):
            pass


async def test_a_taken_port_is_an_os_error() -> None:
    async with serving() as door:
        with pytest.raises(OSError, match=str(door.port)):
            async with serving(grpc_port=door.port):
                pass


async def test_health_and_reflection_are_open() -> None:
    async with serving() as door, grpc.aio.insecure_channel(door.url) as raw:
        health = health_pb2_grpc.HealthStub(raw)
        for service in ("", "onefold.ingest.v1.IngestService"):
            request = health_pb2.HealthCheckRequest(service=service)
            answer = await health.Check(request, timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(raw).ServerReflectionInfo(
            iter([request]), timeout=10
        )
        listed = [s.name async for a in answers for s in a.list_services_response.service]
        assert "onefold.projection.v1.ProjectionService" in listed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidField("too many", field="events"), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.NotFound("no such source"), grpc.StatusCode.NOT_FOUND),
        (
            errors.NotAllowed("fixed", reason="CLOCK_NOT_ADJUSTABLE"),
            grpc.StatusCode.FAILED_PRECONDITION,
        ),
        (errors.Conflict("read again"), grpc.StatusCode.ABORTED),
        (errors.TooLarge("split it", limit="1000"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.RangeExpired("rebuild"), grpc.StatusCode.OUT_OF_RANGE),
        (errors.StoreUnavailable("try again"), grpc.StatusCode.UNAVAILABLE),
        (errors.ServiceUnavailable("try again"), grpc.StatusCode.UNAVAILABLE),
        (errors.TokenNotReached("try again"), grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_of_ours_comes_back_as_itself(
    error: errors.OnefoldError, code: grpc.StatusCode
) -> None:
    async def act() -> None:
        raise error

    async with serving() as door:
        door.ingest.act = act
        assert (await _refusal(door, SOURCE, INGEST)).code() is code
        async with open_channel(door.url, SOURCE) as peer:
            with pytest.raises(type(error)) as caught:
                await ingest_grpc.IngestServiceStub(peer).IngestEvents(_events())
        told = caught.value
        assert (told.message, told.reason) == (error.message, error.reason)
        assert (told.field, told.metadata) == (error.field, error.metadata)


async def test_what_nobody_foresaw_leaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def act() -> None:
        raise KeyError("a@b.cn")

    async with serving() as door:
        door.ingest.act = act
        error = await _refusal(door, SOURCE, INGEST)
        assert (error.code(), _reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert "a@b.cn" not in repr(error)
        assert "KeyError" not in repr(error)


async def test_a_broken_message_is_an_invalid_argument() -> None:
    async with serving() as door:
        error = await _refusal(door, SOURCE, INGEST, b"\xff\xff no message")
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert _details(error)["BadRequest"].field_violations


async def test_postgresql_away_is_unavailable_with_a_delay(unused_port: int) -> None:
    async def act() -> None:
        await asyncpg.connect(f"postgresql://u:p@127.0.0.1:{unused_port}/x", timeout=5)

    async with serving() as door:
        door.ingest.act = act
        error = await _refusal(door, SOURCE, INGEST)
        assert (error.code(), _reason(error)) == (
            grpc.StatusCode.UNAVAILABLE,
            "STORE_UNAVAILABLE",
        )
        assert _details(error)["RetryInfo"].retry_delay.ToSeconds() == 1


async def test_keys_cannot_be_looked_up_without_postgresql() -> None:
    async def away(_: bytes) -> None:
        raise ConnectionRefusedError

    async with serving(load=away) as door:
        error = await _refusal(door, SOURCE, INGEST)
        assert _reason(error) == "STORE_UNAVAILABLE"


@pytest.fixture
def unused_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_an_oversized_message_is_refused_and_the_server_lives_on() -> None:
    async with serving(max_message_bytes=10_000) as door:
        async with open_channel(door.url, SOURCE) as peer:
            stub = ingest_grpc.IngestServiceStub(peer)
            huge = ingest_pb.IngestEventsRequest(events=[{"name": "x" * 20_000}])
            with pytest.raises(errors.TooLarge):
                await stub.IngestEvents(huge)
            assert (await stub.IngestEvents(_events())).accepted == 1
        error = await _refusal(door, SOURCE, INGEST, huge.SerializeToString())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_cancelled_call_stops_its_work() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with serving() as door, open_channel(door.url, SOURCE) as peer:
        door.ingest.act = act
        stub = ingest_grpc.IngestServiceStub(peer)
        call = asyncio.ensure_future(stub.IngestEvents(_events()))
        await asyncio.wait_for(began.wait(), 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(stopped.wait(), 10)
        door.ingest.act = None
        assert (await stub.IngestEvents(_events())).accepted == 1


async def test_the_deadline_of_the_caller_is_known_inside() -> None:
    async with serving() as door, open_channel(door.url, SOURCE) as peer:
        stub = ingest_grpc.IngestServiceStub(peer)
        await stub.IngestEvents(_events(), timeout=7)
        async with grpc.aio.insecure_channel(door.url) as raw:
            metadata = [("authorization", f"Bearer {SOURCE}")]
            await raw.unary_unary(INGEST)(b"", metadata=metadata)
    limited, endless = door.ingest.deadlines
    assert limited is not None
    assert 0 < limited <= 7
    assert endless is None


async def test_a_deadline_that_passes_is_service_unavailable_to_the_caller() -> None:
    async def act() -> None:
        await asyncio.Event().wait()

    async with serving() as door, open_channel(door.url, SOURCE) as peer:
        door.ingest.act = act
        with pytest.raises(errors.ServiceUnavailable):
            await ingest_grpc.IngestServiceStub(peer).IngestEvents(_events(), timeout=0.1)


async def test_streams_of_requests_and_answers() -> None:
    async def batches() -> AsyncIterator[Any]:
        for count in (1, 2, 3):
            yield ingest_pb.StreamEventsRequest(events=_events(count).events)

    async with serving() as door, open_channel(door.url, SOURCE) as peer:
        answers = ingest_grpc.IngestServiceStub(peer).StreamEvents(batches())
        assert [answer.result.accepted async for answer in answers] == [1, 2, 3]
        assert {caller.key_id for caller in door.ingest.callers} == {"key_source"}


async def test_a_stream_is_guarded_too() -> None:
    async with serving() as door, open_channel(door.url, ADMIN) as peer:
        stub = projection_grpc.ProjectionServiceStub(peer)
        with pytest.raises(errors.NotAllowed):
            [_ async for _ in stub.Rebuild(projection_pb.RebuildRequest())]
        assert door.projection.ended == []


async def test_an_error_in_the_middle_of_a_stream() -> None:
    async with serving() as door, open_channel(door.url, INTERNAL) as peer:
        door.projection.fail = errors.RangeExpired("rebuild from the log")
        stub = projection_grpc.ProjectionServiceStub(peer)
        answers = stub.Rebuild(projection_pb.RebuildRequest())
        assert (await anext(answers)).done == 1
        with pytest.raises(errors.RangeExpired):
            await anext(answers)


async def test_a_caller_who_leaves_a_stream_ends_it() -> None:
    async with serving() as door, open_channel(door.url, INTERNAL) as peer:
        stub = projection_grpc.ProjectionServiceStub(peer)
        answers = stub.Rebuild(projection_pb.RebuildRequest())
        assert (await anext(answers)).done == 1
        await answers.aclose()
        assert await wait_until(lambda: door.projection.ended) == ["rebuild"]


async def test_a_server_that_drains_lets_calls_in_flight_end() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        began.set()
        await go_on.wait()

    async with asyncio.TaskGroup() as calls:
        async with serving() as door:
            door.ingest.act = act
            peer = open_channel(door.url, SOURCE)
            stub = ingest_grpc.IngestServiceStub(peer)
            call = calls.create_task(stub.IngestEvents(_events(2)))
            await asyncio.wait_for(began.wait(), 10)
            calls.create_task(_release_when_draining(door, go_on))
        assert (await call).accepted == 2
        with pytest.raises(errors.ServiceUnavailable):
            await stub.IngestEvents(_events(), timeout=5)
        await peer.close()


async def _release_when_draining(door: Door, go_on: asyncio.Event) -> None:
    """Lets the call in flight end when the server takes no new ones."""

    async def refused() -> bool:
        async with open_channel(door.url, SOURCE) as late:
            try:
                await ingest_grpc.IngestServiceStub(late).IngestEvents(_events(), timeout=0.2)
            except errors.ServiceUnavailable as error:
                return error.metadata["code"] == "UNAVAILABLE"
        return False

    await wait_until(refused)
    go_on.set()


async def test_endless_streams_do_not_hold_a_server_up() -> None:
    async with serving(drain_s=60.0) as door:
        peer = open_channel(door.url, INTERNAL)
        rebuild = projection_grpc.ProjectionServiceStub(peer).Rebuild(
            projection_pb.RebuildRequest()
        )
        assert (await anext(rebuild)).done == 1
        writer = open_channel(door.url, SOURCE)
        endless = ingest_grpc.IngestServiceStub(writer).StreamEvents(_one_and_wait())
        assert (await anext(endless)).result.accepted == 1
    with pytest.raises(errors.ServiceUnavailable, match="call again"):
        await anext(rebuild)
    with pytest.raises(StopAsyncIteration):
        await anext(endless)
    await peer.close()
    await writer.close()


async def _one_and_wait() -> AsyncIterator[Any]:
    yield ingest_pb.StreamEventsRequest(events=_events().events)
    await asyncio.Event().wait()


async def test_only_reading_is_tried_again() -> None:
    async def act() -> None:
        raise errors.ServiceUnavailable("try again")

    async with serving() as door, open_channel(door.url, SOURCE) as peer:
        door.ingest.act = act
        with pytest.raises(errors.ServiceUnavailable):
            await ingest_grpc.IngestServiceStub(peer).IngestEvents(_events())
        assert len(door.ingest.callers) == 1


async def test_a_server_that_goes_away_cancels_nobody() -> None:
    """grpc.aio alone raises CancelledError here, which would end the task of the caller."""

    async def for_ever() -> AsyncIterator[Any]:
        while True:
            yield ingest_pb.StreamEventsRequest(events=_events().events)

    async def send(door: Door) -> None:
        async with open_channel(door.url, SOURCE) as peer:
            async for _ in ingest_grpc.IngestServiceStub(peer).StreamEvents(for_ever()):
                pass
            raise errors.ServiceUnavailable("the stream ended as it should")

    async with serving() as door:
        sending = asyncio.ensure_future(send(door))
        await wait_until(lambda: len(door.ingest.callers) > 10)
    with pytest.raises(errors.ServiceUnavailable):
        await sending


async def test_a_reading_call_finds_a_server_that_comes_late(unused_port: int) -> None:
    async with open_channel(f"127.0.0.1:{unused_port}", INTERNAL, workspace_id="shop") as peer:
        stub = projection_grpc.ProjectionServiceStub(peer)
        call = asyncio.ensure_future(stub.GetStatus(projection_pb.GetStatusRequest()))
        async with serving(grpc_port=unused_port):
            assert (await call).service == "shop"


def test_an_address_that_is_not_set_is_told() -> None:
    with pytest.raises(ValueError, match="not set"):
        open_channel("", SOURCE)
