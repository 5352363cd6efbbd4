"""Tests sets of members, members at a token, and states that time passed through, on tables."""

from __future__ import annotations

import random
from typing import Any

import pytest
from integration.segment.segment_fixture import (
    BOUGHT,
    BOUGHT_ID,
    CITY,
    CITY_ID,
    IDLE,
    SHARDS,
    VISITED_ID,
    SegmentWorkers,
    W,
    defined,
    evaluated,
    profile,
)
from onefold.profile.v1.profile_stream_pb2 import PassedState

from services.chassis.postgres.database import Database
from services.chassis.projection.checkpoint import load_checkpoints, token_of
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token
from services.segment.domain.sets import InAll, InAny, InSegment, NotIn, SetExpression
from services.segment.domain.stays import stays_of
from services.segment.queries import sets as queries
from services.segment.queries.memberships import list_members, memberships_of
from services.segment.queries.sets import MemberSets

BUYERS, CITIZENS = InSegment("buyers"), InSegment("city")


async def publish_school(workers: SegmentWorkers) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("buyers", BOUGHT), defined("city", CITY)])
    workers.backfilled()
    await workers.fold_all()


async def found(sets: MemberSets, expression: SetExpression, workspace: str = W) -> set[bytes]:
    page = await sets.page(WorkspaceId(workspace), expression, -1, 1_000)
    assert page.size == len(set(page.profiles)) == len(page.profiles)
    return set(page.profiles)


async def token(database: Database) -> Token:
    async with database.pool.acquire() as conn:
        return token_of(await load_checkpoints(conn))


async def members_at(database: Database, segment_id: str, at: Token) -> set[bytes]:
    rows = await list_members(database, W, segment_id, after=b"", limit=1_000, as_of=at)
    return {row["profile_id"] for row in rows}


async def test_bitmaps_follow_the_changes_of_all_shards_without_reading_members_again(
    workers: SegmentWorkers, segment_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish_school(workers)
    sets, chance = MemberSets(segment_database, SHARDS), random.Random(5)
    reads: list[Any] = []
    load = queries.store.load_members

    async def counted(conn: Any, workspace_id: Any, segment_ids: Any) -> Any:
        reads.append(sorted(segment_ids))
        return await load(conn, workspace_id, segment_ids)

    monkeypatch.setattr(queries.store, "load_members", counted)
    for version in range(1, 8):
        for n in range(12):
            true = chance.sample([BOUGHT_ID, CITY_ID], chance.randrange(3))
            workers.publish(chance.randrange(SHARDS), evaluated(n, version, *true))
        await workers.fold_all(size=3)
        buyers, citizens = await workers.members("buyers"), await workers.members("city")
        everyone = {profile(n) for n in range(12)}
        assert await found(sets, InAll((BUYERS, CITIZENS))) == buyers & citizens
        assert await found(sets, InAny((BUYERS, NotIn(CITIZENS)))) == buyers | everyone - citizens
        assert await found(sets, NotIn(BUYERS)) == everyone - buyers
        overlaps = await sets.overlaps(W, ["buyers", "city"])
        assert overlaps[0] == [len(buyers), len(buyers & citizens)]
    assert reads == [["buyers", "city"]]


async def test_bitmaps_are_read_again_after_too_many_changes_and_in_another_workspace_are_others(
    workers: SegmentWorkers, segment_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MAX_FOLLOWED", 2)
    await publish_school(workers)
    sets = MemberSets(segment_database, SHARDS)
    for n in range(1, 6):
        assert len(await found(sets, BUYERS)) == (n - 1) * 3
        workers.publish(0, *(evaluated(10 * n + i, 1, BOUGHT_ID) for i in range(3)))
        await workers.fold_all()
    with pytest.raises(NotFound):
        await found(sets, BUYERS, "other")
    with pytest.raises(InvalidField):
        await sets.overlaps(W, [])


async def test_cached_bitmaps_stay_below_their_bound(
    workers: SegmentWorkers, segment_database: Database
) -> None:
    await publish_school(workers)
    workers.publish(0, *(evaluated(n, 1, BOUGHT_ID, CITY_ID) for n in range(40)))
    await workers.fold_all()
    one = MemberSets(segment_database, SHARDS)
    assert len(await found(one, BUYERS)) == 40
    bound = one.cached_bytes
    both = MemberSets(segment_database, SHARDS, max_cached_bytes=bound)
    for _ in range(2):
        assert len(await found(both, InAll((BUYERS, CITIZENS)))) == 40
        assert both.cached_bytes <= bound


async def test_members_at_a_token_never_change(
    workers: SegmentWorkers, segment_database: Database
) -> None:
    await publish_school(workers)
    known: list[tuple[Token, set[bytes]]] = []
    for version in range(1, 6):
        workers.publish(version % SHARDS, evaluated(1, version, *([BOUGHT_ID] * (version % 2))))
        workers.publish(0, evaluated(10 + version, 1, BOUGHT_ID))
        await workers.fold_all()
        known.append((await token(segment_database), await workers.members("buyers")))
        # Another version of the rule, and a backfill over all profiles.
        rule = CITY if version == 3 else BOUGHT
        workers.publish_everywhere(broadcast_facts=[defined("buyers", rule, version + 1)])
        await workers.fold_all()
        known.append((await token(segment_database), await workers.members("buyers")))
    for at, members in known:
        assert await members_at(segment_database, "buyers", at) == members
    assert await members_at(segment_database, "buyers", Token()) == set()


async def test_states_that_time_passed_through_are_stays_with_their_instants(
    workers: SegmentWorkers, segment_database: Database
) -> None:
    workers.publish_everywhere(broadcast_facts=[defined("idle", IDLE), defined("buyers", BOUGHT)])
    workers.backfilled()
    workers.publish(0, evaluated(1, 1, VISITED_ID, changed_at_us=10))
    await workers.fold_all()
    change = evaluated(1, 2, VISITED_ID, changed_at_us=400)
    change.by_time = True
    for at_us, true in ((200, ()), (300, (VISITED_ID, BOUGHT_ID))):
        change.passed.append(PassedState(true_predicates=sorted(true), changed_at_us=at_us))
    workers.publish(0, change)
    await workers.fold_all()
    await workers.check()
    history = await memberships_of(segment_database, W, profile(1))
    stays = [
        (stay.entered.segment_id, stay.entered.changed_at_us, stay.left_at_us)
        for stay in stays_of(history.changes)
    ]
    assert stays == [("idle", 200, 300), ("buyers", 300, 400)]
    assert not history.segment_ids
