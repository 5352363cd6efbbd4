"""Tests the projection runner on real servers: its folds, and its recovery."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from service_fixtures import open_bus, wait_until
from toy.running import DEADLINE, Replica, append, relaying, replica
from toy.words import LOG_SUBJECT, TOY_SUBJECT, WordFact, WordLog, Words, encode, sample_facts

from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import Batch, FoldResult, OutboxMessage
from services.chassis.projection import positions as positions_module
from services.chassis.projection.batch_size import MAX_CPU_S
from services.chassis.projection.consumer import Limits
from services.chassis.projection.runner import CONCURRENT_FOLDS
from services.chassis.runtime.telemetry import Metrics
from services.kernel.errors import InvalidField, TokenNotReached
from services.kernel.tokens import Token


async def published(bus: JetStreamBus, subject: str) -> list[tuple[int, int]]:
    """Return the ranges of all messages of a stream, in order."""
    stream = await bus.ensure_stream(subject)
    state = (await bus.jetstream.stream_info(stream)).state
    ranges = []
    for number in range(state.first_seq, state.last_seq + 1):
        message = await bus.jetstream.get_msg(stream, number)
        first, _, end = (message.headers or {})["Onefold-Range"].partition("-")
        ranges.append((int(first), int(end)))
    return ranges


async def all_published(bus: JetStreamBus, subject: str, end: int) -> None:
    async def reached() -> bool:
        last = await bus.last_envelope(f"{subject}.0")
        return last is not None and last.next == end

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
            token = await append(word_log, relay, sample_facts(10, i))
        assert await toy.runner.wait_for(token, DEADLINE) == Token((200,))
        assert await toy.word_total() == 200
        await all_published(toy.bus, TOY_SUBJECT, 200)
        ranges = await published(toy.bus, TOY_SUBJECT)
        assert ranges[0][0] == 0
        assert all(a[1] == b[0] for a, b in pairwise(ranges))


class Silent(Words):
    """Publishes nothing but how far it is."""

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        return replace(await super().fold(conn, batch), outputs=())

    def position(
        self, shard: int, sequence: int, log_offset: int, log_time_us: int
    ) -> OutboxMessage:
        return OutboxMessage(sequence, sequence + 1, str(log_offset).encode())


async def positions(toy: Replica) -> list[int]:
    """Return the offsets in the log that the outputs state."""
    outputs = await Outbox(toy.database.pool).read(0, 0, 1_000)
    return [int(output.payload) for output in outputs]


async def test_silent_projection_publishes_how_far_it_is_and_no_more_often(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of many batches comes too soon after an output to be published with it."""
    monkeypatch.setattr(positions_module, "INTERVAL_S", 3.0)
    async with (
        replica(database, nats_url, word_log, tmp_path, words=Silent()) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        for i in range(20):
            token = await append(word_log, relay, sample_facts(10, i))
            await toy.runner.wait_for(token, DEADLINE)
        await wait_until(lambda: has_stated(toy, 200))
        stated = await positions(toy)
        folds = len(toy.words.folds)
        assert stated == sorted(set(stated))
        assert len(stated) < folds
        await all_published(toy.bus, TOY_SUBJECT, len(stated))


async def has_stated(toy: Replica, offset: int) -> bool:
    return (await positions(toy) or [0])[-1] == offset


async def test_position_that_a_worker_has_left_unpublished_is_published_by_the_next_one(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as slow:
        slow.setattr(positions_module, "INTERVAL_S", 600.0)
        async with (
            replica(database, nats_url, word_log, tmp_path, words=Silent()) as toy,
            relaying(toy.bus, word_log) as relay,
        ):
            for i in range(2):
                token = await append(word_log, relay, sample_facts(10, i))
                await toy.runner.wait_for(token, DEADLINE)
            assert await positions(toy) == [10]
    async with replica(database, nats_url, word_log, tmp_path, words=Silent()) as toy:
        await wait_until(lambda: has_stated(toy, 20))


class Paused(Words):
    """Begins to fold, and goes on when `resumed` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.folding = self.most = 0
        self.resumed = asyncio.Event()

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        self.folding += 1
        self.most = max(self.most, self.folding)
        await self.resumed.wait()
        folded = await super().fold(conn, batch)
        self.folding -= 1
        return folded


async def test_shards_beyond_the_fold_slots_are_folded_later(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Paused()
    tokens = [await append(word_log, None, sample_facts(10), shard) for shard in range(4)]
    async with replica(database, nats_url, word_log, tmp_path, shards=4, words=words) as toy:
        await wait_until(lambda: words.folding == CONCURRENT_FOLDS)
        for _ in range(50):
            await toy.word_total()
        words.resumed.set()
        for token in tokens:
            await toy.runner.wait_for(token, DEADLINE)
    assert words.most == CONCURRENT_FOLDS


async def test_stalled_shards_do_not_delay_others(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(poison="poison")
    for shard in range(CONCURRENT_FOLDS):
        await append(word_log, None, [WordFact("w0", "leaf", "poison")], shard)
    tokens = [
        await append(word_log, None, sample_facts(10), shard)
        for shard in range(CONCURRENT_FOLDS, 4)
    ]
    async with replica(database, nats_url, word_log, tmp_path, shards=4, words=words) as toy:
        for token in tokens:
            await toy.runner.wait_for(token, DEADLINE)
        await wait_until(lambda: set(toy.runner.stalled) == set(range(CONCURRENT_FOLDS)))


async def test_status_and_token_are_those_of_the_checkpoint(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        [(at, leased)] = await toy.runner.status()
        assert (at.log_offset, leased, toy.runner.stalled) == (10, True, {})
        assert await toy.runner.token() == Token((10,))
        with pytest.raises(TokenNotReached):
            await toy.runner.wait_for(Token((11,)), 0.01)
        with pytest.raises(InvalidField):
            await toy.runner.wait_for(Token((0, 1)), 1.0)


async def test_lost_message_is_read_upstream(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path, gap_check_s=3600.0) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        await all_published(toy.bus, LOG_SUBJECT, 10)
        toy.upstream.reads.clear()
        [lost] = await word_log.append(0, sample_facts(5, 1))
        [later] = await word_log.append(0, sample_facts(5, 2))
        await toy.bus.publish("onefold.log.0", later)
        await toy.runner.wait_for(Token((20,)), DEADLINE)
        assert toy.upstream.reads == [(0, lost.first, lost.next)]
        assert await toy.word_total() == 20


async def test_lost_message_with_nothing_after_it_is_read_upstream(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        for i in range(3):
            await toy.runner.wait_for(await append(word_log, None, sample_facts(7, i)), DEADLINE)
        assert await toy.word_total() == 21


async def test_repeated_and_overlapping_messages_count_once(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    facts = sample_facts(40)
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.bus.ready()
        await toy.bus.ensure_stream(LOG_SUBJECT)
        await word_log.append(0, facts)
        for first, end in [(0, 10), (0, 10), (5, 15), (3, 4), (12, 30), (29, 40), (0, 40)]:
            output = OutboxMessage(first, end, encode(facts[first:end]))
            await toy.bus.publish("onefold.log.0", output, deduplicate=False)
        await toy.runner.wait_for(Token((40,)), DEADLINE)
        assert await toy.word_total() == 40


async def test_batch_folded_in_parts_has_contiguous_outputs(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(chunk=3)
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(20)), DEADLINE)
        assert await toy.word_total() == 20
        outputs = await Outbox(toy.database.pool).read(0, 0, 100)
        assert [o.first for o in outputs] == [0, 3, 6, 9, 12, 15, 18]
        assert outputs[-1].next == 20


async def test_big_backlog_is_folded_in_bounded_batches(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, sample_facts(1000))
    async with replica(database, nats_url, word_log, tmp_path, limits=Limits(span=200)) as toy:
        await toy.runner.wait_for(Token((1000,)), DEADLINE)
        assert len(toy.words.folds) == 5


class Costly(Words):
    """Uses ten milliseconds of CPU for each fact."""

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        end = time.thread_time() + 0.010 * (batch.next - batch.first)
        while time.thread_time() < end:
            pass
        return await super().fold(conn, batch)


async def test_costly_facts_are_folded_in_small_batches(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, sample_facts(100))
    words, metrics = Costly(), Metrics("toy")
    options = {"words": words, "metrics": metrics, "limits": Limits(span=100)}
    async with replica(database, nats_url, word_log, tmp_path, **options) as toy:
        await toy.runner.wait_for(Token((100,)), DEADLINE)
        first = list(words.folds)
        for _ in range(10):
            await append(word_log, None, sample_facts(10))
        await toy.runner.wait_for(Token((200,)), DEADLINE)
        assert await toy.word_total() == 200
    assert [end - begin for _, begin, end in first] == [100]
    later = [end - begin for _, begin, end in words.folds if begin >= 100]
    assert max(later) <= 100 * MAX_CPU_S
    exceeded = metrics.cpu_budget_exceeded.labels("transaction")
    assert exceeded._value.get() >= 1


async def test_poison_message_stalls_the_shard_and_nothing_is_skipped(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(poison="hemlock")
    facts = [*sample_facts(10), WordFact("w0", "leaf0", "hemlock"), *sample_facts(10, 3)]
    word_log.page = 1
    async with (
        replica(database, nats_url, word_log, tmp_path, words=words) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await all_published(toy.bus, LOG_SUBJECT, (await append_each(word_log, relay, facts)))
        await wait_until(lambda: toy.runner.stalled)
        # Messages before it are folded, one by one.
        await wait_until(lambda: is_at(toy, 10))
        await wait_until(lambda: toy.runner.stalled == {0: "ValueError at 10"})
        with pytest.raises(Exception, match="shard 0: ValueError at 10"):
            await toy.runner.check()
        words.poison = ""
        await toy.runner.wait_for(Token((21,)), DEADLINE)
        assert await toy.word_total() == 21
        await toy.runner.check()


async def test_poison_message_is_retried_with_pauses(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Words(poison="hemlock")
    await word_log.append(0, [WordFact("w0", "leaf0", "hemlock")])
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: len(words.folds) >= 4)
        tries = len(words.folds)
        await asyncio.sleep(0)
        assert len(words.folds) == tries
        assert toy.runner.stalled == {0: "ValueError at 0"}


class Stuck(Words):
    """Consumes nothing and publishes nothing."""

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        await super().fold(conn, batch)
        return FoldResult(batch.first, batch.log_offset, batch.log_time_us)


async def test_fold_without_progress_stalls_the_shard(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, sample_facts(3))
    async with replica(database, nats_url, word_log, tmp_path, words=Stuck()) as toy:
        await wait_until(lambda: toy.runner.stalled == {0: "InvalidFoldResult at 0"})
        assert await toy.word_total() == 0


async def test_deleted_streams_are_created_again(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        await all_published(toy.bus, TOY_SUBJECT, 10)
        for round_ in range(3):
            for stream in ("ONEFOLD_LOG", "ONEFOLD_TOY"):
                await toy.bus.jetstream.delete_stream(stream)
            token = await append(word_log, relay, sample_facts(10, round_))
            await toy.runner.wait_for(token, DEADLINE)
            await all_published(toy.bus, TOY_SUBJECT, token.offset(0))
        assert await toy.word_total() == 40


async def test_purged_stream_and_lost_consumer_recover(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        await toy.bus.jetstream.purge_stream("ONEFOLD_LOG")
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, 1)), DEADLINE)
        await toy.bus.jetstream.delete_consumer("ONEFOLD_LOG", "toy-0")
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, 2)), DEADLINE)
        assert await toy.word_total() == 30


@pytest.mark.parametrize("ranged_last", [False, True])
async def test_foreign_messages_do_no_harm(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, ranged_last: bool
) -> None:
    await publish_foreign_messages(nats_url, ranged_last=ranged_last)
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
        assert await toy.word_total() == 10
        await all_published(toy.bus, LOG_SUBJECT, 10)


async def test_foreign_message_that_arrives_first_does_no_harm(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await publish_foreign_messages(nats_url, ranged_last=True)
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        # The worker reads upstream what leads up to it, and finds a log without facts.
        await wait_until(lambda: (0, 0, 500) in toy.upstream.reads)
        async with relaying(toy.bus, word_log) as relay:
            await toy.runner.wait_for(await append(word_log, relay, sample_facts(10)), DEADLINE)
            assert await toy.word_total() == 10
            await all_published(toy.bus, LOG_SUBJECT, 10)


async def test_digests_do_not_depend_on_the_batches(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, sample_facts(100))
    found = []
    for limits in (Limits(), Limits(messages=1)):
        async with replica(database, nats_url, word_log, tmp_path, limits=limits) as toy:
            await toy.runner.wait_for(Token((100,)), DEADLINE)
            found.append(await toy.digests())
        await drop_toy(database)
    assert found[0] == found[1]
    assert set(found[0]) == {"w0", "w1"}


async def publish_foreign_messages(nats_url: str, *, ranged_last: bool) -> None:
    """Publish to the stream of the log messages that this log does not contain, in this order."""
    async with open_bus(nats_url, "foreign") as bus:
        await bus.ready()
        await bus.ensure_stream(LOG_SUBJECT)

        async def ranged() -> None:
            acknowledged = await bus.publish(
                "onefold.log.0", OutboxMessage(500, 501, encode(sample_facts(1)))
            )
            await acknowledged

        async def without_range() -> None:
            await bus.jetstream.publish("onefold.log.0", b"no message of ours")

        for publish in (without_range, ranged) if ranged_last else (ranged, without_range):
            await publish()


async def append_each(log: WordLog, relay: object, facts: list[WordFact]) -> int:
    for fact in facts:
        token = await append(log, relay, [fact])  # type: ignore[arg-type]
    return token.offset(0)


async def is_at(toy: Replica, end: int) -> bool:
    return await toy.next() == end


async def drop_toy(dsn: str) -> None:
    """Drop the schemas of the toy service."""
    conn = await asyncpg.connect(dsn)
    await conn.execute("DROP SCHEMA toy CASCADE; DROP SCHEMA toy_g1 CASCADE")
    await conn.close()
