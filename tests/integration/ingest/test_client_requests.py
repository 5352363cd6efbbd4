"""What clients in use send over HTTP is taken: paths, preflights, marks, large batches."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from onefold.ingest.v1.ingest_service_pb2 import ListQuarantinedRequest, ReleaseQuarantinedRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.errors_pb2 import ErrorReason
from service_fixtures import wait_until

CHROMIUM_RETRY = (
    "anonymousid,authorization,content-type,rsa-retry-attempt,rsa-retry-reason,"
    "rsa-since-first-attempt,rsa-since-last-attempt,sentat"
)


@pytest.mark.parametrize(
    "path",
    [
        *("//v1/batch", "/v1//batch", "///v1///batch/", "/v1/import", "/v1/import/", "/v1/b"),
        *("/v1/track", "//v1/t/", "/api/s/track", "/api/s/s2s/track", "//api/s/s2s/track"),
        *("/beacon/v1/batch", "//beacon/v1/batch/"),
    ],
)
async def test_event_is_taken_at_every_path_of_the_clients(
    endpoints: Any, make_call: Any, path: str
) -> None:
    call = make_call()
    is_batch = path.rstrip("/").endswith(("batch", "import", "b"))
    status, response = await endpoints.post(path, {"batch": [call]} if is_batch else call)
    assert (status, response["accepted"]) == (200, 1), response
    assert len(await endpoints.facts(call["messageId"])) == 1


async def test_jitsu_key_with_its_secret_is_taken(endpoints: Any, make_call: Any) -> None:
    call = make_call(writeKey="***")
    url = endpoints.url("/api/s/s2s/track")
    async with endpoints.http.post(
        url, json=call, headers={"X-Write-Key": f"{endpoints.key}:secret"}
    ) as response:
        assert response.status == 200
        assert (await response.json())["accepted"] == 1


async def test_beacon_may_have_its_key_in_the_query_and_other_requests_may_not(
    endpoints: Any, make_call: Any
) -> None:
    key, other = endpoints.key, "ofk_source_other"
    headers = {"Content-Type": "text/plain", "Origin": "https://a.example"}
    for path, query, extra, status, code in (
        ("/beacon/v1/batch", f"writeKey={key}", {}, 200, None),
        ("/beacon/v1/batch", f"writeKey={other}", {}, 401, "KEY_UNKNOWN"),
        ("/beacon/v1/batch", "", {}, 401, "KEY_MISSING"),
        ("/beacon/v1/batch", f"writeKey={key}&writeKey={other}", {}, 400, "FIELD_INVALID"),
        ("/beacon/v1/batch", f"writeKey={key}", {"X-Write-Key": other}, 400, "FIELD_INVALID"),
        ("/v1/batch", f"writeKey={key}", {}, 401, "KEY_MISSING"),
    ):
        body = json.dumps({"batch": [make_call()]})
        async with endpoints.http.post(
            endpoints.url(f"{path}?{query}"), data=body, headers={**headers, **extra}
        ) as response:
            assert (response.status, (await response.json()).get("code")) == (status, code), query
            assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("requested", ["authorization,content-type", CHROMIUM_RETRY, "x-anything"])
@pytest.mark.parametrize("path", ["/v1/batch", "//v1/track", "/sourceConfig/", "/api/s/track"])
async def test_preflight_allows_what_it_asks_for(endpoints: Any, path: str, requested: str) -> None:
    headers = {"Origin": "https://a.example", "Access-Control-Request-Headers": requested}
    async with endpoints.http.options(endpoints.url(path), headers=headers) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Headers"] == requested
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in response.headers["Access-Control-Allow-Methods"]


async def test_source_config_is_sent_for_a_known_key_only(endpoints: Any) -> None:
    url = endpoints.url("/sourceConfig/?p=npm&v=3.34.1")
    key = {"Authorization": f"Bearer {endpoints.key}"}
    async with endpoints.http.get(url, headers=key) as response:
        source = (await response.json())["source"]
        assert (response.status, source["id"], source["enabled"]) == (200, "site", True)
        assert source["destinations"] == []
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    async with endpoints.http.get(url, headers={"Authorization": "Bearer wrong"}) as response:
        assert (response.status, (await response.json())["code"]) == (401, "KEY_UNKNOWN")


async def test_metrics_of_the_client_get_an_empty_response(endpoints: Any) -> None:
    async with endpoints.http.post(endpoints.url("/v1/m"), data=b'{"series":[]}') as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/batch", 405),
        ("PUT", "/x", 405),
    ],
)
async def test_error_outside_the_calls_is_json_that_a_page_can_read(
    endpoints: Any, method: str, path: str, status: int
) -> None:
    async with endpoints.http.request(method, endpoints.url(path)) as response:
        body = await response.json()
        assert response.status == status
        assert {"code", "message"} <= body.keys()
        assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_body_with_a_mark_before_its_json_is_taken(endpoints: Any, make_call: Any) -> None:
    call = make_call()
    mark = b"\xef\xbb\xbf"
    for path, body in (("/v1/batch", {"batch": [call]}), ("/v1/track", call)):
        status, response = await endpoints.post(path, mark + json.dumps(body).encode())
        assert status == 200, response


async def test_batch_of_2500_events_is_taken_and_its_rejections_have_their_places(
    endpoints: Any,
) -> None:
    marker = uuid.uuid4().hex
    batch = [
        {"type": "track", "event": "e", "messageId": f"{marker}-{n}", "userId": f"{marker}-{n}"}
        for n in range(2_500)
    ]
    del batch[1_200]["userId"], batch[2_400]["userId"]
    status, response = await endpoints.post("/v1/batch", {"batch": batch})
    assert (status, response["accepted"], response["rejected"]) == (200, 2_498, 2)
    assert [rejection["index"] for rejection in response["rejections"]] == [1_200, 2_400]
    status, again = await endpoints.post("/v1/batch", {"batch": batch})
    assert (again["accepted"], again["duplicates"]) == (0, 2_498)


@pytest.mark.parametrize("stated", [{}, {"timestamp": "2026-11-01T00:00:00.000Z"}])
async def test_later_statement_of_a_batch_occurs_later_and_a_repeat_changes_nothing(
    endpoints: Any, make_call: Any, stated: dict[str, str]
) -> None:
    user = f"u-{uuid.uuid4()}"
    batch = [
        make_call(type="identify", userId=user, traits={"plan": plan}, **stated)
        for plan in ("free", "trial", "pro")
    ]
    for accepted in (3, 0):
        _, response = await endpoints.post("/v1/batch", {"batch": batch})
        assert response["accepted"] == accepted
    occurred = [(await endpoints.facts(call["messageId"]))[0][0]["occurred_at"] for call in batch]
    assert len(await endpoints.facts_with(user)) == 3
    assert occurred == sorted(set(occurred))


async def test_quarantined_call_keeps_the_fields_of_its_batch_and_its_receipt(
    endpoints: Any, make_call: Any
) -> None:
    call = make_call(userId=None)
    body = {"batch": [call], "context": {"channel": "app"}, "sentAt": "2026-11-21T20:00:00.000Z"}
    _, response = await endpoints.post("/v1/batch", body)
    body["sentAt"] = "2026-11-21T20:00:05.000Z"
    _, again = await endpoints.post("/v1/batch", body)
    [entry_id] = {r["rejections"][0]["quarantineId"] for r in (response, again)}
    entry = await endpoints.quarantined(entry_id)
    stored = json.loads(entry.raw)
    assert (stored["batch"], stored["context"]) == ([call], {"channel": "app"})
    assert stored["sentAt"] == "2026-11-21T20:00:00.000Z"


async def released(endpoints: Any, quarantine_id: str, event: Any) -> Any:
    async with endpoints.channel(endpoints.admin_key) as channel:
        return await IngestServiceStub(channel).ReleaseQuarantined(
            ReleaseQuarantinedRequest(quarantine_id=quarantine_id, event=event)
        )


async def test_released_event_takes_place_when_it_arrived(
    endpoints: Any, make_call: Any, make_event: Any
) -> None:
    _, response = await endpoints.post("/v1/batch", {"batch": [make_call(userId=None)]})
    entry = await endpoints.quarantined(response["rejections"][0]["quarantineId"])
    event = make_event()
    response = await released(endpoints, entry.quarantine_id, event)
    assert response.result.accepted == 1
    [(row, _)] = await endpoints.facts(event.message_id)
    assert row["occurred_at"] == entry.received_at_us


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_message_with_a_bad_key_is_quarantined_and_can_be_released(
    endpoints: Any, make_call: Any, headers: dict[str, str]
) -> None:
    """JetStream has acknowledged it, so its publisher does not send it again."""
    call = make_call()
    await endpoints.service.nats.open.wait()
    data = json.dumps({"batch": [call], "context": {"channel": "app"}}).encode()
    stored = await endpoints.nats.jetstream().publish(
        "onefold.in.default.site", data, headers=headers
    )
    assert stored.stream == "ONEFOLD_IN"

    async def entry() -> Any:
        async with endpoints.channel(endpoints.admin_key) as channel:
            listed = await IngestServiceStub(channel).ListQuarantined(
                ListQuarantinedRequest(page_size=1_000)
            )
        return next((e for e in listed.entries if call["messageId"].encode() in e.raw), None)

    found = await wait_until(entry)
    assert (found.source_id, found.endpoint) == ("site", "nats")
    assert ErrorReason.Name(found.reason).removeprefix("ERROR_REASON_") in {
        "KEY_MISSING",
        "KEY_UNKNOWN",
    }
    assert (await released(endpoints, found.quarantine_id, None)).result.accepted == 1
    [(row, event)] = await endpoints.facts(call["messageId"])
    assert (row["occurred_at"], event.channel) == (found.received_at_us, "app")


async def test_unusable_identifiers_are_counted_in_the_response(
    endpoints: Any, make_call: Any
) -> None:
    call = make_call(type="identify", traits={"phone": "+49301234567.000", "email": "null"})
    _, response = await endpoints.post("/v1/batch", {"batch": [call]})
    assert (response["accepted"], response["unusableIdentifiers"]) == (1, 2)
