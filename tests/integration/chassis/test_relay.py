"""The relay on a real NATS: in order, without holes, through restarts and losses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from toy.running import DEADLINE, relaying, replica, say
from toy.words import LOG_SUBJECT, WordLog, story, toy_root

from services.chassis.messaging.jetstream import CLAIM_CHECK, JetStreamBus, range_of
from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.relay import OutboxRelay
from services.chassis.messaging.stream import OutboxMessage, StreamMessage
from services.chassis.postgres.database import Database
from services.chassis.postgres.migrate import migrate
from services.chassis.runtime.tasks import task_scope
from services.chassis.testing import wait_until
from services.devstack.nats import NatsServer
from services.kernel.errors import RangeExpired

PLACE = f"{LOG_SUBJECT}.0"


@pytest_asyncio.fixture(loop_scope="session")
async def bus(nats_url: str) -> AsyncIterator[JetStreamBus]:
    async with JetStreamBus(nats_url, name="test") as bus:
        await bus.ready()
        yield bus


async def ranges(bus: JetStreamBus) -> list[tuple[int, int]]:
    """The ranges of all messages of the stream, in order."""
    stream = await bus.ensure_stream(LOG_SUBJECT)
    state = (await bus.jetstream.stream_info(stream)).state
    found = []
    for number in range(state.first_seq, state.last_seq + 1):
        covered = range_of((await bus.jetstream.get_msg(stream, number)).headers)
        assert covered is not None
        found.append(covered)
    return found


async def relayed(bus: JetStreamBus, until: int) -> None:
    """Waits until the stream has everything."""

    async def reached() -> bool:
        last = await bus.last_range(PLACE)
        return last is not None and last[1] == until

    await bus.ensure_stream(LOG_SUBJECT)
    await wait_until(reached, DEADLINE)


def assert_no_holes(found: list[tuple[int, int]], until: int) -> None:
    at = found[0][0]
    for first, after in found:
        assert first <= at
        at = max(at, after)
    assert at == until


async def test_what_is_offered_is_published_in_order(bus: JetStreamBus, word_log: WordLog) -> None:
    async with relaying(bus, word_log) as relay:
        for i in range(30):
            await say(word_log, relay, story(3, i))
        await relayed(bus, 90)
        assert_no_holes(await ranges(bus), 90)


async def test_what_was_never_offered_is_found_after_a_nudge(
    bus: JetStreamBus, nats_url: str, word_log: WordLog
) -> None:
    """Another replica appends; it does not hold the relay of the shard."""
    async with relaying(bus, word_log), JetStreamBus(nats_url, name="other") as other:
        await other.ready()
        elsewhere = OutboxRelay(other, LOG_SUBJECT, word_log)
        for i in range(5):
            await say(word_log, elsewhere, story(10, i))
        await relayed(bus, 50)


async def test_offers_with_a_hole_are_filled_from_the_store(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    async with relaying(bus, word_log) as relay:
        await say(word_log, relay, story(10))
        await relayed(bus, 10)
        await say(word_log, None, story(10, 1))
        await say(word_log, relay, story(10, 2))
        await relayed(bus, 30)
        assert_no_holes(await ranges(bus), 30)


async def test_a_restart_goes_on_where_the_stream_ends(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    for i in range(4):
        async with relaying(bus, word_log) as relay:
            await say(word_log, None, story(20, i))
            await say(word_log, relay, story(10, i))
            await relayed(bus, 30 * (i + 1))
    found = await ranges(bus)
    assert all(a[1] == b[0] for a, b in pairwise(found))


async def test_restarts_in_the_midst_leave_no_hole(bus: JetStreamBus, word_log: WordLog) -> None:
    """Relays are cancelled while they publish, two of them at once for a time."""
    word_log.page = 2

    async def append() -> None:
        for i in range(40):
            await word_log.append(0, story(5, i))
            await asyncio.sleep(0)

    async with relaying(bus, word_log) as relay:
        await say(word_log, relay, story(1))
        await relayed(bus, 1)
    async with task_scope(append()) as appending:
        while not appending.done():
            async with relaying(bus, word_log), relaying(bus, word_log):
                last = await bus.last_range(PLACE)
                await wait_until(lambda last=last: moved(bus, last) or appending.done())
    async with relaying(bus, word_log):
        await relayed(bus, 201)
    assert_no_holes(await ranges(bus), 201)


async def moved(bus: JetStreamBus, last: tuple[int, int] | None) -> bool:
    return await bus.last_range(PLACE) != last


async def test_after_a_wipe_the_newest_is_published_again(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    async with relaying(bus, word_log) as relay:
        await say(word_log, relay, story(10))
        await relayed(bus, 10)
    await bus.jetstream.purge_stream("ONEFOLD_LOG")
    async with relaying(bus, word_log):
        await relayed(bus, 10)
        assert await ranges(bus) == [(9, 10)]


async def test_a_stream_of_another_life_is_purged(bus: JetStreamBus, word_log: WordLog) -> None:
    await bus.ensure_stream(LOG_SUBJECT)
    await (await bus.publish(PLACE, OutboxMessage(70, 80, b"foreign")))
    await say(word_log, None, story(10))
    async with relaying(bus, word_log):
        await relayed(bus, 10)
        assert await ranges(bus) == [(9, 10)]


async def test_a_payload_too_large_for_nats_is_told_by_its_range(
    bus: JetStreamBus, word_log: WordLog
) -> None:
    await bus.ensure_stream(LOG_SUBJECT)
    await (await bus.publish(PLACE, OutboxMessage(0, 1, bytes(bus.client.max_payload))))
    message = await bus.jetstream.get_last_msg("ONEFOLD_LOG", PLACE)
    assert range_of(message.headers) == (0, 1)
    assert CLAIM_CHECK in (message.headers or {})
    assert not message.data


@asynccontextmanager
async def own_nats(folder: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(folder) as server:
        yield server


async def test_nats_may_come_late_and_go_away(
    database: str, word_log: WordLog, tmp_path: Path
) -> None:
    """Facts are folded while NATS is away, by reading upstream; all is relayed once it is back."""
    server = NatsServer(tmp_path / "engines")
    await server.start()
    url = server.url
    await server.stop()
    async with (
        replica(database, url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        assert not toy.bus.connected
        await toy.runner.wait_for(await say(word_log, relay, story(10)), DEADLINE)
        for i in range(1, 3):
            await server.start()
            assert server.url == url
            token = await say(word_log, relay, story(10, i))
            await toy.runner.wait_for(token, DEADLINE)
            await toy.bus.ready()
            await relayed(toy.bus, token.offset(0))
            await server.stop()
            await wait_until(lambda: not toy.bus.connected)
            token = await say(word_log, relay, story(10, i + 5))
            await toy.runner.wait_for(token, DEADLINE)
        assert await toy.counted() == 50


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


async def test_the_outbox_is_read_from_where_a_place_is_covered(toy_database: Database) -> None:
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


async def test_the_outbox_lets_go_of_what_is_old_and_published(toy_database: Database) -> None:
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


async def test_messages_ids_are_known_again(bus: JetStreamBus, word_log: WordLog) -> None:
    await bus.ensure_stream(LOG_SUBJECT)
    for _ in range(2):
        await (await bus.publish(PLACE, OutboxMessage(0, 1, b"once")))
    assert await ranges(bus) == [(0, 1)]
