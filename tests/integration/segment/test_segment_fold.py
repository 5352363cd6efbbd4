"""Who enters and leaves, folded into real tables from what profile says."""

from __future__ import annotations

import asyncio
import random

import pytest
from integration.segment.segment_world import (
    ALL_IDS,
    BOUGHT,
    BOUGHT_ID,
    CITY,
    CITY_ID,
    IDLE,
    SHARDS,
    VISITED,
    VISITED_ID,
    W,
    Works,
    defined,
    profile,
    stands,
)
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_stream_pb2 import ProfileChange
from onefold.segment.v1.segment_stream_pb2 import (
    MEMBERSHIP_CAUSE_DEFINITION,
    MembershipCause,
    MembershipsChanged,
)

from services.kernel.ids import shard_of
from services.segment.codec import bus as wire
from services.segment.domain.membership import Rulebook
from services.segment.domain.model import Standing
from services.segment.projection import fold as app
from services.segment.store import postgres as store


def causes(changes: list) -> list[tuple[str, int, bool, str]]:
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


async def test_people_enter_and_leave(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("buyers", BOUGHT), defined("idle", IDLE)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1, VISITED_ID))
    works.say(0, stands(1, 2, VISITED_ID))
    await works.fold_all(size=1)
    assert await works.members("buyers") == set()
    assert await works.members("idle") == set()
    assert causes(await works.announced()) == [
        ("buyers", 1, True, "RULE"),
        ("idle", 1, True, "RULE"),
        ("buyers", 1, False, "RULE"),
        ("idle", 1, False, "RULE"),
    ]
    await works.check()


async def test_a_batch_is_decided_by_its_newest_standings(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID))
    works.say(0, stands(1, 2))
    works.say(0, stands(1, 3, BOUGHT_ID))
    await works.fold_all(size=100)
    assert causes(await works.announced()) == [("buyers", 1, True, "RULE")]
    await works.check()


async def test_stale_versions_are_dropped(works: Works) -> None:
    """The same profile is told of on two shards; the higher version wins, whoever is first."""
    works.say_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 5, BOUGHT_ID))
    works.say(1, stands(1, 4), stands(2, 1, BOUGHT_ID))
    works.say(0, stands(2, 2))
    await works.fold_all()
    assert await works.members("buyers") == {profile(1)}
    await works.check()


async def test_definitions_before_and_after_standings_come_to_the_same(works: Works) -> None:
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1), stands(3, 1, BOUGHT_ID, VISITED_ID))
    await works.fold_all()
    assert not await works.announced()
    works.say_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    await works.fold_all()
    assert await works.members("buyers") == {profile(1), profile(3)}
    assert {c[3] for c in causes(await works.announced())} == {"DEFINITION"}
    await works.check()


async def test_a_token_is_reached_when_its_definitions_are_carried_out(works: Works) -> None:
    """What is announced by a sweep comes before the message that holds the definition."""
    works.live()
    await works.fold_all()
    works.say(0, *[stands(n, 1, BOUGHT_ID) for n in range(10)])
    await works.fold_all()
    works.say_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    await works.fold_all()
    rows = await works.pool.fetch("SELECT payload FROM outbox ORDER BY shard, first")
    told = [MembershipsChanged.FromString(row["payload"]) for row in rows]
    for shard in range(SHARDS):
        mine = [m for m in told if m.shard == shard]
        (at,) = (n for n, m in enumerate(mine) if m.broadcast_facts)
        swept = [n for n, m in enumerate(mine) if m.changes]
        assert swept
        assert max(swept) < at
        assert max(m.log_offset for m in mine[:at]) < mine[at].log_offset


async def test_a_new_version_of_a_rule_looks_at_everybody(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SWEEP_PAGE", 7)
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    works.live()
    await works.fold_all()
    people = range(100)
    for n in people:
        works.say(n % SHARDS, stands(n, 1, *([BOUGHT_ID] if n % 3 else [VISITED_ID])))
    await works.fold_all()
    assert await works.members("s") == {profile(n) for n in people if n % 3}
    works.say_everywhere(broadcast_facts=[defined("s", VISITED, version=2)])
    await works.fold_all()
    assert await works.members("s") == {profile(n) for n in people if not n % 3}
    late = [c for c in await works.announced() if c.cause == MEMBERSHIP_CAUSE_DEFINITION]
    assert {c.segment_version for c in late} == {2}
    await works.check()


async def test_an_older_version_changes_nothing(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT, version=2)])
    works.say_everywhere(broadcast_facts=[defined("s", VISITED, version=1)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1, VISITED_ID))
    await works.fold_all()
    assert await works.members("s") == {profile(1)}
    await works.check()


