"""Tests every kind of bad event on every endpoint.

It is refused with its reason and quarantined as it was sent, and the valid event beside it is
accepted.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from integration.ingest.ingest_endpoints import UNMASKED
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest, ListQuarantinedRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.errors_pb2 import ErrorReason
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event
from service_fixtures import HANG_S, wait_until


@dataclass(frozen=True)
class Bad:
    """One kind of bad event, over gRPC and as JSON; None where that form cannot express it."""

    reason: str
    grpc: Callable[[Event], None] | None
    #: Changes of a good call, or a whole other JSON text.
    json: dict[str, Any] | str | None


def identifiers(*pairs: tuple[str, str]) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        del event.identifiers[:]
        for namespace, value in pairs:
            event.identifiers.add(namespace=namespace, value=value)

    return change


def setting(**fields: Any) -> Callable[[Event], None]:
    def change(event: Event) -> None:
        for name, value in fields.items():
            setattr(event, name, value)

    return change


def documents(document: str) -> tuple[Callable[[Event], None], str]:
    """Return the same invalid properties, over gRPC and inside a call."""
    call = f'{{"type":"track","event":"e","userId":"u-%s","properties":{document}}}'
    return setting(properties=document.encode("utf-8", "surrogatepass")), call


def deep(levels: int) -> str:
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


YEAR_3000_US = 32_503_680_000 * 1_000_000
BAD = {
    "no identifier": Bad("NO_IDENTIFIER", identifiers(), {"userId": None}),
    "blank identifier": Bad("NO_IDENTIFIER", identifiers(("user_id", "  ")), {"userId": "  "}),
    "junk identifier": Bad("NO_IDENTIFIER", identifiers(("user_id", "null")), {"userId": "null"}),
    "identifier a number": Bad("IDENTIFIER_INVALID", None, {"userId": 5}),
    "identifier an object": Bad("IDENTIFIER_INVALID", None, {"userId": {"id": "u"}}),
    "identifier too long": Bad(
        "IDENTIFIER_INVALID", identifiers(("user_id", "x" * 513)), {"userId": "x" * 513}
    ),
    "identifier with a control character": Bad(
        "NO_IDENTIFIER", identifiers(("user_id", "a\x07b")), {"userId": "a\x07b"}
    ),
    "identifier with NUL": Bad(
        "NO_IDENTIFIER", identifiers(("user_id", "a\0b")), {"userId": "a\0b"}
    ),
    "time 0": Bad("TIME_OUT_OF_RANGE", None, {"timestamp": 0}),
    "namespace": Bad("IDENTIFIER_INVALID", identifiers(("User ID", "u1")), None),
    "message id too long": Bad(
        "MESSAGE_ID_INVALID", setting(message_id="x" * 101), {"messageId": "x" * 101}
    ),
    "message id with a control character": Bad(
        "MESSAGE_ID_INVALID", setting(message_id="a\nb"), {"messageId": "a\nb"}
    ),
    "message id a number": Bad("MESSAGE_ID_INVALID", None, {"messageId": 5}),
    "unknown type": Bad("NOT_AN_EVENT", setting(type=99), {"type": "purchase"}),
    "no type": Bad("NOT_AN_EVENT", setting(type=0), {"type": None}),
    "no object": Bad("NOT_AN_EVENT", None, '"%s"'),
    "an account as a person": Bad(
        "IDENTIFIER_INVALID",
        identifiers(("user_id", "u1"), ("account_domain", "acme.cn")),
        {"context": {"externalIds": [{"type": "account_domain", "id": "acme.cn"}]}},
    ),
    "no group id": Bad(
        "NO_IDENTIFIER", setting(type=EVENT_TYPE_GROUP), {"type": "group", "groupId": None}
    ),
    "junk group id": Bad(
        "NO_IDENTIFIER",
        setting(type=EVENT_TYPE_GROUP, group_id="undefined"),
        {"type": "group", "groupId": "undefined"},
    ),
    "group id a number": Bad("VALUE_INVALID", None, {"type": "group", "groupId": 7}),
    "an account above itself": Bad(
        "VALUE_INVALID",
        setting(type=EVENT_TYPE_GROUP, group_id="acme", traits=b'{"parent_account_id":"acme"}'),
        {"type": "group", "groupId": "acme", "traits": {"parent_account_id": "acme"}},
    ),
    "no name": Bad("NAME_MISSING", setting(name=""), {"event": None}),
    "name with NUL": Bad("VALUE_INVALID", setting(name="a\0"), {"event": "a\0"}),
    "time unreadable": Bad("TIME_INVALID", None, {"timestamp": "yesterday"}),
    "time of 1970": Bad(
        "TIME_OUT_OF_RANGE", setting(occurred_at_us=1), {"timestamp": "1970-01-01T00:00:00Z"}
    ),
    "time of the future": Bad(
        "TIME_OUT_OF_RANGE",
        setting(occurred_at_us=YEAR_3000_US),
        {"timestamp": "3000-01-01T00:00:00Z"},
    ),
    "broken properties": Bad("JSON_INVALID", setting(properties=b'{"a":'), None),
    "properties no object": Bad("VALUE_INVALID", *documents("[1]")),
    "traits no object": Bad("VALUE_INVALID", setting(traits=b"5"), {"traits": 5}),
    "properties 300": Bad(
        "PROPERTIES_TOO_LARGE", *documents(json.dumps({f"k{n}": n for n in range(300)}))
    ),
    "properties large": Bad("PROPERTIES_TOO_LARGE", *documents('{"a":"' + "x" * 33_000 + '"}')),
    "properties deep": Bad("PROPERTIES_TOO_LARGE", *documents(deep(21))),
    "NaN": Bad("VALUE_INVALID", *documents('{"a":NaN}')),
    "Infinity": Bad("VALUE_INVALID", *documents('{"a":-Infinity}')),
    "NUL": Bad("VALUE_INVALID", *documents('{"a":"x\\u0000"}')),
    "lone surrogate": Bad("VALUE_INVALID", *documents('{"a":"\\ud800"}')),
    "huge integer": Bad("VALUE_INVALID", *documents('{"a":1' + "0" * 30 + "}")),
    "huge float": Bad("VALUE_INVALID", *documents('{"a":1e999}')),
    "bad UTF-8 in properties": Bad("JSON_INVALID", setting(properties=b'{"a":"\xff"}'), None),
}


def as_json(bad: Bad, call: dict[str, Any]) -> str:
    if isinstance(bad.json, str):
        return bad.json.replace("%s", str(uuid.uuid4()))
    return json.dumps({**call, **(bad.json or {})})


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if bad.grpc])
async def test_bad_event_over_grpc_is_refused_and_quarantined(
    endpoints: Any, make_event: Any, name: str
) -> None:
    bad, event, good = BAD[name], make_event(), make_event()
    assert bad.grpc is not None
    bad.grpc(event)
    response = await endpoints.ingest(good, event)
    assert response.accepted == 1
    [rejection] = response.rejections
    assert ErrorReason.Name(rejection.reason) == f"ERROR_REASON_{bad.reason}"
    assert rejection.index == 1
    assert rejection.field.startswith("events[1].")
    entry = await endpoints.quarantined(rejection.quarantine_id)
    assert (entry.endpoint, entry.source_id, entry.reason) == ("grpc", "site", rejection.reason)
    assert entry.raw == event.SerializeToString()
    assert len(await endpoints.facts(good.message_id)) == 1


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if bad.json is not None])
async def test_bad_event_over_http_is_refused_and_quarantined(
    endpoints: Any, make_call: Any, name: str
) -> None:
    bad, good = BAD[name], make_call()
    refused = as_json(bad, make_call())
    body = f'{{"batch":[{json.dumps(good)},{refused}]}}'
    status, response = await endpoints.post("/v1/batch", body.encode())
    assert (status, response["success"], response["accepted"]) == (200, True, 1)
    [rejection] = response["rejections"]
    assert (rejection["index"], rejection["code"]) == (1, bad.reason)
    entry = await endpoints.quarantined(rejection["quarantineId"])
    assert (entry.endpoint, entry.raw) == ("http", refused.encode())
    assert len(await endpoints.facts(good["messageId"])) == 1


@pytest.mark.parametrize("name", ["no identifier", "huge float", "time of 1970", "no object"])
async def test_bad_event_alone_over_http_fails_the_request(
    endpoints: Any, make_call: Any, name: str
) -> None:
    """A request of which nothing is accepted fails, and its event is quarantined."""
    refused = as_json(BAD[name], make_call())
    status, response = await endpoints.post("/v1/batch", f'{{"batch":[{refused}]}}'.encode())
    assert (status, response["success"], response["code"]) == (400, False, BAD[name].reason)
    await endpoints.quarantined(response["rejections"][0]["quarantineId"])


async def test_bad_events_over_nats_are_refused_and_quarantined(
    endpoints: Any, make_call: Any
) -> None:
    """The batch has all bad events, and a valid one between them."""
    good = make_call()
    wrong = {name: bad for name, bad in BAD.items() if bad.json is not None}
    calls = {name: as_json(bad, make_call()) for name, bad in wrong.items()}
    body = f'{{"batch":[{",".join([json.dumps(good), *calls.values()])}]}}'
    await asyncio.wait_for(endpoints.service.nats.open.wait(), HANG_S)
    response = await endpoints.nats.jetstream().publish(
        "onefold.in.default.site",
        body.encode(),
        headers={"Authorization": f"Bearer {endpoints.key}"},
    )
    assert response.stream == "ONEFOLD_IN"
    await wait_until(lambda: endpoints.facts(good["messageId"]))
    by_raw = await wait_until(lambda: entries_by_raw(endpoints, "nats", len(calls)))
    for name, raw in calls.items():
        assert by_raw[raw.encode()] == f"ERROR_REASON_{wrong[name].reason}", name


async def entries_by_raw(endpoints: Any, endpoint: str, count: int) -> dict[bytes, str] | None:
    async with endpoints.channel(endpoints.admin_key) as channel:
        listed = await IngestServiceStub(channel).ListQuarantined(
            ListQuarantinedRequest(page_size=1000), metadata=[UNMASKED]
        )
    reasons = {e.raw: ErrorReason.Name(e.reason) for e in listed.entries if e.endpoint == endpoint}
    return reasons if len(reasons) >= count else None


async def test_reused_message_id_is_refused(endpoints: Any, make_event: Any) -> None:
    event = make_event()
    other = Event()
    other.CopyFrom(event)
    other.name = "Another"
    assert (await endpoints.ingest(event)).accepted == 1
    response = await endpoints.ingest(other, make_event())
    assert response.accepted == 1
    [rejection] = response.rejections
    assert ErrorReason.Name(rejection.reason) == "ERROR_REASON_MESSAGE_ID_REUSED"
    await endpoints.quarantined(rejection.quarantine_id)
    [(_, logged)] = await endpoints.facts(event.message_id)
    assert logged.name == event.name


async def test_reused_message_id_over_http_is_refused(endpoints: Any, make_call: Any) -> None:
    call = make_call()
    body = {"batch": [call, {**call, "event": "Another"}, call]}
    status, response = await endpoints.post("/v1/batch", body)
    assert (status, response["accepted"], response["duplicates"]) == (200, 1, 1)
    assert response["rejections"][0]["code"] == "MESSAGE_ID_REUSED"


async def test_same_message_id_for_two_persons_is_two_facts(endpoints: Any, make_call: Any) -> None:
    call = make_call()
    status, response = await endpoints.post(
        "/v1/batch", {"batch": [call, {**call, "userId": "other"}]}
    )
    assert (status, response["accepted"]) == (200, 2)


async def test_missing_message_id_is_replaced_by_a_new_one(endpoints: Any, make_call: Any) -> None:
    call = make_call(messageId="")
    status, response = await endpoints.post("/v1/track", call)
    assert (status, response["accepted"]) == (200, 1)
    assert (await endpoints.post("/v1/track", call))[1]["accepted"] == 1


async def test_repeated_bad_event_is_quarantined_once(endpoints: Any, make_call: Any) -> None:
    call = make_call(userId="null")
    first, again = [await endpoints.post("/v1/track", call) for _ in range(2)]
    ids = {response["rejections"][0]["quarantineId"] for _, response in (first, again)}
    assert len(ids) == 1


async def test_retried_event_with_another_sent_at_is_a_duplicate(
    endpoints: Any, make_call: Any
) -> None:
    """A client that retries sends another sentAt with the same event."""
    call = make_call(timestamp="2026-11-20T08:00:00.123Z", sentAt="2026-11-20T08:00:01Z")
    assert (await endpoints.post("/v1/track", call))[1]["accepted"] == 1
    again = {**call, "sentAt": "2026-11-20T08:09:00Z"}
    assert (await endpoints.post("/v1/track", again))[1]["duplicates"] == 1


async def test_skewed_clock_is_corrected_and_the_stated_time_is_stored(
    endpoints: Any, make_event: Any, make_call: Any
) -> None:
    call = make_call(timestamp="2031-01-01T00:00:00Z", sentAt="2031-01-01T01:00:00Z")
    assert (await endpoints.post("/v1/track", call))[1]["accepted"] == 1
    [(row, logged)] = await endpoints.facts(call["messageId"])
    assert abs(row["recorded_at"] - 3_600_000_000 - row["occurred_at"]) < 60_000_000
    assert logged.occurred_at_us > row["recorded_at"], "the log stores the time that was stated"


async def test_quarantined_event_is_released_when_it_is_repaired(
    endpoints: Any, make_event: Any
) -> None:
    from onefold.ingest.v1.ingest_service_pb2 import ReleaseQuarantinedRequest

    event = make_event()
    identifiers()(event)
    [rejection] = (await endpoints.ingest(event)).rejections
    repaired = Event()
    repaired.CopyFrom(event)
    identifiers(("user_id", "found"))(repaired)
    async with endpoints.channel(endpoints.admin_key) as channel:
        stub = IngestServiceStub(channel)
        as_it_was = ReleaseQuarantinedRequest(quarantine_id=rejection.quarantine_id)
        refused = (await stub.ReleaseQuarantined(as_it_was)).result
        assert [r.quarantine_id for r in refused.rejections] == [rejection.quarantine_id]
        mended = ReleaseQuarantinedRequest(quarantine_id=rejection.quarantine_id, event=repaired)
        assert (await stub.ReleaseQuarantined(mended)).result.accepted == 1
        assert (await stub.ReleaseQuarantined(mended)).result.duplicates == 1
        waiting = await stub.ListQuarantined(ListQuarantinedRequest(page_size=1000))
    assert rejection.quarantine_id not in {e.quarantine_id for e in waiting.entries}
    [(row, _)] = await endpoints.facts(event.message_id)
    entry = await endpoints.quarantined(rejection.quarantine_id)
    assert entry.released_fact_id == row["fact_id"].hex()


async def test_pages_of_the_quarantine_have_every_event_in_order(
    endpoints: Any, make_event: Any
) -> None:
    for _ in range(5):
        await endpoints.ingest(make_event(name=""))
    async with endpoints.channel(endpoints.admin_key) as channel:
        stub = IngestServiceStub(channel)
        whole = await stub.ListQuarantined(ListQuarantinedRequest(page_size=1000))
        seen, page_token = [], ""
        while True:
            page = await stub.ListQuarantined(
                ListQuarantinedRequest(page_size=2, page_token=page_token)
            )
            assert len(page.entries) <= 2
            seen += page.entries
            page_token = page.next_page_token
            if not page_token:
                break
    assert [e.quarantine_id for e in seen] == [e.quarantine_id for e in whole.entries]


async def test_stream_of_batches_has_a_result_for_each(endpoints: Any, make_event: Any) -> None:
    from onefold.ingest.v1.ingest_service_pb2 import StreamEventsRequest

    event = make_event()

    async def requests() -> Any:
        yield StreamEventsRequest(events=[event, make_event()])
        yield StreamEventsRequest(events=[event, make_event(name="")])

    async with endpoints.channel() as channel:
        responses = [a.result async for a in IngestServiceStub(channel).StreamEvents(requests())]
    assert [(a.accepted, a.duplicates, len(a.rejections)) for a in responses] == [
        (2, 0, 0),
        (0, 1, 1),
    ]


async def test_batch_of_1000_events_is_accepted(endpoints: Any, make_event: Any) -> None:
    events = [make_event() for _ in range(1000)]
    async with endpoints.channel() as channel:
        response = await IngestServiceStub(channel).IngestEvents(IngestEventsRequest(events=events))
    assert (response.accepted, len(response.rejections)) == (1000, 0)
    assert sum(response.token.offsets) > 0
