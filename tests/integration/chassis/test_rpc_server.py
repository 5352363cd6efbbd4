"""The gRPC server admits, rejects and drains calls; its channel raises kernel errors."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
from service_fixtures import HANG_S, wait_until
from toy.rpc_services import (
    ADMIN,
    ALLOWED,
    DIGEST,
    DISABLED,
    INGEST,
    INTERNAL,
    SOURCE,
    STATUS,
    STREAM,
    Served,
    serving,
)

from services.chassis.access.principal import Role
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.errors import DETAILS_KEY
from services.kernel import errors
from tests.security.floods import pause


def _events(count: int = 1) -> Any:
    return ingest_pb.IngestEventsRequest(events=[{} for _ in range(count)])


async def _rejection(
    server: Served, key: str | None, method: str, request: bytes = b"", *, url: str = ""
) -> Any:
    """Return the error of one raw call, to the internal endpoint unless `url` names another."""
    metadata = [("authorization", f"Bearer {key}")] if key is not None else []
    async with grpc.aio.insecure_channel(url or server.url) as raw:
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


async def test_call_with_an_allowed_role_succeeds() -> None:
    async with serving() as server, open_channel(server.url, SOURCE) as channel:
        response = await ingest_grpc.IngestServiceStub(channel).IngestEvents(_events(3))
        assert response.accepted == 3
        [caller] = server.ingest.callers
        assert (caller.workspace_id, caller.source_id) == ("shop", "web")
        assert server.count("rpcs", method=INGEST, code="OK") == 1


async def test_call_with_one_message_begins_no_iterator_of_requests() -> None:
    """One that is left before its end is closed by a task of its own, for each call."""
    before, begun = sys.get_asyncgen_hooks(), list[str]()

    def note(iterator: Any) -> None:
        begun.append(iterator.__name__)
        before.firstiter(iterator)

    async with serving() as server, grpc.aio.insecure_channel(server.url) as raw:
        metadata = [("authorization", f"Bearer {SOURCE}")]
        call, request = raw.unary_unary(INGEST), _events(2).SerializeToString()
        sys.set_asyncgen_hooks(firstiter=note)
        try:
            response = await call(request, metadata=metadata)
        finally:
            sys.set_asyncgen_hooks(*before)
    assert ingest_pb.IngestEventsResponse.FromString(response).accepted == 2
    assert begun == []


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
    ],
)
async def test_call_without_an_allowed_role_is_denied(
    key: str | None, method: str, code: grpc.StatusCode, reason: str
) -> None:
    async with serving() as server:
        error = await _rejection(server, key, method)
        assert (error.code(), _reason(error)) == (code, reason)
        assert server.ingest.callers == []
        assert server.count("rejections", reason=reason) == 1
        for secret in (SOURCE, ADMIN, DISABLED, INTERNAL):
            assert secret not in str(error)


async def test_unknown_key_with_a_malformed_message_is_unauthenticated() -> None:
    async with serving() as server:
        error = await _rejection(server, "wrong", INGEST, b"\xff\xff no message")
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_internal_call_gets_the_workspace_of_its_metadata() -> None:
    async with serving() as server:
        async with open_channel(server.url, INTERNAL, workspace_id="academy") as channel:
            stub = projection_grpc.ProjectionServiceStub(channel)
            response = await stub.GetStatus(projection_pb.GetStatusRequest())
            assert response.service == "academy"
        async with open_channel(server.url, INTERNAL) as channel:
            stub = projection_grpc.ProjectionServiceStub(channel)
            response = await stub.GetStatus(projection_pb.GetStatusRequest())
            assert response.service == ""


@pytest.mark.parametrize("key", [ADMIN, INTERNAL])
async def test_method_without_allowed_roles_is_unimplemented(key: str) -> None:
    async with serving() as server:
        assert (await _rejection(server, key, DIGEST)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_public_endpoint_serves_clients() -> None:
    async with serving() as server, open_channel(server.public_url, SOURCE) as channel:
        response = await ingest_grpc.IngestServiceStub(channel).IngestEvents(_events(3))
        assert response.accepted == 3


@pytest.mark.parametrize(
    "method",
    [
        STATUS,
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
@pytest.mark.parametrize("key", [None, ADMIN, INTERNAL])
async def test_public_endpoint_has_no_internal_methods(method: str, key: str | None) -> None:
    async with serving() as server:
        error = await _rejection(server, key, method, url=server.public_url)
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_method_for_services_only_is_not_at_the_public_endpoint() -> None:
    allowed = {**ALLOWED, STREAM: frozenset({Role.INTERNAL})}
    async with serving(allowed) as server:
        error = await _rejection(server, INTERNAL, STREAM, url=server.public_url)
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_internal_key_at_the_public_endpoint_is_unknown() -> None:
    allowed = {**ALLOWED, INGEST: frozenset({Role.SOURCE, Role.INTERNAL})}
    async with serving(allowed) as server:
        error = await _rejection(server, INTERNAL, INGEST, url=server.public_url)
        assert (error.code(), _reason(error)) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN")
        async with open_channel(server.url, INTERNAL) as channel:
            response = await ingest_grpc.IngestServiceStub(channel).IngestEvents(_events())
        assert response.accepted == 1


async def test_method_that_the_servicer_lacks_is_unimplemented() -> None:
    async with serving() as server:
        error = await _rejection(server, ADMIN, "/onefold.ingest.v1.IngestService/ListQuarantined")
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_allowed_method_that_is_not_served_raises_value_error() -> None:
    with pytest.raises(ValueError, match="/no/Such"):
        async with serving({**ALLOWED, "/no/Such": frozenset()}):
            pass


async def test_port_in_use_raises_os_error() -> None:
    async with serving() as server:
        with pytest.raises(OSError, match=str(server.port)):
            async with serving(internal_grpc_port=server.port):
                pass


async def test_health_at_the_internal_endpoint_needs_no_key() -> None:
    async with serving() as server, grpc.aio.insecure_channel(server.url) as raw:
        health = health_pb2_grpc.HealthStub(raw)
        for service in ("", "onefold.ingest.v1.IngestService"):
            request = health_pb2.HealthCheckRequest(service=service)
            response = await health.Check(request, timeout=10)
            assert response.status == health_pb2.HealthCheckResponse.SERVING


REFLECTED = {"onefold.ingest.v1.IngestService", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.mark.parametrize(
    ("setting", "public", "listed"),
    [
        ("internal", False, {*REFLECTED, "onefold.projection.v1.ProjectionService"}),
        ("internal", True, None),
        ("public", True, REFLECTED),
        ("off", False, None),
        ("off", True, None),
    ],
)
async def test_reflection_lists_the_services_of_an_endpoint_to_callers_with_a_key(
    setting: str, public: bool, listed: set[str] | None
) -> None:
    async with serving(reflection=setting) as server:
        url = server.public_url if public else server.url
        if listed is None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _reflected(url, SOURCE)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        else:
            assert await _reflected(url, SOURCE) == listed
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _reflected(url, "wrong")
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def _reflected(url: str, key: str) -> set[str]:
    """Return the names of the services that reflection lists."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with grpc.aio.insecure_channel(url) as raw:
        responses = reflection_pb2_grpc.ServerReflectionStub(raw).ServerReflectionInfo(
            iter([request]), timeout=10, metadata=[("authorization", f"Bearer {key}")]
        )
        return {s.name async for a in responses for s in a.list_services_response.service}


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
async def test_kernel_error_in_a_method_is_raised_by_the_channel(
    error: errors.OnefoldError, code: grpc.StatusCode
) -> None:
    async def act() -> None:
        raise error

    async with serving() as server:
        server.ingest.act = act
        assert (await _rejection(server, SOURCE, INGEST)).code() is code
        async with open_channel(server.url, SOURCE) as channel:
            with pytest.raises(type(error)) as caught:
                await ingest_grpc.IngestServiceStub(channel).IngestEvents(_events())
        raised = caught.value
        assert (raised.message, raised.reason) == (error.message, error.reason)
        assert (raised.field, raised.metadata) == (error.field, error.metadata)