async def test_a_segment_waits_until_every_shard_is_live(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("buyers", BOUGHT)])
    works.say(0, stands(1, 1, BOUGHT_ID), backfilled_predicates=[BOUGHT_ID])
    works.say(1, stands(2, 1, BOUGHT_ID))
    await works.fold_all()
    assert not await works.announced()
    works.say(1, backfilled_predicates=[BOUGHT_ID])
    await works.fold_all()
    assert await works.members("buyers") == {profile(1), profile(2)}
    await works.check()


async def test_live_in_one_workspace_is_not_live_in_another(works: Works) -> None:
    works.say_everywhere(
        broadcast_facts=[defined("buyers", BOUGHT), defined("buyers", BOUGHT, workspace="other")]
    )
    works.say_everywhere(backfilled_predicates=[BOUGHT_ID], backfilled_workspace_id="other")
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1, BOUGHT_ID, workspace="other"))
    await works.fold_all()
    assert await works.members("buyers") == set()
    assert await works.members("buyers", "other") == {profile(2)}
    await works.check()


async def test_a_rule_with_a_new_predicate_keeps_its_members_until_it_is_live(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    works.live(BOUGHT_ID)
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1))
    await works.fold_all()
    works.say_everywhere(broadcast_facts=[defined("s", CITY, version=2)])
    works.say(0, stands(1, 2), stands(2, 2, CITY_ID))
    await works.fold_all()
    assert await works.members("s") == {profile(1)}
    works.live(CITY_ID)
    await works.fold_all()
    await works.fold_all()
    assert await works.members("s") == {profile(2)}
    await works.check()


async def test_a_retired_segment_lets_everybody_go(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    works.live(BOUGHT_ID)
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1, BOUGHT_ID))
    # Also where its last rule asks what nobody computes any more.
    works.say_everywhere(broadcast_facts=[defined("s", CITY, version=2, retired=True)])
    works.say(0, stands(3, 1, BOUGHT_ID, CITY_ID))
    await works.fold_all()
    assert await works.members("s") == set()
    await works.check()
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT, version=3)])
    await works.fold_all()
    assert await works.members("s") == {profile(1), profile(2), profile(3)}
    await works.check()


async def test_a_merge_moves_memberships_without_a_welcome(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1))
    works.say(0, stands(1, 2, into=2), stands(2, 2, BOUGHT_ID))
    await works.fold_all(size=1)
    assert await works.members("s") == {profile(2)}
    moved = (await works.announced())[1:]
    assert {(c.profile_id, c.entered, c.other_profile_id) for c in moved} == {
        (profile(1), False, profile(2)),
        (profile(2), True, profile(1)),
    }
    assert {c[3] for c in causes(moved)} == {"MERGE"}
    await works.check()


async def test_an_unmerge_gives_each_their_own_back(works: Works) -> None:
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID), stands(2, 1))
    works.say(0, stands(1, 2, into=2), stands(2, 2, BOUGHT_ID))
    works.say(0, stands(1, 3, BOUGHT_ID), stands(2, 3))
    await works.fold_all(size=1)
    assert await works.members("s") == {profile(1)}
    await works.check()


@pytest.mark.parametrize("payload", [b"\xff", b"", b"\x1a\x02\x08\x07"])
async def test_a_definition_that_cannot_be_read_stops_nothing(works: Works, payload: bytes) -> None:
    junk = Fact(workspace_id=W, kind=wire.SEGMENT_DEFINED, payload=payload)
    works.say_everywhere(broadcast_facts=[junk, defined("s", BOUGHT)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID))
    await works.fold_all()
    assert await works.members("s") == {profile(1)}


