"""Tests the gateway before five running services: every call, over both of its protocols."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from integration.console.running_console import HANG_S, METHODS, Console, running_console
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest
from onefold.type.v1.identifier_pb2 import Identifier
from service_fixtures import MakeSettings, wait_until

from services.chassis.codec.rules import rule_to_proto
from services.console.gateway.methods import Method
from services.kernel.rules.forms.json_form import parse_rule

#: The services and the names of what only they themselves may call.
INTERNAL = [("ingest", "Append"), ("profile", "ReadOutbox"), ("identity", "Rebuild")]
JSON, PROTO, NDJSON = "application/json", "application/proto", "application/x-ndjson"

#: The streams that a key may have open.
MOST_STREAMS = 8


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(
    module_settings: MakeSettings, internal_key: str, module_folder: Path
) -> AsyncIterator[Console]:
    """Run the console; calls with a wrong key are not bounded, as one test makes many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONEFOLD_REFUSED_CALLS_PER_S", "0")
        patch.setenv("ONEFOLD_MAX_STREAMS_PER_KEY", str(MOST_STREAMS))
        async with running_console(module_settings, internal_key, module_folder) as running:
            yield running


def _wrong_message(method: Method) -> bytes:
    """Return no message of Protobuf, in an envelope where the method has a stream."""
    has_stream = method.takes_stream or method.gives_stream
    return b"\x00\x00\x00\x00\x01\xff" if has_stream else b"\xff"


async def _connect(gateway: Console, method: Method, key: str, body: bytes) -> tuple[int, str]:
    """Make a call of Connect; return the status and the code of its error (empty = none)."""
    has_stream = method.takes_stream or method.gives_stream
    content_type = "application/connect+proto" if has_stream else PROTO
    url = f"{gateway.url}/connect/{method.service}{method.path}"
    headers = {"authorization": f"Bearer {key}", "content-type": content_type}
    # Watches go on for ever, and a token of the future is waited for.
    headers["connect-timeout-ms"] = "3000"
    async with gateway.http.post(url, data=body, headers=headers) as response:
        answer = await response.read()
        if not has_stream:
            return response.status, "" if response.status == 200 else json.loads(answer)["code"]
        end = json.loads(answer[answer.rindex(b"{") if b'"error"' not in answer else 5 :])
        return response.status, end.get("error", {}).get("code", "")


async def test_every_method_is_called_with_a_right_and_a_wrong_key_and_a_wrong_message(
    gateway: Console,
) -> None:
    wrong = []
    for method in METHODS.methods:
        has_stream = method.takes_stream or method.gives_stream
        key = gateway.key_for(method)
        refused = await _connect(gateway, method, "ofk_admin_unknown", _wrong_message(method))
        if refused != (200 if has_stream else 401, "unauthenticated"):
            wrong.append(f"{method.service}{method.path}, wrong key: {refused}")
        if not method.takes_stream:
            bad = await _connect(gateway, method, key, _wrong_message(method))
            if bad != (200 if has_stream else 400, "invalid_argument"):
                wrong.append(f"{method.service}{method.path}, wrong message: {bad}")
        if not has_stream:
            answered, _ = await gateway.plain(method.service, method.name, {}, key)
            # An empty message is right for some methods, and lacks what others require.
            if answered not in (200, 400, 404, 409):
                wrong.append(f"{method.service}{method.path}, right key: {answered}")
    for service, name in INTERNAL:
        assert (await gateway.plain(service, name))[0] == 404, name
    assert not wrong, "\n".join(wrong)


async def test_source_and_event_and_profile_by_plain_calls_alone(gateway: Console) -> None:
    status, defined = await gateway.plain(
        "ingest", "DefineSource", {"source": {"source_id": "crm", "title": "客户关系"}}
    )
    assert status == 200
    status, issued = await gateway.plain(
        "ingest", "IssueKey", {"role": "ROLE_SOURCE", "source_id": "crm", "title": "t"}
    )
    assert status == 200
    assert issued["key"].startswith("ofk_")
    await gateway.system.drain()
    event = {
        "type": "EVENT_TYPE_IDENTIFY",
        "message_id": "m1",
        "identifiers": [{"namespace": "user_id", "value": "u1"}],
        "traits": {"city": "北京"},
    }
    status, sent = await gateway.plain("ingest", "IngestEvents", {"events": [event]}, issued["key"])
    assert (status, sent["rejections"]) == (200, [])
    # The token of one service is understood by the next one.
    request = {"identifier": {"namespace": "user_id", "value": "u1"}, "at_least": sent["token"]}
    status, answer = await gateway.plain("profile", "GetProfile", request)
    assert status == 200, answer
    profile = answer["profile"]
    assert {"name": "city", "value": "北京"}.items() <= profile["traits"][0].items()
    grpc_request = GetProfileRequest(identifier=Identifier(namespace="user_id", value="u1"))
    same = await gateway.system.admin.profile.GetProfile(grpc_request)
    assert profile["profile_id"] == same.profile.profile_id
    # A read may be made by GET.
    query = {"message": json.dumps({"identifier": request["identifier"]})}
    headers = {"authorization": f"Bearer {gateway.system.admin.endpoints.key}"}
    url = f"{gateway.url}/api/profile/GetProfile"
    async with gateway.http.get(url, params=query, headers=headers) as response:
        assert (await response.json())["profile"]["profile_id"] == profile["profile_id"]
    async with gateway.http.get(url.replace("Get", "DefineTag"), headers=headers) as response:
        assert response.status == 404
    assert defined["token"]["sealed"]
    assert not defined["token"].get("offsets")


