"""Tests group events in the log: a fact for the person and one for the account, both or none."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from integration.ingest.ingest_endpoints import IngestEndpoints
from onefold.ingest.v1.ingest_service_pb2 import ReleaseQuarantinedRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event

from services.kernel.identifiers.priority import account_leaf
from tests.index_key import INDEX_KEY


def make_group(make_event: Any, **changes: Any) -> Event:
    event: Event = make_event(
        type=EVENT_TYPE_GROUP, name="", group_id=f"g-{uuid.uuid4()}", traits=b'{"plan":"pro"}'
    )
    for name, value in changes.items():
        setattr(event, name, value)
    return event


async def test_group_event_is_one_event_and_two_facts(
    endpoints: IngestEndpoints, make_event: Any
) -> None:
    group, track = make_group(make_event), make_event()
    first = await endpoints.ingest(track, group, group)
    assert (first.accepted, first.duplicates, list(first.rejections)) == (2, 1, [])
    again = await endpoints.ingest(group, track)
    assert (again.accepted, again.duplicates, again.token) == (0, 2, first.token)
    found = {row["leaf_id"]: event for row, event in await endpoints.facts(group.message_id)}
    account = account_leaf("default", group.group_id, INDEX_KEY)
    assert account is not None
    [person] = found.keys() - {account}
    assert found[account].member_leaf_id == person
    assert [i.value for i in found[person].identifiers] == [group.identifiers[0].value]


async def test_both_facts_of_a_group_event_are_appended_or_none(
    endpoints: IngestEndpoints, make_event: Any
) -> None:
    """A reused message id is new for another person, but conflicts for the account."""
    group, other = make_group(make_event), make_group(make_event)
    other.message_id, other.group_id = group.message_id, group.group_id
    assert (await endpoints.ingest(group)).accepted == 1
    response = await endpoints.ingest(make_event(), other)
    assert (response.accepted, [r.index for r in response.rejections]) == (1, [1])
    entry = await endpoints.quarantined(response.rejections[0].quarantine_id)
    assert Event.FromString(entry.raw).identifiers == other.identifiers
    assert len(await endpoints.facts(group.message_id)) == 2


async def test_concurrent_repeats_of_a_group_event_are_stored_once(
    endpoints: IngestEndpoints, make_event: Any
) -> None:
    group = make_group(make_event)
    copies = [Event.FromString(group.SerializeToString()) for _ in range(20)]
    responses = await asyncio.gather(*(endpoints.ingest(copy) for copy in copies))
    assert sum(response.accepted for response in responses) == 1
    assert len(await endpoints.facts(group.message_id)) == 2


async def test_refused_group_event_is_released_when_it_is_repaired(
    endpoints: IngestEndpoints, make_event: Any
) -> None:
    group = make_group(make_event, group_id="")
    [rejection] = (await endpoints.ingest(group)).rejections
    repaired = Event.FromString(group.SerializeToString())
    repaired.group_id = f"g-{uuid.uuid4()}"
    request = ReleaseQuarantinedRequest(quarantine_id=rejection.quarantine_id, event=repaired)
    async with endpoints.channel(endpoints.admin_key) as channel:
        stub = IngestServiceStub(channel)
        assert (await stub.ReleaseQuarantined(request)).result.accepted == 1
        assert (await stub.ReleaseQuarantined(request)).result.duplicates == 1
    assert len(await endpoints.facts(group.message_id)) == 2


async def test_group_calls_over_http_are_accepted(
    endpoints: IngestEndpoints, make_call: Any
) -> None:
    ids = [{"type": "domain", "id": "acme.cn", "collection": "accounts"}]
    calls = [
        make_call(type="group", event=None, groupId="acme", context={"externalIds": ids}),
        make_call(),
    ]
    status, response = await endpoints.post("/v1/batch", {"batch": calls})
    assert (status, response["accepted"], response["rejections"]) == (200, 2, [])
    status, response = await endpoints.post("/v1/group", calls[0])
    assert (status, response["accepted"], response["duplicates"]) == (200, 0, 1)
    found = await endpoints.facts(calls[0]["messageId"])
    assert sorted(bool(event.member_leaf_id) for _, event in found) == [False, True]
    assert all(event.group_identifiers[0].value == "acme.cn" for _, event in found)