async def test_keys_are_folded_and_passed_on(works: Works) -> None:
    told = KeyDefined(key_id="k", key_hash=bytes(32), role=2, version=1)
    fact = Fact(
        workspace_id=W, kind=KeyDefined.DESCRIPTOR.full_name, payload=told.SerializeToString()
    )
    works.say_everywhere(broadcast_facts=[fact])
    await works.fold_all()
    assert await works.pool.fetchval("SELECT count(*) FROM access_key") == 1
    rows = await works.pool.fetch("SELECT payload FROM outbox")
    assert all(MembershipsChanged.FromString(r["payload"]).broadcast_facts == [fact] for r in rows)


async def test_many_definitions_at_once_are_swept_together(works: Works) -> None:
    works.live()
    await works.fold_all()
    works.say(0, *[stands(n, 1, BOUGHT_ID) for n in range(30)])
    await works.fold_all()
    before = await works.pool.fetchval("SELECT count(*) FROM outbox")
    works.say_everywhere(broadcast_facts=[defined(f"s{n}", BOUGHT) for n in range(20)])
    await works.fold_all()
    swept = await works.pool.fetchval("SELECT count(*) FROM outbox") - before
    assert swept == 2 * SHARDS, "one sweep and one message of each shard"
    assert all([await works.members(f"s{n}") == await works.members("s0") for n in range(20)])
    await works.check()


