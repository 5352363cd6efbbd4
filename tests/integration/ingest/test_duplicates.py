"""Tests what is recorded of messages that are sent again."""

from __future__ import annotations

from typing import Any

import pytest
from integration.ingest.ingest_endpoints import IngestEndpoints
from onefold.ingest.v1 import ingest_service_pb2 as pb
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from services.chassis.postgres.database import Database
from services.chassis.rpc.channel import open_channel
from services.ingest.commands.duplicates import delete_expired
from services.ingest.service import serve
from services.ingest.store import duplicates
from services.ingest.store.duplicates import DuplicateStore
from services.kernel.time import DAY_US
from tests.service_fixtures import wait_until


async def listed(endpoints: IngestEndpoints, **fields: Any) -> pb.ListDuplicatesResponse:
    async with endpoints.channel(endpoints.admin_key) as channel:
        stub = IngestServiceStub(channel)
        return await stub.ListDuplicates(pb.ListDuplicatesRequest(**fields))


async def repeats_of(endpoints: IngestEndpoints, fact_id: bytes) -> pb.Repeats:
    messages = (await listed(endpoints, page_size=1_000)).messages
    found = [m.repeats for m in messages if m.fact_id == fact_id.hex()]
    return found[0] if found else pb.Repeats()


async def total_of(endpoints: IngestEndpoints) -> int:
    totals = (await listed(endpoints)).totals
    return sum(total.count for total in totals if total.source_id == "site")


async def test_message_sent_five_times_is_one_fact_with_evidence_of_four_repeats(
    endpoints: IngestEndpoints, make_event: Any
) -> None:
    """Within one batch, in another call, by another process, and three days later."""
    event = make_event(properties=b'{"secret":"marked-content"}')
    before = await total_of(endpoints)
    await endpoints.ingest(event, event)
    await endpoints.ingest(event)
    async with serve(endpoints.settings) as other:
        url = f"127.0.0.1:{other.internal_grpc_port}"
        async with open_channel(url, endpoints.key) as channel:
            request = pb.IngestEventsRequest(events=[event])
            assert (await IngestServiceStub(channel).IngestEvents(request)).duplicates == 1
    await endpoints.service.event_log.tick(advance_us=3 * DAY_US)
    await endpoints.ingest(event)
    [(row, _)] = await endpoints.facts(event.message_id)

    async def is_recorded() -> bool:
        return (await repeats_of(endpoints, row["fact_id"])).count == 4

    await wait_until(is_recorded)
    repeats = await repeats_of(endpoints, row["fact_id"])
    assert repeats.source_id == "site"
    assert row["recorded_at"] <= repeats.first_at_us < repeats.last_at_us - 2 * DAY_US
    assert await total_of(endpoints) - before == 4
    response = await listed(endpoints)
    assert b"marked-content" not in response.SerializeToString()
    assert event.message_id.encode() not in response.SerializeToString()


async def test_messages_are_listed_in_pages_up_to_a_limit_and_until_they_are_old(
    endpoints: IngestEndpoints, make_event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = len((await listed(endpoints, page_size=1_000)).messages)
    monkeypatch.setattr(duplicates, "MAX_MESSAGES", stored + 2)
    events, before = [make_event() for _ in range(3)], await total_of(endpoints)
    await endpoints.ingest(*events)
    await endpoints.ingest(*events)
    await endpoints.ingest(*events)

    async def are_recorded() -> bool:
        return await total_of(endpoints) - before == 6

    await wait_until(are_recorded)
    first = await listed(endpoints, page_size=1, source_id="site")
    second = await listed(
        endpoints, page_size=1_000, page_token=first.next_page_token, source_id="site"
    )
    messages = [*first.messages, *second.messages]
    assert len(messages) == len({m.fact_id for m in messages}) == stored + 2
    times = [message.repeats.last_at_us for message in messages]
    assert times == sorted(times, reverse=True)
    assert not second.totals
    assert not (await listed(endpoints, source_id="another")).messages

    await endpoints.service.event_log.tick(advance_us=31 * DAY_US)
    async with Database(endpoints.settings.postgres_dsn.get_secret_value(), "ingest") as opened:
        store = DuplicateStore(opened.api_pool, opened.pool)
        await delete_expired(endpoints.service.event_log, store, days=40.0)
        assert (await listed(endpoints)).messages
        await delete_expired(endpoints.service.event_log, store, days=30.0)
    assert not (await listed(endpoints)).messages
    assert await total_of(endpoints) - before == 6
