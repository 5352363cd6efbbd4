"""Tests the relay of the log to NATS: contiguous, from memory or the table, from any replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from integration.ingest.log.conftest import SHARDS, Logs, make_fact, make_facts
from nats.js import JetStreamContext
from onefold.log.v1.log_pb2 import FactBatch
from service_fixtures import open_bus, wait_until

from services.chassis.messaging.envelope import RANGE_HEADER
from services.chassis.postgres.database import Database
from services.ingest.log import EventLog, LogRelay
from services.ingest.log.relay import LogOutboxReader
from services.kernel.ids import LeafId


@asynccontextmanager
async def relaying(logs: Logs, event_log: EventLog, nats_url: str) -> AsyncIterator[LogRelay]:
    """Run the relay of a replica in the scope."""
    async with open_bus(nats_url, "ingest") as bus, Database(logs.dsn, "ingest") as database:
        relay = LogRelay(event_log, database, bus)
        task = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def jetstream(nats_url: str) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def relayed(stream: JetStreamContext) -> dict[int, list[FactBatch]]:
    """Return the batches that NATS has, by shard."""
    info = await stream.stream_info("ONEFOLD_LOG")
    found: dict[int, list[FactBatch]] = {shard: [] for shard in range(SHARDS)}
    for sequence in range(info.state.first_seq, info.state.last_seq + 1):
        message = await stream.get_msg("ONEFOLD_LOG", sequence)
        batch = FactBatch.FromString(message.data or b"")
        assert message.subject == f"onefold.log.{batch.shard}"
        end = batch.first_offset + len(batch.facts)
        assert (message.headers or {})[RANGE_HEADER] == f"{batch.first_offset}-{end}"
        assert [f.offset for f in batch.facts] == list(range(batch.first_offset, end))
        found[batch.shard].append(batch)
    return found


def covered(batches: list[FactBatch]) -> list[int]:
    """Return the offsets in the order of their first arrival; fail where one is early.

    Messages may overlap, where one was cut from memory and one from the table.
    """
    offsets: list[int] = []
    for batch in batches:
        assert not offsets or batch.first_offset <= offsets[-1] + 1
        offsets += [f.offset for f in batch.facts if not offsets or f.offset > offsets[-1]]
    return offsets


async def is_up_to_date(event_log: EventLog, *relays: LogRelay) -> bool:
    ends = (await event_log.heads()).token
    return all(
        max(relay.published(shard) for relay in relays) == ends.offset(shard)
        for shard in range(SHARDS)
    )


async def begin(event_log: EventLog, *relays: LogRelay) -> None:
    """Return when every shard is relayed from its beginning on."""
    await event_log.tick()
    await wait_until(lambda: is_up_to_date(event_log, *relays))


async def test_committed_facts_are_published(
    logs: Logs, event_log: EventLog, nats_url: str
) -> None:
    async with relaying(logs, event_log, nats_url) as relay, jetstream(nats_url) as stream:
        await begin(event_log, relay)
        for start in range(0, 2_000, 100):
            await event_log.append(make_facts(range(start, start + 100)))
        await event_log.append([make_fact("large", payload=bytes(700_000))])
        await event_log.tick()
        await wait_until(lambda: is_up_to_date(event_log, relay))
        found = await relayed(stream)
    ends = await logs.check_shards()
    for shard, batches in found.items():
        assert covered(batches) == list(range(ends[shard]))
        assert all(len(batch.facts) <= 500 for batch in batches)


async def test_consecutive_calls_share_messages(
    logs: Logs, event_log: EventLog, nats_url: str
) -> None:
    async with relaying(logs, event_log, nats_url) as relay, jetstream(nats_url) as stream:
        await begin(event_log, relay)
        leaf = LeafId(bytes(16))
        for name in range(200):
            await event_log.append([make_fact(name, leaf_id=leaf)])
        await wait_until(lambda: is_up_to_date(event_log, relay))
        [batches, *_] = (await relayed(stream)).values()
    assert covered(batches) == list(range(201))
    assert len(batches) < 200


async def test_late_relay_continues_at_the_end_of_the_stream(
    logs: Logs, event_log: EventLog, nats_url: str
) -> None:
    async with relaying(logs, event_log, nats_url) as relay:
        await event_log.append(make_facts(range(50)))
        await wait_until(lambda: is_up_to_date(event_log, relay))
    await event_log.append(make_facts(range(50, 1_500)))
    async with relaying(logs, event_log, nats_url) as relay, jetstream(nats_url) as stream:
        await wait_until(lambda: is_up_to_date(event_log, relay))
        found = await relayed(stream)
    ends = await logs.check_shards()
    assert {shard: covered(batches)[-1] + 1 for shard, batches in found.items()} == ends
    for batches in found.values():
        offsets = covered(batches)
        assert offsets == list(range(offsets[0], offsets[-1] + 1))


async def test_replicas_share_the_shards_and_relay_each_others_facts(
    logs: Logs, nats_url: str
) -> None:
    one, two = await logs.replica(), await logs.replica()
    async with (
        relaying(logs, one, nats_url) as first,
        relaying(logs, two, nats_url) as second,
        jetstream(nats_url) as stream,
    ):
        both = (first, second)
        shards = range(SHARDS)
        await wait_until(lambda: all(sum(s in r.leased for r in both) == 1 for s in shards))
        await begin(one, *both)
        await asyncio.gather(
            *(
                log.append(make_facts([f"{n}-{m}" for m in range(20)]))
                for n in range(40)
                for log in (one, two)
            )
        )
        await wait_until(lambda: is_up_to_date(one, *both))
        found = await relayed(stream)
    ends = await logs.check_shards()
    assert sum(ends.values()) == 800 + SHARDS
    for shard, batches in found.items():
        assert covered(batches) == list(range(ends[shard]))


async def test_deleted_stream_is_filled_again_from_the_end_of_the_log(
    logs: Logs, event_log: EventLog, nats_url: str
) -> None:
    async with relaying(logs, event_log, nats_url) as relay, jetstream(nats_url) as stream:
        await event_log.append(make_facts(range(100)))
        await wait_until(lambda: is_up_to_date(event_log, relay))
        await stream.delete_stream("ONEFOLD_LOG")
        await event_log.append([make_fact("new", leaf_id=None)])

        async def is_there() -> bool:
            found = await relayed(stream)
            ends = (await event_log.heads()).token
            return all(b and covered(b)[-1] + 1 == ends.offset(s) for s, b in found.items())

        async def eventually() -> bool:
            try:
                return await is_there()
            except nats.errors.Error:
                return False

        await wait_until(eventually)


async def test_facts_are_appended_while_nats_is_down(logs: Logs, event_log: EventLog) -> None:
    nowhere = "nats://127.0.0.1:9"
    async with relaying(logs, event_log, nowhere):
        assert (await event_log.append(make_facts(range(10)))).appended == 10


async def test_messages_read_from_the_table_cover_the_shard(event_log: EventLog) -> None:
    leaf = LeafId(bytes(16))
    await event_log.append([make_fact(n, leaf_id=leaf) for n in range(1_700)])
    outputs = LogOutboxReader(event_log)
    assert await outputs.tail(0) == 1_700
    at = 0
    while found := await outputs.read(0, at, 64):
        assert [output.first for output in found] == [at, *(o.next for o in found[:-1])]
        at = found[-1].next
    assert at == 1_700
    [last] = await outputs.read(0, 1_699, 1)
    assert (last.first, last.next) == (1_699, 1_700)
