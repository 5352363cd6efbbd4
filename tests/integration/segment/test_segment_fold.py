"""Tests entries and exits, folded into real tables from the messages of profile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from integration.segment.segment_fixture import (
    ALL_IDS,
    BOUGHT,
    BOUGHT_ID,
    CITY,
    CITY_ID,
    IDLE,
    SHARDS,
    VISITED,
    VISITED_ID,
    SegmentWorkers,
    W,
    defined,
    evaluated,
    profile,
)
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined
from onefold.log.v1.erasure_pb2 import PersonErased
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import ProfileChange
from onefold.segment.v1.segment_stream_pb2 import (
    MEMBERSHIP_CAUSE_DEFINITION,
    MembershipCause,
    MembershipChange,
)

from services.chassis.codec.named_rules import SEGMENT_DEFINED
from services.chassis.projection.backfill import load_backlog
from services.chassis.projection.checkpoint import load_checkpoint
from services.kernel.ids import shard_of
from services.segment.codec.bus import evaluation_from_proto
from services.segment.codec.definitions import decode_definition
from services.segment.domain.membership import ActiveSegments
from services.segment.domain.model import ProfileEvaluation
from services.segment.projection.fold import SegmentProjection


def summary(changes: list[MembershipChange]) -> list[tuple[str, int, bool, str]]:
    numbers = {profile(n): n for n in range(20)}
    return [
        (
            c.segment_id,
            numbers[c.profile_id],
            c.entered,
            MembershipCause.Name(c.cause).removeprefix("MEMBERSHIP_CAUSE_"),
        )
        for c in changes
    ]


async def test_profiles_enter_and_leave(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT), defined("idle", IDLE)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1, VISITED_ID))
    workers.publish(0, evaluated(1, 2, VISITED_ID))
    await workers.fold_all(size=1)
    assert await workers.members("buyers") == set()
    assert await workers.members("idle") == set()
    assert summary(await workers.changes()) == [
        ("buyers", 1, True, "RULE"),
        ("idle", 1, True, "RULE"),
        ("buyers", 1, False, "RULE"),
        ("idle", 1, False, "RULE"),
    ]
    await workers.check()


@pytest.mark.parametrize("size", [1, 100])
async def test_changes_do_not_depend_on_the_size_of_batches(
    workers: SegmentWorkers, size: int
) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID))
    workers.publish(0, evaluated(1, 2))
    workers.publish(0, evaluated(1, 3, BOUGHT_ID))
    await workers.fold_all(size=size)
    changes = await workers.changes()
    expected = [("buyers", 1, entered, "RULE") for entered in (True, False, True)]
    assert summary(changes) == expected
    assert [c.changed_at_us for c in changes] == [3_000, 4_000, 5_000]
    await workers.check()


async def test_time_from_an_event_to_its_change_is_measured_once_it_is_committed(
    workers: SegmentWorkers,
) -> None:
    waits: list[float] = []
    workers.projections[0] = SegmentProjection(
        workers.shards, on_access=lambda: None, on_published=waits.append
    )
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    # The changes happen milliseconds after 1970 began.
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1, BOUGHT_ID))
    await workers.fold_all()
    assert waits == []
    workers.projections[0].committed(0)
    assert len(waits) == 2
    assert min(waits) > 50 * 365 * 86_400


async def test_stale_evaluation_is_ignored(workers: SegmentWorkers) -> None:
    """Two shards evaluate the same profile; the higher version wins in any order."""
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 5, BOUGHT_ID))
    workers.publish(1, evaluated(1, 4), evaluated(2, 1, BOUGHT_ID))
    workers.publish(0, evaluated(2, 2))
    await workers.fold_all()
    assert await workers.members("buyers") == {profile(1)}
    await workers.check()


async def test_definition_after_evaluations_gives_the_same_members(workers: SegmentWorkers) -> None:
    workers.backfilled()
    await workers.fold_all()
    workers.publish(
        0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1), evaluated(3, 1, BOUGHT_ID, VISITED_ID)
    )
    await workers.fold_all()
    assert not await workers.changes()
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    await workers.fold_all()
    assert await workers.members("buyers") == {profile(1), profile(3)}
    assert {change[3] for change in summary(await workers.changes())} == {"DEFINITION"}
    await workers.check()


async def test_token_is_reached_when_its_definition_is_carried_out(workers: SegmentWorkers) -> None:
    """Neither the checkpoint nor an output reaches the definition before the sweep has ended."""
    workers.rows_per_step = 3
    workers.backfilled()
    workers.publish(0, *[evaluated(n, 1, BOUGHT_ID) for n in range(20)])
    await workers.fold_all()
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    for shard in range(SHARDS):
        own = {profile(n) for n in range(20) if shard_of(profile(n), SHARDS) == shard}
        head = len(workers.published[shard])
        async with workers.pool.acquire() as conn:
            at = await load_checkpoint(conn, shard)
            assert at is not None
            step = await workers.fold_once(conn, at, workers.messages(shard, at.next, 1))
            while step is not None:
                at = step
                is_carried_out = own <= await workers.members("buyers")
                assert at.log_offset < head or is_carried_out
                step = await workers.backfill_once(conn, at)
        assert at.log_offset == head
        outputs = [output for output in await workers.outputs() if output.shard == shard]
        assert len(outputs) > 3
        assert max(output.log_offset for output in outputs[:-1]) < outputs[-1].log_offset == head
    await workers.check()


async def test_new_version_of_a_rule_sweeps_every_profile(workers: SegmentWorkers) -> None:
    workers.rows_per_step = 7
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    numbers = range(100)
    for n in numbers:
        workers.publish(n % SHARDS, evaluated(n, 1, *([BOUGHT_ID] if n % 3 else [VISITED_ID])))
    await workers.fold_all()
    assert await workers.members("s") == {profile(n) for n in numbers if n % 3}
    workers.publish_everywhere(broadcast_facts=[defined("s", VISITED, version=2)])
    await workers.fold_all()
    assert await workers.members("s") == {profile(n) for n in numbers if not n % 3}
    swept = [c for c in await workers.changes() if c.cause == MEMBERSHIP_CAUSE_DEFINITION]
    assert {c.segment_version for c in swept} == {2}
    await workers.check()


async def test_older_version_changes_nothing(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT, version=2)])
    workers.publish_everywhere(broadcast_facts=[defined("s", VISITED, version=1)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1, VISITED_ID))
    await workers.fold_all()
    assert await workers.members("s") == {profile(1)}
    await workers.check()


async def test_segment_is_pending_until_every_shard_is_backfilled(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), backfilled_predicates=[BOUGHT_ID])
    workers.publish(1, evaluated(2, 1, BOUGHT_ID))
    await workers.fold_all()
    assert not await workers.changes()
    workers.publish(1, backfilled_predicates=[BOUGHT_ID])
    await workers.fold_all()
    assert await workers.members("buyers") == {profile(1), profile(2)}
    await workers.check()


async def test_predicates_are_backfilled_in_each_workspace(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(
        broadcast_facts=[defined("buyers", BOUGHT), defined("buyers", BOUGHT, workspace="other")]
    )
    workers.publish_everywhere(backfilled_predicates=[BOUGHT_ID], backfilled_workspace_id="other")
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1, BOUGHT_ID, workspace="other"))
    await workers.fold_all()
    assert await workers.members("buyers") == set()
    assert await workers.members("buyers", "other") == {profile(2)}
    await workers.check()


async def test_pending_rule_has_the_members_of_the_rule_before(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    workers.backfilled(BOUGHT_ID)
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1))
    await workers.fold_all()
    workers.publish_everywhere(broadcast_facts=[defined("s", CITY, version=2)])
    workers.publish(0, evaluated(1, 2), evaluated(2, 2, CITY_ID))
    await workers.fold_all()
    assert await workers.members("s") == {profile(1)}
    workers.backfilled(CITY_ID)
    await workers.fold_all()
    assert await workers.members("s") == {profile(2)}
    await workers.check()


async def test_retired_segment_loses_every_member(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    workers.backfilled(BOUGHT_ID)
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1, BOUGHT_ID))
    # Also where its last rule has a predicate that is never backfilled.
    workers.publish_everywhere(broadcast_facts=[defined("s", CITY, version=2, retired=True)])
    workers.publish(0, evaluated(3, 1, BOUGHT_ID, CITY_ID))
    await workers.fold_all()
    assert await workers.members("s") == set()
    await workers.check()
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT, version=3)])
    await workers.fold_all()
    assert await workers.members("s") == {profile(1), profile(2), profile(3)}
    await workers.check()


async def test_merge_moves_memberships_with_cause_merge(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1))
    workers.publish(0, evaluated(1, 2, into=2), evaluated(2, 2, BOUGHT_ID))
    await workers.fold_all(size=1)
    assert await workers.members("s") == {profile(2)}
    moved = (await workers.changes())[1:]
    assert {(c.profile_id, c.entered, c.other_profile_id) for c in moved} == {
        (profile(1), False, profile(2)),
        (profile(2), True, profile(1)),
    }
    assert {change[3] for change in summary(moved)} == {"MERGE"}
    await workers.check()


async def test_unmerge_returns_memberships(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1))
    workers.publish(0, evaluated(1, 2, into=2), evaluated(2, 2, BOUGHT_ID))
    workers.publish(0, evaluated(1, 3, BOUGHT_ID), evaluated(2, 3))
    await workers.fold_all(size=1)
    assert await workers.members("s") == {profile(1)}
    await workers.check()


@pytest.mark.parametrize("payload", [b"\xff", b"", b"\x1a\x02\x08\x07"])
async def test_malformed_definition_is_skipped(workers: SegmentWorkers, payload: bytes) -> None:
    malformed = Fact(workspace_id=W, kind=SEGMENT_DEFINED, payload=payload)
    workers.publish_everywhere(broadcast_facts=[malformed, defined("s", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID))
    await workers.fold_all()
    assert await workers.members("s") == {profile(1)}


async def test_keys_are_folded_and_published(workers: SegmentWorkers) -> None:
    message = KeyDefined(key_id="k", key_hash=bytes(32), role=2, version=1)
    kind = KeyDefined.DESCRIPTOR.full_name
    fact = Fact(workspace_id=W, kind=kind, payload=message.SerializeToString())
    workers.publish_everywhere(broadcast_facts=[fact])
    await workers.fold_all()
    assert await workers.pool.fetchval("SELECT count(*) FROM access_key") == 1
    assert all(output.broadcast_facts == [fact] for output in await workers.outputs())


async def test_batch_without_changes_publishes_nothing(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    before = await workers.outputs()
    for version in range(1, 9):
        workers.publish(0, evaluated(1, version, VISITED_ID))
    await workers.fold_all(size=2)
    assert await workers.outputs() == before
    async with workers.pool.acquire() as conn:
        at = await load_checkpoint(conn, 0)
    assert at is not None
    assert at.log_offset == len(workers.published[0])


async def test_change_after_silence_is_no_part_of_the_states_before_it(
    workers: SegmentWorkers,
) -> None:
    """Profile had come to offset 500, without a message, before the fact that made the change."""
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), log_offset=510, from_log_offset=500)
    await workers.fold_all()
    reached = await workers.pool.fetchval("SELECT reached_offset FROM history")
    assert reached == 500


async def test_definitions_of_a_batch_share_one_sweep(workers: SegmentWorkers) -> None:
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, *[evaluated(n, 1, BOUGHT_ID) for n in range(30)])
    await workers.fold_all()
    before = len(await workers.outputs())
    workers.publish_everywhere(broadcast_facts=[defined(f"s{n}", BOUGHT) for n in range(20)])
    await workers.fold_all()
    added = len(await workers.outputs()) - before
    assert added == 2 * SHARDS, "one message and one sweep of each shard"
    members = [await workers.members(f"s{n}") for n in range(20)]
    assert all(each == members[0] for each in members)
    await workers.check()


async def test_new_segment_sweeps_no_profile_before_its_predicates_are_backfilled(
    workers: SegmentWorkers,
) -> None:
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1))
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    swept: list[int] = []
    async with workers.pool.acquire() as conn:
        for shard in range(workers.shards):
            at = await load_checkpoint(conn, shard)
            assert at is not None
            at = await workers.fold_once(conn, at, workers.messages(shard, 0, 5))
            swept.append((await load_backlog(conn, shard)).newest_run)
    assert not any(swept)
    workers.backfilled(BOUGHT_ID)
    await workers.fold_all()
    assert await workers.members("buyers") == {profile(1)}
    # A second version, and one whose predicates are backfilled already, change memberships.
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT, 2, retired=True)])
    workers.publish_everywhere(broadcast_facts=[defined("again", BOUGHT)])
    await workers.fold_all()
    assert await workers.members("buyers") == set()
    assert await workers.members("again") == {profile(1)}
    await workers.check()


async def test_sweep_publishes_only_pages_with_changes(workers: SegmentWorkers) -> None:
    """Its last page is always published: consumers learn from it how far the log is folded."""
    workers.rows_per_step = 1
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, *[evaluated(n, 1) for n in range(40)])
    await workers.fold_all()
    before = len(await workers.outputs())
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    await workers.fold_all()
    assert len(await workers.outputs()) - before == 2 * SHARDS
    assert not await workers.pool.fetchval("SELECT count(*) FROM backfill")
    await workers.check()


async def test_instants_of_a_membership_never_decrease(workers: SegmentWorkers) -> None:
    """A shard that is behind has the exit after a shard that is ahead had the entry."""
    workers.publish_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID, changed_at_us=500))
    workers.publish(1, evaluated(1, 2, changed_at_us=100))
    await workers.fold_all()
    assert [(c.ordinal, c.changed_at_us) for c in await workers.changes()] == [(1, 500), (2, 500)]
    await workers.check()


def publish_story(
    rng: random.Random, workers: SegmentWorkers, profiles: int, length: int
) -> dict[str, Fact]:
    """Publish definitions, backfilled predicates and evaluations on both shards at random.

    Return the newest definitions by segment.
    """
    rules = [BOUGHT, VISITED, IDLE, CITY]
    versions: dict[str, int] = {}
    newest: dict[str, Fact] = {}
    latest = dict.fromkeys(range(profiles), 0)
    pending = {shard: list(ALL_IDS) for shard in range(SHARDS)}
    for _ in range(length):
        choice, shard = rng.random(), rng.randrange(SHARDS)
        if choice < 0.08:
            name = f"s{rng.randrange(3)}"
            versions[name] = versions.get(name, 0) + 1
            fact = defined(name, rng.choice(rules), versions[name], rng.random() < 0.2)
            newest[name] = fact
            workers.publish_everywhere(broadcast_facts=[fact])
        elif choice < 0.2 and pending[shard]:
            workers.publish(shard, backfilled_predicates=[pending[shard].pop()])
        else:
            workers.publish(shard, *_random_evaluations(rng, latest))
    for shard, remaining in pending.items():
        workers.publish(shard, backfilled_predicates=remaining)
    return newest


def _random_evaluations(rng: random.Random, latest: dict[int, int]) -> list[ProfileChange]:
    evaluations = []
    for n in rng.sample(sorted(latest), rng.randint(1, 4)):
        latest[n] += 1
        into = rng.choice([None] * 6 + [m for m in latest if m != n][:1])
        true_predicates = [] if into is not None else rng.sample(ALL_IDS, rng.randint(0, 3))
        evaluations.append(evaluated(n, latest[n], *true_predicates, into=into))
    return evaluations


@pytest.mark.parametrize("seed", range(12))
async def test_concurrent_workers_end_in_the_state_of_the_oracle(
    workers: SegmentWorkers, seed: int
) -> None:
    """Two shards with the same profiles interleave at random, with sweeps in between."""
    workers.rows_per_step = 3
    newest = publish_story(random.Random(seed), workers, profiles=9, length=70)

    async def work(shard: int) -> None:
        rng = random.Random(f"{seed} {shard}")
        while await workers.fold_some(shard, rng.randint(1, 6)):
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)

    await asyncio.gather(*map(work, range(SHARDS)))
    await workers.fold_all()
    await workers.check()
    assert await memberships(workers) == expected_memberships(workers, newest)


async def memberships(workers: SegmentWorkers) -> set[tuple[str, bytes]]:
    rows = await workers.pool.fetch("SELECT segment_id, profile_id FROM membership")
    return {(r["segment_id"], r["profile_id"]) for r in rows}


def expected_memberships(
    workers: SegmentWorkers, definitions: dict[str, Fact]
) -> set[tuple[str, bytes]]:
    """Apply the newest rules to the highest version of every profile, one by one."""
    newest: dict[bytes, ProfileEvaluation] = {}
    for messages in workers.published.values():
        for change in (c for message in messages for c in message.changes):
            evaluation = evaluation_from_proto(change)
            best = newest.get(evaluation.profile_id)
            if best is None or best.version < evaluation.version:
                newest[evaluation.profile_id] = evaluation
    segments = ActiveSegments([decode_definition(W, f.payload) for f in definitions.values()])
    return {
        (segment_id, evaluation.profile_id)
        for evaluation in newest.values()
        for segment_id in segments.segments_of(evaluation, frozenset())
    }


async def test_last_predicates_from_two_shards_at_once_complete_the_segment(
    workers: SegmentWorkers,
) -> None:
    """Each of two open transactions has the last predicate that the other one does not see."""
    workers.publish_everywhere(broadcast_facts=[defined(f"s{n}", BOUGHT) for n in range(20)])
    workers.publish(0, *[evaluated(n, 1, BOUGHT_ID) for n in range(10)])
    await workers.fold_all()
    workers.publish_everywhere(backfilled_predicates=[BOUGHT_ID])
    async with open_fold(workers, 0):
        other = asyncio.ensure_future(workers.fold_some(1, 1))
        await asyncio.wait({other}, timeout=0.2)
        assert not other.done()
    await other
    await workers.fold_all()
    assert await workers.members("s0") == {profile(n) for n in range(10)}
    await workers.check()


async def test_definition_waits_for_folds_that_used_the_old_definitions(
    workers: SegmentWorkers,
) -> None:
    """Otherwise a sweep could miss the profile of a fold that has not committed yet."""
    workers.backfilled()
    await workers.fold_all()
    n = next(n for n in range(20) if shard_of(profile(n), SHARDS) == 1)
    workers.publish(0, evaluated(n, 1, BOUGHT_ID))
    workers.publish(1, broadcast_facts=[defined("s", BOUGHT)])
    async with open_fold(workers, 0):
        defining = asyncio.ensure_future(workers.fold_some(1, 1))
        await asyncio.wait({defining}, timeout=0.2)
        assert not defining.done()
    await defining
    assert await workers.members("s") == {profile(n)}


@asynccontextmanager
async def open_fold(workers: SegmentWorkers, shard: int) -> AsyncIterator[None]:
    """Fold the next message of a shard, and commit at the end of the scope."""
    async with workers.pool.acquire() as conn, conn.transaction():
        at = await load_checkpoint(conn, shard)
        assert at is not None
        await workers.fold_once(conn, at, workers.messages(shard, at.next, 1))
        yield


async def test_sweep_that_is_requested_again_begins_again(workers: SegmentWorkers) -> None:
    """Shard 1 completes another segment while shard 0 is in the middle of a sweep."""
    workers.rows_per_step = 1
    workers.publish_everywhere(broadcast_facts=[defined("later", CITY)])
    workers.publish(0, *[evaluated(n, 1, BOUGHT_ID, CITY_ID) for n in range(20)])
    workers.publish_everywhere(backfilled_predicates=[BOUGHT_ID])
    workers.publish(0, backfilled_predicates=[CITY_ID])
    await workers.fold_all()
    workers.publish(0, broadcast_facts=[defined("s", BOUGHT)])
    async with workers.pool.acquire() as conn:
        at = await load_checkpoint(conn, 0)
        assert at is not None
        at = await workers.fold_once(conn, at, workers.messages(0, at.next, 1))
        for _ in range(3):
            at = await workers.backfill_once(conn, at)
            assert at is not None
        assert len(await workers.members("s")) == 3
    workers.publish(1, backfilled_predicates=[CITY_ID])
    await workers.fold_some(1, 1)
    assert not {profile(n) for n in range(20)} <= await workers.members("later")
    await workers.fold_all()
    assert await workers.members("later") == {profile(n) for n in range(20)}
    await workers.check()


async def test_new_life_of_an_erased_profile_has_changes_with_ordinals_of_its_own(
    workers: SegmentWorkers,
) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID), evaluated(2, 1, BOUGHT_ID))
    await workers.fold_all()
    # Each shard passes the erasure on, as each may have changes that were published before it.
    erased = PersonErased(request_id=bytes(16), identifier_ids=[profile(1)])
    fact = Fact(
        workspace_id=W,
        kind=PersonErased.DESCRIPTOR.full_name,
        payload=erased.SerializeToString(),
        recorded_at_us=10**6,
    )
    gone = ProfileChange(workspace_id=W, profile_id=profile(1), version=2, erased=True)
    workers.publish(0, gone, broadcast_facts=[fact])
    workers.publish(1, broadcast_facts=[fact])
    await workers.fold_all()
    histories = await workers.pool.fetch("SELECT profile_id FROM history")
    assert [row["profile_id"] for row in histories] == [profile(2)]
    workers.publish(0, evaluated(1, 3, BOUGHT_ID, changed_at_us=2 * 10**6), evaluated(2, 2))
    await workers.fold_all()
    new = (await workers.changes())[-2:]
    assert sorted((c.profile_id, c.entered, c.ordinal) for c in new) == sorted(
        [(profile(1), True, 3), (profile(2), False, 2)]
    )


async def test_definition_after_evaluations_in_a_batch_is_the_cause_of_its_members(
    workers: SegmentWorkers,
) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    workers.backfilled()
    await workers.fold_all()
    workers.publish(0, evaluated(1, 1, BOUGHT_ID, occurred_at_us=-7))
    workers.publish(0, broadcast_facts=[defined("all buyers", BOUGHT)])
    await workers.fold_all(size=100)
    changes = {c.segment_id: c for c in await workers.changes()}
    assert changes["buyers"].occurred_at_us == -7
    assert changes["all buyers"].cause == MEMBERSHIP_CAUSE_DEFINITION
    assert changes["all buyers"].occurred_at_us == changes["all buyers"].changed_at_us
    await workers.check()
