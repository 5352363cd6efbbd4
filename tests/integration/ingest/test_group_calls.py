"""Group events in the real log: kept with the person and with the account, both or none."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from integration.ingest.ingest_endpoints import IngestEndpoints
from onefold.ingest.v1.ingest_service_pb2 import ReleaseQuarantinedRequest
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, Event

from services.kernel.identifiers import account_leaf


def a_group(make_event: Any, **changes: Any) -> Event:
    event: Event = make_event(
        type=EVENT_TYPE_GROUP, name="", group_id=f"g-{uuid.uuid4()}", traits=b'{"plan":"pro"}'
    )
    for name, value in changes.items():
        setattr(event, name, value)
    return event


async def test_a_group_event_is_one_event_and_two_facts(endpoints: IngestEndpoints, make_event: Any) -> None:
    group, track = a_group(make_event), make_event()
    first = await endpoints.ingest(track, group, group)
    assert (first.accepted, first.duplicates, list(first.rejections)) == (2, 1, [])
    again = await endpoints.ingest(group, track)
    assert (again.accepted, again.duplicates, again.token) == (0, 2, first.token)
    found = {row["leaf_id"]: event for row, event in await endpoints.facts(group.message_id)}
    account = account_leaf("default", group.group_id)
    assert account is not None
    [person] = found.keys() - {account}
    assert found[account].member_leaf_id == person
    assert [i.value for i in found[person].identifiers] == [group.identifiers[0].value]


async def test_both_copies_are_in_the_log_or_none(endpoints: IngestEndpoints, make_event: Any) -> None:
    """The same message id for another person is new to that person, and reused to the account."""
    group, other = a_group(make_event), a_group(make_event)
    other.message_id, other.group_id = group.message_id, group.group_id
    assert (await endpoints.ingest(group)).accepted == 1
    answer = await endpoints.ingest(make_event(), other)
    assert (answer.accepted, [r.index for r in answer.rejections]) == (1, [1])
    kept = await endpoints.quarantined(answer.rejections[0].quarantine_id)
    assert Event.FromString(kept.raw).identifiers == other.identifiers
    assert len(await endpoints.facts(group.message_id)) == 2


async def test_the_same_group_event_from_many_at_once(endpoints: IngestEndpoints, make_event: Any) -> None:
    group = a_group(make_event)
    copies = [Event.FromString(group.SerializeToString()) for _ in range(20)]
    answers = await asyncio.gather(*(endpoints.ingest(copy) for copy in copies))
    assert sum(answer.accepted for answer in answers) == 1
    assert len(await endpoints.facts(group.message_id)) == 2


async def test_a_refused_group_event_is_repaired_and_released(
    endpoints: IngestEndpoints, make_event: Any
) -> None:
    group = a_group(make_event, group_id="")
    [rejection] = (await endpoints.ingest(group)).rejections
    mended = Event.FromString(group.SerializeToString())
    mended.group_id = f"g-{uuid.uuid4()}"
    request = ReleaseQuarantinedRequest(quarantine_id=rejection.quarantine_id, event=mended)
    async with endpoints.channel(endpoints.admin_key) as channel:
        stub = IngestServiceStub(channel)
        assert (await stub.ReleaseQuarantined(request)).result.accepted == 1
        assert (await stub.ReleaseQuarantined(request)).result.duplicates == 1
    assert len(await endpoints.facts(group.message_id)) == 2


async def test_group_calls_over_http(endpoints: IngestEndpoints, make_call: Any) -> None:
    ids = [{"type": "domain", "id": "acme.cn", "collection": "accounts"}]
    calls = [
        make_call(type="group", event=None, groupId="acme", context={"externalIds": ids}),
        make_call(),
    ]
    status, answer = await endpoints.post("/v1/batch", {"batch": calls})
    assert (status, answer["accepted"], answer["rejections"]) == (200, 2, [])
    status, answer = await endpoints.post("/v1/group", calls[0])
    assert (status, answer["accepted"], answer["duplicates"]) == (200, 0, 1)
    found = await endpoints.facts(calls[0]["messageId"])
    assert sorted(bool(event.member_leaf_id) for _, event in found) == [False, True]
    assert all(event.group_identifiers[0].value == "acme.cn" for _, event in found)
