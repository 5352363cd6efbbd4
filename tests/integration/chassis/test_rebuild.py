"""Tests rebuilds beside a live state, on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from service_fixtures import wait_until
from toy.running import DEADLINE, Replica, append, relaying, replica
from toy.words import WordLog, Words, WordsRebuilder, WordsResync, sample_facts

from services.chassis.messaging.outbox import Outbox
from services.chassis.projection.checkpoint import lock_checkpoints
from services.chassis.projection.rebuild import RebuildProgress, RebuildResult, RebuildRunner
from services.chassis.runtime.tasks import task_scope
from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token

SHARDS = 2


async def filled(log: WordLog, length: int = 200) -> Token:
    for shard in range(SHARDS):
        await log.append(shard, sample_facts(length, shard))
    return Token((length,) * SHARDS)


def rebuild_of(toy: Replica, rebuilder: WordsRebuilder, root: Path) -> RebuildRunner:
    return RebuildRunner(toy.database, rebuilder, shards=SHARDS, root=root)


async def result_of(reports: AsyncIterator[RebuildProgress | RebuildResult]) -> RebuildResult:
    result = [each async for each in reports][-1]
    assert isinstance(result, RebuildResult)
    return result


async def schemas(dsn: str) -> set[str]:
    conn = await asyncpg.connect(dsn)
    try:
        rows = await conn.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'toy_g%'")
        return {row["nspname"] for row in rows}
    finally:
        await conn.close()


async def test_rebuild_of_a_correct_state_is_equal(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(token := await filled(word_log), DEADLINE)
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        reports = [each async for each in rebuild.run(workers=2)]
        result = reports[-1]
        assert isinstance(result, RebuildResult)
        assert (result.equal, result.switched, result.token) == (True, False, token)
        assert result.live == result.rebuilt == await toy.digests()
        assert result.done == 400
        assert all(isinstance(each, RebuildProgress) for each in reports[:-1])
        assert await schemas(database) == {"toy_g1"}


async def test_difference_is_found_and_named(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        pool = toy.database.pool
        await pool.execute(
            "UPDATE word_count SET n = n + 1 WHERE ctid = (SELECT min(ctid) FROM word_count)"
        )
        await pool.execute(
            "UPDATE digest SET value = value + 1 WHERE ctid = (SELECT min(ctid) FROM digest)"
        )
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        result = await result_of(rebuild.run(switch_over=True))
        assert (result.equal, result.switched) == (False, False)
        assert len(result.differing_rows) == 1
        assert result.differing_rows[0].startswith("word_count w")
        assert sum(result.live[w] != result.rebuilt[w] for w in result.live) == 1
        assert await schemas(database) == {"toy_g1"}
        await toy.runner.wait_for(await append(word_log, None, sample_facts(5)), DEADLINE)


async def test_live_state_goes_on_during_switches(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy,
        replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as other,
        relaying(toy.bus, word_log, SHARDS) as relay,
    ):
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        total, generations = 400, []

        async def append_facts() -> None:
            nonlocal total
            while True:
                token = await append(word_log, relay, sample_facts(7, total), shard=total % SHARDS)
                total += 7
                await other.runner.wait_for(token, DEADLINE)

        rebuilder = WordsRebuilder(word_log)
        async with task_scope(append_facts()) as appending:
            for _ in range(3):
                result = await result_of(rebuild_of(toy, rebuilder, tmp_path).run(switch_over=True))
                assert (result.equal, result.switched) == (True, True)
                generations.append(toy.database.generation)
                seen = total
                await wait_until(lambda seen=seen: total > seen + 20, DEADLINE)
            appending.cancel()
        assert generations == [2, 3, 4]
        assert await schemas(database) == {"toy_g3", "toy_g4"}
        assert rebuilder.carried_over == [(f"toy_g{n}", f"toy_g{n + 1}") for n in (1, 2, 3)]
        ends = Token(tuple([await word_log.tail(shard) for shard in range(SHARDS)]))
        await toy.runner.wait_for(ends, DEADLINE)
        await wait_until(lambda: other.database.generation == 4)
        assert await other.word_total() == sum(ends.offsets)
        assert await toy.digests() == await other.digests()


async def test_idle_worker_follows_two_switches_that_dropped_its_generation(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy,
        relaying(toy.bus, word_log, SHARDS) as relay,
    ):
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        rebuilder = WordsRebuilder(word_log)
        for _ in range(2):
            result = await result_of(rebuild_of(toy, rebuilder, tmp_path).run(switch_over=True))
            assert result.switched
        assert await schemas(database) == {"toy_g2", "toy_g3"}
        for shard in range(SHARDS):
            token = await append(word_log, relay, sample_facts(5, 1_000), shard=shard)
            await toy.runner.wait_for(token, DEADLINE)
        assert not toy.runner.stalled


async def test_rebuild_that_begins_during_a_switch_continues_from_the_new_state(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy,
        replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as other,
    ):
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        connect = other.database.connect

        async def connect_late(**options: bool) -> asyncpg.Connection:
            """Connect as before, and lock only after another rebuild has switched."""
            other.database.connect = connect  # type: ignore[method-assign]
            conn = await connect(**options)
            await result_of(
                rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run(switch_over=True)
            )
            return conn

        other.database.connect = connect_late  # type: ignore[method-assign]
        rebuild = rebuild_of(other, WordsRebuilder(word_log), tmp_path)
        result = await result_of(rebuild.run(switch_over=True))
        assert (result.equal, result.switched) == (True, True)
        assert await schemas(database) == {"toy_g2", "toy_g3"}
        assert await other.word_total() == 200 * SHARDS


async def test_outputs_after_a_switch_have_no_gap(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        await result_of(rebuild.run(switch_over=True))
        await toy.runner.wait_for(await append(word_log, None, sample_facts(5)), DEADLINE)
        rows = await toy.database.pool.fetch("SELECT * FROM outbox WHERE shard = 0 ORDER BY first")
        at = 0
        for row in rows:
            assert row["first"] == at
            at = row["next"]
        assert at == 205


async def test_resync_replaces_a_state_that_differs(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        correct = await toy.digests()
        await toy.database.pool.execute("UPDATE word_count SET n = n + 1")
        await toy.database.pool.execute("UPDATE digest SET value = value + 1")
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        result = await result_of(rebuild.run(resync=True))
        assert (result.equal, result.switched) == (False, True)
        assert await schemas(database) == {"toy_g1", "toy_g2"}
        assert await toy.digests() == result.rebuilt == correct
        for shard in range(SHARDS):
            await toy.runner.wait_for(
                await append(word_log, None, sample_facts(5), shard=shard), DEADLINE
            )
        for shard in range(SHARDS):
            outputs = await Outbox(toy.database.pool).read(shard, 0, 1_000)
            assert all(one.next == two.first for one, two in pairwise(outputs))
            assert outputs[-1].next == 205


async def test_resync_of_a_stalled_state_continues_beyond_the_gap(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    """Upstream has deleted the next messages; the new state begins after them."""
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        toy.upstream.gone_before = 300
        end = await filled(word_log, 120)
        end = Token(tuple([await word_log.tail(shard) for shard in range(SHARDS)]))
        await wait_until(lambda: set(toy.runner.stalled) == set(range(SHARDS)))
        resync = WordsResync(word_log, end)
        rebuild = RebuildRunner(
            *(toy.database, resync), shards=SHARDS, resync=resync, root=tmp_path
        )
        result = await result_of(rebuild.run(resync=True))
        assert (result.token, result.switched) == (end, True)
        await toy.runner.wait_for(end, DEADLINE)
        assert await toy.word_total() == 320 * SHARDS
        for shard in range(SHARDS):
            await toy.runner.wait_for(
                await append(word_log, None, sample_facts(5), shard=shard), DEADLINE
            )
            outputs = await Outbox(toy.database.pool).read(shard, 0, 1_000)
            assert (200, 320, b"[]") in [(o.first, o.next, o.payload) for o in outputs]
            assert outputs[-1].next == 325
        assert toy.runner.stalled == {}


async def test_failed_rebuild_leaves_no_schema(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        failing = WordsRebuilder(word_log, Words(poison="word1"))
        with pytest.raises(ValueError, match="cannot be counted"):
            await result_of(rebuild_of(toy, failing, tmp_path).run())
        assert await schemas(database) == {"toy_g1"}
        good = await result_of(rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run())
        assert good.equal


async def test_abandoned_rebuild_ends_and_frees_its_lock(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        reports = rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run()
        assert isinstance(await anext(reports), RebuildProgress)
        with pytest.raises(Conflict, match="in progress"):
            await result_of(rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run())
        await reports.aclose()  # type: ignore[attr-defined]
        repeated = await result_of(rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run())
        assert repeated.equal


async def test_state_with_another_number_of_shards_cannot_become_live(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        with pytest.raises(InvalidField):
            await result_of(rebuild.run(shards=7, switch_over=True))


async def test_locked_checkpoints_stop_every_worker(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log, 10), DEADLINE)
        async with toy.database.pool.acquire() as conn, conn.transaction():
            await lock_checkpoints(conn)
            token = await append(word_log, None, sample_facts(5))
            await wait_until(lambda: waiting(database))
            assert await toy.next() == 10
        await toy.runner.wait_for(token, DEADLINE)


async def waiting(dsn: str) -> bool:
    """Return whether a session waits for a row."""
    conn = await asyncpg.connect(dsn)
    try:
        return await conn.fetchval(
            "SELECT count(*) > 0 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    finally:
        await conn.close()
