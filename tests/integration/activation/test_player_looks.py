"""Tests how often persons are looked at, and what a look reads of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from integration.activation.journey_fixture import CART, JourneyBench, leaf
from structlog.testing import capture_logs

from services.activation.projection.journeys import player as player_module
from services.activation.projection.journeys.player import JourneyPlayer
from services.activation.store import runs as runs_store
from services.chassis.codec.journeys import contact_policy_to_proto
from services.chassis.runtime.tasks import background
from services.kernel.ids import LeafId
from services.kernel.journeys.contact_policy import parse_contact_policy


async def test_player_that_is_woken_again_and_again_lets_persons_gather(
    bench: JourneyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering_s, looks = 0.5, 0
    monkeypatch.setattr(player_module, "GATHERING_S", gathering_s)
    player, look = bench.engine.player, JourneyPlayer.look

    async def counted(self: JourneyPlayer) -> int:
        nonlocal looks
        looks += 1
        return await look(self)

    monkeypatch.setattr(JourneyPlayer, "look", counted)
    await bench.define(**CART)
    began = asyncio.get_running_loop().time()
    async with background(player.run()):
        for of in range(20):
            await bench.happen("cart_updated", of)
            await bench.pass_time(us=1)
            player.wake()
            await asyncio.sleep(0.02)
    took_s = asyncio.get_running_loop().time() - began
    assert 1 <= looks <= 2 + took_s / gathering_s


async def test_player_that_has_nothing_due_begins_no_look(
    bench: JourneyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = asyncio.Event()

    async def wait_at_most(_: asyncio.Event, __: float) -> None:
        waited.set()
        await asyncio.sleep(3_600)

    async def look(_: JourneyPlayer) -> int:
        raise AssertionError("nothing is due")

    await bench.define(**CART)
    await bench.come_to_rest()
    await bench.happen("cart_updated")
    await bench.come_to_rest()
    # The cart is due in two hours.
    monkeypatch.setattr(player_module, "wait_at_most", wait_at_most)
    monkeypatch.setattr(JourneyPlayer, "look", look)
    with capture_logs() as logs:
        async with asyncio.timeout(60), background(bench.engine.player.run()):
            await waited.wait()
    assert logs == []


async def test_zone_of_a_person_is_read_only_where_a_run_can_begin_or_goes_on(
    bench: JourneyBench,
) -> None:
    quiet = {"consent": "none", "quiet": {"from": "21:00", "to": "09:00"}}
    form = {"zone": {"traits": ["timezone"], "else": "UTC"}, "purposes": {"marketing": quiet}}
    await bench.policy(contact_policy_to_proto(parse_contact_policy(form)))
    await bench.define(**CART)
    await bench.come_to_rest()
    # The goal of a journey in which the person is not.
    await bench.happen("order_paid", 1)
    await bench.come_to_rest()
    assert bench.upstream.zones_read == []
    await bench.happen("cart_updated", 2)
    await bench.come_to_rest()
    assert set(bench.upstream.zones_read) == {leaf(2)}
    await bench.happen("order_paid", 2)
    await bench.come_to_rest()
    assert set(bench.upstream.zones_read) == {leaf(2)}
    assert [run["state"] for run in await bench.runs()] == [3]


async def test_look_reads_the_ledger_only_for_runs_that_have_planned_effects(
    bench: JourneyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[set[bytes]] = []
    load_begun = player_module.load_begun

    async def counted(conn: Any, leaf_ids: Collection[LeafId]) -> Any:
        read.append(set(leaf_ids))
        return await load_begun(conn, leaf_ids)

    monkeypatch.setattr(player_module, "load_begun", counted)
    await bench.define(**CART)
    await bench.come_to_rest()
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest()
    await bench.come_to_rest(hours=3)
    assert await bench.effects()
    assert read == []
    # The same person learns more, when the effect of the first run may have begun.
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest()
    assert set().union(*read) == {leaf(1)}


@pytest.mark.parametrize("persons", [0, 5])
async def test_looks_read_the_rows_of_their_persons_alone_though_there_were_few_rows(
    bench: JourneyBench, persons: int
) -> None:
    await bench.define(**CART)
    for of in range(persons):
        await bench.happen("cart_updated", of)
        await bench.move(of, of + 100, version=1)
    await bench.come_to_rest()
    conn = await bench.ledger.database.connect(point_lookups=True)
    try:
        # Plans are made once: with the statistics of few rows, or of none.
        if persons:
            await conn.execute("ANALYZE")
        for name in ("runs_of_profiles", "leaves_of", "load_facts", "load_runs", "load_answers"):
            statement = await conn.prepare(getattr(runs_store.Q, name))
            types = ", ".join(p.name for p in statement.get_parameters())
            values = ", ".join(["NULL"] * len(statement.get_parameters()))
            text = getattr(runs_store.Q, name).rstrip(";")
            await conn.execute(f"PREPARE {name} ({types}) AS {text}")
            lines = [r[0] for r in await conn.fetch(f"EXPLAIN EXECUTE {name} ({values})")]
            conditions = [line for line in lines if "Index Cond" in line]
            assert conditions, name
            for line in conditions:
                assert "leaf_id = " in line or "profile_id = " in line, "\n".join(lines)
    finally:
        await conn.close()


async def test_look_that_knows_less_than_the_one_before_it_changes_nothing(
    bench: JourneyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas look at leaves of one person; the first one waits for the lock of the second."""
    await bench.define(**CART)
    await bench.move(2, 1, version=1)
    await bench.happen("cart_updated", 1)
    await bench.come_to_rest()
    await bench.happen("cart_updated", 2, profile=1, version=1)
    await bench.pass_time(us=1)
    lock, holds, may_lock = player_module.lock_persons, asyncio.Event(), asyncio.Event()

    async def lock_late(conn: Any, profile_ids: Any) -> None:
        if not holds.is_set():
            holds.set()
            await may_lock.wait()
        await lock(conn, profile_ids)

    monkeypatch.setattr(player_module, "lock_persons", lock_late)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(bench.engine.player.look_once())
        await holds.wait()
        await bench.happen("order_paid", 1)
        await bench.pass_time(us=1)
        await bench.engine.player.look_once()
        may_lock.set()
    await bench.come_to_rest()
    assert bench.log.kinds() == ["began", "ended"]
    assert (await bench.verify()).unjustified == []