async def test_unexpected_error_leaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def act() -> None:
        raise KeyError("a@b.cn")

    async with serving() as server:
        server.ingest.act = act
        error = await _rejection(server, SOURCE, INGEST)
        assert (error.code(), _reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert "a@b.cn" not in repr(error)
        assert "KeyError" not in repr(error)


async def test_malformed_message_is_an_invalid_argument() -> None:
    async with serving() as server:
        error = await _rejection(server, SOURCE, INGEST, b"\xff\xff no message")
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert _details(error)["BadRequest"].field_violations


async def test_postgresql_down_is_unavailable_with_a_retry_delay(unused_port: int) -> None:
    async def act() -> None:
        await asyncpg.connect(f"postgresql://u:p@127.0.0.1:{unused_port}/x", timeout=5)

    async with serving() as server:
        server.ingest.act = act
        error = await _rejection(server, SOURCE, INGEST)
        assert (error.code(), _reason(error)) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert _details(error)["RetryInfo"].retry_delay.ToSeconds() == 1


async def test_key_lookup_with_postgresql_down_is_unavailable() -> None:
    async def away(_: bytes) -> None:
        raise ConnectionRefusedError

    async with serving(load=away) as server:
        error = await _rejection(server, SOURCE, INGEST)
        assert _reason(error) == "STORE_UNAVAILABLE"


@pytest.fixture
def unused_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_oversized_message_is_rejected_and_the_next_call_succeeds() -> None:
    async with serving(max_message_bytes=10_000) as server:
        async with open_channel(server.url, SOURCE) as channel:
            stub = ingest_grpc.IngestServiceStub(channel)
            huge = ingest_pb.IngestEventsRequest(events=[{"name": "x" * 20_000}])
            with pytest.raises(errors.TooLarge):
                await stub.IngestEvents(huge)
            assert (await stub.IngestEvents(_events())).accepted == 1
        error = await _rejection(server, SOURCE, INGEST, huge.SerializeToString())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_cancelled_call_stops_its_method() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with serving() as server, open_channel(server.url, SOURCE) as channel:
        server.ingest.act = act
        stub = ingest_grpc.IngestServiceStub(channel)
        call = asyncio.ensure_future(stub.IngestEvents(_events()))
        await asyncio.wait_for(began.wait(), HANG_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(stopped.wait(), HANG_S)
        server.ingest.act = None
        assert (await stub.IngestEvents(_events())).accepted == 1


async def test_method_sees_the_deadline_of_the_caller() -> None:
    async with serving() as server, open_channel(server.url, SOURCE) as channel:
        stub = ingest_grpc.IngestServiceStub(channel)
        await stub.IngestEvents(_events(), timeout=7)
        async with grpc.aio.insecure_channel(server.url) as raw:
            metadata = [("authorization", f"Bearer {SOURCE}")]
            await raw.unary_unary(INGEST)(b"", metadata=metadata)
    limited, endless = server.ingest.deadlines
    assert limited is not None
    assert 0 < limited <= 7.1  # gRPC rounds a timeout up to send it
    assert endless is None


async def test_call_past_its_deadline_raises_service_unavailable() -> None:
    async def act() -> None:
        await asyncio.Event().wait()

    async with serving() as server, open_channel(server.url, SOURCE) as channel:
        server.ingest.act = act
        with pytest.raises(errors.ServiceUnavailable):
            await ingest_grpc.IngestServiceStub(channel).IngestEvents(_events(), timeout=0.1)


async def test_stream_of_requests_gets_a_stream_of_responses() -> None:
    async def batches() -> AsyncIterator[Any]:
        for count in (1, 2, 3):
            yield ingest_pb.StreamEventsRequest(events=_events(count).events)

    async with serving() as server, open_channel(server.url, SOURCE) as channel:
        responses = ingest_grpc.IngestServiceStub(channel).StreamEvents(batches())
        assert [response.result.accepted async for response in responses] == [1, 2, 3]
        assert {caller.key_id for caller in server.ingest.callers} == {"key_source"}


async def test_stream_without_an_allowed_role_is_denied() -> None:
    async with serving() as server, open_channel(server.url, ADMIN) as channel:
        stub = projection_grpc.ProjectionServiceStub(channel)
        with pytest.raises(errors.NotAllowed):
            [_ async for _ in stub.Rebuild(projection_pb.RebuildRequest())]
        assert server.projection.ended == []


async def test_error_in_the_middle_of_a_stream_is_raised_by_the_channel() -> None:
    async with serving() as server, open_channel(server.url, INTERNAL) as channel:
        server.projection.fail = errors.RangeExpired("rebuild from the log")
        stub = projection_grpc.ProjectionServiceStub(channel)
        responses = stub.Rebuild(projection_pb.RebuildRequest())
        assert (await anext(responses)).done == 1
        with pytest.raises(errors.RangeExpired):
            await anext(responses)


async def test_stream_closed_by_the_caller_ends_its_method() -> None:
    async with serving() as server, open_channel(server.url, INTERNAL) as channel:
        stub = projection_grpc.ProjectionServiceStub(channel)
        responses = stub.Rebuild(projection_pb.RebuildRequest())
        assert (await anext(responses)).done == 1
        await responses.aclose()
        assert await wait_until(lambda: server.projection.ended) == ["rebuild"]


async def test_draining_server_lets_calls_in_flight_end() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        began.set()
        await go_on.wait()

    async with asyncio.TaskGroup() as calls:
        async with serving() as server:
            server.ingest.act = act
            channel = open_channel(server.url, SOURCE)
            stub = ingest_grpc.IngestServiceStub(channel)
            call = calls.create_task(stub.IngestEvents(_events(2)))
            await asyncio.wait_for(began.wait(), HANG_S)
            calls.create_task(_release_when_draining(server, go_on))
        assert (await call).accepted == 2
        with pytest.raises(errors.ServiceUnavailable):
            await stub.IngestEvents(_events(), timeout=5)
        await channel.close()


async def _release_when_draining(server: Served, go_on: asyncio.Event) -> None:
    """Let the call in flight end when the server rejects new ones."""

    async def rejected() -> bool:
        async with open_channel(server.url, SOURCE) as late:
            try:
                await ingest_grpc.IngestServiceStub(late).IngestEvents(_events(), timeout=0.2)
            except errors.ServiceUnavailable as error:
                return error.metadata["code"] == "UNAVAILABLE"
        return False

    await wait_until(rejected)
    go_on.set()


async def test_draining_server_ends_endless_streams() -> None:
    async with serving(drain_s=60.0) as server:
        channel = open_channel(server.url, INTERNAL)
        rebuild = projection_grpc.ProjectionServiceStub(channel).Rebuild(
            projection_pb.RebuildRequest()
        )
        assert (await anext(rebuild)).done == 1
        writer = open_channel(server.url, SOURCE)
        endless = ingest_grpc.IngestServiceStub(writer).StreamEvents(_one_and_wait())
        assert (await anext(endless)).result.accepted == 1
    with pytest.raises(errors.ServiceUnavailable, match="call again"):
        await anext(rebuild)
    with pytest.raises(StopAsyncIteration):
        await anext(endless)
    await channel.close()
    await writer.close()


async def _one_and_wait() -> AsyncIterator[Any]:
    yield ingest_pb.StreamEventsRequest(events=_events().events)
    await asyncio.Event().wait()


async def test_write_that_is_unavailable_is_not_retried() -> None:
    async def act() -> None:
        raise errors.ServiceUnavailable("try again")

    async with serving() as server, open_channel(server.url, SOURCE) as channel:
        server.ingest.act = act
        with pytest.raises(errors.ServiceUnavailable):
            await ingest_grpc.IngestServiceStub(channel).IngestEvents(_events())
        assert len(server.ingest.callers) == 1


@pytest.mark.parametrize(("failing", "calls"), [(1, 2), (2, 3)])
async def test_read_that_is_unavailable_is_retried(failing: int, calls: int) -> None:
    async with serving() as server, open_channel(server.url, INTERNAL) as channel:
        server.projection.failing_status_calls = failing
        stub = projection_grpc.ProjectionServiceStub(channel)
        await stub.GetStatus(projection_pb.GetStatusRequest())
        assert server.projection.status_calls == calls


async def test_read_that_stays_unavailable_raises_after_three_attempts() -> None:
    async with serving() as server, open_channel(server.url, INTERNAL) as channel:
        server.projection.failing_status_calls = 99
        stub = projection_grpc.ProjectionServiceStub(channel)
        with pytest.raises(errors.ServiceUnavailable, match="try again"):
            await stub.GetStatus(projection_pb.GetStatusRequest())
        assert server.projection.status_calls == 3


async def test_server_that_goes_away_does_not_cancel_the_caller() -> None:
    """grpc.aio alone raises CancelledError here, which would end the caller's task."""

    async def for_ever() -> AsyncIterator[Any]:
        while True:
            yield ingest_pb.StreamEventsRequest(events=_events().events)

    async def send(server: Served) -> None:
        async with open_channel(server.url, SOURCE) as channel:
            async for _ in ingest_grpc.IngestServiceStub(channel).StreamEvents(for_ever()):
                pass
            raise errors.ServiceUnavailable("the stream has ended")

    async with serving() as server:
        sending = asyncio.ensure_future(send(server))
        await wait_until(lambda: len(server.ingest.callers) > 10)
    with pytest.raises(errors.ServiceUnavailable):
        await sending


async def test_read_is_retried_until_the_server_listens(unused_port: int) -> None:
    async with open_channel(f"127.0.0.1:{unused_port}", INTERNAL, workspace_id="shop") as channel:
        stub = projection_grpc.ProjectionServiceStub(channel)
        call = asyncio.ensure_future(stub.GetStatus(projection_pb.GetStatusRequest()))
        async with serving(internal_grpc_port=unused_port):
            assert (await call).service == "shop"


@asynccontextmanager
async def greeting_late(port: int, seconds: float) -> AsyncIterator[str]:
    """Relay connections to a port, each only after some time; yield the address."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError):  # uvloop raises the latter
            while data := await reader.read(65_536):
                writer.write(data)
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pause(seconds)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as relay:
        yield f"127.0.0.1:{relay.sockets[0].getsockname()[1]}"


async def test_call_to_a_server_that_greets_its_connections_late_succeeds() -> None:
    async with (
        serving() as server,
        greeting_late(server.port, 0.5) as url,
        open_channel(url, SOURCE) as channel,
    ):
        response = await ingest_grpc.IngestServiceStub(channel).IngestEvents(_events(3))
        assert response.accepted == 3


async def test_server_of_many_methods_waits_for_calls_with_one_task_an_endpoint() -> None:
    async with serving():
        works: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
        waiting = [work.__name__ for work in works if work.__name__.startswith("_request")]
        assert waiting == ["_request_call", "_request_call"]


def test_empty_address_raises_value_error() -> None:
    with pytest.raises(ValueError, match="not set"):
        open_channel("", SOURCE)


async def test_internal_key_is_replaced_without_a_refused_call() -> None:
    """Each server accepts both keys before the first caller sends the new one."""
    new = "the-next-internal-key-of-this-test"
    for keys in ((INTERNAL, new), (new, INTERNAL)):
        async with serving(internal_key=keys[0], internal_key_previous=keys[1]) as server:
            for key in (INTERNAL, new):
                async with open_channel(server.url, key, workspace_id="shop") as channel:
                    stub = projection_grpc.ProjectionServiceStub(channel)
                    response = await stub.GetStatus(projection_pb.GetStatusRequest())
                    assert response.service == "shop"
    async with serving(internal_key=new) as server:
        error = await _rejection(server, INTERNAL, STATUS)
        assert _reason(error) == "KEY_UNKNOWN"
