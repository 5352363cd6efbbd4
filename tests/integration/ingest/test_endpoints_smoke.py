"""Tests that an event is stored once by each endpoint."""

from __future__ import annotations

from typing import Any


async def test_event_over_grpc_is_stored_once(endpoints: Any, make_event: Any) -> None:
    event = make_event(properties=b'{"price":1}')
    first, again = await endpoints.ingest(event), await endpoints.ingest(event)
    assert (first.accepted, first.duplicates) == (1, 0)
    assert (again.accepted, again.duplicates) == (0, 1)
    [(row, logged)] = await endpoints.facts(event.message_id)
    assert (row["workspace_id"], row["source_id"]) == ("default", "site")
    assert (logged.channel, logged.properties) == ("web", b'{"price":1}')


async def test_event_over_http_is_stored_once(endpoints: Any, make_call: Any) -> None:
    call = make_call()
    status, response = await endpoints.post("/v1/batch", {"batch": [call, call]})
    assert status == 200, response
    assert (response["accepted"], response["duplicates"]) == (1, 1)
    assert len(await endpoints.facts(call["messageId"])) == 1
