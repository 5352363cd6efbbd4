"""The relay on a real NATS: in order, without gaps, through restarts and losses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from service_fixtures import OpenNatsServer, open_bus, wait_until
from toy.running import DEADLINE, append, relaying, replica
from toy.words import LOG_SUBJECT, WordLog, sample_facts, toy_root

from services.chassis.messaging.envelope import CLAIM_CHECK, Envelope, range_of
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.relay import OutboxRelay
from services.chassis.messaging.stream import OutboxMessage, StreamMessage
from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime.tasks import task_scope
from services.kernel.errors import RangeExpired

SUBJECT = f"{LOG_SUBJECT}.0"


@pytest_asyncio.fixture(loop_scope="session")
async def bus(nats_url: str) -> AsyncIterator[JetStreamBus]:
    async with open_bus(nats_url, "test") as bus:
        await bus.ready()
        yield bus


async def ranges(bus: JetStreamBus) -> list[tuple[int, int]]:
    """Return the ranges of all messages of the stream, in order."""
    stream = await bus.ensure_stream(LOG_SUBJECT)
    state = (await bus.jetstream.stream_info(stream)).state
    found = []
    for number in range(state.first_seq, state.last_seq + 1):
        covered = range_of((await bus.jetstream.get_msg(stream, number)).headers)
        assert covered is not None
        found.append(covered)
    return found


class CountingLog(WordLog):
    """Counts how often the outputs of another log are read."""

    def __init__(self, log: WordLog) -> None:
        super().__init__(log._pool)
        self.reads = 0

    async def read(self, shard: int, first: int, limit: int) -> list[OutboxMessage]:
        self.reads += 1
        return await super().read(shard, first, limit)


async def relayed(bus: JetStreamBus, end: int) -> None:
    """Wait until the stream has everything."""

    async def reached() -> bool:
        last = await bus.last_envelope(SUBJECT)
        return last is not None and last.next == end

    await bus.ensure_stream(LOG_SUBJECT)
    await wait_until(reached, DEADLINE)


def assert_no_gaps(found: list[tuple[int, int]], end: int) -> None:
    at = found[0][0]
    for first, after in found:
        assert first <= at
        at = max(at, after)
    assert at == end


async def test_enqueued_outputs_are_published_in_order(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    async with relaying(bus, word_log) as relay:
        for i in range(30):
            await append(word_log, relay, sample_facts(3, i))
        await relayed(bus, 90)
        assert_no_gaps(await ranges(bus), 90)


async def test_outputs_that_another_replica_commits_are_published_after_a_notification(
    bus: JetStreamBus, nats_url: str, word_log: WordLog
) -> None:
    """Another replica appends; it does not relay the shard."""
    async with relaying(bus, word_log), open_bus(nats_url, "other") as other:
        await other.ready()
        elsewhere = OutboxRelay(other, LOG_SUBJECT, word_log)
        for i in range(5):
            await append(word_log, elsewhere, sample_facts(10, i))
        await relayed(bus, 50)


async def test_outputs_that_two_processes_hand_over_are_not_read_from_the_store(
    bus: JetStreamBus, nats_url: str, word_log: WordLog
) -> None:
    """Their hand-overs also arrive in another order than that of their commits."""
    reading = CountingLog(word_log)
    async with relaying(bus, reading), open_bus(nats_url, "one") as one:
        await one.ready()
        first = OutboxRelay(one, LOG_SUBJECT, word_log)
        await append(word_log, first, sample_facts(1))
        await relayed(bus, 1)
        before = reading.reads
        for i in range(20):
            early = await word_log.append(0, sample_facts(3, 2 * i))
            late = await word_log.append(0, sample_facts(3, 2 * i + 1))
            await first.enqueue(0, [*late, *early])
            await relayed(bus, 7 + 6 * i)
        assert reading.reads - before < 10  # the relay looks every two seconds in any case
        assert_no_gaps(await ranges(bus), 121)


async def test_gap_between_enqueued_outputs_is_filled_from_the_store(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    async with relaying(bus, word_log) as relay:
        await append(word_log, relay, sample_facts(10))
        await relayed(bus, 10)
        await append(word_log, None, sample_facts(10, 1))
        await append(word_log, relay, sample_facts(10, 2))
        await relayed(bus, 30)
        assert_no_gaps(await ranges(bus), 30)


async def test_restarted_relay_continues_at_the_end_of_the_stream(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    for i in range(4):
        async with relaying(bus, word_log) as relay:
            await append(word_log, None, sample_facts(20, i))
            await append(word_log, relay, sample_facts(10, i))
            await relayed(bus, 30 * (i + 1))
    found = await ranges(bus)
    assert all(a[1] == b[0] for a, b in pairwise(found))


async def test_relays_restarted_while_they_publish_leave_no_gap(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    """Relays are cancelled while they publish, two of them at once for a time."""
    word_log.page = 2

    async def append_facts() -> None:
        for i in range(40):
            await word_log.append(0, sample_facts(5, i))
            await asyncio.sleep(0)

    async with relaying(bus, word_log) as relay:
        await append(word_log, relay, sample_facts(1))
        await relayed(bus, 1)
    async with task_scope(append_facts()) as appending:
        while not appending.done():
            async with relaying(bus, word_log), relaying(bus, word_log):
                last = await bus.last_envelope(SUBJECT)
                await wait_until(lambda last=last: moved(bus, last) or appending.done())
    async with relaying(bus, word_log):
        await relayed(bus, 201)
    assert_no_gaps(await ranges(bus), 201)


async def moved(bus: JetStreamBus, last: Envelope | None) -> bool:
    return await bus.last_envelope(SUBJECT) != last


async def test_newest_output_is_published_again_to_an_empty_stream(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    async with relaying(bus, word_log) as relay:
        await append(word_log, relay, sample_facts(10))
        await relayed(bus, 10)
    await bus.jetstream.purge_stream("ONEFOLD_LOG")
    async with relaying(bus, word_log):
        await relayed(bus, 10)
        assert await ranges(bus) == [(9, 10)]


async def test_stream_of_another_store_is_purged(bus: JetStreamBus, word_log: WordLog) -> None:
    await bus.ensure_stream(LOG_SUBJECT)
    await (await bus.publish(SUBJECT, OutboxMessage(70, 80, b"foreign")))
    await append(word_log, None, sample_facts(10))
    async with relaying(bus, word_log):
        await relayed(bus, 10)
        assert await ranges(bus) == [(9, 10)]


async def test_stream_of_an_earlier_life_is_purged_although_the_store_is_longer(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    await bus.ensure_stream(LOG_SUBJECT)
    word_log.lives = [(1, 0), (2, 5)]
    await (await bus.publish(SUBJECT, OutboxMessage(0, 8, b"lost in part", life=1)))
    await append(word_log, None, sample_facts(10))
    async with relaying(bus, word_log):
        await relayed(bus, 10)
        assert await ranges(bus) == [(9, 10)]


async def test_payload_too_large_for_nats_is_published_as_its_range_alone(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    await bus.ensure_stream(LOG_SUBJECT)
    await (await bus.publish(SUBJECT, OutboxMessage(0, 1, bytes(bus.client.max_payload))))
    message = await bus.jetstream.get_last_msg("ONEFOLD_LOG", SUBJECT)
    assert range_of(message.headers) == (0, 1)
    assert CLAIM_CHECK in (message.headers or {})
    assert not message.data


@asynccontextmanager
async def own_nats(folder: Path) -> AsyncIterator[OpenNatsServer]:
    async with OpenNatsServer(folder) as server:
        yield server


async def test_facts_are_folded_and_relayed_although_nats_comes_late_and_stops(
    database: str, word_log: WordLog, tmp_path: Path
) -> None:
    """While NATS is stopped, facts are read upstream; all are relayed once it is back."""
    server = OpenNatsServer(tmp_path / "engines")
    await server.start()
    url = server.url
    await server.stop()
    async with (
        replica(database, url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        assert not toy.bus.connected
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        for i in range(1, 3):
            await server.start()
            assert server.url == url
            token = await append(word_log, relay, sample_facts(10, i))
            await toy.runner.wait_for(token, DEADLINE)
            await toy.bus.ready()
            await relayed(toy.bus, token.offset(0))
            await server.stop()
            await wait_until(lambda: not toy.bus.connected)
            token = await append(word_log, relay, sample_facts(10, i + 5))
            await toy.runner.wait_for(token, DEADLINE)
        assert await toy.word_total() == 50


@pytest_asyncio.fixture(loop_scope="session")
async def toy_database(database: str, tmp_path: Path) -> AsyncIterator[Database]:
    await migrate(database, "toy", shards=1, root=toy_root(tmp_path))
    async with Database(database, "toy") as opened:
        await opened.pool.executemany(
            "INSERT INTO outbox (shard, first, next, payload, created_at)"
            " VALUES (0, $1, $2, $3, now() - make_interval(hours => $4))",
            [(i * 10, i * 10 + 10, b"%d" % i, 40 - i) for i in range(30)],
        )
        yield opened


async def test_outbox_is_read_from_the_output_that_covers_the_start(toy_database: Database) -> None:
    outbox = Outbox(toy_database.pool)
    assert await outbox.tail(0) == 300
    assert await outbox.tail(1) == 0
    assert [o.first for o in await outbox.read(0, 25, 2)] == [20, 30]
    assert [o.first for o in await outbox.read(0, 30, 1)] == [30]
    assert await outbox.read(0, 300, 5) == []
    found = [message async for message in outbox.stream(0, 25, 41)]
    assert found == [
        StreamMessage(20, 30, b"2"),
        StreamMessage(30, 40, b"3"),
        StreamMessage(40, 50, b"4"),
    ]
    assert len([message async for message in outbox.stream(0, 0)]) == 30


async def test_prune_deletes_outputs_that_are_old_and_published(toy_database: Database) -> None:
    outbox = Outbox(toy_database.pool, retention=24 * 3600)
    await outbox.prune(0, 0)
    assert len(await outbox.read(0, 0, 100)) == 30
    await outbox.prune(0, 105)
    with pytest.raises(RangeExpired, match="begins at 100"):
        await outbox.read(0, 99, 1)
    await outbox.prune(0, 300)
    assert (await outbox.read(0, 200, 100))[0].first in (160, 170, 200)
    await Outbox(toy_database.pool, retention=0).prune(0, 300)
    assert await outbox.tail(0) == 300
    assert [o.first for o in await outbox.read(0, 295, 9)] == [290]


async def test_repeated_message_id_is_dropped(bus: JetStreamBus, word_log: WordLog) -> None:
    await bus.ensure_stream(LOG_SUBJECT)
    for _ in range(2):
        await (await bus.publish(SUBJECT, OutboxMessage(0, 1, b"once")))
    assert await ranges(bus) == [(0, 1)]