async def test_bad_calls_are_refused_with_one_code_over_both_protocols(
    gateway: Console, internal_key: str
) -> None:
    # The workspace that a header names counts for no caller.
    headers = {"authorization": f"Bearer {internal_key}", "onefold-workspace": "default"}
    url = f"{gateway.url}/api/profile/GetSettings"
    async with gateway.http.post(url, json={}, headers=headers) as response:
        assert response.status != 200
    request = {"identifier": {"namespace": "user_id", "value": "unknown"}}
    status, plain = await gateway.plain("profile", "GetProfile", request)
    assert (status, plain["error"]["code"], plain["error"]["reason"]) == (
        404,
        "not_found",
        "NOT_FOUND",
    )
    key = gateway.system.admin.endpoints.key
    url = f"{gateway.url}/connect/profile/onefold.profile.v1.ProfileService/GetProfile"
    headers = {"authorization": f"Bearer {key}"}
    async with gateway.http.post(url, json=request, headers=headers) as response:
        connect = await response.json()
        assert (response.status, connect["code"]) == (404, "not_found")
        assert connect["details"][0]["debug"]["reason"] == "NOT_FOUND"
    async with gateway.http.post(url, data=b"x", headers=headers) as response:
        assert response.status == 415
    async with gateway.http.get(f"{gateway.url}/nothing") as response:
        assert response.status == 404
        assert "/api/SERVICE/METHOD" in (await response.json())["error"]["message"]
    large = io.BytesIO(b'{"events": "' + b"x" * 5_000_000 + b'"}')
    url = f"{gateway.url}/api/ingest/IngestEvents"
    headers["content-type"] = JSON
    async with gateway.http.post(url, data=large, headers=headers) as response:
        answer = await response.json()
        assert (response.status, answer["error"]["code"]) == (429, "resource_exhausted")


async def test_streams_come_line_by_line_and_end_upstream_when_their_reader_leaves(
    gateway: Console,
) -> None:
    rule = rule_to_proto(parse_rule({"count": {"event": "bought", "at_least": 1}}))
    segment = SegmentDefined(segment_id="buyers", title="Buyers", rule=rule)
    await gateway.system.admin.segment.DefineSegment(DefineSegmentRequest(segment=segment))
    await gateway.system.drain()
    headers = {"authorization": f"Bearer {gateway.system.admin.endpoints.key}"}
    url = f"{gateway.url}/api/segment/WatchMemberships"
    body = {"segment_ids": ["buyers"]}

    async def is_begun_and_left() -> bool:
        async with gateway.http.post(url, json=body, headers=headers) as found:
            begin = json.loads(await found.content.readline())
            return found.content_type == NDJSON and begin["position"]["sealed"]

    async with asyncio.timeout(HANG_S):
        # More streams than a key may have open: where those that were left went on upstream, the
        # last ones would be refused.
        for _ in range(MOST_STREAMS + 3):
            await wait_until(is_begun_and_left)
        async with gateway.http.post(url, json=body, headers=headers) as found:
            begin = json.loads(await found.content.readline())
            await gateway.system.send("bought", "user_id:buyer")
            line = json.loads(await found.content.readline())
    assert not begin.get("changes"), begin
    assert line["changes"][0]["entered"] is True, line


async def test_body_of_a_stranger_is_not_read_and_streams_of_requests_are_bounded(
    gateway: Console,
) -> None:
    bomb = gzip.compress(bytes(4_000_000))
    envelopes = struct.pack(">BI", 1, len(bomb)) + bomb
    url = f"{gateway.url}/connect/segment/onefold.segment.v1.SegmentService/WatchMemberships"
    headers = {"content-type": "application/connect+proto", "connect-content-encoding": "gzip"}
    codes = []
    for key in ("ofk_admin_unknown", gateway.system.admin.endpoints.key):
        sent = {**headers, "authorization": f"Bearer {key}"}
        async with gateway.http.post(url, data=envelopes * 50, headers=sent) as response:
            codes.append(json.loads((await response.read())[5:])["error"]["code"])
    assert codes == ["unauthenticated", "unimplemented"]
    url = f"{gateway.url}/api/ingest/StreamEvents"
    statuses = []
    for key in ("ofk_source_unknown", gateway.system.source.endpoints.key):
        sent = {"content-type": NDJSON, "authorization": f"Bearer {key}"}
        async with gateway.http.post(url, data=b"{}\n" * 20_000, headers=sent) as response:
            statuses.append(response.status)
    assert statuses == [401, 429]


async def test_request_with_odd_headers_or_half_a_character_is_answered(gateway: Console) -> None:
    key = gateway.system.admin.endpoints.key
    url = f"{gateway.url}/api/profile/ListTags"
    headers = {"authorization": f"Bearer {key}", "x-name": "é", "x-bin": "é"}
    async with gateway.http.post(url, json={}, headers=headers) as response:
        assert response.status == 200
        assert response.headers["cache-control"] == "no-store"
    for body in (
        '{"\\ud800": 1}',
        '{"segment": ' + '{"rule": {"not": ' * 900 + "1" + "}}" * 900 + "}",
    ):
        url = f"{gateway.url}/api/segment/PreviewSegment"
        sent = {"authorization": f"Bearer {key}", "content-type": JSON}
        async with gateway.http.post(url, data=body, headers=sent) as response:
            assert response.status == 400, await response.text()
