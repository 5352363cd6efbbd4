"""The projection runner on real engines: what it folds, and how it heals."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from toy.running import DEADLINE, Replica, relaying, replica, say
from toy.words import LOG_SUBJECT, TOY_SUBJECT, Said, WordLog, Words, encode, story

from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage
from services.chassis.projection.runner import CONCURRENT_FOLDS, Limits
from services.chassis.testing import wait_until
from services.kernel.errors import InvalidField, TokenNotReached
from services.kernel.tokens import Token


async def published(bus: JetStreamBus, subject: str) -> list[tuple[int, int]]:
    """The ranges of all messages of a stream, in order."""
    stream = await bus.ensure_stream(subject)
    state = (await bus.jetstream.stream_info(stream)).state
    ranges = []
    for number in range(state.first_seq, state.last_seq + 1):
        message = await bus.jetstream.get_msg(stream, number)
        first, _, until = (message.headers or {})["Onefold-Range"].partition("-")
        ranges.append((int(first), int(until)))
    return ranges


async def all_published(bus: JetStreamBus, subject: str, until: int) -> None:
    async def reached() -> bool:
        last = await bus.last_range(f"{subject}.0")
        return last is not None and last[1] == until

    await bus.ready()
    await bus.ensure_stream(subject)
    await wait_until(reached)


async def test_facts_are_folded_and_outputs_are_relayed_in_order(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        for i in range(20):
            token = await say(word_log, relay, story(10, i))
        assert await toy.runner.wait_for(token, DEADLINE) == Token((200,))
        assert await toy.counted() == 200
        await all_published(toy.bus, TOY_SUBJECT, 200)
        ranges = await published(toy.bus, TOY_SUBJECT)
        assert ranges[0][0] == 0
        assert all(a[1] == b[0] for a, b in pairwise(ranges))


class HeldUp(Words):
    """Begins to fold, and goes on when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = self.most = 0
        self.let = asyncio.Event()

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        self.begun += 1
        self.most = max(self.most, self.begun)
        await self.let.wait()
        folded = await super().fold(conn, batch)
        self.begun -= 1
        return folded


