"""Tests projections whose database, or whose upstream alone, goes back to an earlier state."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from service_fixtures import wait_until
from toy.running import DEADLINE, Replica, append, relaying, replica
from toy.words import LOG_SUBJECT, TOY_SUBJECT, WordLog, Words, WordsRebuilder, encode, sample_facts

from services.chassis.messaging.lives import begin_life, check_life, load_life
from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.messaging.subscription import PullSubscription
from services.chassis.projection.checkpoint import load_checkpoints
from services.chassis.projection.rebuild import RebuildResult, RebuildRunner
from services.chassis.projection.runner import StalledShards
from services.kernel.errors import StoreUnavailable, UpstreamWentBack
from services.kernel.tokens import Token


class RememberingWords(Words):
    """The toy projection, which counts how often it is to forget a shard."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[int] = []

    def forget(self, shard: int) -> None:
        self.forgotten.append(shard)


async def restore_log(dsn: str, end: int) -> None:
    """Restore the log as it was when it ended at an offset."""
    conn = await asyncpg.connect(dsn)
    await conn.execute('DELETE FROM public.word_fact WHERE "offset" >= $1', end)
    await conn.close()


async def is_beyond_upstream(toy: Replica) -> bool:
    return "UPSTREAM_WENT_BACK at 20" in toy.runner.stalled.get(0, "")


async def test_shard_whose_upstream_went_back_is_stalled_at_once(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(20)), DEADLINE)
        await restore_log(database, 10)
        await wait_until(lambda: is_beyond_upstream(toy))
        with pytest.raises(StalledShards, match="UPSTREAM_WENT_BACK"):
            await toy.runner.check()


async def test_shard_stays_stalled_when_its_upstream_has_grown_past_it_again(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(20)), DEADLINE)
        await restore_log(database, 10)
        await wait_until(lambda: is_beyond_upstream(toy))
    await word_log.append(0, sample_facts(30, 7))
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await wait_until(lambda: is_beyond_upstream(toy))
        assert await toy.next() == 20, "facts of the earlier log are not mixed with these"


@pytest.mark.parametrize("regrown", [0, 30], ids=["shorter", "longer"])
async def test_resync_ends_the_fault_of_an_upstream_that_went_back(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, regrown: int
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(20)), DEADLINE)
        await restore_log(database, 10)
        await wait_until(lambda: is_beyond_upstream(toy))
        await word_log.append(0, sample_facts(regrown, 5))
        end = 10 + regrown

        async def log_head() -> Token:
            return Token((await word_log.tail(0),))

        rebuild = RebuildRunner(
            toy.database, WordsRebuilder(word_log), shards=1, root=tmp_path, log_head=log_head
        )
        reports = [report async for report in rebuild.run(resync=True)]
        result = reports[-1]
        assert isinstance(result, RebuildResult)
        assert result.switched
        assert result.token == Token((end,))
        token = await append(word_log, None, sample_facts(15, 7))
        await wait_until(lambda: not toy.runner.stalled)
        await toy.runner.wait_for(token, DEADLINE)
        assert await toy.word_total() == end + 15
        outbox = Outbox(toy.database.pool)
        await outbox.check_start(0, end)
        outputs = [message async for message in outbox.stream(0, end)]
        assert (outputs[0].first, outputs[-1].next) == (end, end + 15)


async def test_shard_notices_at_its_start_that_its_upstream_went_back(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path, gap_check_s=0.2) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(20)), DEADLINE)
        await restore_log(database, 2)
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await wait_until(lambda: is_beyond_upstream(toy))


async def test_shard_notices_that_its_upstream_went_back_and_has_grown_past_it(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    word_log.lives = [(1, 0)]
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(20)), DEADLINE)
    await restore_log(database, 10)
    word_log.lives.append((2, 10))
    await word_log.append(0, sample_facts(30, 7))
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await wait_until(lambda: is_beyond_upstream(toy))
        assert await toy.next() == 20, "facts of the later life are not mixed with these"


async def test_shard_goes_on_in_a_later_life_that_has_all_that_it_has_folded(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    word_log.lives = [(1, 0)]
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(20)), DEADLINE)
        word_log.lives.append((2, 20))
        token = await append(word_log, relay, sample_facts(5, 3))
        await toy.runner.wait_for(token, DEADLINE)
        assert not toy.runner.stalled
        async with toy.database.pool.acquire() as conn:
            [checkpoint] = await load_checkpoints(conn)
        assert checkpoint.upstream_life == 2


