"""Rebuilds beside a live state, on real engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from toy.running import DEADLINE, Replica, relaying, replica, say
from toy.words import WordLog, Words, WordsRebuilder, WordsReplacer, story

from services.chassis.messaging.outbox import Outbox
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.projection.checkpoint import lock_checkpoints
from services.chassis.projection.rebuild_runner import RebuildProgress, RebuildResult, RebuildRunner
from services.chassis.runtime.tasks import task_scope
from services.chassis.testing import wait_until
from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token

SHARDS = 2


async def filled(log: WordLog, length: int = 200) -> Token:
    for shard in range(SHARDS):
        await log.append(shard, story(length, shard))
    return Token((length,) * SHARDS)


def rebuild_of(toy: Replica, rebuilder: WordsRebuilder, root: Path) -> RebuildRunner:
    return RebuildRunner(toy.database, rebuilder, shards=SHARDS, root=root)


async def outcome_of(told: AsyncIterator[RebuildProgress | RebuildResult]) -> RebuildResult:
    outcome = [each async for each in told][-1]
    assert isinstance(outcome, RebuildResult)
    return outcome


async def schemas(dsn: str) -> set[str]:
    conn = await asyncpg.connect(dsn)
    try:
        rows = await conn.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'toy_g%'")
        return {row["nspname"] for row in rows}
    finally:
        await conn.close()


async def test_a_rebuild_proves_the_live_state(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(token := await filled(word_log), DEADLINE)
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        told = [each async for each in rebuild.run(workers=2)]
        outcome = told[-1]
        assert isinstance(outcome, RebuildResult)
        assert (outcome.equal, outcome.switched, outcome.token) == (True, False, token)
        assert outcome.live == outcome.rebuilt == await toy.digests()
        assert outcome.done == 400
        assert all(isinstance(each, RebuildProgress) for each in told[:-1])
        assert await schemas(database) == {"toy_g1"}


async def test_a_difference_is_found_and_named(
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
        outcome = await outcome_of(rebuild.run(switch_over=True))
        assert (outcome.equal, outcome.switched) == (False, False)
        assert len(outcome.differing_rows) == 1
        assert outcome.differing_rows[0].startswith("word_count w")
        assert sum(outcome.live[w] != outcome.rebuilt[w] for w in outcome.live) == 1
        assert await schemas(database) == {"toy_g1"}
        await toy.runner.wait_for(await say(word_log, None, story(5)), DEADLINE)


async def test_the_live_state_goes_on_while_another_takes_its_place(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with (
        replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy,
        replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as other,
        relaying(toy.bus, word_log, SHARDS) as relay,
    ):
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        total, generations = 400, []

        async def talk() -> None:
            nonlocal total
            while True:
                token = await say(word_log, relay, story(7, total), shard=total % SHARDS)
                total += 7
                await other.runner.wait_for(token, DEADLINE)

        rebuilder = WordsRebuilder(word_log)
        async with task_scope(talk()) as talking:
            for _ in range(3):
                outcome = await outcome_of(
                    rebuild_of(toy, rebuilder, tmp_path).run(switch_over=True)
                )
                assert (outcome.equal, outcome.switched) == (True, True)
                generations.append(toy.database.generation)
                seen = total
                await wait_until(lambda seen=seen: total > seen + 20, DEADLINE)
            talking.cancel()
        assert generations == [2, 3, 4]
        assert await schemas(database) == {"toy_g3", "toy_g4"}
        assert rebuilder.adopted == [(f"toy_g{n}", f"toy_g{n + 1}") for n in (1, 2, 3)]
        ends = Token(tuple([await word_log.tail(shard) for shard in range(SHARDS)]))
        await toy.runner.wait_for(ends, DEADLINE)
        await wait_until(lambda: other.database.generation == 4)
        assert await other.counted() == sum(ends.offsets)
        assert await toy.digests() == await other.digests()


async def test_outputs_go_on_without_a_hole_after_a_switch(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        await outcome_of(rebuild.run(switch_over=True))
        await toy.runner.wait_for(await say(word_log, None, story(5)), DEADLINE)
        rows = await toy.database.pool.fetch("SELECT * FROM outbox WHERE shard = 0 ORDER BY first")
        at = 0
        for row in rows:
            assert row["first"] == at
            at = row["next"]
        assert at == 205


async def test_a_state_that_differs_is_replaced_where_that_is_asked_for(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        right = await toy.digests()
        await toy.database.pool.execute("UPDATE word_count SET n = n + 1")
        await toy.database.pool.execute("UPDATE digest SET value = value + 1")
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        outcome = await outcome_of(rebuild.run(resync=True))
        assert (outcome.equal, outcome.switched) == (False, True)
        assert await schemas(database) == {"toy_g1", "toy_g2"}
        assert await toy.digests() == outcome.rebuilt == right
        for shard in range(SHARDS):
            await toy.runner.wait_for(await say(word_log, None, story(5), shard=shard), DEADLINE)
        for shard in range(SHARDS):
            outputs = await Outbox(toy.database.pool).read(shard, 0, 1_000)
            assert all(one.next == two.first for one, two in pairwise(outputs))
            assert outputs[-1].next == 205


async def test_a_worker_that_hears_nothing_any_more_finds_the_state_in_its_place(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    """Upstream has let go of what comes next; the new state begins behind it, and says so."""
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        toy.upstream.gone_before = 300
        end = await filled(word_log, 120)
        end = Token(tuple([await word_log.tail(shard) for shard in range(SHARDS)]))
        await wait_until(lambda: set(toy.runner.stalled()) == set(range(SHARDS)))
        replacer = WordsReplacer(word_log, end)
        rebuild = RebuildRunner(
            *(toy.database, replacer), shards=SHARDS, resync=replacer, root=tmp_path
        )
        outcome = await outcome_of(rebuild.run(resync=True))
        assert (outcome.token, outcome.switched) == (end, True)
        await toy.runner.wait_for(end, DEADLINE)
        assert await toy.counted() == 320 * SHARDS
        for shard in range(SHARDS):
            await toy.runner.wait_for(await say(word_log, None, story(5), shard=shard), DEADLINE)
            outputs = await Outbox(toy.database.pool).read(shard, 0, 1_000)
            assert OutboxMessage(200, 320, b"[]") in outputs
            assert outputs[-1].next == 325
        assert toy.runner.stalled() == {}


async def test_what_a_rebuild_leaves_when_it_fails_is_cleared_away(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        failing = WordsRebuilder(word_log, Words(poison="word1"))
        with pytest.raises(ValueError, match="cannot be counted"):
            await outcome_of(rebuild_of(toy, failing, tmp_path).run())
        assert await schemas(database) == {"toy_g1"}
        good = await outcome_of(rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run())
        assert good.equal


async def test_a_rebuild_that_is_left_ends(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log), DEADLINE)
        told = rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run()
        assert isinstance(await anext(told), RebuildProgress)
        with pytest.raises(Conflict, match="in progress"):
            await outcome_of(rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run())
        await told.aclose()  # type: ignore[attr-defined]
        again = await outcome_of(rebuild_of(toy, WordsRebuilder(word_log), tmp_path).run())
        assert again.equal


async def test_another_cut_cannot_become_live(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        rebuild = rebuild_of(toy, WordsRebuilder(word_log), tmp_path)
        with pytest.raises(InvalidField):
            await outcome_of(rebuild.run(shards=7, switch_over=True))


async def test_locked_positions_hold_every_worker_still(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    async with replica(database, nats_url, word_log, tmp_path, shards=SHARDS) as toy:
        await toy.runner.wait_for(await filled(word_log, 10), DEADLINE)
        async with toy.database.pool.acquire() as conn, conn.transaction():
            await lock_checkpoints(conn)
            token = await say(word_log, None, story(5))
            await wait_until(lambda: waiting(database))
            assert await toy.position() == 10
        await toy.runner.wait_for(token, DEADLINE)


async def waiting(dsn: str) -> bool:
    """Whether some session waits for a row."""
    conn = await asyncpg.connect(dsn)
    try:
        return await conn.fetchval(
            "SELECT count(*) > 0 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    finally:
        await conn.close()
