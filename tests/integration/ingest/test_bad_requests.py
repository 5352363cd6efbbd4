"""Tests requests that are invalid as a whole: a clear error, nothing lost, the service goes on."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import zstandard
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1.admin_service_pb2_grpc import AdminServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, ListQuarantinedRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from services.ingest.api.http_paths import CALLS
from services.kernel.errors import InvalidField, NotAllowed, OnefoldError, TooLarge

LIMIT = 4 * 1024 * 1024
INCOMPLETE = gzip.compress(b'{"batch":[]}', mtime=0)[:-9]


async def disabled_key(endpoints: Any) -> str:
    async with endpoints.channel(endpoints.admin_key) as channel:
        stub = AdminServiceStub(channel)
        issued = await stub.IssueKey(admin_pb.IssueKeyRequest(role=ROLE_SOURCE, source_id="site"))
        await stub.DisableKey(admin_pb.DisableKeyRequest(key_id=issued.key_id))
    return str(issued.key)


async def grpc_error(endpoints: Any, events: list[Any], key: str | None = None) -> OnefoldError:
    async with endpoints.channel(key) as channel:
        with pytest.raises(OnefoldError) as caught:
            await IngestServiceStub(channel).IngestEvents(IngestEventsRequest(events=events))
    return caught.value


class TestGrpc:
    async def test_empty_batch_is_refused(self, endpoints: Any) -> None:
        error = await grpc_error(endpoints, [])
        assert (type(error), error.reason, error.field) == (InvalidField, "BATCH_EMPTY", "events")

    async def test_batch_of_more_than_1000_events_is_refused(
        self, endpoints: Any, make_event: Any
    ) -> None:
        error = await grpc_error(endpoints, [make_event()] * 1001)
        assert (error.reason, error.field) == ("FIELD_INVALID", "events")

    async def test_oversized_message_is_refused_and_the_next_call_succeeds(
        self, endpoints: Any, make_event: Any
    ) -> None:
        error = await grpc_error(endpoints, [make_event(properties=b"x" * (LIMIT + 1))])
        assert isinstance(error, TooLarge)
        assert (await endpoints.ingest(make_event())).accepted == 1

    @pytest.mark.parametrize(("key", "reason"), [("", "KEY_MISSING"), ("nonsense", "KEY_UNKNOWN")])
    async def test_invalid_key_is_refused(
        self, endpoints: Any, make_event: Any, key: str, reason: str
    ) -> None:
        error = await grpc_error(endpoints, [make_event()], key)
        assert (type(error), error.reason) == (NotAllowed, reason)

    async def test_disabled_key_is_refused(self, endpoints: Any, make_event: Any) -> None:
        error = await grpc_error(endpoints, [make_event()], await disabled_key(endpoints))
        assert error.reason == "KEY_DISABLED"

    async def test_key_of_another_role_is_refused(self, endpoints: Any, make_event: Any) -> None:
        error = await grpc_error(endpoints, [make_event()], endpoints.admin_key)
        assert error.reason == "NOT_ALLOWED"

    async def test_key_of_a_source_may_not_list_the_quarantine(self, endpoints: Any) -> None:
        async with endpoints.channel() as channel:
            with pytest.raises(NotAllowed):
                await IngestServiceStub(channel).ListQuarantined(ListQuarantinedRequest())

    async def test_bytes_that_are_no_message_are_refused(
        self, endpoints: Any, make_event: Any
    ) -> None:
        address = f"127.0.0.1:{endpoints.service.grpc_port}"
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary("/onefold.ingest.v1.IngestService/IngestEvents")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\xff\xff", metadata=[("authorization", f"Bearer {endpoints.key}")])
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await endpoints.ingest(make_event())).accepted == 1

    async def test_event_of_a_cancelled_call_is_stored_once_after_a_repeat(
        self, endpoints: Any, make_event: Any
    ) -> None:
        event = make_event()
        batch = [event, *[make_event() for _ in range(500)]]
        sending = asyncio.ensure_future(endpoints.ingest(*batch))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await endpoints.ingest(event)  # whether the first call was taken or not
        assert len(await endpoints.facts(event.message_id)) == 1


class TestHttpBodies:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "JSON_INVALID"),
            (b'{"batch":[', "JSON_INVALID"),
            (b"[]", "NOT_AN_EVENT"),
            (b"7", "NOT_AN_EVENT"),
            (b'"track"', "NOT_AN_EVENT"),
            (b"{}", "BATCH_EMPTY"),
            (b'{"batch":[]}', "BATCH_EMPTY"),
            (b'{"batch":{"a":1}}', "BATCH_EMPTY"),
            (b'{"batch":' + b"[" * 100_000, "PROPERTIES_TOO_LARGE"),
            (b'{"batch":1,"sentAt":"\xff"}', "JSON_INVALID"),
            (b"\x1f\x8b broken", "JSON_INVALID"),
            (INCOMPLETE, "JSON_INVALID"),
            (b"\x28\xb5\x2f\xfd broken", "JSON_INVALID"),
        ],
    )
    async def test_invalid_body_is_refused_and_quarantined(
        self, endpoints: Any, body: bytes, code: str
    ) -> None:
        status, response = await endpoints.post("/v1/batch", body)
        assert status == 400
        assert response["code"] == code
        assert response["message"]
        entry = await endpoints.quarantined(response["quarantineId"])
        # What is missing of a compressed body could not be checked for keys.
        assert entry.raw == (b'{"batch":[]}' if body == INCOMPLETE else body)

    @pytest.mark.parametrize("size", [LIMIT + 1, 20 * LIMIT])
    async def test_body_over_the_limit_is_refused(self, endpoints: Any, size: int) -> None:
        status, response = await endpoints.post("/v1/batch", b"x" * size)
        assert (status, response["code"]) == (413, "TOO_LARGE")

    async def test_body_over_the_limit_without_a_length_is_refused(self, endpoints: Any) -> None:
        async def chunks() -> Any:
            for _ in range(80):
                yield b"x" * 65_536

        headers = {"Authorization": f"Bearer {endpoints.key}"}
        async with endpoints.http.post(
            endpoints.url("/v1/batch"), data=chunks(), headers=headers
        ) as response:
            assert response.status == 413

    @pytest.mark.parametrize(
        ("compress", "megabytes", "parts"),
        [
            (gzip.compress, 64, 1),
            (zstandard.compress, 64, 1),
            (zlib.compress, 64, 1),
            (gzip.compress, 3, 3),
        ],
        ids=["gzip", "zstd", "zlib", "gzip in parts"],
    )
    async def test_compressed_bomb_is_refused(
        self, endpoints: Any, compress: Callable[[bytes], bytes], megabytes: int, parts: int
    ) -> None:
        bomb = compress(b" " * (megabytes << 20)) * parts
        status, response = await endpoints.post("/v1/batch", bomb)
        assert (status, response["code"]) == (413, "TOO_LARGE")

    async def test_batch_of_many_small_values_is_refused_as_a_whole(self, endpoints: Any) -> None:
        status, response = await endpoints.post("/v1/batch", {"batch": [1] * 100_000})
        assert (status, response["code"]) == (400, "NOT_AN_EVENT")
        await endpoints.quarantined(response["quarantineId"])

    @pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate", "raw deflate", "none"])
    async def test_compressed_body_is_accepted(
        self, endpoints: Any, make_call: Any, encoding: str
    ) -> None:
        call = make_call()
        plain = json.dumps({"batch": [call]}).encode()
        raw = zlib.compressobj(wbits=-15)
        packed = {
            "gzip": gzip.compress(plain),
            "zstd": zstandard.compress(plain),
            "deflate": zlib.compress(plain),
            "raw deflate": raw.compress(plain) + raw.flush(),
            "none": plain,
        }[encoding]
        named = {"Content-Encoding": "deflate"} if encoding == "raw deflate" else {}
        headers = {**named, "Content-Type": "application/x-www-form-urlencoded"}
        status, response = await endpoints.post("/v1/batch", packed, **headers)
        assert (status, response["accepted"]) == (200, 1)


class TestHttpKeys:
    async def post(self, endpoints: Any, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        async with endpoints.http.post(
            endpoints.url("/v1/track"), json=body, headers=headers
        ) as response:
            return response.status, await response.json()

    async def test_key_is_accepted_in_every_header_and_in_the_body(
        self, endpoints: Any, make_call: Any
    ) -> None:
        basic = base64.b64encode(f"{endpoints.key}:".encode()).decode()
        for headers, body in (
            ({"Authorization": f"Basic {basic}"}, make_call()),
            ({"Authorization": f"Bearer {endpoints.key}"}, make_call()),
            ({"X-Write-Key": endpoints.key}, make_call()),
            ({"X-Write-Key": f"{endpoints.key}:secret"}, make_call()),
            ({}, make_call(writeKey=endpoints.key)),
        ):
            status, response = await self.post(endpoints, body, headers)
            assert (status, response["accepted"]) == (200, 1), headers

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({}, "KEY_MISSING"),
            ({"Authorization": "Bearer wrong"}, "KEY_UNKNOWN"),
            ({"Authorization": "Basic !!"}, "KEY_MISSING"),
            ({"X-Write-Key": "wrong"}, "KEY_UNKNOWN"),
        ],
    )
    async def test_invalid_key_in_a_header_is_refused(
        self, endpoints: Any, make_call: Any, headers: dict[str, str], code: str
    ) -> None:
        status, response = await self.post(endpoints, make_call(), headers)
        assert (status, response["success"], response["code"]) == (401, False, code)

    @pytest.mark.parametrize("write_key", [5, None, {"a": 1}, "wrong"])
    async def test_invalid_key_in_the_body_is_refused(
        self, endpoints: Any, make_call: Any, write_key: object
    ) -> None:
        status, _ = await self.post(endpoints, make_call(writeKey=write_key), {})
        assert status == 401

    async def test_disabled_key_over_http_is_refused(self, endpoints: Any, make_call: Any) -> None:
        status, response = await endpoints.post(
            "/v1/track", make_call(), key=await disabled_key(endpoints)
        )
        assert (status, response["code"]) == (401, "KEY_DISABLED")

    async def test_key_of_another_role_over_http_is_refused(
        self, endpoints: Any, make_call: Any
    ) -> None:
        status, response = await endpoints.post("/v1/track", make_call(), key=endpoints.admin_key)
        assert (status, response["code"]) == (403, "NOT_ALLOWED")

    async def test_quarantined_call_holds_no_key(self, endpoints: Any, make_call: Any) -> None:
        call = make_call(userId=None, writeKey=endpoints.key)
        _, response = await self.post(endpoints, call, {})
        entry = await endpoints.quarantined(response["rejections"][0]["quarantineId"])
        assert call["messageId"].encode() in entry.raw
        assert endpoints.key.encode() not in entry.raw


class TestPaths:
    @pytest.mark.parametrize("call", sorted(CALLS))
    @pytest.mark.parametrize("end", ["", "/"])
    async def test_every_path_accepts_its_call(
        self, endpoints: Any, make_call: Any, call: str, end: str
    ) -> None:
        event = make_call(type=CALLS[call].name.lower() if CALLS[call] else "track")
        event |= {"previousId": "p", "groupId": "g"}
        body = event if CALLS[call] else {"batch": [event]}
        status, response = await endpoints.post(f"/v1/{call}{end}", body)
        assert (status, response["success"], response["accepted"]) == (200, True, 1)
        logged = [found.type for _, found in await endpoints.facts(event["messageId"])]
        copies = 2 if call in ("g", "group") else 1  # with the person, and with the account
        assert logged == [CALLS[call] or 1] * copies

    async def test_unknown_path_is_not_found(self, endpoints: Any) -> None:
        assert (await endpoints.post("/v1/nonsense", {}))[0] == 404

    async def test_get_is_not_allowed(self, endpoints: Any) -> None:
        async with endpoints.http.get(endpoints.url("/v1/batch")) as response:
            assert response.status == 405

    async def test_preflight_of_a_browser_is_allowed(self, endpoints: Any, make_call: Any) -> None:
        headers = {
            "Origin": "https://shop.example.cn",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        async with endpoints.http.options(endpoints.url("/v1/t"), headers=headers) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
        async with endpoints.http.post(endpoints.url("/v1/t"), data=b"{}") as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"

    @pytest.mark.parametrize(
        "names",
        [
            ("Authorization", "Authorization"),
            ("X-Write-Key", "X-Write-Key"),
            ("Authorization", "X-Write-Key"),
        ],
    )
    async def test_two_keys_in_the_headers_are_refused(
        self, endpoints: Any, make_call: Any, names: tuple[str, str]
    ) -> None:
        forms = {"Authorization": "Bearer {}", "X-Write-Key": "{}"}
        keys = [endpoints.key, "ofk_source_of_another"]
        for pair in (keys, keys[::-1]):
            headers = [
                (name, forms[name].format(key)) for name, key in zip(names, pair, strict=True)
            ]
            async with endpoints.http.post(
                endpoints.url("/v1/track"), json=make_call(), headers=headers
            ) as response:
                assert response.status == 400
                text = await response.text()
            assert "FIELD_INVALID" in text
            assert endpoints.key not in text

    async def test_one_key_in_two_headers_is_accepted(self, endpoints: Any, make_call: Any) -> None:
        headers = {"X-Write-Key": endpoints.key}
        assert (await endpoints.post("/v1/track", make_call(), **headers))[0] == 200