async def test_messages_of_an_old_life_that_continue_the_checkpoint_are_not_folded(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    word_log.lives = [(1, 0)]
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(10)), DEADLINE)
        await toy.bus.ensure_stream(LOG_SUBJECT)
    # Both databases went back to here; the bus has ten more facts of the life before.
    word_log.lives.append((2, 10))
    lost = OutboxMessage(10, 20, encode(sample_facts(10, 9)), life=1)
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.bus.ready()
        await (await toy.bus.publish(f"{LOG_SUBJECT}.0", lost))
        counted = toy.bus.metrics.bus_messages_of_other_lives.labels(f"{LOG_SUBJECT}.0")
        await wait_until(lambda: counted._value.get() > 0)
        token = await append(word_log, None, sample_facts(4, 2))
        await toy.runner.wait_for(token, DEADLINE)
        assert await toy.next() == 14
        assert await toy.word_total() == 14
        assert not toy.runner.stalled


async def test_outbox_of_an_earlier_life_is_named_to_who_has_read_beyond_its_end(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(20)), DEADLINE)
        outbox = Outbox(toy.database.pool)
        [message] = [message async for message in outbox.stream(0, 0)]
        assert message.life
        await outbox.check_start(0, 20, message.life)
    # The state and the outbox go back, and grow again in another lease.
    conn = await asyncpg.connect(database)
    await conn.execute("UPDATE toy_g1.checkpoint SET next = 10, next_output = 10, log_offset = 10")
    await conn.execute("DELETE FROM toy.outbox")
    await conn.close()
    await word_log.append(0, sample_facts(9, 4))
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(Token((29,)), DEADLINE)
        outbox = Outbox(toy.database.pool)
        with pytest.raises(UpstreamWentBack, match="only 10 of the 20"):
            await outbox.check_start(0, 20, message.life)
        await outbox.check_start(0, 10, message.life)
        assert not await outbox.has_life(0, 20, message.life)
        with pytest.raises(UpstreamWentBack):
            await outbox.check_start(0, 10, message.life + 1)


async def test_message_on_the_bus_carries_the_life_of_its_stream(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path) as toy,
        PullSubscription(toy.bus, f"{TOY_SUBJECT}.0", "test") as subscription,
    ):
        await toy.runner.wait_for(await append(word_log, None, sample_facts(5)), DEADLINE)
        received = await subscription.wait(DEADLINE)
        assert received is not None
        async with toy.database.pool.acquire() as conn:
            assert received.message.life == await load_life(conn, 0) != 0


async def test_stream_is_not_read_on_another_timeline_before_its_writer_is_there(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(5)), DEADLINE)
    conn = await asyncpg.connect(database)
    await conn.execute("UPDATE toy.stream_life SET timeline = 'that of the old primary'")
    await conn.execute("SET search_path TO toy_g1,toy")
    with pytest.raises(StoreUnavailable, match="no writer"):
        await check_life(conn, 0, 0, 0)
    life = await begin_life(conn, 0)
    assert await check_life(conn, 0, 5, life) == life
    await conn.close()


async def test_projection_forgets_a_shard_before_each_lease(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = RememberingWords()
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: words.forgotten == [0])
        await wait_until(lambda: toy.runner.leased == {0})
        conn = await asyncpg.connect(database)
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await conn.close()
        await wait_until(lambda: words.forgotten == [0, 0])


async def test_reached_token_goes_back_with_the_database(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path) as toy:
        await toy.runner.wait_for(await append(word_log, None, sample_facts(20)), DEADLINE)
        conn = await asyncpg.connect(database)
        await conn.execute("ALTER TABLE public.word_fact RENAME TO hidden")
        await conn.execute(
            "UPDATE toy_g1.checkpoint SET next = 10, next_output = 10, log_offset = 10"
        )
        await conn.execute("DELETE FROM toy.outbox WHERE next > 10")
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        async def offset() -> bool:
            try:
                return (await toy.runner.token()).offsets == (10,)
            except Exception:
                return False

        await wait_until(offset)
        await conn.close()
