"""Tests that a fact whose fold raises is left out, and stops nothing but itself."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from service_fixtures import wait_until
from toy.running import DEADLINE, Replica, append, relaying, replica
from toy.words import IsolatingWords, WordFact, WordLog, WordsRebuilder, sample_facts

from services.chassis.messaging.stream import Batch, FoldResult
from services.chassis.projection import batch_size, failed_facts
from services.chassis.projection.failed_facts import list_failed, retry_failed
from services.chassis.projection.rebuild import RebuildResult, RebuildRunner
from services.kernel.tokens import Token

POISON = WordFact("w0", "leaf0", "hemlock")
#: A message with the fact in its middle.
FACTS = [*sample_facts(30), POISON, *sample_facts(30, 1)]


async def left_out(toy: Replica) -> list[tuple[int, int]]:
    async with toy.database.pool.acquire() as conn:
        return [(row["shard"], row["sequence"]) for row in await list_failed(conn, 5_000)]


async def rebuilt(toy: Replica, log: WordLog, root: Path, poison: str) -> RebuildResult:
    rebuilder = WordsRebuilder(log, IsolatingWords(poison))
    runner = RebuildRunner(toy.database, rebuilder, shards=1, root=root)
    result = [each async for each in runner.run(workers=2)][-1]
    assert isinstance(result, RebuildResult)
    return result


async def test_fact_whose_fold_raises_is_left_out_and_the_others_are_folded(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = IsolatingWords("hemlock")
    async with (
        replica(database, nats_url, word_log, tmp_path, words=words) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, FACTS), DEADLINE)
        assert await left_out(toy) == [(0, 30)]
        assert await toy.word_total() == 60
        await toy.runner.check()
        await wait_until(lambda: 0 in toy.runner.left_out)
        assert toy.runner.left_out[0].failed == 1
        # What it published covers the failed fact too.
        outputs = await toy.database.pool.fetch("SELECT first, next FROM outbox ORDER BY first")
        assert [row["first"] for row in outputs] == [0, *[row["next"] for row in outputs[:-1]]]
        result = await rebuilt(toy, word_log, tmp_path, "hemlock")
        assert result.equal
        # Many facts cost few transactions.
        assert len(words.folds) < 40


async def test_failed_fact_is_folded_late_once_it_can_be(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = IsolatingWords("hemlock")
    async with (
        replica(database, nats_url, word_log, tmp_path, words=words) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, FACTS), DEADLINE)
        words.poison = ""
        async with toy.database.pool.acquire() as conn:
            assert await retry_failed(conn) == 1

        async def is_folded() -> bool:
            return not await left_out(toy)

        await wait_until(is_folded)
        assert await toy.word_total() == len(FACTS)
        assert await toy.runner.token() == Token((len(FACTS),))
        assert (await rebuilt(toy, word_log, tmp_path, "")).equal
        await wait_until(lambda: not toy.runner.left_out)


async def test_failed_fact_that_raises_again_is_tried_later_and_blocks_nothing(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = IsolatingWords("hemlock")
    async with (
        replica(database, nats_url, word_log, tmp_path, words=words) as toy,
        relaying(toy.bus, word_log) as relay,
    ):
        await toy.runner.wait_for(await append(word_log, relay, FACTS), DEADLINE)
        async with toy.database.pool.acquire() as conn:
            await retry_failed(conn)

        async def attempts() -> int:
            async with toy.database.pool.acquire() as conn:
                [row] = await list_failed(conn, 10)
            assert row["error"].startswith("ValueError")
            return int(row["attempts"])

        await wait_until(lambda: _is(attempts, 2))
        await toy.runner.wait_for(await append(word_log, relay, sample_facts(10, 3)), DEADLINE)
        assert await toy.word_total() == 70


async def _is(attempts: object, count: int) -> bool:
    return bool(await attempts() == count)  # type: ignore[operator]


async def test_restarted_service_tries_failed_facts_at_once(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, FACTS)
    async with replica(
        database, nats_url, word_log, tmp_path, words=IsolatingWords("hemlock")
    ) as toy:
        await toy.runner.wait_for(Token((len(FACTS),)), DEADLINE)
    async with replica(database, nats_url, word_log, tmp_path, words=IsolatingWords()) as toy:

        async def is_folded() -> bool:
            return await toy.word_total() == len(FACTS)

        await wait_until(is_folded)


async def test_service_that_fails_facts_of_all_workspaces_stalls_and_leaves_out_few(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    """A broken version does not mark the whole log as failed."""
    facts = [WordFact(f"w{i % 2}", "leaf", "hemlock") for i in range(200)]
    await word_log.append(0, facts)
    words = IsolatingWords("hemlock")
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: 0 in toy.runner.stalled)
        assert len(await left_out(toy)) < 20
        words.poison = ""
        await toy.runner.wait_for(Token((200,)), DEADLINE)
        await toy.runner.check()


async def test_more_failed_facts_of_a_workspace_than_the_limit_stall_the_shard(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_facts, "MAX_FAILED", 5)
    await word_log.append(0, [POISON] * 6)
    words = IsolatingWords("hemlock")
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: 0 in toy.runner.stalled)
        assert len(await left_out(toy)) == 5


class SlowWords(IsolatingWords):
    """The database ends the session of a fold of more than `most` facts, or of the poison."""

    def __init__(self, most: int, poison: str = "") -> None:
        super().__init__()
        self._most = most
        self._deadly = poison

    async def fold(self, conn: asyncpg.Connection, batch: Batch) -> FoldResult:
        deadly = any(
            f"{self._deadly}".encode() in message.payload and not batch.left_out
            for message in batch.messages
        )
        if batch.next - batch.first > self._most or (self._deadly and deadly):
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await super().fold(conn, batch)


async def test_fold_that_loses_its_session_is_made_smaller(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, sample_facts(100))
    async with replica(database, nats_url, word_log, tmp_path, words=SlowWords(7)) as toy:
        await toy.runner.wait_for(Token((100,)), DEADLINE)
        assert await toy.word_total() == 100
        assert not await left_out(toy)


async def test_fact_that_ends_every_session_is_left_out(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "MIN_LOST_S", 0.0)
    await word_log.append(0, FACTS)
    words = SlowWords(1_000, "hemlock")
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await toy.runner.wait_for(Token((len(FACTS),)), DEADLINE)
        assert await left_out(toy) == [(0, 30)]
        assert await toy.word_total() == 60