async def test_some_shards_are_folded_at_a_time_and_the_others_after_them(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = HeldUp()
    tokens = [await say(word_log, None, story(10), shard) for shard in range(4)]
    async with replica(database, nats_url, word_log, tmp_path, shards=4, words=words) as toy:
        await wait_until(lambda: words.begun == CONCURRENT_FOLDS)
        for _ in range(50):
            await toy.counted()
        words.let.set()
        for token in tokens:
            await toy.runner.wait_for(token, DEADLINE)
    assert words.most == CONCURRENT_FOLDS


async def test_shards_that_cannot_go_on_hold_up_no_others(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(poison="poison")
    for shard in range(CONCURRENT_FOLDS):
        await say(word_log, None, [Said("w0", "leaf", "poison")], shard)
    tokens = [await say(word_log, None, story(10), shard) for shard in range(CONCURRENT_FOLDS, 4)]
    async with replica(database, nats_url, word_log, tmp_path, shards=4, words=words) as toy:
        for token in tokens:
            await toy.runner.wait_for(token, DEADLINE)
        await wait_until(lambda: set(toy.runner.stalled()) == set(range(CONCURRENT_FOLDS)))


async def test_a_state_answers_for_its_position(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await say(word_log, relay, story(10)), DEADLINE)
        [state] = await toy.runner.status()
        assert (state.log_offset, state.leased, state.error) == (10, True, "")
        assert await toy.runner.token() == Token((10,))
        with pytest.raises(TokenNotReached):
            await toy.runner.wait_for(Token((11,)), 0.01)
        with pytest.raises(InvalidField):
            await toy.runner.wait_for(Token((0, 1)), 1.0)


async def test_a_message_that_was_lost_is_read_upstream(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path, gap_check_s=3600.0) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await say(word_log, relay, story(10)), DEADLINE)
        await all_published(toy.bus, LOG_SUBJECT, 10)
        toy.upstream.reads.clear()
        [lost] = await word_log.append(0, story(5, 1))
        [heard] = await word_log.append(0, story(5, 2))
        await toy.bus.publish("onefold.log.0", heard)
        await toy.runner.wait_for(Token((20,)), DEADLINE)
        assert toy.upstream.reads == [(0, lost.first, lost.next)]
        assert await toy.counted() == 20


async def test_a_message_lost_with_nothing_after_it_is_found(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        for i in range(3):
            await toy.runner.wait_for(await say(word_log, None, story(7, i)), DEADLINE)
        assert await toy.counted() == 21


async def test_repeated_and_overlapping_messages_count_once(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    facts = story(40)
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.bus.ready()
        await toy.bus.ensure_stream(LOG_SUBJECT)
        await word_log.append(0, facts)
        for first, until in [(0, 10), (0, 10), (5, 15), (3, 4), (12, 30), (29, 40), (0, 40)]:
            output = OutboxMessage(first, until, encode(facts[first:until]))
            await toy.bus.publish("onefold.log.0", output, deduplicate=False)
        await toy.runner.wait_for(Token((40,)), DEADLINE)
        assert await toy.counted() == 40


async def test_a_projection_may_take_a_batch_in_parts(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(chunk=3)
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await toy.runner.wait_for(await say(word_log, None, story(20)), DEADLINE)
        assert await toy.counted() == 20
        outputs = await Outbox(toy.database.pool).read(0, 0, 100)
        assert [o.first for o in outputs] == [0, 3, 6, 9, 12, 15, 18]
        assert outputs[-1].next == 20


async def test_big_backlogs_are_taken_in_bounded_batches(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, story(1000))
    async with replica(database, nats_url, word_log, tmp_path, limits=Limits(span=200)) as toy:
        await toy.runner.wait_for(Token((1000,)), DEADLINE)
        assert len(toy.words.folds) == 5


async def test_a_poison_message_stops_the_shard_and_nothing_is_skipped(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(poison="hemlock")
    facts = [*story(10), Said("w0", "leaf0", "hemlock"), *story(10, 3)]
    word_log.page = 1
    async with (
        replica(database, nats_url, word_log, tmp_path, words=words) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await all_published(toy.bus, LOG_SUBJECT, (await say_each(word_log, relay, facts)))
        await wait_until(toy.runner.stalled)
        # What lies before it is folded, message by message.
        await wait_until(lambda: at_position(toy, 10))
        await wait_until(lambda: toy.runner.stalled() == {0: "ValueError at 10"})
        with pytest.raises(Exception, match="shard 0: ValueError at 10"):
            await toy.runner.check()
        [state] = await toy.runner.status()
        assert state.error == "ValueError at 10"
        words.poison = ""
        await toy.runner.wait_for(Token((21,)), DEADLINE)
        assert await toy.counted() == 21
        await toy.runner.check()


async def test_a_poison_message_is_not_tried_without_a_pause(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(poison="hemlock")
    await word_log.append(0, [Said("w0", "leaf0", "hemlock")])
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: len(words.folds) >= 4)
        tries = len(words.folds)
        await asyncio.sleep(0)
        assert len(words.folds) == tries
        assert toy.runner.stalled() == {0: "ValueError at 0"}


async def test_a_wiped_jetstream_heals(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await say(word_log, relay, story(10)), DEADLINE)
        await all_published(toy.bus, TOY_SUBJECT, 10)
        for round_ in range(3):
            for stream in ("ONEFOLD_LOG", "ONEFOLD_TOY"):
                await toy.bus.jetstream.delete_stream(stream)
            token = await say(word_log, relay, story(10, round_))
            await toy.runner.wait_for(token, DEADLINE)
            await all_published(toy.bus, TOY_SUBJECT, token.offset(0))
        assert await toy.counted() == 40


async def test_a_purged_stream_and_a_lost_consumer_heal(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await say(word_log, relay, story(10)), DEADLINE)
        await toy.bus.jetstream.purge_stream("ONEFOLD_LOG")
        await toy.runner.wait_for(await say(word_log, relay, story(10, 1)), DEADLINE)
        await toy.bus.jetstream.delete_consumer("ONEFOLD_LOG", "toy-0")
        await toy.runner.wait_for(await say(word_log, relay, story(10, 2)), DEADLINE)
        assert await toy.counted() == 30


@pytest.mark.parametrize("ranged_last", [False, True])
async def test_messages_of_another_life_of_the_store_do_no_harm(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, ranged_last: bool
) -> None:
    await leave_strange_messages(nats_url, ranged_last=ranged_last)
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await say(word_log, relay, story(10)), DEADLINE)
        assert await toy.counted() == 10
        await all_published(toy.bus, LOG_SUBJECT, 10)


async def test_a_strange_message_that_is_heard_before_all_else_does_no_harm(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await leave_strange_messages(nats_url, ranged_last=True)
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        # The worker looks upstream for what leads up to it, and finds a log without facts.
        await wait_until(lambda: (0, 0, 500) in toy.upstream.reads)
        async with relaying(toy.bus, word_log) as relay:
            await toy.runner.wait_for(await say(word_log, relay, story(10)), DEADLINE)
            assert await toy.counted() == 10
            await all_published(toy.bus, LOG_SUBJECT, 10)


async def test_two_runs_over_other_batches_have_the_same_digests(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, story(100))
    found = []
    for limits in (Limits(), Limits(messages=1)):
        async with replica(database, nats_url, word_log, tmp_path, limits=limits) as toy:
            await toy.runner.wait_for(Token((100,)), DEADLINE)
            found.append(await toy.digests())
        await forget(database)
    assert found[0] == found[1]
    assert set(found[0]) == {"w0", "w1"}


async def leave_strange_messages(nats_url: str, *, ranged_last: bool) -> None:
    """Leaves in the stream of the log what this log never said, in this order."""
    async with JetStreamBus(nats_url, name="stranger") as bus:
        await bus.ready()
        await bus.ensure_stream(LOG_SUBJECT)

        async def ranged() -> None:
            acknowledged = await bus.publish(
                "onefold.log.0", OutboxMessage(500, 501, encode(story(1)))
            )
            await acknowledged

        async def without_range() -> None:
            await bus.jetstream.publish("onefold.log.0", b"no message of ours")

        for leave in (without_range, ranged) if ranged_last else (ranged, without_range):
            await leave()


async def say_each(log: WordLog, relay: object, facts: list[Said]) -> int:
    for fact in facts:
        token = await say(log, relay, [fact])  # type: ignore[arg-type]
    return token.offset(0)


async def at_position(toy: Replica, place: int) -> bool:
    return await toy.position() == place


async def forget(dsn: str) -> None:
    """Drops all that the toy service has."""
    conn = await asyncpg.connect(dsn)
    await conn.execute("DROP SCHEMA toy CASCADE; DROP SCHEMA toy_g1 CASCADE")
    await conn.close()