async def test_a_sweep_of_many_pages_goes_on(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page moves the position, so that nobody takes the worker to be stuck."""
    monkeypatch.setattr(app, "SWEEP_PAGE", 1)
    works.live()
    await works.fold_all()
    works.say(0, *[stands(n, 1) for n in range(40)])
    await works.fold_all()
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    async with works.pool.acquire() as conn:
        positions = set()
        for _ in range(200):
            row = await conn.fetchrow("SELECT next, next_output FROM position WHERE shard = 0")
            positions.add(tuple(row))
            if row["next"] == len(works.said[0]):
                break
            await one_fold(works, 0)
    rows = await works.pool.fetch("SELECT shard, done FROM sweep ORDER BY shard")
    assert rows[0]["done"]
    mine = sum(shard_of(profile(n), SHARDS) == 0 for n in range(40))
    assert len(positions) >= mine + 1


async def one_fold(works: Works, shard: int) -> None:
    from services.chassis.projection.checkpoint import (
        acquire_fence,
        load_checkpoint,
        make_batch,
        save_checkpoint,
    )

    async with works.pool.acquire() as conn, conn.transaction():
        position = await load_checkpoint(conn, shard)
        assert position is not None
        assert await acquire_fence(conn, position)
        batch = make_batch(position, works._messages(shard, position.next, 1))
        folded = await works.apps[shard].fold(conn, batch)
        await save_checkpoint(conn, position.after(folded), folded.outputs)


async def test_instants_of_a_membership_never_go_back(works: Works) -> None:
    """A shard that is behind tells of a leaving after one that is ahead told of the entering."""
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    works.live()
    await works.fold_all()
    works.say(0, stands(1, 1, BOUGHT_ID, at_us=500))
    works.say(1, stands(1, 2, at_us=100))
    await works.fold_all()
    assert [(c.ordinal, c.at_us) for c in await works.announced()] == [(1, 500), (2, 500)]
    await works.check()


def story(chance: random.Random, works: Works, people: int, length: int) -> dict[str, Fact]:
    """Definitions, liveness and standings in any order on two shards; the newest definitions."""
    rules = [BOUGHT, VISITED, IDLE, CITY]
    versions: dict[str, int] = {}
    newest: dict[str, Fact] = {}
    latest = dict.fromkeys(range(people), 0)
    pending = {shard: list(ALL_IDS) for shard in range(SHARDS)}
    for _ in range(length):
        what, shard = chance.random(), chance.randrange(SHARDS)
        if what < 0.08:
            name = f"s{chance.randrange(3)}"
            versions[name] = versions.get(name, 0) + 1
            fact = defined(name, chance.choice(rules), versions[name], chance.random() < 0.2)
            newest[name] = fact
            works.say_everywhere(broadcast_facts=[fact])
        elif what < 0.2 and pending[shard]:
            works.say(shard, backfilled_predicates=[pending[shard].pop()])
        else:
            works.say(shard, *_standings(chance, latest))
    for shard, left in pending.items():
        works.say(shard, backfilled_predicates=left)
    return newest


def _standings(chance: random.Random, latest: dict[int, int]) -> list[ProfileChange]:
    told = []
    for n in chance.sample(sorted(latest), chance.randint(1, 4)):
        latest[n] += 1
        into = chance.choice([None] * 6 + [m for m in latest if m != n][:1])
        holds = [] if into is not None else chance.sample(ALL_IDS, chance.randint(0, 3))
        told.append(stands(n, latest[n], *holds, into=into))
    return told


@pytest.mark.parametrize("seed", range(12))
async def test_two_workers_side_by_side_end_where_one_ends(
    works: Works, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random interleavings of two shards that tell of the same people, sweeps among them."""
    monkeypatch.setattr(app, "SWEEP_PAGE", 3)
    chance = random.Random(seed)
    newest = story(chance, works, people=9, length=70)

    async def work(shard: int) -> None:
        own = random.Random(f"{seed} {shard}")
        while await works.fold_some(shard, own.randint(1, 6)):
            for _ in range(own.randrange(4)):
                await asyncio.sleep(0)

    await asyncio.gather(*map(work, range(SHARDS)))
    await works.fold_all()
    await works.check()
    assert await memberships(works) == truth(works, newest)


async def memberships(works: Works) -> set[tuple[str, bytes]]:
    rows = await works.pool.fetch("SELECT segment_id, profile_id FROM membership")
    return {(r["segment_id"], r["profile_id"]) for r in rows}


def truth(works: Works, definitions: dict[str, Fact]) -> set[tuple[str, bytes]]:
    """Everybody by their highest version, under the newest rules, looked at one by one."""
    best: dict[bytes, Standing] = {}
    for line in works.said.values():
        for change in (c for message in line for c in message.changes):
            standing = wire.standing(change)
            known = best.get(standing.profile_id)
            if known is None or known.version < standing.version:
                best[standing.profile_id] = standing
    book = Rulebook([wire.definition(W, fact.payload) for fact in definitions.values()])
    return {
        (segment, standing.profile_id)
        for standing in best.values()
        for segment in book.segments_of(standing, frozenset())
    }


async def test_two_last_things_that_come_at_once_are_both_seen(works: Works) -> None:
    """Each shard brings the last liveness that the other one knows nothing of yet."""
    for n in range(20):
        name, rule = f"s{n}", BOUGHT
        works.say_everywhere(broadcast_facts=[defined(name, rule)])
    works.say(0, *[stands(n, 1, BOUGHT_ID) for n in range(10)])
    await works.fold_all()
    works.say_everywhere(backfilled_predicates=[BOUGHT_ID])
    async with works.pool.acquire() as one, works.pool.acquire() as other:
        first, second = one.transaction(), other.transaction()
        await first.start()
        await second.start()
        await _take_live(works, 0, one)
        waiting = asyncio.ensure_future(_take_live(works, 1, other))
        await asyncio.wait({waiting}, timeout=0.2)
        await first.commit()
        await waiting
        await second.commit()
    await works.fold_all()
    assert await works.members("s0") == {profile(n) for n in range(10)}
    await works.check()


async def _take_live(works: Works, shard: int, conn) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    await works.apps[shard]._define(conn, shard, [works.said[shard][-1]])


async def test_a_sweep_that_is_asked_for_anew_begins_anew(works: Works) -> None:
    """A page that began before the new asking must not move the sweep beyond its start."""
    works.say_everywhere(broadcast_facts=[defined("s", BOUGHT)])
    works.say(0, *[stands(n, 1, BOUGHT_ID) for n in range(10)])
    await works.fold_all()
    async with works.pool.acquire() as conn:
        await conn.execute("UPDATE sweep SET done = false, after = '\\x'")
        sweep = await store.next_sweep(conn, 0)
        assert sweep is not None
        await conn.execute(store.Q.ask_again, 0, W, "s", 1)
        await store.save_sweep(conn, 0, sweep, b"\xff", True)
        again = await store.next_sweep(conn, 0)
    assert again is not None
    assert (again.after, again.asked) == (b"", sweep.asked + 1)
