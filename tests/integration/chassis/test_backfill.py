"""Backfills on real engines: steps between folds, turns, blocking jobs, crashes, replicas."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from service_fixtures import wait_until
from toy.labels import JOB, Labels, definition
from toy.running import DEADLINE, Replica, append, replica
from toy.words import WordFact, WordLog, WordsRebuilder

from services.chassis.messaging.outbox import Outbox
from services.chassis.projection.backfill import BackfillJob, BackfillStep, is_backfilling, schedule
from services.chassis.projection.backfill_share import FIRST_ROWS
from services.chassis.projection.checkpoint import Checkpoint, load_checkpoints
from services.chassis.projection.consumer import Limits
from services.chassis.projection.rebuild import RebuildResult, RebuildRunner
from services.kernel.errors import Conflict, ServiceUnavailable, TokenNotReached
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

W = WorkspaceId("w0")
#: Longer than a test: an idle worker that starts a backfill must have been woken.
NEVER = 3600.0


def leaves(count: int, first: int = 0) -> list[WordFact]:
    return [WordFact(W, f"leaf{i}", "word") for i in range(first, first + count)]


async def versions(toy: Replica) -> set[int]:
    """The labels of all leaves."""
    rows = await toy.database.pool.fetch("SELECT DISTINCT version FROM label")
    return {row["version"] for row in rows}


async def all_have(toy: Replica, version: int) -> None:
    async def have() -> bool:
        return await versions(toy) == {version} and not await backfilling(toy)

    await wait_until(have, DEADLINE)


async def backfilling(toy: Replica) -> bool:
    async with toy.database.pool.acquire() as conn:
        return await is_backfilling(conn, JOB, W)


async def published_offsets(toy: Replica) -> list[int]:
    """The log offsets that the outputs of shard 0 carry, in order."""
    outputs = await Outbox(toy.database.pool).read(0, 0, 1_000)
    return [json.loads(output.payload)["log_offset"] for output in outputs]


async def received(toy: Replica, end: int) -> None:
    """Wait until the messages of the bus up to `end` wait for the worker."""
    [worker] = toy.runner._workers
    subscription = worker._consumer._subscription
    await wait_until(lambda: subscription.high_water_mark(0) == end, DEADLINE)


async def log_offset(toy: Replica) -> int:
    async with toy.database.pool.acquire() as conn:
        return (await load_checkpoints(conn))[0].log_offset


async def test_backfill_while_messages_come_runs_at_most_one_step_between_two_batches(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    word_log.page = 1
    await word_log.append(0, [*leaves(3), definition(W, 1), *leaves(6, first=3)])
    words = Labels()
    options = {"words": words, "limits": Limits(messages=1)}
    async with replica(database, nats_url, word_log, tmp_path, **options) as toy:
        await toy.runner.wait_for(Token((10,)), DEADLINE)
        await wait_until(lambda: len(words.steps) >= 6)
    last_fold = max(i for i, part in enumerate(words.journal) if part == "fold")
    beside = words.journal[4:last_fold]
    assert beside[0] == "step"
    assert ("step", "step") not in pairwise(beside)
    assert [cursor for _, _, cursor in words.steps[:3]] == ["", "leaf0", "leaf1"]


async def test_backfill_without_messages_runs_to_its_end(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, [*leaves(20), definition(W, 1)])
    words = Labels()
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await toy.runner.wait_for(Token((21,)), DEADLINE)
        await all_have(toy, 1)
        # The steps are short, so each works on more rows than the one before.
        assert words.rows[0] == FIRST_ROWS < max(words.rows)
        assert await published_offsets(toy) == [21] * 22


async def test_schedule_on_all_shards_wakes_the_idle_workers_of_the_process(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    shards, words = 3, Labels(shards=3)
    for shard in range(shards):
        await word_log.append(shard, leaves(2))
    options = {"shards": shards, "words": words}
    async with replica(database, nats_url, word_log, tmp_path, **options) as toy:
        await toy.runner.wait_for(Token((2,) * shards), DEADLINE)
    options["gap_check_s"] = NEVER
    async with replica(database, nats_url, word_log, tmp_path, **options) as toy:
        await wait_until(lambda: len(toy.runner.leased) == shards)
        await toy.bus.ready()
        await toy.bus.ensure_stream("onefold.log")
        [output] = await word_log.append(0, [definition(W, 1)])
        await toy.bus.publish("onefold.log.0", output)
        await all_have(toy, 1)


async def test_blocking_backfill_withholds_tokens_and_no_later_batches(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await toy.runner.wait_for(await append(word_log, None, leaves(2)), DEADLINE)
        words.error = ServiceUnavailable("away")
        token = await append(word_log, None, [definition(W, 1, blocking=True)])
        await wait_until(lambda: words.steps)
        later = await append(word_log, None, [WordFact("w1", "leaf9", "word")])
        await wait_until(lambda: (0, 3, 4) in words.folds)
        with pytest.raises(TokenNotReached):
            await toy.runner.wait_for(token, 1.0)
        assert await log_offset(toy) == 2
        words.error = None
        assert await toy.runner.wait_for(token, DEADLINE)
        await toy.runner.wait_for(later, DEADLINE)
        # Two leaves, the definition, the batch beside the job, its steps, its end.
        assert await published_offsets(toy) == [2, 2, 2, 2, 2, 4]


async def test_backfills_of_a_shard_take_turns(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    large = [WordFact("large", f"leaf{i}", "word") for i in range(9)]
    facts = [*large, WordFact("small", "leaf0", "word")]
    await word_log.append(0, [*facts, definition("large", 1), definition("small", 2)])
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: len(words.steps) == 12)
        assert toy.runner.stalled == {}
    small = [i for i, (_, version, _) in enumerate(words.steps) if version == 2]
    assert max(small) <= 3


async def test_first_step_of_a_new_backfill_does_not_wait_for_messages(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    word_log.page, words = 1, Labels()
    large = [WordFact("large", f"leaf{i}", "word") for i in range(20)]
    options = {"words": words, "limits": Limits(messages=1)}
    async with replica(database, nats_url, word_log, tmp_path, **options) as toy:
        await toy.runner.wait_for(await append(word_log, None, large), DEADLINE)
        words.may_end.clear()
        await append(word_log, None, [definition("large", 1)])
        await wait_until(lambda: words.steps)
        words.journal.clear()
        await toy.bus.ensure_stream("onefold.log")
        for fact in (definition("small", 2), *leaves(9)):
            [output] = await word_log.append(0, [fact])
            await (await toy.bus.publish("onefold.log.0", output))
        # The step takes so long that one batch does not use up the time of the batches after it.
        await received(toy, output.next)
        words.may_end.set()
        await wait_until(lambda: len(words.steps) >= 2)
    assert words.journal[:2] == ["fold", "step"]
    assert words.steps[1][1] == 2


async def test_message_that_arrives_in_the_middle_of_a_step_is_folded_first(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    words.pauses = True
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await toy.runner.wait_for(await append(word_log, None, leaves(1)), DEADLINE)
        words.may_step.clear()
        await append(word_log, None, [definition(W, 1)])
        await wait_until(lambda: words.steps)
        words.journal.clear()
        await toy.bus.ensure_stream("onefold.log")
        [output] = await word_log.append(0, leaves(1, first=1))
        await (await toy.bus.publish("onefold.log.0", output))
        await received(toy, output.next)
        words.may_step.set()
        await all_have(toy, 1)
        assert toy.runner.stalled == {}
    assert words.journal[:2] == ["fold", "step"]
    assert words.steps[0] == words.steps[1]


@pytest.mark.parametrize("blocking", [False, True])
async def test_backfill_of_a_small_workspace_makes_the_next_step(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, blocking: bool
) -> None:
    """However many pages that of a large one has left."""
    word_log.page, words = 1, Labels(page=2)
    large = [WordFact("large", f"leaf{i}", "word") for i in range(20)]
    facts = [*large, WordFact("small", "leaf0", "word"), definition("large", 1)]
    await word_log.append(0, [*facts, definition("small", 2, blocking=blocking)])
    options = {"words": words, "limits": Limits(messages=1)}
    async with replica(database, nats_url, word_log, tmp_path, **options) as toy:
        await wait_until(lambda: len(words.steps) == 12)
        assert toy.runner.stalled == {}
    assert [version for _, version, _ in words.steps[:3]] == [1, 2, 1]


async def test_unit_of_another_workspace_is_folded_between_two_pages(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    large = [WordFact("large", f"leaf{i}", "word") for i in range(20)]
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await toy.runner.wait_for(await append(word_log, None, large), DEADLINE)
        words.may_end.clear()
        await append(word_log, None, [definition("large", 1)])
        await wait_until(lambda: words.steps)
        [output] = await word_log.append(0, [WordFact("small", "leaf0", "word")])
        await toy.bus.ensure_stream("onefold.log")
        await (await toy.bus.publish("onefold.log.0", output))
        words.journal.clear()
        # The message arrives while the first page is under way.
        await received(toy, output.next)
        words.may_end.set()
        await wait_until(lambda: len(words.journal) >= 20)
    assert words.journal.index("fold") == 0, "19 pages are left"


async def test_two_blocking_backfills_release_tokens_when_the_last_one_ends(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    other = WordFact("w1", "leaf0", "word")
    definitions = [definition(w, 1, blocking=True) for w in ("w0", "w1")]
    await word_log.append(0, [*leaves(1), other, *definitions])
    async with replica(database, nats_url, word_log, tmp_path, words=Labels()) as toy:
        await toy.runner.wait_for(Token((4,)), DEADLINE)
        assert await versions(toy) == {1}
        assert await published_offsets(toy) == [0, 0, 0, 0, 4]


async def test_higher_version_during_a_step_restarts_the_backfill(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    await word_log.append(0, [*leaves(3), definition(W, 1)])
    words.may_end.clear()
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: words.steps)
        async with toy.database.pool.acquire() as conn, conn.transaction():
            await schedule(conn, [0], JOB, W, 2)
        words.may_end.set()
        await all_have(toy, 2)
    assert [step[1:] for step in words.steps] == [
        *((1, ""), (2, ""), (2, "leaf0"), (2, "leaf1"), (2, "leaf2"))
    ]


async def test_request_of_the_same_version_restarts_and_of_a_lower_one_does_not(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    await word_log.append(0, [*leaves(2), definition(W, 2)])
    words.may_step.clear()
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: words.steps)
        for version in (2, 1):
            async with toy.database.pool.acquire() as conn, conn.transaction():
                await schedule(conn, [0], JOB, W, version)
        words.may_step.set()
        await all_have(toy, 2)
    assert [step[1:] for step in words.steps] == [(2, ""), (2, ""), (2, "leaf0"), (2, "leaf1")]


async def test_request_during_the_last_step_of_a_blocking_backfill_publishes_its_end_once(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    await word_log.append(0, [definition(W, 1, blocking=True)])
    words.may_step.clear()
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        await wait_until(lambda: words.steps)
        async with toy.database.pool.acquire() as conn, conn.transaction():
            await schedule(conn, [0], JOB, W, 1, restart=False)
        words.may_step.set()
        await toy.runner.wait_for(Token((1,)), DEADLINE)
        assert (await published_offsets(toy)).count(1) == 1


async def test_backfill_after_a_crash_resumes_at_its_cursor(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, [*leaves(4), definition(W, 1, blocking=True)])
    first, second = Labels(), Labels()
    first.hang_at = "leaf1"
    async with replica(database, nats_url, word_log, tmp_path, words=first):
        await wait_until(lambda: first.steps and first.steps[-1][2] == "leaf1")
    async with replica(database, nats_url, word_log, tmp_path, words=second) as toy:
        await toy.runner.wait_for(Token((5,)), DEADLINE)
        await all_have(toy, 1)
    assert second.steps[0] == (0, 1, "leaf1")
    assert second.folds == []


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), ValueError("a fault")])
async def test_failing_backfill_does_not_stop_the_folding(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path, error: Exception
) -> None:
    words = Labels()
    words.error = error
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        facts = [*leaves(2), definition(W, 1)]
        await toy.runner.wait_for(await append(word_log, None, facts), DEADLINE)
        await wait_until(lambda: len(words.steps) >= 2)
        for i in range(2, 5):
            await toy.runner.wait_for(await append(word_log, None, leaves(1, first=i)), DEADLINE)
        assert await versions(toy) == {0}
        assert bool(toy.runner.stalled) == isinstance(error, ValueError)
        words.error = None
        await all_have(toy, 1)
        assert toy.runner.stalled == {}


class Unmoved(Labels):
    """Returns the cursor at which the step began."""

    async def backfill_step(
        self, conn: asyncpg.Connection, job: BackfillJob, at: Checkpoint
    ) -> BackfillStep:
        return replace(await super().backfill_step(conn, job, at), cursor=job.cursor)


async def test_backfill_that_does_not_move_its_cursor_is_an_error(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    await word_log.append(0, [*leaves(3), definition(W, 1)])
    async with replica(database, nats_url, word_log, tmp_path, words=Unmoved()) as toy:
        await wait_until(lambda: toy.runner.stalled == {0: "InvalidFoldResult at 4"})
        assert await versions(toy) == {0}


async def test_backfill_of_two_replicas_labels_the_leaves_of_both(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    shards = 2
    for shard in range(shards):
        await word_log.append(shard, leaves(5))
    one, two = Labels(shards), Labels(shards)
    async with (
        replica(database, nats_url, word_log, tmp_path, shards=shards, words=one) as toy,
        replica(database, nats_url, word_log, tmp_path, shards=shards, words=two) as other,
    ):
        await wait_until(lambda: len(toy.runner.leased) == len(other.runner.leased) == 1)
        await toy.runner.wait_for(await append(word_log, None, [definition(W, 1)]), DEADLINE)
        await all_have(toy, 1)
        assert {step[0] for step in one.steps} | {step[0] for step in two.steps} == {0, 1}
        assert {step[0] for step in one.steps} & {step[0] for step in two.steps} == set()


async def test_rebuild_during_a_backfill_is_refused(
    database: str, nats_url: str, word_log: WordLog, tmp_path: Path
) -> None:
    words = Labels()
    words.may_step.clear()
    async with replica(database, nats_url, word_log, tmp_path, words=words) as toy:
        facts = [*leaves(3), definition(W, 1)]
        await toy.runner.wait_for(await append(word_log, None, facts), DEADLINE)
        rebuilder = WordsRebuilder(word_log, Labels())
        rebuild = RebuildRunner(toy.database, rebuilder, shards=1, root=tmp_path)
        with pytest.raises(Conflict, match="a backfill is in progress"):
            [_ async for _ in rebuild.run()]
        words.may_step.set()
        await all_have(toy, 1)
        results = [result async for result in rebuild.run(switch_over=True)]
        assert isinstance(results[-1], RebuildResult)
        assert (results[-1].equal, results[-1].switched) == (True, True)
        # The replay ran the backfills of the definitions in the log.
        assert await versions(toy) == {1}
